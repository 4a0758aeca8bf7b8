"""A POST that creates, sent again under its `Idempotency-Key`."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role, Scope
from image_api.app import ROUTERS
from image_api.http.shown_once import shown_once
from image_api.idempotency import route, service
from image_api.idempotency.route import IdempotentRoute, takes_key
from image_api.openapi.operations import api_routes
from image_api.teams import service as teams
from image_core import errors, testing
from image_core.models import idempotency_key, team
from image_core.models import user as user_table
from image_core.testing import UserWithKey

from ..conftest import Api
from ..uploading import count

TEAMS = "/api/v1/teams"
# POSTs that take no key, and why that is right.
WITHOUT_KEY = {
    "/api/v1/classify": "makes no image, and the same bytes are analysed and paid once",
    "/api/v1/auth/register": "its caller is not known; an invitation is used once, and an address registered once",
    "/api/v1/auth/login": "its caller is not known; sessions that nobody uses end by themselves",
    "/api/v1/auth/refresh": "stores nothing",
    "/api/v1/auth/logout": "creates nothing",
    "/api/v1/auth/password": "creates nothing",
    "/api/v1/auth/password-reset": "creates nothing, and its token is used once",
    "/api/v1/credentials/report": "creates nothing, and its caller is not known",
    "/api/v1/user/{user_id}/credentials/rotate": "a rotation whose answer was lost is repeated, and replaces the "
    "key that nobody has seen",
    "/api/v1/users/{user_id}/credentials/rotate": "as its twin",
    "/api/v1/images/check-hashes": "stores nothing",
    "/api/v1/images/batch-get": "stores nothing",
    "/api/v1/collections/{collection_id}/images": "a second one changes nothing more",
    "/api/v1/operations/{operation_id}/cancel": "creates nothing; a second one changes nothing",
    "/api/v1/delivery/sign": "stores nothing",
    "/api/v1/delivery/resign": "stores nothing",
    "/api/v1/delivery/preview": "stores nothing",
    "/api/v1/delivery-keys/{delivery_key_id}/retire": "creates nothing; a second one changes nothing",
    "/api/v1/images/{image_id}/revoke-addresses": "creates nothing; a second one revokes what the first one revoked",
    "/api/v1/images/{image_id}/reprocess": "creates nothing; a second one is refused while the first one waits",
    "/api/v1/admin/dead-letters/{dead_letter_id}/redrive": "creates nothing; the work is done once",
    "/api/v1/admin/dead-letters/{dead_letter_id}/discard": "creates nothing; a second one changes nothing",
    "/api/v1/images/{image_id}/restore": "creates nothing; a second one changes nothing",
}
POSTS = {path: found for path, found in api_routes(ROUTERS) if "POST" in (found.methods or ())}


def headers(by: UserWithKey, key: str | None) -> dict[str, str]:
    return dict(by.headers) | ({} if key is None else {"idempotency-key": key})


async def create(api: Api, key: str | None, name: str = "Field team", by: UserWithKey | None = None) -> httpx2.Response:
    return await api.client.post(TEAMS, headers=headers(by or api.admin, key), json={"name": name})


class TestEveryCreatingPost:
    def test_takes_a_key_or_says_why_not(self) -> None:
        without = {path for path, found in POSTS.items() if found.include_in_schema and not takes_key(found.dependant)}
        assert without == set(WITHOUT_KEY)

    def test_that_takes_a_key_is_of_the_class_that_keeps_its_answer(self) -> None:
        taking = [found for found in POSTS.values() if takes_key(found.dependant)]
        assert len(taking) >= 5
        assert all(isinstance(found, IdempotentRoute) for found in taking)

    def test_describes_the_header(self, running_api: Api) -> None:
        for path, found in POSTS.items():
            if takes_key(found.dependant) and found.include_in_schema:
                operation = running_api.truth.document["paths"][path]["post"]
                assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]], path
                assert "still in progress" in operation["responses"]["409"]["description"]

    def test_marks_its_secrets(self) -> None:
        for path, found in POSTS.items():
            if takes_key(found.dependant):
                fields = getattr(found.response_model, "model_fields", {})
                secret = {name for name in fields if name in ("api_key", "token", "secret", "url_token")}
                assert secret <= shown_once(found.response_model), path


class TestReplay:
    async def test_gives_the_first_answer_again_and_does_nothing(self, api: Api) -> None:
        first, again = await create(api, "k-1"), await create(api, "k-1")
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert await count(api, team) == 1

    async def test_without_a_key_each_request_stands_alone(self, api: Api) -> None:
        assert [(await create(api, None)).status_code for _ in range(2)] == [201, 409]
        assert await count(api, idempotency_key) == 0

    async def test_a_quoted_key_is_the_same_key(self, api: Api) -> None:
        first, again = await create(api, "abc"), await create(api, '"abc"')
        assert again.content == first.content

    async def test_another_body_path_or_operation_is_refused(self, api: Api) -> None:
        first = await create(api, "k")
        users = f"{TEAMS}/{first.json()['id']}/users"
        for answer in (
            await create(api, "k", "Other team"),
            await api.client.post(users, headers=headers(api.admin, "k"), json={"name": "Field team"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
        assert await count(api, team) == 1

    async def test_keys_of_two_users_are_two_keys(self, api: Api) -> None:
        other = await api.user(role=Role.ADMIN)
        mine = await create(api, "k", "mine")
        theirs = await create(api, "k", "theirs", by=other)
        assert (mine.json()["name"], theirs.json()["name"]) == ("mine", "theirs")

    async def test_after_a_day_the_key_is_new(self, api: Api) -> None:
        await create(api, "k")
        await api.rows.execute(update(idempotency_key).values(expires_at=func.now() - timedelta(seconds=1)))
        answer = await create(api, "k", "Other team")
        assert (answer.status_code, answer.json()["name"]) == (201, "Other team")
        expires_in = await api.rows.fetch_value(select(idempotency_key.c.expires_at - func.now()))
        assert timedelta(hours=23, minutes=59) < expires_in <= timedelta(hours=24)

    async def test_what_the_caller_may_do_no_more_is_not_shown_again(self, api: Api) -> None:
        other = await api.user(role=Role.ADMIN)
        await create(api, "k", by=other)
        less = tuple(scope for scope in Scope if scope is not Scope.ADMIN)
        await api.rows.execute(update(user_table).where(user_table.c.id == other.user_id).values(scopes=list(less)))
        api.forget_keys()
        answer = await create(api, "k", by=other)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")

    async def test_a_key_with_other_rights_does_not_get_the_answer(self, api: Api) -> None:
        narrow = await testing.add_key(api.rows, api.admin.user_id, None, scopes=(Scope.ADMIN,))
        await create(api, "k")
        answer = await create(api, "k", by=narrow)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")

    async def test_keeps_only_headers_that_belong_to_the_answer(self, api: Api) -> None:
        first, again = await create(api, "k"), await create(api, "k")
        assert again.headers["x-request-id"] != first.headers["x-request-id"]


class TestKeys:
    @pytest.mark.parametrize(
        "key", ["", " ", "a b", "ü", "x" * 256, '"', '""', '"a', "a\t", '"a"b"', '"' + "x" * 256 + '"']
    )
    async def test_that_are_no_keys_are_refused_by_name(self, api: Api, key: str) -> None:
        answer = await api.client.post(
            TEAMS, headers=[*api.admin.headers.items(), (b"idempotency-key", key.encode("latin-1"))], json={"name": "x"}
        )
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert (problem["field"], problem["code"]) == ("Idempotency-Key", "idempotency-key-invalid")
        assert await count(api, team) == 0

    async def test_come_one_a_request(self, api: Api) -> None:
        twice = [*api.admin.headers.items(), ("idempotency-key", "a"), ("idempotency-key", "a")]
        assert (await api.client.post(TEAMS, headers=twice, json={"name": "x"})).status_code == 422

    @pytest.mark.parametrize("key", ["a", "x" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324", "a\"b\\c,;'"])
    async def test_of_visible_ascii_are_taken(self, api: Api, key: str) -> None:
        await create(api, key)
        assert (await create(api, key)).headers["idempotency-replayed"] == "true"

    def test_are_unescaped_where_they_are_quoted(self) -> None:
        assert service.parse_key(['"a\\"b\\\\"']) == 'a"b\\'

    async def test_are_looked_at_only_once_the_caller_is_known(self, api: Api) -> None:
        answer = await api.client.post(TEAMS, headers={"idempotency-key": ""}, json={"name": "x"})
        assert answer.status_code == 401


class TestErrors:
    async def test_are_not_kept_so_that_the_request_can_be_tried_again(self, api: Api) -> None:
        taken = await api.team("Field team")
        assert (await create(api, "k")).json()["code"] == "team-name-taken"
        await api.rows.execute(team.delete().where(team.c.id == taken))
        assert (await create(api, "k")).status_code == 201

    async def test_of_the_body_are_not_kept(self, api: Api) -> None:
        assert (await create(api, "k", "")).status_code == 422
        assert (await create(api, "k")).status_code == 201

    async def test_of_our_own_leave_neither_work_nor_answer(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        async def away(*_: Any, **__: Any) -> Any:
            raise errors.DatabaseUnavailable("Away.")

        # Whichever of the two writes fails, there are none of both.
        for module, name in ((teams.audit, "record"), (service.queries, "add_answer")):
            with monkeypatch.context() as patch:
                patch.setattr(module, name, away)
                assert (await create(api, "k")).status_code == 503
            assert (await count(api, team), await count(api, idempotency_key)) == (0, 0)
        assert (await create(api, "k")).status_code == 201

    async def test_a_user_who_was_removed_meanwhile_is_not_known(self, api: Api) -> None:
        other = await api.user(role=Role.ADMIN)
        await create(api, None, by=other)
        await api.rows.execute(user_table.delete().where(user_table.c.id == other.user_id))
        answer = await create(api, "k", "Other team", by=other)
        assert (answer.status_code, answer.json()["code"]) == (401, "api-key-invalid")


class TestTwoAtOnce:
    async def test_exactly_one_does_the_work_and_no_other_waits(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others_answered, work = asyncio.Event(), teams.create_team

        async def slow(*given: Any) -> Any:
            await others_answered.wait()
            return await work(*given)

        monkeypatch.setattr(teams, "create_team", slow)
        tasks = [asyncio.create_task(create(api, "k")) for _ in range(10)]
        refused = []
        for answered in asyncio.as_completed(tasks):
            refused.append(await answered)
            if len(refused) == 9:
                break
        others_answered.set()
        answers = [await task for task in tasks]
        assert sorted(answer.status_code for answer in answers) == [201, *[409] * 9]
        assert {answer.json()["code"] for answer in refused} == {"idempotency-key-in-use"}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert await count(api, team) == 1
        assert (await create(api, "k")).headers["idempotency-replayed"] == "true"

    async def test_as_they_come_all_who_retry_get_one_answer(self, api: Api) -> None:
        async def until_answered() -> bytes:
            while (answer := await create(api, "k")).status_code == 409:
                assert answer.json()["code"] == "idempotency-key-in-use"
                await asyncio.sleep(0.01)
            return answer.content

        assert len(set(await asyncio.gather(*(until_answered() for _ in range(10))))) == 1
        assert await count(api, team) == 1

    async def test_a_lock_ends_with_its_connection(self, api: Api, worker_urls: Any) -> None:
        """As after a SIGKILL, when nobody is left to let go of the key."""
        import asyncpg

        from image_core.db import Transaction

        connection = await asyncpg.connect(worker_urls.api)
        await connection.execute("BEGIN")
        assert await service.queries.lock(Transaction(connection), api.admin.user_id, "k")
        assert (await create(api, "k")).json()["code"] == "idempotency-key-in-use"
        connection.terminate()
        async with asyncio.timeout(5):
            while (await create(api, "k")).status_code != 201:
                await asyncio.sleep(0.01)


class TestSecrets:
    async def test_are_shown_by_the_first_answer_alone_and_kept_nowhere(self, api: Api) -> None:
        users = f"{TEAMS}/{await api.team()}/users"

        async def add() -> httpx2.Response:
            return await api.client.post(users, headers=headers(api.admin, "k"), json={"name": "Ada"})

        first, again = (await add()).json(), await add()
        assert again.json() == {**first, "api_key": None}
        assert again.headers["cache-control"] == "no-store"
        (row,) = await api.rows.fetch(select(idempotency_key))
        assert first["api_key"]
        kept = repr(dict(row))  # type: ignore[call-overload]
        assert first["key_prefix"] in kept
        assert first["api_key"].rpartition("_")[2] not in kept


async def test_an_answer_beyond_the_bound_is_not_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "MAX_ANSWER_BYTES", 10)
    assert (await create(api, "k")).status_code == 201
    assert await count(api, idempotency_key) == 0


async def test_the_table_holds_no_longer_answer_than_the_bound(api: Api) -> None:
    row = {"user_id": api.admin.user_id, "key": str(uuid4()), "status": 201, "headers": "{}", "fingerprint": b"x"}
    longest = {**row, "body": b"x" * service.MAX_ANSWER_BYTES, "expires_at": func.now()}
    await api.rows.execute(idempotency_key.insert().values(**longest))
    with pytest.raises(Exception, match="body_length"):
        await api.rows.execute(
            idempotency_key.insert().values(**{**longest, "key": "b", "body": b"x" * (service.MAX_ANSWER_BYTES + 1)})
        )

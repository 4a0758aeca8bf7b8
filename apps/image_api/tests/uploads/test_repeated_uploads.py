"""Uploads and imports that are sent again under their `Idempotency-Key`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from image_api.idempotency import service
from image_api.uploads import receiving
from image_api.uploads import service as uploads
from image_core import errors
from image_core.ids import new_id
from image_core.models import idempotency_key, image
from image_core.storage.protocol import ONE_REQUEST_BYTES
from image_core.testing import UserWithKey

from ..conftest import Api
from ..picture_server import serving, whole
from ..pictures import large_picture, picture
from ..uploading import IMAGES, PNG, asgi_post, count, in_pieces, stored_of

KEY = {"idempotency-key": "k"}
LONG = timedelta(seconds=20)
LARGE = large_picture(ONE_REQUEST_BYTES + 500_000)


async def send(api: Api, by: UserWithKey, body: Any, **request: Any) -> httpx2.Response:
    return await api.client.post(IMAGES, content=body, headers={**by.headers, **PNG, **KEY}, **request)


async def send_form(api: Api, by: UserWithKey, *parts: tuple[str, Any], file: bytes) -> httpx2.Response:
    """As a form, whose boundary is drawn anew each time."""
    files = [("file", ("a.png", file, "image/png")), *((name, (None, value)) for name, value in parts)]
    return await api.client.post(IMAGES, headers={**by.headers, **KEY}, files=files)


async def end_leases(api: Api) -> None:
    await api.rows.execute(update(idempotency_key).values(lease_expires_at=func.now()))


async def away(*_: Any, **__: Any) -> Any:
    raise errors.DatabaseUnavailable("Away.")


class Absence:
    """The database is away for the first three calls of one of the queries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.over = asyncio.Event()
        self._query, self._calls = getattr(service.queries, name), 0
        monkeypatch.setattr(service.queries, name, self)

    async def __call__(self, *given: Any, **values: Any) -> Any:
        self._calls += 1
        if self._calls <= 3:
            raise errors.DatabaseUnavailable("Away.")
        self.over.set()
        return await self._query(*given, **values)


async def until_free(api: Api, by: UserWithKey) -> httpx2.Response:
    """Send the picture again until its key is not in use."""
    async with asyncio.timeout(20):
        while (answer := await send(api, by, picture())).status_code == 409:
            await asyncio.sleep(0.01)
    return answer


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


class TestReplay:
    @pytest.mark.parametrize("body", [picture(), LARGE], ids=["one-request", "chunks"])
    async def test_gives_the_first_answer_and_stores_nothing(self, api: Api, member: UserWithKey, body: bytes) -> None:
        first = await send(api, member, in_pieces(body))
        # What the image has become since is not what was answered.
        await api.set_row(first.json()["id"], filename="renamed.png")
        again = await send(api, member, in_pieces(body, 1000))
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]
        assert await count(api, image) == 1
        assert len(await stored_of(api, member.team_id)) == 1

    async def test_of_a_form_compares_its_parts_not_its_boundary(self, api: Api, member: UserWithKey) -> None:
        first, again = [await send_form(api, member, ("tags", "a,b"), file=picture()) for _ in range(2)]
        assert first.request.headers["content-type"] != again.request.headers["content-type"]
        assert (again.status_code, again.content) == (201, first.content)
        assert code(await send_form(api, member, ("tags", "a"), file=picture())) == (422, "idempotency-key-reused")

    async def test_of_a_form_with_metadata_nested_beyond_measure_is_refused(
        self, api: Api, member: UserWithKey
    ) -> None:
        await send_form(api, member, file=picture())
        nested = '{"a":' + "[" * 300 + "]" * 300 + "}"
        answer = await send_form(api, member, ("metadata", nested), file=picture())
        assert code(answer) == (422, "request-invalid")

    async def test_with_another_file_is_refused_and_stores_nothing(self, api: Api, member: UserWithKey) -> None:
        await send(api, member, picture())
        for other in (picture(1), LARGE, picture() + b"\0", picture()[:-1], b""):
            assert code(await send(api, member, in_pieces(other))) == (422, "idempotency-key-reused")
        assert await count(api, image) == 1

    async def test_with_another_query_is_refused(self, api: Api, member: UserWithKey) -> None:
        await send(api, member, picture())
        answer = await send(api, member, picture(), params={"tags": "a"})
        assert code(answer) == (422, "idempotency-key-reused")

    async def test_of_a_duplicate_answers_200_again(self, api: Api, member: UserWithKey) -> None:
        await api.upload(member, picture())
        first, again = [await send(api, member, picture()) for _ in range(2)]
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.content == first.content

    async def test_that_is_too_large_is_not_read_to_its_end(self, api: Api, member: UserWithKey) -> None:
        await send(api, member, picture())
        limit, sent = api.services.settings.upload_max_bytes, 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent <= 2 * limit:
                sent += ONE_REQUEST_BYTES
                yield bytes(ONE_REQUEST_BYTES)

        assert code(await send(api, member, endless())) == (413, "upload-too-large")

    async def test_that_arrives_too_slowly_is_ended(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await send(api, member, picture())
        monkeypatch.setattr(receiving, "RECEIPT_MARGIN_SECONDS", api.services.settings.upload_deadline_seconds - 0.2)
        status, told = await asgi_post(api, member, [picture()[:20], lambda: asyncio.sleep(60)], key="k")
        assert (status, told["code"]) == (408, "upload-too-slow")

    async def test_of_somebody_else_in_the_team_is_an_upload_of_its_own(
        self, api: Api, member: UserWithKey, colleague: UserWithKey, stranger: UserWithKey
    ) -> None:
        first = (await send(api, member, picture())).json()
        duplicate = await send(api, colleague, picture())
        assert (duplicate.status_code, duplicate.json()["duplicate"]) == (200, True)
        other = await send(api, stranger, picture())
        assert other.status_code == 201
        assert other.json()["id"] != first["id"]


class TestInFlight:
    async def test_the_key_is_taken_from_the_first_byte_on(self, api: Api, member: UserWithKey) -> None:
        body = picture()

        async def again_meanwhile() -> None:
            answer = await send(api, member, body)
            assert code(answer) == (409, "idempotency-key-in-use")
            assert answer.headers["retry-after"] == "1"

        status, told = await asgi_post(api, member, [body[:100], again_meanwhile, body[100:]], key="k")
        assert status == 201
        assert (await send(api, member, body)).json()["id"] == told["id"]

    async def test_exactly_one_of_ten_does_the_work(self, api: Api, member: UserWithKey) -> None:
        answers = await asyncio.gather(*(send(api, member, in_pieces(LARGE)) for _ in range(10)))
        done = [answer for answer in answers if answer.status_code != 409]
        assert {answer.status_code for answer in done} == {201}
        assert sum("idempotency-replayed" not in answer.headers for answer in done) == 1
        assert (await count(api, image), len(await stored_of(api, member.team_id))) == (1, 1)

    async def test_an_operation_of_another_kind_finds_the_key_taken(self, api: Api) -> None:
        team_id = await api.team()

        async def other_operation() -> None:
            answer = await api.client.post("/api/v1/teams", headers={**api.admin.headers, **KEY}, json={"name": "x"})
            assert code(answer) == (409, "idempotency-key-in-use")

        body = picture()
        headers = {**api.admin.headers, **PNG, **KEY}

        async def pieces() -> AsyncIterator[bytes]:
            yield body[:100]
            await other_operation()
            yield body[100:]

        answer = await api.client.post(IMAGES, content=pieces(), headers=headers, params={"team_id": str(team_id)})
        assert answer.status_code == 201

    async def test_a_claim_is_renewed_as_long_as_the_request_works(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "RENEWAL_SECONDS", 0.01)

        async def until_renewed() -> None:
            await api.rows.execute(update(idempotency_key).values(lease_expires_at=func.now()))
            async with asyncio.timeout(20):
                while await api.rows.fetch_value(select(idempotency_key.c.lease_expires_at - func.now())) < LONG:
                    await asyncio.sleep(0.01)

        body = picture()
        status, _ = await asgi_post(api, member, [body[:100], until_renewed, body[100:]], key="k")
        assert status == 201
        kept = await api.rows.fetch_one(select(idempotency_key))
        assert kept is not None
        assert (kept["status"], kept["lease_expires_at"]) == (201, None)

    async def test_a_claim_that_could_not_be_renewed_is_renewed_later(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "RENEWAL_SECONDS", 0.01)
        monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
        absence = Absence(monkeypatch, "renew")

        async def until_renewed() -> None:
            async with asyncio.timeout(20):
                await absence.over.wait()

        body = picture()
        assert (await asgi_post(api, member, [body[:100], until_renewed, body[100:]], key="k"))[0] == 201

    async def test_who_was_overtaken_renews_nothing(self, api: Api, member: UserWithKey) -> None:
        async def look() -> None:
            before = await api.rows.fetch_one(select(idempotency_key))
            assert not await service.queries.renew(api.services.database, member.user_id, "k", new_id(), 10 * LONG)
            assert await api.rows.fetch_one(select(idempotency_key)) == before

        body = picture()
        assert (await asgi_post(api, member, [body[:100], look, body[100:]], key="k"))[0] == 201

    async def test_a_claim_of_a_process_that_died_lapses_soon(self, api: Api, member: UserWithKey) -> None:
        async def look() -> None:
            lease = await api.rows.fetch_value(select(idempotency_key.c.lease_expires_at - func.now()))
            assert lease <= timedelta(seconds=30)

        body = picture()
        assert (await asgi_post(api, member, [body[:100], look, body[100:]], key="k"))[0] == 201


class TestFailure:
    async def test_of_the_file_lets_go_of_the_key(self, api: Api, member: UserWithKey) -> None:
        assert (await send(api, member, b"no picture")).status_code == 415
        assert await count(api, idempotency_key) == 0
        assert (await send(api, member, picture())).status_code == 201

    async def test_of_the_connection_lets_go_of_the_key(self, api: Api, member: UserWithKey) -> None:
        await asgi_post(api, member, [picture()[:100], None], key="k")
        assert await count(api, idempotency_key) == 0
        assert (await send(api, member, picture())).status_code == 201

    async def test_of_a_cancelled_request_lets_go_of_the_key(self, api: Api, member: UserWithKey) -> None:
        task = asyncio.create_task(asgi_post(api, member, [picture()[:100], lambda: asyncio.sleep(60)], key="k"))
        while await count(api, idempotency_key) == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await count(api, idempotency_key) == 0

    async def test_to_keep_the_answer_does_not_take_back_what_is_stored(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
        absence = Absence(monkeypatch, "answer_claim")
        first = await send(api, member, picture())
        assert first.status_code == 201
        await absence.over.wait()
        again = await until_free(api, member)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true"

    @pytest.mark.parametrize("ends", ["add_pending", "complete"])
    async def test_of_the_database_lets_go_of_the_key_as_soon_as_it_is_back(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch, ends: str
    ) -> None:
        monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
        absence = Absence(monkeypatch, "drop_claim")
        with monkeypatch.context() as patch:
            patch.setattr(uploads.upload_queries, ends, away)
            assert code(await send(api, member, picture())) == (503, "database-unavailable")
        await absence.over.wait()
        assert (await until_free(api, member)).status_code == 201
        assert await count(api, image, image.c.status == "stored") == 1

    async def test_of_the_database_to_answer_a_claim_lets_go_of_it(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
        claim = service.queries.claim

        async def lost(*given: Any, **values: Any) -> Any:
            await claim(*given, **values)
            raise errors.DatabaseUnavailable("Away.")

        with monkeypatch.context() as patch:
            patch.setattr(service.queries, "claim", lost)
            assert (await send(api, member, picture())).status_code == 503
        assert (await until_free(api, member)).status_code == 201

    async def test_of_a_database_that_hangs_delays_the_answer_a_little(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
        monkeypatch.setattr(service, "_WRITE_TIMEOUT_SECONDS", 0.01)
        drop = service.queries.drop_claim

        async def hang(*_: Any, **__: Any) -> None:
            monkeypatch.setattr(service.queries, "drop_claim", drop)
            await asyncio.Event().wait()

        monkeypatch.setattr(service.queries, "drop_claim", hang)
        async with asyncio.timeout(20):
            assert (await send(api, member, b"no picture")).status_code == 415
        assert (await until_free(api, member)).status_code == 201

    async def test_to_take_the_key_is_503(self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service.queries, "claim", away)
        assert code(await send(api, member, picture())) == (503, "database-unavailable")


class _KilledError(BaseException):
    """The process ends here: nothing that would clean up runs."""


def _kill(*_: Any, **__: Any) -> Any:
    raise _KilledError


async def _nothing(*_: Any, **__: Any) -> None: ...


class TestKilled:
    @pytest.mark.parametrize("moment", ["add_pending", "find_existing", "put", "complete", "answer_claim"])
    async def test_at_any_step_the_retry_gives_one_image(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        places: dict[str, Any] = {"put": type(api.services.originals), "answer_claim": service.queries}
        with monkeypatch.context() as patch:
            patch.setattr(places.get(moment, uploads.upload_queries), moment, _kill)
            patch.setattr(uploads, "_give_up", _nothing)
            patch.setattr(service.KeyClaim, "release", _nothing)
            with pytest.raises(_KilledError):
                await asgi_post(api, member, [picture()], key="k")
        assert code(await send(api, member, picture())) == (409, "idempotency-key-in-use")
        await end_leases(api)
        retried = await send(api, member, picture())
        assert retried.status_code == (200 if moment == "answer_claim" else 201)
        again = await send(api, member, picture())
        assert again.content == retried.content
        assert again.headers["idempotency-replayed"] == "true"
        assert await count(api, image, image.c.status == "stored") == 1
        # An object whose row was left pending is the sweep's, once the deadline is over.
        assert len(await stored_of(api, member.team_id)) == (2 if moment == "complete" else 1)

    async def test_who_comes_back_after_its_lease_overwrites_nothing(self, api: Api, member: UserWithKey) -> None:
        body = picture()

        async def be_overtaken() -> None:
            await end_leases(api)
            assert (await send(api, member, body)).status_code == 201

        status, _ = await asgi_post(api, member, [body[:100], be_overtaken, body[100:]], key="k")
        assert status == 200
        # The answer of the one who holds the claim is the one that is kept.
        kept = await api.rows.fetch_value(select(idempotency_key.c.status))
        assert kept == 201


class TestImport:
    async def test_that_is_sent_again_fetches_nothing(self, api: Api, member: UserWithKey) -> None:
        async def send_import(url: str) -> httpx2.Response:
            return await api.client.post(f"{IMAGES}/import", headers={**member.headers, **KEY}, json={"url": url})

        async with serving(whole(picture())) as source:
            first = await send_import(source)
        # The source is gone by now.
        again = await send_import(source)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        assert code(await send_import(source + "/other")) == (422, "idempotency-key-reused")

    async def test_that_failed_lets_go_of_the_key(self, api: Api, member: UserWithKey) -> None:
        headers = {**member.headers, **KEY}
        answer = await api.client.post(f"{IMAGES}/import", headers=headers, json={"url": "http://127.0.0.1:9/"})
        assert answer.status_code == 422
        assert await count(api, idempotency_key) == 0

    async def test_at_the_same_time_is_done_once(self, api: Api, member: UserWithKey) -> None:
        headers = {**member.headers, **KEY}
        async with serving(whole(picture())) as source:
            answers = await asyncio.gather(
                *(api.client.post(f"{IMAGES}/import", headers=headers, json={"url": source}) for _ in range(5))
            )
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert await count(api, image) == 1

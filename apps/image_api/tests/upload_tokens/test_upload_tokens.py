"""What a page can do that holds an upload token, and what it cannot."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from image_api.actor import Role
from image_core import testing
from image_core.models import credential, image, storage_usage, team, upload_token
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..housekeeping import PAST, Tasks
from ..pictures import picture
from ..uploading import count

TOKENS, UPLOADS = "/api/v1/upload-tokens", "/api/v1/uploads"
FILE = {"content_type": "image/png", "size_bytes": 1000}


async def token_of(api: Api, by: UserWithKey, **fields: Any) -> dict[str, str]:
    """The headers of a page that holds a token."""
    answer = await api.client.post(TOKENS, headers=by.headers, json={"max_uploads": 9} | fields)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return {"X-Upload-Token": answer.json()["token"]}


async def begin(api: Api, holder: dict[str, str], expected: int = 201, **fields: Any) -> Any:
    answer = await api.client.post(UPLOADS, headers=holder, json=FILE | fields)
    assert answer.status_code == expected, answer.text
    return answer.json()


class TestUse:
    async def test_its_uploads_have_its_tags_and_belong_to_whoever_created_it(
        self, api: Api, member: UserWithKey
    ) -> None:
        holder = await token_of(api, member, tags=["web"], metadata={"place": "Oslo"})
        opened = await begin(api, holder, filename="fjord.png")
        row = await api.row(opened["upload_id"])
        assert (row["team_id"], row["uploaded_by"], row["tags"]) == (member.team_id, member.user_id, ["web"])
        assert (row["metadata"], row["filename"], opened["image_id"]) == ('{"place": "Oslo"}', "fjord.png", None)
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.put(opened["url"], content=bytes(1000))).status_code == 200
        told = (await api.client.get(f"{UPLOADS}/{opened['upload_id']}", headers=holder)).json()
        assert (told["state"], told["received_bytes"], told["status"]) == ("received", 1000, None)

    @pytest.mark.parametrize(
        "fields", [{"tags": ["mine"]}, {"metadata": {"a": 1}}, {"size_bytes": 1001}], ids=["tags", "metadata", "size"]
    )
    async def test_it_decides_what_is_uploaded(self, api: Api, member: UserWithKey, fields: dict[str, Any]) -> None:
        holder = await token_of(api, member, max_bytes=1000)
        await begin(api, holder, 413 if "size_bytes" in fields else 422, **fields)
        await begin(api, holder)

    async def test_it_opens_as_many_uploads_as_it_may(self, api: Api, member: UserWithKey) -> None:
        holder = await token_of(api, member, max_uploads=1)
        opened = await begin(api, holder)
        cancelled = await api.client.delete(f"{UPLOADS}/{opened['upload_id']}", headers=holder)
        assert cancelled.status_code == 204
        assert (await begin(api, holder, 429))["code"] == "upload-token-used-up"
        assert await count(api, image) == 1

    async def test_other_uploads_do_not_exist_for_it(self, api: Api, member: UserWithKey) -> None:
        first, second = await token_of(api, member), await token_of(api, member)
        theirs = (await begin(api, first))["upload_id"]
        other = str(await testing.add_upload(api.rows, member.team_id))
        for upload_id in (theirs, other):
            for method in ("GET", "DELETE"):
                answer = await api.client.request(method, f"{UPLOADS}/{upload_id}", headers=second)
                assert (answer.status_code, answer.json()["code"]) == (404, "upload-not-found")

    async def test_it_opens_nothing_else(self, api: Api, member: UserWithKey) -> None:
        holder = await token_of(api, member)
        for method, path in (("GET", "/api/v1/images"), ("POST", TOKENS), ("GET", "/api/v1/whoami")):
            assert (await api.client.request(method, path, headers=holder, json={})).status_code == 401
        answer = await api.client.post(UPLOADS, headers=holder | member.headers, json=FILE)
        assert answer.json()["code"] == "credentials-ambiguous"

    async def test_a_repeated_request_is_answered_again_for_the_same_token_alone(
        self, api: Api, member: UserWithKey
    ) -> None:
        first, second = await token_of(api, member), await token_of(api, member)
        key = {"Idempotency-Key": "k"}
        opened = await begin(api, first | key)
        assert await begin(api, first | key) == opened | {"url": None, "curl": None}
        assert (await begin(api, second | key, 422))["code"] == "idempotency-key-reused"


class TestOracle:
    async def test_a_file_that_the_team_has_looks_like_a_new_one(self, api: Api, member: UserWithKey) -> None:
        known = await api.upload(member, picture(5))
        holder = await token_of(api, member)
        new = await begin(api, holder, size_bytes=known["size_bytes"], sha256="0" * 64)
        twin = await begin(api, holder, size_bytes=known["size_bytes"], sha256=known["sha256"])
        assert twin.keys() == new.keys()
        expired = {"status": "expired", "failure_code": "duplicate", "duplicate_of": testing.UUID(known["id"])}
        await api.set_row(twin["upload_id"], **expired)
        stored = {"status": "stored", "size_bytes": known["size_bytes"], "sha256": bytes(32), "generation": 1}
        await api.set_row(new["upload_id"], **stored)
        told = [
            (await api.client.get(f"{UPLOADS}/{each['upload_id']}", headers=holder)).json() | {"upload_id": None}
            for each in (twin, new)
        ]
        assert told[0] == told[1]

    async def test_a_full_quota_is_told_without_figures(self, make_api: MakeApi) -> None:
        async with make_api(direct_uploads_per_team=1) as api:
            member = await api.user()
            holder = await token_of(api, member)
            await begin(api, holder)
            refused = [await begin(api, holder, 429)]
            await api.rows.execute(update(team).values(quota_bytes=1))
            refused.append(await begin(api, holder, 429))
            assert [{**each, "request_id": None} for each in refused[:1]] == [{**refused[1], "request_id": None}]
            assert (refused[0]["code"], "limit" in refused[0]) == ("upload-quota-full", False)
            # What was refused has not been counted as a use.
            assert await api.rows.fetch_value(select(upload_token.c.uploads)) == 1
            assert await api.rows.fetch_value(select(storage_usage.c.bytes)) == 1000


class TestEnd:
    @pytest.mark.parametrize(
        ("table", "change"),
        [
            (upload_token, {"expires_at": PAST}),
            (credential, {"revoked_at": PAST}),
            (credential, {"public_id": "rotated1"}),
            (credential, {"expires_at": PAST}),
        ],
        ids=["expired", "key revoked", "key rotated", "key expired"],
    )
    async def test_it_ends_by_itself_and_with_its_key(
        self, api: Api, member: UserWithKey, table: Any, change: dict[str, Any]
    ) -> None:
        holder = await token_of(api, member)
        is_own = credential.c.id == member.credential_id if table is credential else True
        await api.rows.execute(update(table).where(is_own).values(**change))
        api.forget_keys()
        assert (await begin(api, holder, 401))["code"] == "upload-token-invalid"

    async def test_it_has_no_more_scopes_than_its_key(self, api: Api, member: UserWithKey) -> None:
        holder = await token_of(api, member)
        await api.rows.execute(
            update(credential).where(credential.c.id == member.credential_id).values(scopes=["images:read"])
        )
        api.forget_keys()
        await begin(api, holder, 403)
        viewer = await api.user(member.team_id, Role.VIEWER)
        assert (await api.client.post(TOKENS, headers=viewer.headers, json={})).status_code == 403

    async def test_it_ends_with_the_session_that_created_it(self, api: Api, member: UserWithKey) -> None:
        bearer = await api.bearer(member)
        answer = await api.client.post(TOKENS, headers=bearer, json={})
        holder = {"X-Upload-Token": answer.json()["token"]}
        await begin(api, holder)
        await api.rows.execute(update(testing.models.session).values(ended_at=datetime.now(UTC)))
        api.forget_keys()
        assert (await begin(api, holder, 401))["code"] == "upload-token-invalid"


async def test_tokens_that_expired_long_ago_are_removed(tasks: Tasks) -> None:
    user = await testing.add_user(tasks.rows, await testing.add_team(tasks.rows), Role.MEMBER)
    row = {"team_id": user.team_id, "user_id": user.user_id, "key_public_id": "x", "max_uploads": 1, "max_bytes": 1}
    for seed, expires_at in enumerate((PAST, datetime.now(UTC))):
        values = {"id": testing.new_id(), "token_hash": testing.a_sha256(seed), "expires_at": expires_at}
        await tasks.rows.execute(upload_token.insert().values(**row, **values))
    assert (await tasks.sweep())["old_upload_tokens"] == 1

"""Uploads that a client sends straight to storage."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, update

from image_api.direct_uploads import session_addresses
from image_core import errors, testing
from image_core.keys.master_secrets import Masters
from image_core.models import image, storage_usage, upload_session
from image_core.storage.protocol import SESSION_UNIT_BYTES
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..pictures import large_picture
from ..uploading import count, post, stored_of

UPLOADS = "/api/v1/uploads"
SIZE = 300_000
FILE = large_picture(SIZE)


def declared(body: bytes = FILE, **fields: Any) -> dict[str, Any]:
    return {"content_type": "image/png", "size_bytes": len(body)} | fields


async def begin(api: Api, by: UserWithKey, expected: int = 201, key: str | None = None, **fields: Any) -> Any:
    headers = by.headers | ({"Idempotency-Key": key} if key else {})
    answer = await api.client.post(UPLOADS, json=declared(**fields), headers=headers)
    assert answer.status_code == expected, answer.text
    return answer.json()


async def send(address: str, body: bytes, span: str | None = None) -> int:
    async with httpx2.AsyncClient(trust_env=False) as client:
        headers = {"content-range": f"bytes {span}/{SIZE}"} if span else {}
        return (await client.put(address, content=body, headers=headers)).status_code


async def seen(api: Api, by: UserWithKey, upload_id: str) -> dict[str, Any]:
    answer = await api.client.get(f"{UPLOADS}/{upload_id}", headers=by.headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def used_bytes(api: Api, team_id: UUID | None) -> int:
    used: int | None = await api.rows.fetch_value(
        select(storage_usage.c.bytes).where(storage_usage.c.team_id == team_id)
    )
    return used or 0


class TestOpening:
    async def test_a_file_is_sent_in_pieces_to_the_address(self, api: Api, member: UserWithKey) -> None:
        opened = await begin(api, member, filename="fjord.png", tags=["a", "a"], metadata={"place": "Oslo"})
        row = await api.row(opened["upload_id"])
        assert (row["status"], row["filename"], row["tags"], row["format"]) == ("pending", "fjord.png", ["a"], "png")
        assert await used_bytes(api, member.team_id) == SIZE
        assert opened["curl"].endswith(f"--upload-file fjord.png '{opened['url']}'")
        assert await send(opened["url"], FILE[:SESSION_UNIT_BYTES], f"0-{SESSION_UNIT_BYTES - 1}") == 308
        told = await seen(api, member, opened["upload_id"])
        assert (told["state"], told["received_bytes"], told["size_bytes"]) == ("open", SESSION_UNIT_BYTES, SIZE)
        assert await send(opened["url"], FILE[SESSION_UNIT_BYTES:], f"{SESSION_UNIT_BYTES}-{SIZE - 1}") == 200
        told = await seen(api, member, opened["upload_id"])
        assert (told["state"], told["status"], told["received_bytes"]) == ("received", "pending", SIZE)
        assert await stored_of(api, member.team_id) == [row["object_name"]]

    async def test_the_address_is_shown_once_and_kept_encrypted(
        self, api: Api, member: UserWithKey, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        opened = await begin(api, member, key="k")
        kept = await api.rows.fetch_value(select(upload_session.c.address))
        assert opened["url"].encode() not in kept
        assert opened["url"] not in capsys.readouterr().out + caplog.text
        again = await begin(api, member, key="k")
        assert again == opened | {"url": None, "curl": None}
        assert await count(api, image) == 1

    async def test_the_deadline_is_short_until_the_address_is_kept(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really, seen_before = api.services.originals.open_session, []

        async def look(*arguments: Any) -> str:
            # Whatever happens from here on, the sweep ends the upload within minutes.
            seen_before.append((await api.only_row())["deadline_at"])
            return await really(*arguments)

        monkeypatch.setattr(api.services.originals, "open_session", look)
        opened = await begin(api, member)
        now = datetime.now(UTC)
        assert seen_before[0] < now + timedelta(minutes=6)
        assert datetime.fromisoformat(opened["expires_at"]) > now + timedelta(hours=11)

    @pytest.mark.parametrize(
        ("fields", "status", "code"),
        [
            ({"size_bytes": 200 * 1024 * 1024 + 1}, 413, "upload-too-large"),
            ({"size_bytes": 0}, 422, "request-invalid"),
            ({"content_type": "image/svg+xml"}, 422, "request-invalid"),
            ({"origin": "*"}, 422, "request-invalid"),
            ({"origin": "https://gallery.example/page"}, 422, "request-invalid"),
            ({"sha256": "x"}, 422, "request-invalid"),
            ({"metadata": {"a": {}}}, 422, "request-invalid"),
        ],
    )
    async def test_what_cannot_become_an_image_is_refused_before_it_is_sent(
        self, api: Api, member: UserWithKey, fields: dict[str, Any], status: int, code: str
    ) -> None:
        assert (await begin(api, member, status, **fields))["code"] == code
        assert await count(api, image) == 0

    async def test_only_pages_of_the_origin_may_send(self, api: Api, member: UserWithKey) -> None:
        opened = await begin(api, member, origin="https://gallery.example")
        assert opened["curl"] is None
        async with httpx2.AsyncClient(trust_env=False) as client:
            statuses = [
                (await client.put(opened["url"], content=FILE, headers={"origin": origin})).status_code
                for origin in ("https://other.example", "https://gallery.example")
            ]
        assert statuses == [403, 200]

    async def test_settings_limit_formats_and_turn_it_off(self, make_api: MakeApi) -> None:
        async with make_api(upload_session_master=None) as api:
            assert (await begin(api, await api.user(), 404))["code"] == "direct-uploads-not-configured"
        async with make_api(image_formats=["jpeg"]) as api:
            assert (await begin(api, await api.user(), 415))["code"] == "image-format-not-allowed"


class TestLimits:
    async def test_the_declared_size_is_held_until_the_upload_is_cancelled(self, api: Api, member: UserWithKey) -> None:
        await api.rows.execute(update(testing.models.team).values(quota_bytes=SIZE))
        opened = await begin(api, member)
        assert (await begin(api, member, 429))["code"] == "storage-quota-exceeded"
        answer = await api.client.delete(f"{UPLOADS}/{opened['upload_id']}", headers=member.headers)
        assert answer.status_code == 204
        assert await used_bytes(api, member.team_id) == 0
        await begin(api, member)

    async def test_a_team_has_a_limited_number_of_open_uploads(self, make_api: MakeApi) -> None:
        async with make_api(direct_uploads_per_team=1) as api:
            member = await api.user()
            opened = await begin(api, member)
            refused = await begin(api, member, 429)
            assert (refused["code"], refused["limit"]) == ("too-many-open-uploads", 1)
            assert await used_bytes(api, member.team_id) == SIZE
            await begin(api, await api.user())
            await api.client.delete(f"{UPLOADS}/{opened['upload_id']}", headers=member.headers)
            opened = await begin(api, member)
            # The sweep has not removed the session yet.
            await api.set_row(opened["upload_id"], status="expired")
            await begin(api, member)


class TestFaults:
    async def test_when_storage_is_away_nothing_is_held(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: Any) -> str:
            raise errors.StorageUnavailable("Storage is away.")

        monkeypatch.setattr(api.services.originals, "open_session", fail)
        assert (await begin(api, member, 503))["code"] == "storage-unavailable"
        row = await api.only_row()
        assert (row["status"], row["failure_code"]) == ("expired", "storage-unavailable")
        assert (await count(api, upload_session), await used_bytes(api, member.team_id)) == (0, 0)

    async def test_a_session_that_was_opened_too_late_is_cancelled(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really, addresses = api.services.originals.open_session, []

        async def open_late(*arguments: Any) -> str:
            addresses.append(await really(*arguments))
            await api.rows.execute(update(image).values(status="expired"))
            return addresses[0]

        monkeypatch.setattr(api.services.originals, "open_session", open_late)
        assert (await begin(api, member, 503))["code"] == "upload-expired"
        assert await send(addresses[0], FILE) in (404, 410, 499)


class TestTwins:
    async def test_a_file_that_the_team_has_is_not_sent_again(self, api: Api, member: UserWithKey) -> None:
        known = await post(api, member, FILE)
        found = await begin(api, member, 200, sha256=known["sha256"])
        assert (found["id"], found["duplicate"]) == (known["id"], True)
        refused = await begin(api, member, 422, sha256=known["sha256"], size_bytes=SIZE + 1)
        assert refused["errors"][0]["field"] == "size_bytes"
        assert await count(api, image) == 1
        await begin(api, await api.user(), 201, sha256=known["sha256"])

    async def test_a_file_in_the_trash_is_restored_unless_that_is_not_wanted(
        self, api: Api, member: UserWithKey
    ) -> None:
        known = await post(api, member, FILE)
        await api.set_row(known["id"], deleted_at=datetime.now(UTC))
        await begin(api, member, 201, sha256=known["sha256"], restore_trashed=False)
        assert (await begin(api, member, 200, sha256=known["sha256"]))["deleted_at"] is None
        await api.set_row(known["id"], deleted_at=datetime.now(UTC), purge_marked_at=datetime.now(UTC))
        await begin(api, member, 201, sha256=known["sha256"])

    async def test_a_file_that_only_failed_uploads_had_is_new(self, api: Api, member: UserWithKey) -> None:
        digest = hashlib.sha256(FILE).digest()
        await testing.add_image(api.rows, member.team_id, "expired", sha256=digest)
        await begin(api, member, 201, sha256=digest.hex())


class TestEnding:
    async def test_a_cancelled_upload_takes_no_bytes(self, api: Api, member: UserWithKey) -> None:
        opened = await begin(api, member)
        path = f"{UPLOADS}/{opened['upload_id']}"
        for _ in range(2):
            assert (await api.client.delete(path, headers=member.headers)).status_code == 204
        assert await send(opened["url"], FILE) in (404, 410, 499)
        told = await seen(api, member, opened["upload_id"])
        assert (told["state"], told["failure"]["code"]) == ("expired", "upload-cancelled")
        assert await count(api, upload_session) == 0

    async def test_a_cancellation_holds_while_storage_is_away(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: Any) -> None:
            raise errors.StorageUnavailable("Storage is away.")

        opened = await begin(api, member)
        monkeypatch.setattr(api.services.originals, "cancel_session", fail)
        answer = await api.client.delete(f"{UPLOADS}/{opened['upload_id']}", headers=member.headers)
        assert (answer.status_code, (await api.only_row())["status"]) == (204, "expired")

    async def test_an_upload_that_became_an_image_cannot_be_cancelled(self, api: Api, member: UserWithKey) -> None:
        image_id = await testing.add_image(api.rows, member.team_id, "ready")
        answer = await api.client.delete(f"{UPLOADS}/{image_id}", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "upload-complete")
        assert (await seen(api, member, str(image_id)))["state"] == "received"

    async def test_an_upload_through_the_api_is_none_of_these(self, api: Api, member: UserWithKey) -> None:
        image_id = await testing.add_image(api.rows, member.team_id, "pending")
        for method in ("GET", "DELETE"):
            answer = await api.client.request(method, f"{UPLOADS}/{image_id}", headers=member.headers)
            assert answer.status_code == 404
        assert (await api.row(image_id))["status"] == "pending"

    @pytest.mark.parametrize(
        ("code", "state"), [("upload-hash-mismatch", "refused"), ("not-an-image", "refused"), ("x", "expired")]
    )
    async def test_a_refusal_tells_why(self, api: Api, member: UserWithKey, code: str, state: str) -> None:
        upload_id = await testing.add_upload(api.rows, member.team_id)
        await api.set_row(upload_id, status="expired", failure_code=code)
        told = await seen(api, member, str(upload_id))
        assert (told["state"], told["failure"]["code"], told["received_bytes"]) == (state, code, None)

    async def test_a_duplicate_leads_to_the_image_that_the_team_has(self, api: Api, member: UserWithKey) -> None:
        twin_id = await testing.add_image(api.rows, member.team_id)
        upload_id = await testing.add_upload(api.rows, member.team_id)
        await api.set_row(upload_id, status="expired", failure_code="duplicate", duplicate_of=twin_id)
        told = await seen(api, member, str(upload_id))
        assert (told["state"], told["image_id"]) == ("received", str(twin_id))


def test_an_address_can_be_read_with_the_master_before_and_for_its_image_alone() -> None:
    image_id, other_id = testing.new_id(), testing.new_id()
    old, new = bytes(32), bytes([1]) * 32
    kept = session_addresses.encrypt(Masters(old), image_id, "https://storage.example/?upload_id=x")
    assert session_addresses.decrypt(Masters(new, old), image_id, kept) == "https://storage.example/?upload_id=x"
    assert session_addresses.decrypt(Masters(new, old), other_id, kept) is None
    assert session_addresses.decrypt(Masters(new), image_id, kept) is None

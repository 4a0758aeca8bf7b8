import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from image_api.uploads import queries
from image_core import testing
from image_core.db import Database
from image_core.models import audit_event, discarded_object, event, image, storage_usage
from image_core.states import ImageStatus
from image_core.storage.protocol import ONE_REQUEST_BYTES
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import large_picture, picture
from ..uploading import IMAGES, PNG, count, in_pieces, post, stored_of


class TestDuplicates:
    async def existing(self, api: Api, member: UserWithKey, status: ImageStatus, **columns: Any) -> UUID:
        assert member.team_id is not None
        sha256 = hashlib.sha256(picture()).digest()
        return await testing.add_image(api.rows, member.team_id, status, sha256=sha256, filename="first.png", **columns)

    @pytest.mark.parametrize("status", [ImageStatus.STORED, ImageStatus.PROCESSING, ImageStatus.READY])
    async def test_bytes_that_the_team_has_get_the_image_that_is_there(
        self, api: Api, member: UserWithKey, status: ImageStatus
    ) -> None:
        twin_id = await self.existing(api, member, status)
        told = await post(api, member, picture(), 200, params={"filename": "second.png", "tags": "new"})
        assert (told["id"], told["duplicate"], told["status"]) == (str(twin_id), True, status)
        assert (told["filename"], told["tags"]) == ("first.png", [])
        assert "were ignored" in told["notice"]
        # A body that is hashed first leaves neither row nor object, and nothing for the sweep to look at.
        assert await count(api, image) == 1
        assert await count(api, discarded_object) == 0
        assert await stored_of(api, member.team_id) == []

    async def test_thirty_duplicates_leave_no_row_and_no_object_to_remove(self, api: Api, member: UserWithKey) -> None:
        first = await post(api, member, picture())
        for number in range(30):
            request: dict[str, Any] = [
                {"content": picture(), "headers": PNG},
                {"content": in_pieces(picture(), 100), "headers": PNG},
                {"files": [("tags", (None, "later")), ("file", ("a.png", picture(), "image/png"))]},
            ][number % 3]
            key = {"Idempotency-Key": f"key-{number}"} if number % 2 else {}
            request["headers"] = {**member.headers, **key, **request.get("headers", {})}
            answer = await api.client.post(IMAGES, **request)
            assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
        assert await count(api, image) == 1
        assert await count(api, discarded_object) == 0
        assert await count(api, event) == 1
        assert await count(api, audit_event, audit_event.c.action == "image.uploaded") == 1
        assert len(await stored_of(api, member.team_id)) == 1
        usage = await api.rows.fetch_one(select(storage_usage))
        assert usage is not None
        assert (usage["bytes"], usage["images"]) == (len(picture()), 1)

    async def test_a_failed_image_is_processed_again(self, api: Api, member: UserWithKey) -> None:
        twin_id = await self.existing(api, member, ImageStatus.FAILED, attempts=5)
        told = await post(api, member, picture(), 200)
        assert (told["id"], told["status"], told["failure"]) == (str(twin_id), "stored", None)
        assert (await api.row(twin_id))["attempts"] == 0
        asked = await api.rows.fetch_one(select(event).where(event.c.type == "image.process"))
        assert asked is not None
        assert asked["image_id"] == twin_id
        assert asked["published_at"] is not None

    async def test_an_image_in_the_trash_is_restored(self, api: Api, member: UserWithKey) -> None:
        twin_id = await self.existing(api, member, ImageStatus.READY, deleted_at=datetime.now(UTC))
        told = await post(api, member, picture(), 200)
        assert (told["id"], told["deleted_at"], told["status"]) == (str(twin_id), None, "ready")
        assert await count(api, event, event.c.type == "image.restored") == 1
        assert await count(api, event, event.c.type == "image.process") == 0

    async def test_a_failed_image_in_the_trash_is_restored_and_processed_again(
        self, api: Api, member: UserWithKey
    ) -> None:
        await self.existing(api, member, ImageStatus.FAILED, deleted_at=datetime.now(UTC))
        told = await post(api, member, picture(), 200)
        assert (told["deleted_at"], told["status"]) == (None, "stored")
        assert await count(api, event, event.c.type == "image.process") == 1

    async def test_a_living_image_is_preferred_to_one_in_the_trash(self, api: Api, member: UserWithKey) -> None:
        now = datetime.now(UTC)
        await self.existing(api, member, ImageStatus.READY, deleted_at=now)
        living_id = await self.existing(api, member, ImageStatus.READY)
        assert (await post(api, member, picture(), 200))["id"] == str(living_id)

    async def test_an_image_marked_for_purge_does_not_come_back(self, api: Api, member: UserWithKey) -> None:
        now = datetime.now(UTC)
        twin_id = await self.existing(api, member, ImageStatus.READY, deleted_at=now, purge_marked_at=now)
        told = await post(api, member, picture(), 201)
        assert told["id"] != str(twin_id)
        assert (await api.row(twin_id))["deleted_at"] is not None

    @pytest.mark.parametrize("status", [ImageStatus.PENDING, ImageStatus.EXPIRED])
    async def test_an_image_that_never_arrived_is_no_duplicate(
        self, api: Api, member: UserWithKey, status: ImageStatus
    ) -> None:
        await self.existing(api, member, status)
        await post(api, member, picture(), 201)

    async def test_another_teams_image_is_no_duplicate(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        first = await post(api, member, picture())
        second = await post(api, stranger, picture(), 201)
        assert first["id"] != second["id"]

    @pytest.mark.parametrize("size", [1000, ONE_REQUEST_BYTES + 1], ids=["one-request", "chunks"])
    async def test_of_uploads_in_flight_the_first_to_complete_wins(
        self, api: Api, member: UserWithKey, size: int
    ) -> None:
        body = large_picture(size, seed=3)
        answers = await asyncio.gather(
            *(api.client.post(IMAGES, content=in_pieces(body), headers={**member.headers, **PNG}) for _ in range(4))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        expired = await count(api, image, image.c.status == "expired", image.c.failure_code == "duplicate")
        assert await count(api, discarded_object) == expired
        assert expired == 3 if size > ONE_REQUEST_BYTES else expired <= 3

    async def test_a_duplicate_that_was_stored_is_given_to_the_sweep(self, api: Api, member: UserWithKey) -> None:
        body = large_picture(ONE_REQUEST_BYTES + 1, seed=4)
        first = await post(api, member, in_pieces(body))
        assert (await post(api, member, in_pieces(body), 200))["id"] == first["id"]
        expired = await api.rows.fetch_one(select(image).where(image.c.status == "expired"))
        assert expired is not None
        discarded = await api.rows.fetch_value(select(discarded_object.c.object_name))
        assert discarded == expired["object_name"]


Between = Callable[[UUID], Any]


def during_put(api: Api, monkeypatch: pytest.MonkeyPatch, between: Between) -> None:
    """Has something happen to the row after its object is stored and before the API completes it."""
    really = api.services.originals.put

    async def put(name: str, *arguments: Any) -> Any:
        stored = await really(name, *arguments)
        columns = between(stored) | {"updated_at": func.now()}
        await api.rows.execute(update(image).where(image.c.object_name == name).values(**columns))
        return stored

    monkeypatch.setattr(api.services.originals, "put", put)


class TestRaces:
    async def test_a_completion_that_meets_an_expired_row_is_refused(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        during_put(api, monkeypatch, lambda _: {"status": "expired", "failure_code": "upload-expired"})
        told = await post(api, member, picture(), 503)
        assert told["code"] == "upload-expired"
        assert (await api.only_row())["status"] == "expired"

    async def test_a_completion_that_meets_a_duplicate_found_by_the_processor_gets_that_image(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert member.team_id is not None
        twin_id = await testing.add_image(api.rows, member.team_id)
        found = {"status": "expired", "failure_code": "duplicate", "duplicate_of": twin_id}
        during_put(api, monkeypatch, lambda _: found)
        assert (await post(api, member, picture(), 200))["id"] == str(twin_id)

    @pytest.mark.parametrize("status", ["stored", "processing", "ready", "failed"])
    async def test_a_processor_that_was_first_is_not_set_back(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch, status: str
    ) -> None:
        def processed(stored: Any) -> dict[str, Any]:
            row = testing._row_of(uuid4(), uuid4(), ImageStatus(status))
            for name in ("id", "team_id", "object_name", "content_type", "format"):
                del row[name]
            return row | {"generation": stored.generation, "sha256": hashlib.sha256(picture()).digest()}

        during_put(api, monkeypatch, processed)
        told = await post(api, member, picture(), 201, params={"filename": "named.png"})
        assert (told["status"], told["filename"]) == (status, "named.png")


async def test_one_twin_is_read_and_rather_one_outside_the_trash(rows: Database) -> None:
    team_id, sha256 = await testing.add_team(rows), testing.a_sha256("bytes")
    trashed = [
        await testing.add_image(rows, team_id, sha256=sha256, deleted_at=datetime(2020, 1, 1, tzinfo=UTC))
        for _ in range(2)
    ]
    assert await queries.find_existing(rows, team_id, sha256) == (min(trashed), False)
    living = await testing.add_image(rows, team_id, sha256=sha256)
    found = await rows.fetch(queries._find_existing, team_id=team_id, digest=sha256)
    assert [row["id"] for row in found] == [living]

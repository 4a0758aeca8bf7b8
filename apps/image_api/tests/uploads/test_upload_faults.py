import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from image_api.uploads import receiving
from image_api.uploads import service as uploads
from image_core import errors, testing
from image_core.models import discarded_object, event, image
from image_core.storage.protocol import ONE_REQUEST_BYTES
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..pictures import large_picture, picture
from ..uploading import IMAGES, PNG, asgi_post, count, in_pieces, post, stored_of

LONG = large_picture(ONE_REQUEST_BYTES + 500_000)


async def test_a_processor_that_is_first_shows_what_it_made(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = receiving.store

    async def store_and_process(*arguments: Any) -> receiving.Received:
        received = await really(*arguments)
        row = await api.only_row()
        ready = {"width": 1, "height": 1, "frames": 1, "ready_at": datetime.now(UTC), "stored_at": datetime.now(UTC)}
        ready |= {"generation": received.stored.generation, "size_bytes": received.stored.size_bytes}
        await api.rows.execute(
            update(image).where(image.c.id == row["id"]).values(status="ready", sha256=received.sha256, **ready)
        )
        await testing.add_derivative(api.rows, row["id"], "made")
        return received

    monkeypatch.setattr(receiving, "store", store_and_process)
    body = await post(api, member, picture())
    assert (body["status"], len(body["derivatives"])) == ("ready", 1)
    # Whoever moves the row to `stored` tells of it: here the processor did.
    assert await count(api, event) == 0


class TestBrokenOff:
    async def test_a_client_that_goes_away_before_a_row_was_needed_leaves_nothing(
        self, api: Api, member: UserWithKey
    ) -> None:
        await asgi_post(api, member, [large_picture(200_000), None])
        assert await count(api, image) == 0
        assert await count(api, discarded_object) == 0

    async def test_a_client_that_goes_away_leaves_no_object_and_an_expired_row(
        self, api: Api, member: UserWithKey
    ) -> None:
        await asgi_post(api, member, [LONG[:5_000_000], LONG[5_000_000:], None])
        row = await api.only_row()
        assert (row["status"], row["failure_code"]) == ("expired", "upload-broken-off")
        assert await stored_of(api, member.team_id) == []
        # What may still land is removed by the sweep.
        assert await count(api, discarded_object, discarded_object.c.object_name == row["object_name"]) == 1

    async def test_a_request_that_is_cancelled_expires_its_row_too(self, api: Api, member: UserWithKey) -> None:
        async def wait() -> None:
            await asyncio.sleep(60)

        task = asyncio.create_task(asgi_post(api, member, [LONG, wait]))
        while await count(api, image) == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await api.only_row())["status"] == "expired"

    async def test_a_body_that_arrives_too_slowly_is_ended(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(receiving, "RECEIPT_MARGIN_SECONDS", api.services.settings.upload_deadline_seconds - 0.2)

        async def wait() -> None:
            await asyncio.sleep(60)

        status, told = await asgi_post(api, member, [LONG, wait])
        assert (status, told["code"]) == (408, "upload-too-slow")
        assert (await api.only_row())["status"] == "expired"
        assert await stored_of(api, member.team_id) == []


class TestPartsAway:
    async def test_without_storage_an_upload_is_503_and_nothing_is_half_done(
        self, make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from image_core.storage import connection

        monkeypatch.setattr(connection, "_RETRY_SECONDS", 0.2)
        async with make_api(storage_emulator_host="http://127.0.0.1:9") as api:
            member = await api.user()
            for body in (picture(), in_pieces(large_picture(ONE_REQUEST_BYTES + 1))):
                answer = await api.client.post(IMAGES, content=body, headers={**member.headers, **PNG})
                assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
                assert int(answer.headers["retry-after"]) > 0
            statuses = await api.rows.fetch(select(image.c.status, image.c.failure_code))
        assert {tuple(row) for row in statuses} == {("expired", "storage-unavailable")}

    async def test_a_bucket_that_is_not_there_is_our_fault(self, make_api: MakeApi) -> None:
        async with make_api(image_upload_bucket_name="no-such-bucket") as api:
            member = await api.user()
            for body in (picture(), in_pieces(large_picture(ONE_REQUEST_BYTES + 1))):
                told = await post(api, member, body, 503)
                assert told["code"] == "storage-unavailable"

    async def test_without_a_database_an_upload_is_503(self, make_api: MakeApi) -> None:
        async with make_api(database_url="postgresql://nobody@127.0.0.1:9/none") as api:
            member = await api.user()
            told = await post(api, member, picture(), 503)
        assert told["code"] == "database-unavailable"

    async def test_a_completion_that_cannot_be_written_is_503_and_the_row_is_left_to_the_sweep(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any, **__: Any) -> Any:
            raise errors.DatabaseUnavailable("Away.")

        monkeypatch.setattr(uploads.upload_queries, "complete", away)
        monkeypatch.setattr(uploads, "schedule_removal", away)
        told = await post(api, member, picture(), 503)
        assert told["code"] == "database-unavailable"
        assert (await api.only_row())["status"] == "pending"

    @pytest.mark.parametrize("body", [large_picture(200_000), LONG], ids=["one-request", "chunks"])
    async def test_while_stopping_an_upload_ends_in_time(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch, body: bytes
    ) -> None:
        from image_api.server import shutdown

        stopping = shutdown.Shutdown()
        monkeypatch.setattr(shutdown, "GRACE_SECONDS", 0.1)
        monkeypatch.setitem(vars(api.services), "shutdown", stopping)

        async def stop_and_wait() -> None:
            stopping.begin()
            await asyncio.sleep(60)

        status, told = await asgi_post(api, member, [body, stop_and_wait])
        assert (status, told["code"]) == (503, "shutting-down")
        assert [row["status"] for row in await api.rows.fetch(select(image.c.status))] == ["expired"] * (body is LONG)


class TestWaiting:
    async def test_waiting_ends_when_the_image_is_ready(self, api: Api, member: UserWithKey) -> None:
        async def finish() -> None:
            while await count(api, image, image.c.status == "stored") == 0:
                await asyncio.sleep(0.01)
            ready = {"status": "ready", "width": 40, "height": 30, "frames": 1, "ready_at": datetime.now(UTC)}
            await api.rows.execute(update(image).values(**ready))

        told, _ = await asyncio.gather(post(api, member, picture(), 201, params={"wait": 20}), finish())
        assert told["status"] == "ready"

    async def test_when_the_time_is_over_the_status_tells(self, api: Api, member: UserWithKey) -> None:
        told = await post(api, member, picture(), 201, params={"wait": 0.1})
        assert told["status"] == "stored"

    async def test_a_longer_wait_counts_as_the_longest(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from image_api.uploads import routes

        monkeypatch.setattr(routes, "MAX_WAIT_SECONDS", 0.1)
        await post(api, member, picture(), 201, params={"wait": 3600})
        for wait in ("-1", "soon", "nan"):
            await post(api, member, picture(), 422, params={"wait": wait})

    async def test_waiting_ends_when_the_image_is_gone(self, api: Api, member: UserWithKey) -> None:
        async def remove() -> None:
            while await count(api, image, image.c.status == "stored") == 0:
                await asyncio.sleep(0.01)
            await api.rows.execute(image.delete())

        told, _ = await asyncio.gather(post(api, member, picture(), 201, params={"wait": 20}), remove())
        assert told["status"] == "stored"

"""The feed as server-sent events: what is sent, and when a stream ends."""

import asyncio

import pytest

from image_api.changes import streams
from image_core.models import feed_epoch
from image_core.testing import UserWithKey

from ..conftest import Api
from .feeds import event_ids, happens, messages, newest, reason, streaming, until_waiting


async def test_a_stream_sends_what_was_missed_and_what_comes_and_says_why_it_ends(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    cursor = await newest(api, member)
    missed = await happens(api, member.team_id, 120)
    async with streaming(api, member, cursor, **{"Accept-Encoding": "gzip"}) as stream:
        await until_waiting(api)
        await happens(api, stranger.team_id)
        (came,) = await happens(api, member.team_id)
        sent = await stream
    assert sent.status == 200
    assert sent.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert sent.headers["cache-control"] == "no-store"
    assert "content-encoding" not in sent.headers
    assert event_ids(sent.body) == [*missed, came]
    assert reason(sent.body) == "idle"
    # Each id is the place after its event, and the last one is the place to go on.
    at = messages(sent.body)
    async with streaming(api, member, at[1]["id"]) as stream:
        assert event_ids((await stream).body) == [*missed[1:], came]
    async with streaming(api, member, cursor, **{"Last-Event-ID": at[-1]["id"]}) as stream:
        assert event_ids((await stream).body) == []


async def test_a_stream_without_a_cursor_begins_now(api: Api, member: UserWithKey) -> None:
    await happens(api, member.team_id)
    async with streaming(api, member) as stream:
        await until_waiting(api)
        (came,) = await happens(api, member.team_id)
        assert event_ids((await stream).body) == [came]


async def test_a_silent_stream_says_where_to_continue_and_ends_in_time(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TIMES", streams.Times(life=0.5, idle=20, heartbeat=0.1))
    async with streaming(api, member) as stream:
        sent = await stream
    marks = messages(sent.body)[1:-1]
    assert len(marks) >= 2
    assert {tuple(mark) for mark in marks} == {("id",)}
    assert reason(sent.body) == "time-over"


async def test_a_stream_ends_with_its_key(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TIMES", streams.Times())
    async with streaming(api, member) as stream:
        await until_waiting(api)
        path = f"/api/v1/users/{member.user_id}/credentials/{member.credential_id}"
        assert (await api.client.delete(path, headers=api.admin.headers)).status_code == 204
        assert reason((await stream).body) == "api-key-invalid"


async def test_a_stream_ends_when_the_instance_stops(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TIMES", streams.Times())
    async with streaming(api, member) as stream:
        await until_waiting(api)
        monkeypatch.setattr(api.services.shutdown, "_stop_at", 1.0)
        assert reason((await stream).body) == "shutting-down"


async def test_a_stream_ends_when_the_database_was_restored(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TIMES", streams.Times(heartbeat=0.1))
    async with streaming(api, member) as stream:
        await until_waiting(api)
        await api.rows.execute(feed_epoch.update().values(epoch=member.user_id))
        assert reason((await stream).body) == "cursor-expired"


async def test_a_third_stream_is_refused_and_one_that_the_caller_left_gives_its_place_back(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TIMES", streams.Times())
    async with streaming(api, member):
        async with streaming(api, member):
            await until_waiting(api, 2)
            refused = await api.client.get("/api/v1/events", headers=member.headers)
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-streams")
        await until_waiting(api, 1)
        async with streaming(api, member):
            await until_waiting(api, 2)
    await until_waiting(api, 0)


async def test_nobody_polls_when_nobody_waits(api: Api, member: UserWithKey) -> None:
    async with streaming(api, member) as stream:
        await until_waiting(api)
        polling = api.services.feed_watch._polling
        assert polling is not None
        await stream
    async with asyncio.timeout(10):
        await polling

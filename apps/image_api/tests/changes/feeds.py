"""Events of a team, and what its members read of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2

from image_core import events
from image_core.events import EventType, OutboxEvent, credential_event, image_event
from image_core.ids import new_id
from image_core.testing import UserWithKey, until_feed_shows_all

from ..asgi_call import Sent, asgi_call
from ..conftest import Api

CHANGES, EVENTS = "/api/v1/changes", "/api/v1/events"


async def record(api: Api, *written: OutboxEvent) -> None:
    """Write events in one transaction, and wait until the feed shows them."""
    async with api.rows.transaction() as transaction:
        await events.record(transaction, *written)
    await until_feed_shows_all(api.rows)


async def happens(api: Api, team_id: UUID | None, count: int = 1) -> list[str]:
    """Write events in one transaction; return their ids."""
    assert team_id is not None
    written = [image_event(EventType.IMAGE_CREATED, new_id(), team_id, 1) for _ in range(count)]
    await record(api, *written)
    return [str(one.event_id) for one in written]


async def key_event_happens(api: Api, team_id: UUID | None) -> str:
    """Write an event about a key of a team, or of an admin; return its id."""
    row = {"id": new_id(), "user_id": new_id(), "public_id": "12345678"}
    written = credential_event(EventType.KEY_REVOKED, team_id, row)
    await record(api, written)
    return str(written.event_id)


async def answer(api: Api, by: UserWithKey, after: str | None = None, **parameters: Any) -> httpx2.Response:
    if after is not None:
        parameters["after"] = after
    return await api.client.get(CHANGES, headers=by.headers, params=parameters)


async def changes(api: Api, by: UserWithKey, after: str | None = None, **parameters: Any) -> dict[str, Any]:
    found = await answer(api, by, after, **parameters)
    assert found.status_code == 200, found.text
    page: dict[str, Any] = found.json()
    return page


async def newest(api: Api, by: UserWithKey, **parameters: Any) -> str:
    page = await changes(api, by, **parameters)
    assert (page["items"], page["has_more"]) == ([], False)
    cursor: str = page["next_cursor"]
    return cursor


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


def messages(body: bytes) -> list[dict[str, str]]:
    """The messages of a stream, each with its fields."""
    blocks = [block for block in body.decode().split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]  # type: ignore[misc]


def event_ids(body: bytes) -> list[str]:
    return [json.loads(one["data"])["id"] for one in messages(body) if "data" in one and "event" not in one]


def reason(body: bytes) -> str:
    """Why a stream ended."""
    last = messages(body)[-1]
    assert last["event"] == "end"
    said: str = json.loads(last["data"])["reason"]
    return said


@asynccontextmanager
async def streaming(api: Api, by: UserWithKey, after: str = "", **headers: str) -> AsyncIterator["asyncio.Task[Sent]"]:
    """A stream that runs beside the test."""
    path = f"{EVENTS}?after={after}" if after else EVENTS
    task = asyncio.create_task(asgi_call(api, "GET", path, {**by.headers, **headers}))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_waiting(api: Api, count: int = 1) -> None:
    """Wait until so many requests wait for events."""
    async with asyncio.timeout(20):
        while len(api.services.feed_watch._watchers) != count:
            await asyncio.sleep(0.005)

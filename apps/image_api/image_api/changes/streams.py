"""The feed as server-sent events. Source: HTML Standard, section 9.2."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import orjson

from image_api.actor import Actor
from image_api.changes import service
from image_api.changes.cursors import Cursor
from image_api.changes.service import Feed, Waiting
from image_api.services import Services
from image_core import errors

_BATCH = 100


@dataclass(frozen=True)
class Times:
    """How long a stream lives, in seconds."""

    life: float = 240.0
    """The platform ends every request after 300 s."""
    idle: float = 60.0
    """Without events; a stream costs its share of an instance even if it is silent."""
    heartbeat: float = 15.0


TIMES = Times()


async def stream(services: Services, actor: Actor, feed: Feed, cursor: Cursor) -> AsyncGenerator[bytes]:
    """Send the events after a cursor, and those that come, until there is a reason to end; the last message says it."""
    running = _Stream(services, actor, feed, cursor)
    try:
        with services.feed_watch.watching(feed.team_id) as watcher:
            yield b"retry: 5000\n" + running.mark()
            while (reason := await running.reason_to_end()) is None:
                # A silent one reads as well, so that its cursor does not age.
                if running.has_more or running.is_silent or await watcher.wait(running.waiting.nap_seconds):
                    yield await running.next_messages()
    except errors.AppError as error:
        reason = error.code
    yield running.end(reason)


class _Stream:
    def __init__(self, services: Services, actor: Actor, feed: Feed, cursor: Cursor) -> None:
        self._services, self._feed, self._cursor = services, feed, cursor
        self._clock = asyncio.get_running_loop().time
        self.waiting = Waiting(services, actor, TIMES.life)
        self._event_at = self._sent_at = self._clock()
        self.has_more = False

    async def reason_to_end(self) -> str | None:
        """Return why the stream ends now; None if it goes on. Also raises the errors of `Waiting.goes_on`."""
        if not await self.waiting.goes_on():
            return "shutting-down" if self.waiting.is_stopping else "time-over"
        return "idle" if self._clock() - self._event_at >= TIMES.idle else None

    async def next_messages(self) -> bytes:
        """Return the messages of the next events, or a mark after a silence.

        Raises:
            errors.CursorExpired: Some were removed, or the database was restored since.
        """
        page = await service.read(self._services.database, self._feed, self._cursor, _BATCH)
        messages = [
            self._id(self._cursor._replace(position=event.position)) + b"data: %b\n\n" % _json(event.envelope())
            for event in page.events
        ]
        self._cursor, self.has_more = self._cursor._replace(position=page.next_position), page.has_more
        if messages:
            self._event_at = self._sent_at = self._clock()
        elif self.is_silent:
            return self.mark()
        return b"".join(messages)

    @property
    def is_silent(self) -> bool:
        """Whether nothing has been sent for a while."""
        return self._clock() - self._sent_at >= TIMES.heartbeat

    def mark(self) -> bytes:
        """Return a message without data, which no listener gets: it only says where to continue."""
        self._sent_at = self._clock()
        return self._id(self._cursor) + b"\n"

    def end(self, reason: str) -> bytes:
        """Return the last message."""
        return self._id(self._cursor) + b"event: end\ndata: %b\n\n" % _json({"reason": reason})

    def _id(self, cursor: Cursor) -> bytes:
        return b"id: %b\n" % cursor.encode().encode()


def _json(value: object) -> bytes:
    return orjson.dumps(value)

"""The rules of the feed: who sees which events, and how long somebody may wait for them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from image_api.actor import Actor, Scope, require_admin
from image_api.changes import cursors
from image_api.changes.cursors import Cursor
from image_api.proofs.still_valid import check_still_valid
from image_api.services import Services
from image_api.teams import service as teams
from image_core import errors
from image_core.db import Record, Runner
from image_core.feed import reading
from image_core.feed.reading import Page

CHECK_SECONDS = 5.0
"""How often somebody who waits is authenticated again."""
NAP_SECONDS = 1.0
"""How long it may take to notice that the instance stops, or that the caller is gone."""


@dataclass(frozen=True)
class Feed:
    """What a caller sees: the events of one team, or of all teams (None)."""

    team_id: UUID | None
    with_credentials: bool


async def feed_of(runner: Runner, actor: Actor, team_id: UUID | None, *, all_teams: bool) -> Feed:
    """Return the feed that a caller means.

    Raises:
        errors.RoleMissing: Only admins see all teams.
        errors.TeamRequired: An admin must say which team.
        errors.TeamNotFound: The team does not exist.
    """
    with_credentials = Scope.KEYS_SELF in actor.scopes
    if all_teams:
        require_admin(actor)
        if team_id is not None:
            raise errors.RequestInvalid("Send either `team_id` or `all_teams`.")
        return Feed(None, with_credentials)
    return Feed(await teams.owning_team(runner, actor, team_id), with_credentials)


async def newest_cursor(runner: Runner, feed: Feed) -> Cursor:
    """Return the end of a feed."""
    position = await reading.newest(runner)
    page = await reading.read(runner, feed.team_id, position, 1, with_credentials=feed.with_credentials)
    return Cursor(feed.team_id, page.epoch, position)


async def read(runner: Runner, feed: Feed, cursor: Cursor, limit: int) -> Page:
    """Return the events after a cursor.

    Raises:
        errors.CursorExpired: Some were removed, or the database was restored since.
    """
    page = await reading.read(runner, feed.team_id, cursor.position, limit, with_credentials=feed.with_credentials)
    if not page.is_complete or page.epoch != cursor.epoch:
        raise errors.CursorExpired(
            "The cursor has expired: events that follow it were removed, or the database was restored. Take a new"
            " cursor from GET /api/v1/changes without `after`, then list what you need, then read on from that cursor."
        )
    return page


async def list_changes(
    services: Services,
    actor: Actor,
    feed: Feed,
    after: str | None,
    limit: int,
    wait_seconds: float,
    is_gone: Callable[[], Awaitable[bool]],
) -> dict[str, Any]:
    """Return the events after a cursor; if there are none, wait for some.

    Raises:
        errors.CursorInvalid: The cursor is not one of this feed.
        errors.CursorExpired: Events that follow the cursor are no longer there.
        errors.FeedBusy: Too many wait already.
        errors.TooManyStreams: The caller waits too often already.
        errors.Unauthorized: The caller's key or session has ended.
    """
    if after is None:
        cursor = await newest_cursor(services.database, feed)
        return {"items": [], "next_cursor": cursor.encode(), "has_more": False}
    cursor = cursors.decode(after, feed.team_id)
    page = await read(services.database, feed, cursor, limit)
    if not page.events and wait_seconds > 0:
        waiting = Waiting(services, actor, wait_seconds)
        with services.long_requests.hold(actor.user_id), services.feed_watch.watching(feed.team_id) as watcher:
            while not page.events and await waiting.goes_on() and not await is_gone():
                if await watcher.wait(waiting.nap_seconds):
                    page = await read(services.database, feed, cursor._replace(position=page.next_position), limit)
    return {
        "items": [event.envelope() for event in page.events],
        "next_cursor": cursor._replace(position=page.next_position).encode(),
        "has_more": page.has_more,
    }


async def list_events_of_image(runner: Runner, image: Record, limit: int) -> list[dict[str, Any]]:
    """Return the newest events about an image that the caller was shown, newest first."""
    found = await reading.newest_of_image(runner, image["team_id"], image["id"], limit)
    return [event.envelope() | {"timestamp": event.created_at} for event in found]


class Waiting:
    """A request that waits: until its time is over, the instance stops, or its caller's key or session has ended."""

    def __init__(self, services: Services, actor: Actor, seconds: float) -> None:
        self._services, self._actor = services, actor
        self._clock = asyncio.get_running_loop().time
        self._ends_at = self._clock() + seconds
        self._check_at = self._clock() + CHECK_SECONDS

    @property
    def nap_seconds(self) -> float:
        """How long to wait before asking again whether to go on."""
        return max(0.0, min(NAP_SECONDS, self._ends_at - self._clock(), self._check_at - self._clock()))

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._clock() >= self._ends_at

    @property
    def is_stopping(self) -> bool:
        """Whether the instance stops."""
        return self._services.shutdown.stopping

    async def goes_on(self) -> bool:
        """Return whether to wait any longer.

        Raises:
            errors.Unauthorized: The caller's key or session has ended.
            errors.ScopeMissing: The caller has lost scopes.
        """
        if self._clock() >= self._check_at:
            await check_still_valid(self._services.database, self._actor)
            self._check_at = self._clock() + CHECK_SECONDS
        return not (self.is_over or self.is_stopping)

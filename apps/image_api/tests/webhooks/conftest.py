"""A team with a webhook, and the sender of `image-tasks` with a clock of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from image_api.actor import DEFAULT_SCOPES, Role, Scope
from image_api.webhooks.sending.sender import Sender
from image_core import events
from image_core.db import Record
from image_core.events import EventType, OutboxEvent, Topic
from image_core.ids import new_id
from image_core.models import webhook, webhook_attempt, webhook_delivery
from image_core.testing import UserWithKey, until_feed_shows_all

from ..conftest import Api
from ..housekeeping import Tasks

SCOPES = (*DEFAULT_SCOPES[Role.MEMBER], Scope.WEBHOOKS_MANAGE)
URL = "https://hooks.example.com/in?token=secret"


@dataclass
class Hooks:
    """Webhooks of one team, by the API, and what `image-tasks` sends to them."""

    api: Api
    tasks: Tasks
    member: UserWithKey
    ahead: timedelta = field(default_factory=timedelta)

    @property
    def sender(self) -> Sender:
        return self.tasks.parts.keep(Sender)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def wait(self, seconds: float) -> None:
        """Real while an attempt is under way; else the clock jumps."""
        if self.sender._flying:
            await self.sender._wait(seconds)
        else:
            self.ahead += timedelta(seconds=seconds)

    async def create(self, url: str | None = None, by: UserWithKey | None = None, **body: Any) -> dict[str, Any]:
        """Create a webhook; one that is to be sent to gets its receiver's URL in its row."""
        headers = (by or self.member).headers
        answer = await self.api.client.post("/api/v1/webhooks", json={"url": URL, **body}, headers=headers)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        if url is not None:
            await self.set(created, url=url)
        return created

    async def call(self, method: str, path: str, by: UserWithKey | None = None, **given: Any) -> Any:
        headers = {**(by or self.member).headers, **given.pop("headers", {})}
        return await self.api.client.request(method, f"/api/v1/{path}", headers=headers, **given)

    async def set(self, hook: dict[str, Any], **columns: Any) -> None:
        await self.tasks.rows.execute(update(webhook).where(webhook.c.id == UUID(hook["id"])).values(**columns))

    async def row(self, hook: dict[str, Any]) -> Record:
        (found,) = await self.tasks.rows.fetch(select(webhook).where(webhook.c.id == UUID(hook["id"])))
        return found

    async def event(
        self, team_id: UUID | None = None, kind: EventType = EventType.TRASHED, *, until_shown: bool = True
    ) -> UUID:
        """Record an event as a change does, wait until the feed shows it, and return its id."""
        team_id = team_id or self.member.team_id
        payload: dict[str, Any] = {"image_id": str(new_id()), "revision": 1}
        if kind is EventType.KEY_REVOKED:
            payload = {"credential_id": str(new_id()), "user_id": str(new_id()), "key_prefix": "im_12345678"}
        elif kind is EventType.OPERATION_PROGRESSED:
            counts = {"total": 2, "done": 1, "failed": 0}
            payload = {"operation_id": str(new_id()), "kind": "batch", "status": "running", **counts}
        recorded = OutboxEvent(Topic.EVENTS, kind, payload, team_id)
        async with self.tasks.parts.database.transaction() as transaction:
            await events.record(transaction, recorded)
        if until_shown:
            await until_feed_shows_all(self.tasks.rows)
        return recorded.event_id

    async def push(self, event_id: UUID) -> int:
        return await self.tasks.push("events", {"attributes": {"event_id": str(event_id)}})

    async def send(self) -> None:
        """Let `image-tasks` do what is due."""
        assert await self.tasks.nudge("webhooks_sent") == 204

    async def deliveries(self) -> list[Record]:
        order = (webhook_delivery.c.created_at, webhook_delivery.c.id)
        return await self.tasks.rows.fetch(select(webhook_delivery).order_by(*order))

    async def attempts(self) -> list[Record]:
        order = (webhook_attempt.c.started_at, webhook_attempt.c.number)
        return await self.tasks.rows.fetch(select(webhook_attempt).order_by(*order))


@pytest.fixture
async def hooks(api: Api, tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hooks]:
    made = Hooks(api, tasks, await api.user(scopes=SCOPES))
    sender = made.sender
    monkeypatch.setattr(sender, "now", made.now)
    monkeypatch.setattr(sender, "wait", made.wait)
    yield made
    assert not sender._flying
    assert not len(sender._slots)

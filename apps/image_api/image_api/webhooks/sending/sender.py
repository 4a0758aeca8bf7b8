"""Sends what is due to webhooks: one sender an instance, whoever asked for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from image_api.fetching.guarded_fetch import Answer, GuardedFetcher
from image_api.tasks.parts import TaskParts, committing
from image_api.webhooks import signing
from image_api.webhooks.addresses import check_url
from image_api.webhooks.sending import queries, schedule
from image_api.webhooks.sending.schedule import Verdict
from image_api.webhooks.sending.slots import Slots
from image_core import errors, events
from image_core.audit import events as audit
from image_core.db import Record, Transaction
from image_core.events import EventType, OutboxEvent, Topic
from image_core.ids import new_id
from image_core.states import WebhookDeliveryStatus, WebhookEnd
from image_core.telemetry import log, log_unexpected

ATTEMPT_SECONDS = 15.0
SOON = timedelta(seconds=7)
"""What is due within this time is waited for: the second attempt, with its jitter."""
_READ_BYTES, _KEPT_CHARACTERS = 64 * 1024, 2048
_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.05, 1.0
_PUT_BACK_FOR = timedelta(seconds=30)


class Due(NamedTuple):
    """A delivery that was claimed: its row with its endpoint's, and the body to send."""

    row: Record
    body: bytes | None
    """None if the event was removed."""


class _Seen(NamedTuple):
    status: int | None = None
    error: str | None = None
    response: str | None = None


@dataclass(frozen=True)
class Attempt:
    """What came of one attempt."""

    verdict: Verdict
    started_at: datetime
    duration_ms: int
    status: int | None = None
    error: str | None = None
    response: str | None = None

    def seen(self) -> dict[str, object]:
        """Return what its row says of it."""
        return {
            "started_at": self.started_at, "duration_ms": self.duration_ms, "status": self.status,
            "error": self.error, "response": self.response,
        }  # fmt: skip


class Sender:
    """The sender of one instance. Clock and sleep can be replaced by tests."""

    def __init__(self, parts: TaskParts) -> None:
        self._parts = parts
        self._fetcher = GuardedFetcher(parts.settings.webhook_allow_addresses)
        self._slots = Slots(time.monotonic)
        self._flying: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._is_running = False
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.wait: Callable[[float], Awaitable[None]] = self._wait

    async def run(self, seconds: float) -> int:
        """Send until nothing is due soon, or the time is over; return how many attempts were made.

        If another request of this instance does so, that one is woken instead.
        """
        if self._is_running:
            self._woken.set()
            return 0
        self._is_running, count = True, 0
        ends_at = time.monotonic() + seconds
        try:
            while time.monotonic() < ends_at:
                self._woken.clear()
                started = await self._start_due()
                count += started
                if not started and not self._flying and not self._woken.is_set() and await self._pause() is None:
                    break
                if self._flying:
                    await self.wait(_LONGEST_WAIT_SECONDS)
        finally:
            self._is_running = False
            # Attempts end within their own time, while another request may go on sending.
            await asyncio.gather(*self._flying, return_exceptions=True)
        return count

    async def _pause(self) -> float | None:
        """Wait for what is due soon; return None if nothing is, and nobody has asked for more meanwhile."""
        now = self.now()
        due_at = await queries.next_due(self._parts.database, now + SOON)
        if self._woken.is_set():
            return 0.0
        if due_at is None or due_at > now + SOON:
            return None
        # What another instance has taken a moment ago looks due once more.
        seconds = max(_SHORTEST_WAIT_SECONDS, (due_at - now).total_seconds())
        await self.wait(seconds)
        return seconds

    async def _wait(self, seconds: float) -> None:
        """Wait until an attempt has ended or somebody asks for more, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _start_due(self) -> int:
        """Begin attempts at what is due, as far as there are slots; return how many."""
        chosen = self._slots.take(await queries.candidates(self._parts.database, self.now()))
        if not chosen:
            return 0
        token, wanted = new_id(), {candidate.delivery_id for candidate in chosen}
        try:
            masters = await signing.masters_of(self._parts.webhook_master)
            claimed = await self._claim(list(wanted), token)
        except BaseException:
            for delivery_id in wanted:
                self._slots.release(delivery_id)
            raise
        for delivery_id in wanted - {due.row["delivery_id"] for due in claimed}:
            self._slots.release(delivery_id)
        for due in claimed:
            task = asyncio.create_task(self._deliver(due, token, masters))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
        return len(claimed)

    async def _claim(self, delivery_ids: list[UUID], token: UUID) -> list[Due]:
        async with self._parts.database.connection() as connection:
            rows = await queries.claim(connection, delivery_ids, token, self.now())
            found = await queries.events_of(connection, [row["event_id"] for row in rows])
        bodies = {row["id"]: _body(events.of_row(row)) for row in found}
        return [Due(row, bodies.get(row["event_id"]) or _test_body(row)) for row in rows]

    async def _deliver(self, due: Due, token: UUID, masters: Any) -> None:
        row = due.row
        try:
            attempt = await self._attempt(due, masters)
            await self._record(row, token, attempt)
        except errors.MasterSecretUnavailable:
            # Another instance may have made the secret with a newer master secret a moment ago.
            log("webhook_secret_unknown", severity="ERROR", webhook_id=str(row["id"]))
            due_at = self.now() + _PUT_BACK_FOR
            with suppress(errors.Unavailable):
                await queries.put_back(self._parts.database, row["delivery_id"], token, due_at)
        except errors.Unavailable as error:
            # The lease ends, and the delivery is tried again.
            log("webhook_attempt_not_recorded", severity="WARNING", webhook_id=str(row["id"]), code=error.code)
        except Exception as error:  # noqa: BLE001 (the other deliveries go on; this one is reported, its lease ends)
            log_unexpected(error, webhook_id=str(row["id"]))
        finally:
            self._slots.release(row["delivery_id"])
            self._woken.set()

    async def _attempt(self, due: Due, masters: Any) -> Attempt:
        """Send one body and judge the answer.

        Raises:
            errors.MasterSecretUnavailable: The secret cannot be derived.
        """
        row, now, began_at = due.row, self.now(), time.monotonic()
        if due.body is None:
            return Attempt(Verdict(succeeded=False, aborted=True), now, 0, error="event-removed")
        secrets = signing.secrets_of(masters, row, now)
        headers = {
            "Content-Type": "application/json",
            **signing.headers(secrets, str(row["event_id"]), now, due.body),
        }
        try:
            answer = await self._post(row, due.body, headers)
        except errors.AppError as error:
            verdict, seen = Verdict(succeeded=False), _Seen(error=error.code)
        else:
            verdict = schedule.judge(answer.status, answer.headers, self.now())
            seen = _Seen(answer.status, response=_text(answer.body))
        duration_ms = round((time.monotonic() - began_at) * 1000)
        log(
            "webhook_attempted", webhook_id=str(row["id"]), delivery_id=str(row["delivery_id"]),
            number=row["attempts"], duration_ms=duration_ms, status=seen.status, code=seen.error,
        )  # fmt: skip
        return Attempt(verdict, now, duration_ms, *seen)

    async def _post(self, row: Record, body: bytes, headers: dict[str, str]) -> Answer:
        source = check_url(row["url"], self._parts.settings)
        return await self._fetcher.post(source, body, headers, _READ_BYTES, ATTEMPT_SECONDS, caller=row["team_id"])

    async def _record(self, row: Record, token: UUID, attempt: Attempt) -> None:
        """Record an attempt and what follows, unless the delivery has ended or is somebody else's by now."""
        verdict, now = attempt.verdict, self.now()
        if verdict.succeeded and row["last_succeeded"] is True:
            await queries.finish(self._parts.database, *self._outcome(row, token, attempt, verdict, now))
            return
        async with committing(self._parts) as transaction:
            endpoint = await queries.lock_endpoint(transaction, row["id"])
            if endpoint is None:
                return
            # What was sent elsewhere before its URL was changed says nothing about the endpoint.
            is_current = endpoint["url"] == row["url"]
            if verdict.gone and not is_current:
                verdict = Verdict(succeeded=False)
            is_ours = await queries.finish(transaction, *self._outcome(row, token, attempt, verdict, now))
            if is_ours and is_current:
                await self._change_endpoint(transaction, row["id"], endpoint, verdict, now)

    def _outcome(self, row: Record, token: UUID, attempt: Attempt, verdict: Verdict, now: datetime) -> tuple[Any, ...]:
        """Return what `queries.finish` stores of a delivery."""
        status, due_at = self._next_state(row, verdict, now)
        return row["delivery_id"], token, status, due_at, now, attempt.seen()

    def _next_state(
        self, row: Record, verdict: Verdict, now: datetime
    ) -> tuple[WebhookDeliveryStatus, datetime | None]:
        if verdict.succeeded:
            return WebhookDeliveryStatus.SUCCEEDED, None
        delay = None if verdict.aborted else schedule.next_delay(row["attempts"])
        return (WebhookDeliveryStatus.FAILED, None) if delay is None else (WebhookDeliveryStatus.PENDING, now + delay)

    async def _change_endpoint(
        self, transaction: Transaction, webhook_id: UUID, endpoint: Record, verdict: Verdict, now: datetime
    ) -> None:
        if verdict.succeeded:
            await queries.note_success(transaction, webhook_id)
            return
        held_until = None if verdict.hold is None else now + verdict.hold
        await queries.note_failure(transaction, webhook_id, held_until, now)
        failing_since = endpoint["failing_since"] or now
        if verdict.gone:
            await disable(transaction, webhook_id, WebhookEnd.GONE, now)
        elif now - failing_since >= schedule.FAILING_FOR:
            await disable(transaction, webhook_id, WebhookEnd.FAILING, now)


async def disable(transaction: Transaction, webhook_id: UUID, reason: WebhookEnd, now: datetime) -> None:
    """Disable an endpoint on its own account, with an event and an audit row."""
    team_id = await queries.disable(transaction, webhook_id, reason, now)
    if team_id is None:
        return
    told = {"reason": reason}
    await events.record(transaction, events.webhook_event(EventType.WEBHOOK_DISABLED, team_id, webhook_id, told))
    await audit.write(
        transaction, audit.AuditEvent("webhook.disabled", "webhook", webhook_id, team_id, after={"reason": reason})
    )


def _body(event: OutboxEvent) -> bytes:
    envelope = event.envelope()
    return orjson.dumps({name: envelope[name] for name in ("type", "timestamp", "data")})


def _test_body(row: Record) -> bytes | None:
    """Return the body of a test, which has no row in the feed; None for an event that has been removed."""
    if row["event_type"] != EventType.WEBHOOK_TEST:
        return None
    data = {"webhook_id": str(row["id"])}
    return _body(OutboxEvent(Topic.EVENTS, EventType.WEBHOOK_TEST, data, row["team_id"], created_at=row["asked_at"]))


def _text(body: bytes) -> str:
    """Return the beginning of an answer as text that the database takes."""
    return body[:_KEPT_CHARACTERS].decode("utf-8", "replace").replace("\x00", "\ufffd")[:_KEPT_CHARACTERS]

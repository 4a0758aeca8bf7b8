"""The checks of the system's parts, with the rights of the API's process. None shows an address or a secret."""

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.error import HTTPError

from image_api.audit_events import queries as audit_events
from image_api.dead_letters import queries as letters
from image_api.services import Services
from image_api.system_health import queries
from image_api.system_health.schemas import State
from image_core.audit.events import VERIFICATION_FAILED
from image_core.events import outbox_age_seconds
from image_core.migrations import HEAD

_REQUEST_SECONDS = 2.0
_CLOCK_WARNING, _CLOCK_FAILING = timedelta(seconds=2), timedelta(seconds=30)
_OUTBOX_WARNING_SECONDS, _OUTBOX_FAILING_SECONDS = 60.0, 600.0
_UNSEALED_WARNING = timedelta(minutes=15)


class Finding(NamedTuple):
    """What a check found; the next step is null if nothing is wrong."""

    state: State
    explanation: str
    next_step: str | None = None


async def database(services: Services) -> Finding:
    """Check that the database answers, and that the default key is revoked."""
    row = await queries.find_schema(services.database)
    if row is None or not row["default_keys"]:
        return Finding(State.OK, "The database answers.")
    return Finding(State.WARNING, "The database answers. The default admin key is still valid.", "Rotate that key.")


async def schema(services: Services) -> Finding:
    """Check that the migrations were applied."""
    row = await queries.find_schema(services.database)
    revision = row["revision"] if row else None
    if revision is None or revision < HEAD:
        found = f"The schema has revision {revision or 'none'}, and this version needs {HEAD}."
        return Finding(State.FAILING, found, "Run `image-manager-admin migrate`.")
    return Finding(State.OK, f"The schema has revision {revision}.")


async def clock(services: Services) -> Finding:
    """Compare the clock of this process with the database's."""
    before = datetime.now(UTC)
    row = await queries.find_schema(services.database)
    after = datetime.now(UTC)
    off = timedelta(0) if row is None else max(before - row["now"], row["now"] - after, timedelta(0))
    found = f"This process and the database differ by {off.total_seconds():.1f} s."
    if off < _CLOCK_WARNING:
        return Finding(State.OK, found)
    state = State.WARNING if off < _CLOCK_FAILING else State.FAILING
    return Finding(state, found, "Set the clock by NTP: signatures, leases and expiries depend on it.")


async def storage(services: Services) -> Finding:
    """Ask each bucket."""
    await asyncio.gather(*(bucket.check() for bucket in (services.originals, services.derivatives, services.scratch)))
    return Finding(State.OK, "All three buckets answer.")


async def delivery(services: Services) -> Finding:
    """Ask image-delivery whether it is alive."""
    if not services.settings.delivery_base_url:
        return Finding(State.WARNING, "There is no delivery service, so pages show no pictures.", "Set DELIVERY_URL.")
    status = await asyncio.to_thread(_status_of, f"{services.settings.delivery_base_url}/health/live")
    if status < 500:
        return Finding(State.OK, "image-delivery answers.")
    return Finding(State.FAILING, f"image-delivery answers with status {status}.", "See its logs.")


def _status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310 (a setting, checked as an HTTP URL)
            return int(answer.status)
    except HTTPError as error:
        return error.code


async def outbox(services: Services) -> Finding:
    """Check that Pub/Sub takes the events, by the age of the oldest that is not published."""
    seconds = await outbox_age_seconds(services.database)
    if seconds < _OUTBOX_WARNING_SECONDS:
        return Finding(State.OK, "Pub/Sub takes the events: none has waited for a minute.")
    state = State.WARNING if seconds < _OUTBOX_FAILING_SECONDS else State.FAILING
    found = f"The oldest event has waited for {seconds / 60:.0f} min to be published."
    return Finding(state, found, "See whether Pub/Sub is available, and whether image-tasks runs.")


async def processing(services: Services) -> Finding:
    """Count images that nobody moves on."""
    count, minutes = await queries.count_stuck(services.database), queries.STUCK_AFTER // timedelta(minutes=1)
    if not count:
        return Finding(State.OK, f"No image has been overdue for {minutes} min.")
    number = f"More than {queries.MOST_STUCK}" if count > queries.MOST_STUCK else str(count)
    found = f"{number} images have been overdue for {minutes} min or longer."
    return Finding(State.WARNING, found, "See whether image-processor and image-tasks run, and their logs.")


async def dead_letters(services: Services) -> Finding:
    """Count open dead letters, and the newest images that failed in every attempt."""
    waiting, count = await letters.count_open(services.database), await queries.count_exhausted(services.database)
    number = f"More than {letters.MOST_COUNTED}" if waiting > letters.MOST_COUNTED else str(waiting)
    found = (
        f"{number} dead letters are open. Of the newest {queries.NEWEST_IMAGES:,} images, {count} failed in every"
        " attempt."
    )
    if waiting:
        return Finding(State.WARNING, found, "Fix the cause, then publish them again or discard them.")
    if not count:
        return Finding(State.OK, found)
    return Finding(State.WARNING, found, "Search the logs for `image_failed`, and try these images again.")


async def audit_log(services: Services) -> Finding:
    """Check that the audit log is sealed, and that its chain was not found broken."""
    verification = await audit_events.newest_verification(services.database)
    if verification is not None and verification["action"] == VERIFICATION_FAILED:
        step = "Follow the recovery guide, “Somebody changed the audit log”."
        return Finding(State.FAILING, "The last verification found the chain of seals broken.", step)
    seal = await audit_events.newest_seal(services.database)
    _, oldest_at = await audit_events.count_unsealed(services.database, seal["last_position"] if seal else 0, 1)
    if oldest_at is None or datetime.now(UTC) - oldest_at < _UNSEALED_WARNING:
        return Finding(State.OK, "The audit log is sealed up to the last minutes.")
    found = "Events of the audit log wait to be sealed for longer than 15 min."
    return Finding(State.WARNING, found, "See whether image-tasks runs: its sweep seals the log.")


CHECKS: Mapping[str, Callable[[Services], Awaitable[Finding]]] = {
    "database": database,
    "schema": schema,
    "clock": clock,
    "storage": storage,
    "outbox": outbox,
    "processing": processing,
    "dead_letters": dead_letters,
    "delivery": delivery,
    "audit_log": audit_log,
}

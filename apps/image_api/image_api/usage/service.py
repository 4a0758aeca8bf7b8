"""The rules of usage and limits."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from image_api.actor import Actor
from image_api.settings import ApiSettings
from image_api.teams import service as teams
from image_api.usage import queries
from image_core import errors
from image_core.billing import storage_quota
from image_core.db import Runner

DEFAULT_DAYS = 30
MOST_DAYS = 92


async def find_usage(
    runner: Runner,
    actor: Actor,
    team_id: UUID | None,
    period: tuple[date | None, date | None],
    credential_id: UUID | None,
    *,
    by_key: bool,
) -> dict[str, Any]:
    """Return what a team used between two days: by default the last 30, up to today.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
        errors.RequestInvalid: The period ends before it begins, or is longer than 92 days.
    """
    owner_id = await teams.owning_team(runner, actor, team_id)
    last_day = period[1] or datetime.now(UTC).date()
    first_day = period[0] or last_day - timedelta(days=DEFAULT_DAYS - 1)
    _check_period(first_day, last_day)
    begin, end = (datetime.combine(day, time(), UTC) for day in (first_day, last_day + timedelta(days=1)))
    found = {
        "requests": await queries.requests(runner, owner_id, first_day, last_day, credential_id, by_key=by_key),
        "credits": await queries.credits(runner, owner_id, begin, end),
        "delivery": await queries.delivery(runner, owner_id, first_day, last_day),
    }
    rows = {name: [dict(row) for row in each] for name, each in found.items()}
    return {"team_id": owner_id, "first_day": first_day, "last_day": last_day, **rows}


def _check_period(first_day: date, last_day: date) -> None:
    if not first_day <= last_day < first_day + timedelta(days=MOST_DAYS):
        message = f"The period has to end after it begins, and within {MOST_DAYS} days."
        raise errors.invalid_fields([{"field": "last_day", "code": "period", "message": message}])


async def find_quotas(
    runner: Runner, actor: Actor, team_id: UUID | None, settings: ApiSettings
) -> tuple[UUID, dict[str, dict[str, int | None]]]:
    """Return a team, and what it uses of its quotas.

    Raises:
        errors.TeamNotFound, errors.TeamRequired.
    """
    owner_id = await teams.owning_team(runner, actor, team_id)
    stored = await storage_quota.find_usage(runner, owner_id, settings.default_quota)
    counts = await queries.counts(runner, owner_id)
    if stored is None or counts is None:
        raise errors.TeamNotFound
    return owner_id, {
        "storage_bytes": {"used": stored["used_bytes"], "limit": stored["quota_bytes"]},
        "images": {"used": stored["used_images"], "limit": stored["quota_images"]},
        "presets": {"used": counts["presets"], "limit": settings.presets_per_team},
        "collections": {"used": counts["collections"], "limit": settings.collections_per_team},
        "saved_searches": {"used": counts["saved_searches"], "limit": settings.saved_searches_per_team},
        "share_links": {"used": counts["share_links"], "limit": settings.share_links_per_team},
    }

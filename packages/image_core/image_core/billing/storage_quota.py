"""A team's storage quota: bytes and images, including its trash.

A trigger on `image` maintains the counter, and `storage_fits` checks it in the statement that adds a row; both are in
the migrations. This module reads it.
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Uuid, bindparam, case, func, literal_column, or_, select, update

from image_core import errors, events
from image_core.db import Query, Record, Runner, Transaction
from image_core.events import EventType
from image_core.models import storage_usage, team
from image_core.storage.sizes import format_size

LOW_PERCENT = 90
"""Percentage of a quota at which `quota.low` is sent."""


class StorageQuota(NamedTuple):
    """Maximum bytes and images of a team; null means no limit."""

    bytes: int | None
    images: int | None


_quota_bytes = func.coalesce(team.c.quota_bytes, bindparam("default_bytes", type_=BigInteger))
_quota_images = func.coalesce(team.c.quota_images, bindparam("default_images", type_=BigInteger))
_usage = Query(
    select(
        team.c.id.label("team_id"),
        func.coalesce(storage_usage.c.bytes, 0).label("used_bytes"),
        func.coalesce(storage_usage.c.images, 0).label("used_images"),
        _quota_bytes.label("quota_bytes"),
        _quota_images.label("quota_images"),
    )
    .outerjoin_from(team, storage_usage)
    .where(team.c.id == bindparam("owner_id", type_=Uuid))
)
_is_low = func.coalesce(
    or_(
        storage_usage.c.bytes * 100 >= _quota_bytes * LOW_PERCENT,
        storage_usage.c.images * 100 >= _quota_images * LOW_PERCENT,
    ),
    literal_column("false"),
)
_low_changes = Query(
    select(storage_usage.c.team_id)
    .join_from(storage_usage, team)
    .where(_is_low != storage_usage.c.low_told_at.is_not(None))
    .limit(bindparam("limit", type_=Integer))
)
_mark = Query(
    update(storage_usage)
    .where(
        storage_usage.c.team_id == bindparam("owner_id", type_=Uuid),
        team.c.id == storage_usage.c.team_id,
        _is_low != storage_usage.c.low_told_at.is_not(None),
    )
    .values(low_told_at=case((_is_low, func.now())))
    .returning(
        storage_usage.c.low_told_at.is_not(None).label("is_low"),
        storage_usage.c.bytes.label("used_bytes"),
        storage_usage.c.images.label("used_images"),
        _quota_bytes.label("quota_bytes"),
        _quota_images.label("quota_images"),
    )
)


async def find_usage(runner: Runner, team_id: UUID, default: StorageQuota) -> Record | None:
    """Return a team's usage and quota; None if the team does not exist."""
    return await runner.fetch_one(_usage, owner_id=team_id, default_bytes=default.bytes, default_images=default.images)


async def quota_exceeded(runner: Runner, team_id: UUID, default: StorageQuota) -> errors.StorageQuotaExceeded:
    """Return the error for an upload that exceeds the quota."""
    usage = await find_usage(runner, team_id, default)
    payload = {} if usage is None else {name: value for name, value in dict(usage).items() if name != "team_id"}
    reason = "" if usage is None else _reason(usage)
    return errors.StorageQuotaExceeded(
        f"Storage quota exceeded{reason}. Purge images, or ask an admin to raise the quota.", **payload
    )


def _reason(usage: Record) -> str:
    """Return the limits and the usage of each quota that is set, with a colon before them."""
    limits, used = [], []
    if usage["quota_bytes"] is not None:
        limits.append(format_size(usage["quota_bytes"]))
        used.append(format_size(usage["used_bytes"]))
    if usage["quota_images"] is not None:
        limits.append(f"{usage['quota_images']} images")
        used.append(f"{usage['used_images']} images")
    return f": the limit is {' and '.join(limits)}, and the team stores {' and '.join(used)}" if limits else ""


async def find_low_storage_changes(runner: Runner, default: StorageQuota, limit: int) -> list[UUID]:
    """Return teams that crossed the low-storage mark since the last check, in either direction."""
    rows = await runner.fetch(_low_changes, default_bytes=default.bytes, default_images=default.images, limit=limit)
    return [row["team_id"] for row in rows]


async def record_if_low(transaction: Transaction, team_id: UUID, default: StorageQuota) -> None:
    """Record `quota.low` once when storage runs low, and again only after usage has fallen below the mark."""
    row = await transaction.fetch_one(
        _mark, owner_id=team_id, default_bytes=default.bytes, default_images=default.images
    )
    if row is not None and row["is_low"]:
        payload = {"quota": "storage", **{name: value for name, value in dict(row).items() if name != "is_low"}}
        await events.record(transaction, events.team_event(EventType.QUOTA_LOW, team_id, payload))

"""Notification of teams that approach their monthly limit of delivered bytes."""

from sqlalchemy import BigInteger, Date, Integer, bindparam, func, literal_column, select, update

from image_api.tasks.parts import TaskParts
from image_api.tasks.runner import BATCH, Budget, in_transactions
from image_core import events, telemetry
from image_core.db import Query, Transaction
from image_core.events import EventType
from image_core.models import delivery_usage

LOW_PERCENT = 80
"""Percentage of the monthly limit at which `delivery.quota_low` is sent."""
_month_start = func.date_trunc("month", func.timezone("utc", func.now())).cast(Date)
_days = (
    select(
        delivery_usage.c.team_id,
        delivery_usage.c.day,
        func.sum(delivery_usage.c.bytes)
        .over(partition_by=delivery_usage.c.team_id, order_by=delivery_usage.c.day)
        .label("bytes_so_far"),
        func.sum(delivery_usage.c.bytes).over(partition_by=delivery_usage.c.team_id).label("month_bytes"),
        func.count(delivery_usage.c.warned_at).over(partition_by=delivery_usage.c.team_id).label("warnings"),
    )
    .where(delivery_usage.c.day >= _month_start)
    .subquery()
)
_crossed = (
    select(
        _days.c.team_id,
        func.min(_days.c.day).label("day"),
        func.min(_days.c.month_bytes).cast(BigInteger).label("used_bytes"),
    )
    .where(
        _days.c.bytes_so_far * 100 >= bindparam("quota_bytes", type_=BigInteger) * literal_column(str(LOW_PERCENT)),
        _days.c.warnings == literal_column("0"),
    )
    .group_by(_days.c.team_id)
    .limit(bindparam("limit", type_=Integer))
    .subquery()
)
_mark = Query(
    update(delivery_usage)
    .where(
        delivery_usage.c.team_id == _crossed.c.team_id,
        delivery_usage.c.day == _crossed.c.day,
        # Checked again on the locked row: a concurrent sweep may have sent the warning.
        delivery_usage.c.warned_at.is_(None),
    )
    .values(warned_at=func.now())
    .returning(delivery_usage.c.team_id, delivery_usage.c.day, _crossed.c.used_bytes)
)


async def report_low_delivery(parts: TaskParts, budget: Budget) -> int:
    """Record `delivery.quota_low` once a month for each team that has used most of its delivered bytes."""
    quota_bytes = parts.settings.delivery_bytes_per_month
    if quota_bytes is None:
        return 0

    async def batch(transaction: Transaction) -> int:
        rows = await transaction.fetch(_mark, quota_bytes=quota_bytes, limit=BATCH)
        for row in rows:
            payload = {
                "month": f"{row['day']:%Y-%m}", "used_bytes": row["used_bytes"], "quota_bytes": quota_bytes,
            }  # fmt: skip
            telemetry.log("delivery_quota_low", team_id=row["team_id"], used_bytes=row["used_bytes"])
            await events.record(transaction, events.team_event(EventType.DELIVERY_QUOTA_LOW, row["team_id"], payload))
        return len(rows)

    reported, _ = await in_transactions(parts, budget, batch, BATCH)
    return reported

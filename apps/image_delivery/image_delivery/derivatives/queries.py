"""The SQL of renditions and of what teams use."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Date, Integer, Text, Uuid, and_, bindparam, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from image_core.db import Query, Runner, Transaction
from image_core.models import delivery_usage, rendition, team

_transforms = and_(rendition.c.image_id == bindparam("of_image_id"), rendition.c.preset.is_(None), ~rendition.c.eager)
_evict = Query(
    delete(rendition)
    .where(
        rendition.c.id.in_(
            select(rendition.c.id)
            .where(_transforms)
            .order_by(rendition.c.last_used_on.desc(), rendition.c.created_at.desc(), rendition.c.id.desc())
            .offset(bindparam("most", type_=Integer))
        )
    )
    .returning(rendition.c.object_name)
)
_COUNTS = ("requests", "bytes", "exact_makes", "open_makes")
_counted = func.unnest(
    *(
        bindparam(f"of_{name}", type_=ARRAY(delivery_usage.c[name].type))
        for name in ("team_id", "day", *_COUNTS)
    )
).table_valued("team_id", "day", *_COUNTS).render_derived()  # fmt: skip
_new_counts = insert(delivery_usage).from_select(
    ["team_id", "day", *_COUNTS],
    # A team that was removed meanwhile has no usage any more.
    select(*_counted.c).where(_counted.c.team_id.in_(select(team.c.id))),
)
_add_usage = Query(
    _new_counts.on_conflict_do_update(
        index_elements=["team_id", "day"],
        set_={name: delivery_usage.c[name] + _new_counts.excluded[name] for name in _COUNTS},
    )
)
_note_uses = Query(
    update(rendition)
    .where(
        rendition.c.object_name == func.any(bindparam("names", type_=ARRAY(Text))),
        rendition.c.last_used_on < func.current_date(),
    )
    .values(last_used_on=func.current_date())
)
_is_today = delivery_usage.c.day == bindparam("today", type_=Date)
_usage = Query(
    select(
        delivery_usage.c.team_id, cast(func.sum(delivery_usage.c.bytes), BigInteger),
        *(
            cast(func.coalesce(func.sum(delivery_usage.c[name]).filter(_is_today), 0), BigInteger)
            for name in ("exact_makes", "open_makes")
        ),
    )
    .where(
        delivery_usage.c.team_id == func.any(bindparam("team_ids", type_=ARRAY(Uuid))),
        delivery_usage.c.day.between(bindparam("month", type_=Date), bindparam("today", type_=Date)),
    )
    .group_by(delivery_usage.c.team_id)
)  # fmt: skip


class Usage(NamedTuple):
    """What a team has used: bytes in this month, makes today."""

    month_bytes: int = 0
    exact_makes: int = 0
    open_makes: int = 0


async def add_usage(runner: Runner, counted: Sequence[tuple[UUID, date, int, int, int, int]]) -> None:
    """Add counts: team, day, requests, bytes, makes for exact grants, makes for open ones."""
    columns = zip(*counted, strict=True)
    names = ("team_id", "day", *_COUNTS)
    await runner.execute(
        _add_usage, **{f"of_{name}": list(column) for name, column in zip(names, columns, strict=True)}
    )


async def note_uses(runner: Runner, object_names: Sequence[str]) -> None:
    """Note that renditions were used today."""
    await runner.execute(_note_uses, names=list(object_names))


async def usage_of(runner: Runner, team_ids: Collection[UUID], today: date) -> dict[UUID, Usage]:
    """Return what teams have used; one that has used nothing is left out."""
    rows = await runner.fetch(_usage, team_ids=list(team_ids), today=today, month=today.replace(day=1))
    return {row[0]: Usage(row[1], row[2], row[3]) for row in rows}


async def evict_transforms(transaction: Transaction, image_id: UUID, most: int) -> list[str]:
    """Remove the transforms of an image that were used least recently beyond a number; return their objects."""
    rows = await transaction.fetch(_evict, of_image_id=image_id, most=most)
    return [row[0] for row in rows]

"""Requests of teams by day, key and operation: counted in memory, and written once a minute.

Counts are approximate: those of a minute go with an instance that is killed.
"""

import time
from collections import Counter
from datetime import UTC, date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from image_api.actor import Actor
from image_core import errors, telemetry
from image_core.db import Database, Query
from image_core.models import request_usage, team

FLUSH_SECONDS = 60.0
_MOST_KEPT = 50_000
_KEY = ("team_id", "day", "credential_id", "operation")
_COUNTS = ("requests", "failed")
_counted = func.unnest(
    *(bindparam(f"of_{name}", type_=ARRAY(request_usage.c[name].type)) for name in (*_KEY, *_COUNTS))
).table_valued(*_KEY, *_COUNTS, name="counted").render_derived()  # fmt: skip
_new = insert(request_usage).from_select(
    [*_KEY, *_COUNTS],
    # A team that was removed meanwhile has no usage any more. Sorted, so that instances do not wait in a circle.
    select(*_counted.c).where(_counted.c.team_id.in_(select(team.c.id))).order_by(*(_counted.c[name] for name in _KEY)),
)
_add = Query(
    _new.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: request_usage.c[name] + _new.excluded[name] for name in _COUNTS}
    )
)


class _Key(NamedTuple):
    team_id: UUID
    day: date
    credential_id: UUID | None
    operation: str


class RequestCounts:
    """What this instance has counted since it last wrote."""

    def __init__(self) -> None:
        self._requests: Counter[_Key] = Counter()
        self._failed: Counter[_Key] = Counter()

    def count(self, actor: Actor, operation: str, *, failed: bool) -> None:
        """Count a request of a team's member, and whether it was refused or failed."""
        if actor.team_id is None or len(self._requests) >= _MOST_KEPT:
            return
        today = datetime.fromtimestamp(time.time(), UTC).date()
        key = _Key(actor.team_id, today, actor.credential_id, operation)
        self._requests[key] += 1
        if failed:
            self._failed[key] += 1

    async def flush(self, database: Database) -> None:
        """Write what was counted. What cannot be written is kept for the next time."""
        requests, failed = self._requests, self._failed
        if not requests:
            return
        self._requests, self._failed = Counter(), Counter()
        columns = zip(*((*key, number, failed[key]) for key, number in requests.items()), strict=True)
        values = {f"of_{name}": list(column) for name, column in zip((*_KEY, *_COUNTS), columns, strict=True)}
        try:
            await database.execute(_add, **values)
        except errors.DatabaseUnavailable:
            telemetry.log("request_counts_not_written", severity="WARNING", counts=len(requests))
            self._requests.update(requests)
            self._failed.update(failed)

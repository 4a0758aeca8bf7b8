"""The audit log: one row per change, written in its transaction, and a hash chain over the rows.

`docs/audit.md` describes how to recompute the chain: the export consists of the rows' canonical lines.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, Text, bindparam, cast, insert, select

from image_core import telemetry
from image_core.db import Query, Record, Transaction, to_json
from image_core.ids import new_id
from image_core.models import audit_event

FIRST_PREVIOUS_HASH = bytes(32)
VERIFICATION_ID = UUID("00000000-0000-7000-8000-000000000003")
"""The target of the events that record a verification of the whole chain, by which the newest one is found."""
VERIFIED, VERIFICATION_FAILED = "audit.verified", "audit.verification_failed"
LOG_EVENT, SEALED_LOG_EVENT, PRUNED_LOG_EVENT = "audit", "audit_sealed", "audit_pruned"

_insert = Query(
    insert(audit_event).values(
        {
            name: bindparam(name, type_=audit_event.c[name].type)
            for name in (
                "id", "team_id", "actor_user_id", "credential_id", "session_id", "action", "target_type", "target_id",
                "before", "after", "request_id", "address",
            )
        }
    )
)  # fmt: skip

LINE_COLUMNS = (
    *(column for column in audit_event.c if column.name not in ("before", "after")),
    cast(audit_event.c.before, Text).label("before"),
    cast(audit_event.c.after, Text).label("after"),
)
"""The columns that `line` takes: all of them, with JSON as PostgreSQL prints it."""

# SQLAlchemy's column names are a subclass of str that orjson does not accept.
_NAMES = tuple(str(column.name) for column in LINE_COLUMNS)

after_position = Query(
    select(*LINE_COLUMNS)
    .where(audit_event.c.position > bindparam("after"), audit_event.c.position <= bindparam("through"))
    .order_by(audit_event.c.position)
    .limit(bindparam("limit"))
)
"""One batch of a span's rows, ordered by position."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change: action, target and actor. `before` and `after` hold no secret and no value of an image's metadata.

    Without an actor the change was made by the system itself, or by a caller that needs no credentials.
    """

    action: str
    target_type: str
    target_id: UUID | None = None
    team_id: UUID | None = None
    actor_user_id: UUID | None = None
    credential_id: UUID | None = None
    session_id: UUID | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


async def write(transaction: Transaction, event: AuditEvent) -> None:
    """Insert the event with the request's id and address; log its ids after the commit."""
    context = telemetry.current_request.get()
    ids: dict[str, Any] = {
        "team_id": event.team_id,
        "actor_user_id": event.actor_user_id,
        "credential_id": event.credential_id,
        "session_id": event.session_id,
        "target_id": event.target_id,
    }
    event_id = new_id()
    await transaction.execute(
        _insert,
        id=event_id,
        action=event.action,
        target_type=event.target_type,
        before=None if event.before is None else to_json(event.before),
        after=None if event.after is None else to_json(event.after),
        request_id=(context.request_id or None) if context else None,
        address=context.address if context else None,
        **ids,
    )

    def log_event() -> None:
        telemetry.log(LOG_EVENT, audit_event_id=event_id, action=event.action, target_type=event.target_type, **ids)

    transaction.on_commit.append(log_event)


def line(row: Record | RowMapping) -> bytes:
    """Return a row's canonical line: its columns as JSON with sorted keys, no spaces, UTF-8, and a final newline.

    Numbers inside `before` and `after` stay as PostgreSQL prints them.
    """
    columns = {name: row[name] for name in _NAMES}
    for name in ("before", "after"):
        if columns[name] is not None:
            columns[name] = json.loads(columns[name], parse_int=_verbatim, parse_float=_verbatim)
    columns["created_at"] = _moment(columns["created_at"])
    # asyncpg has its own subclass of UUID.
    return orjson.dumps(columns, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _verbatim(number: str) -> orjson.Fragment:
    return orjson.Fragment(number)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Seal:
    """One link of the chain: the rows after `after_position`, up to and including `last_position`."""

    number: int
    previous_hash: bytes
    after_position: int
    last_position: int
    row_count: int
    rows_hash: bytes
    created_at: datetime

    @property
    def hash(self) -> bytes:
        """SHA-256 over the seal's canonical line, without the newline."""
        columns = {
            "number": self.number,
            "previous_hash": self.previous_hash.hex(),
            "after_position": self.after_position,
            "last_position": self.last_position,
            "row_count": self.row_count,
            "rows_hash": self.rows_hash.hex(),
            "created_at": _moment(self.created_at),
        }
        return hashlib.sha256(orjson.dumps(columns, option=orjson.OPT_SORT_KEYS)).digest()


class RowsHash:
    """SHA-256 over the canonical lines of a span, computed incrementally."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.row_count = 0
        self.last_position: int | None = None

    def add(self, rows: Iterable[Record | RowMapping]) -> None:
        """Add rows in the order of their positions."""
        for row in rows:
            self._hash.update(line(row))
            self.row_count += 1
            self.last_position = row["position"]

    def digest(self) -> bytes:
        """Return the hash of all rows added so far."""
        return self._hash.digest()

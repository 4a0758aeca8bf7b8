"""Checking and pruning of the audit log's chain of seals, for the schema's owner."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Row, delete, exists, func, insert, select, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from image_core.audit.events import (
    FIRST_PREVIOUS_HASH,
    LINE_COLUMNS,
    VERIFICATION_FAILED,
    VERIFICATION_ID,
    VERIFIED,
    RowsHash,
    Seal,
)
from image_core.ids import new_id
from image_core.models import audit_checkpoint, audit_event, audit_seal
from image_core.telemetry import log

_BATCH = 1000
_PRUNE_LOCK = 0x7072756E65  # "prune"


class ChainBroken(Exception):
    """The chain is broken at the seal `number`."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"Seal {number}: {reason}")
        self.number, self.reason = number, reason


@dataclass(frozen=True)
class ChainReport:
    """The extent of an intact chain; `newest_seal` is `number:hash`, or null if nothing is sealed."""

    seals: int
    rows: int
    unsealed_rows: int
    newest_seal: str | None


@dataclass(frozen=True)
class Link:
    """The seal that the next one must continue."""

    number: int
    hash: bytes
    last_position: int


@dataclass(frozen=True)
class ExpectedSeal:
    """A seal whose hash is known from another source."""

    number: int
    hash: bytes

    @classmethod
    def parse(cls, value: str) -> "ExpectedSeal":
        """Parse `number:hash`.

        Raises:
            ValueError: The text is malformed.
        """
        number, _, digest = value.partition(":")
        expected = cls(int(number), bytes.fromhex(digest))
        if expected.number < 1 or len(expected.hash) != hashlib.sha256().digest_size:
            raise ValueError(value)
        return expected


def check_chain(connection: Connection, expected: ExpectedSeal | None = None) -> ChainReport:
    """Recompute all seals in one snapshot.

    Raises:
        ChainBroken: A seal does not match; the error names the first one.
    """
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    link = _chain_start(connection)
    if expected is not None:
        _check_expected(link, expected)
    if connection.execute(select(exists().where(audit_event.c.position <= link.last_position))).scalar_one():
        raise ChainBroken(link.number + 1, "there are rows before the start of the chain")
    seals = rows = 0
    for row in _seals_after(connection, link.number):
        link = _verify_seal(connection, link, row)
        if expected is not None:
            _check_expected(link, expected)
        seals, rows = seals + 1, rows + row.row_count
    if expected is not None and expected.number > link.number:
        raise ChainBroken(link.number + 1, f"the chain is cut off before seal {expected.number}")
    unsealed = connection.execute(
        select(func.count()).select_from(audit_event).where(audit_event.c.position > link.last_position)
    ).scalar_one()
    return ChainReport(seals, rows, unsealed, f"{link.number}:{link.hash.hex()}" if link.number else None)


def verify(engine: Engine, expected: ExpectedSeal | None = None) -> ChainReport | ChainBroken:
    """Recompute all seals, and record the result in the log for those who have no right to recompute it."""
    result: ChainReport | ChainBroken
    with engine.connect() as connection:
        try:
            result = check_chain(connection, expected)
        except ChainBroken as broken:
            result = broken
    if isinstance(result, ChainBroken):
        action, after = VERIFICATION_FAILED, {"seal": result.number, "reason": result.reason}
    else:
        action, after = VERIFIED, vars(result)
    values = {"id": new_id(), "action": action, "target_type": "audit_log", "target_id": VERIFICATION_ID}
    try:
        with engine.begin() as connection:
            connection.execute(insert(audit_event).values(after=after, **values))
    except DBAPIError:
        # A copy that nobody may write to can be verified as well.
        log("audit_verification_not_recorded", severity="WARNING")
    return result


def _chain_start(connection: Connection) -> Link:
    found = connection.execute(select(audit_checkpoint).order_by(audit_checkpoint.c.number.desc())).first()
    if found is None:
        return Link(0, FIRST_PREVIOUS_HASH, 0)
    return Link(found.number, bytes(found.hash), found.last_position)


def _check_expected(link: Link, expected: ExpectedSeal) -> None:
    if link.number == expected.number and link.hash != expected.hash:
        raise ChainBroken(link.number, "its hash differs from the expected one")


def _seals_after(connection: Connection, number: int) -> Iterator[Row]:  # type: ignore[type-arg]
    while batch := connection.execute(
        select(audit_seal).where(audit_seal.c.number > number).order_by(audit_seal.c.number).limit(_BATCH)
    ).all():
        yield from batch
        number = batch[-1].number


def _verify_seal(connection: Connection, link: Link, row: Row) -> Link:  # type: ignore[type-arg]
    """Return the link that follows after checking a seal.

    Raises:
        ChainBroken: The seal does not match.
    """
    number = link.number + 1
    if row.number != number:
        raise ChainBroken(number, "it is missing")
    if bytes(row.previous_hash) != link.hash or row.after_position != link.last_position:
        raise ChainBroken(number, "it does not continue the previous seal")
    seal = Seal(
        row.number, bytes(row.previous_hash), row.after_position, row.last_position, row.row_count,
        bytes(row.rows_hash), row.created_at,
    )  # fmt: skip
    if seal.hash != bytes(row.hash):
        raise ChainBroken(number, "the seal itself was changed")
    span_hash = _hash_of_rows(connection, row.after_position, row.last_position)
    if span_hash.row_count != row.row_count:
        change = "removed" if span_hash.row_count < row.row_count else "added"
        raise ChainBroken(number, f"rows were {change}: {row.row_count} were sealed, {span_hash.row_count} exist")
    if span_hash.digest() != seal.rows_hash:
        raise ChainBroken(number, "a row was changed")
    return Link(number, seal.hash, row.last_position)


def _hash_of_rows(connection: Connection, after: int, through: int) -> RowsHash:
    span_hash = RowsHash()
    span = select(*LINE_COLUMNS).where(audit_event.c.position <= through).order_by(audit_event.c.position)
    while batch := (
        connection.execute(span.where(audit_event.c.position > (span_hash.last_position or after)).limit(_BATCH))
        .mappings()
        .all()
    ):
        span_hash.add(batch)
    return span_hash


@dataclass(frozen=True)
class PruneReport:
    """What was pruned; the seal `number` with its `hash` is the checkpoint at which the chain now starts."""

    number: int
    hash: str
    seals: int
    rows: int


def prune(connection: Connection, retention: timedelta) -> PruneReport | None:
    """Remove spans that were sealed before the retention, except the newest, and write a checkpoint.

    The removed part is checked first, so that pruning cannot hide a manipulation. Return None if nothing is old enough.

    Raises:
        ChainBroken: The part to be removed does not match its seals.
    """
    connection.execute(select(func.pg_advisory_xact_lock(_PRUNE_LOCK)))
    newest = select(func.max(audit_seal.c.number)).scalar_subquery()
    last = connection.execute(
        select(func.max(audit_seal.c.number)).where(
            audit_seal.c.created_at < func.now() - retention, audit_seal.c.number < newest
        )
    ).scalar_one_or_none()
    if last is None:
        return None
    link = _chain_start(connection)
    for row in _seals_after(connection, link.number):
        if row.number > last:
            break
        link = _verify_seal(connection, link, row)
    connection.execute(text("SET LOCAL image_manager.audit_prune = 'on'"))
    connection.execute(
        insert(audit_checkpoint).values(number=link.number, hash=link.hash, last_position=link.last_position)
    )
    rows = connection.execute(delete(audit_event).where(audit_event.c.position <= link.last_position)).rowcount
    seals = connection.execute(delete(audit_seal).where(audit_seal.c.number <= link.number)).rowcount
    connection.execute(text("SET LOCAL image_manager.audit_prune = 'off'"))
    pruned = PruneReport(link.number, link.hash.hex(), seals, rows)
    connection.execute(
        insert(audit_event).values(id=new_id(), action="audit.pruned", target_type="audit_log", after=vars(pruned))
    )
    return pruned


def as_json(report: ChainReport | PruneReport, **more: object) -> str:
    """Return a report as one line of JSON, which log collectors parse into fields."""
    return json.dumps({**more, **vars(report)})

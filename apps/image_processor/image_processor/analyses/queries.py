"""The SQL of analyses: claim, end, release, and what the sweep finds left behind."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from image_core.db import Record, Runner, Transaction
from image_core.ids import new_id
from image_core.models import HOLDS_BYTES_CLAUSE, analysis, image
from image_core.states import MOST_PATIENCE, AnalysisStatus

_EXHAUSTED: dict[str, Any] = {
    "failure_code": "analysis-attempts-exhausted",
    "failure_message": "The analysis was tried several times and did not come through.",
}


class Source(NamedTuple):
    """An object that holds the bytes."""

    object_name: str
    generation: int


class AnalysisClaim(NamedTuple):
    """The right to finish one analysis. `parameters` is JSON."""

    analysis_id: UUID
    team_id: UUID
    sha256: bytes
    analyzer: str
    version: str
    parameters: str
    scratch: Source | None
    reservation_id: UUID | None
    trace_parent: str | None
    token: UUID


def _claimable() -> ColumnElement[bool]:
    lapsed = and_(analysis.c.status == AnalysisStatus.RUNNING, analysis.c.lease_expires_at < func.now())
    return or_(analysis.c.status == AnalysisStatus.REQUESTED, lapsed)


async def find_status(runner: Runner, analysis_id: UUID) -> str | None:
    """Where an analysis stands; None where there is none."""
    status: str | None = await runner.fetch_value(select(analysis.c.status).where(analysis.c.id == analysis_id))
    return status


async def claim(
    transaction: Transaction, analysis_id: UUID, max_attempts: int, lease: timedelta
) -> AnalysisClaim | None:
    """One UPDATE decides who runs an analysis; None if it is not ours to take."""
    token = new_id()
    row = await transaction.fetch_one(
        update(analysis)
        .where(analysis.c.id == analysis_id, analysis.c.attempts < max_attempts, _claimable())
        .values(
            status=AnalysisStatus.RUNNING, claim_token=token, lease_expires_at=func.now() + lease,
            attempts=analysis.c.attempts + 1, updated_at=func.now(),
        )
        .returning(
            analysis.c.team_id, analysis.c.sha256, analysis.c.analyzer, analysis.c.version, analysis.c.parameters,
            analysis.c.scratch_object, analysis.c.scratch_generation, analysis.c.reservation_id,
            analysis.c.trace_parent,
        )
    )  # fmt: skip
    if row is None:
        return None
    scratch = None if row["scratch_object"] is None else Source(row["scratch_object"], row["scratch_generation"])
    return AnalysisClaim(
        analysis_id, row["team_id"], row["sha256"], row["analyzer"], row["version"], row["parameters"], scratch,
        row["reservation_id"], row["trace_parent"], token,
    )  # fmt: skip


async def find_source(runner: Runner, team_id: UUID, sha256: bytes) -> Source | None:
    """The original with these bytes: of a living image of the team, or of one in its trash."""
    row = await runner.fetch_one(
        select(image.c.object_name, image.c.generation)
        .where(image.c.team_id == team_id, image.c.sha256 == sha256)
        .where(HOLDS_BYTES_CLAUSE, image.c.purge_marked_at.is_(None))
        .order_by(image.c.deleted_at.desc().nulls_first())
        .limit(1)
    )  # fmt: skip
    return None if row is None else Source(row["object_name"], row["generation"])


async def _move(transaction: Transaction, claimed: AnalysisClaim, status: AnalysisStatus, **values: Any) -> bool:
    moved = await transaction.execute(
        update(analysis)
        .where(
            analysis.c.id == claimed.analysis_id,
            analysis.c.claim_token == claimed.token,
            analysis.c.status == AnalysisStatus.RUNNING,
        )
        .values(status=status, claim_token=None, lease_expires_at=None, updated_at=func.now(), **values)
    )
    return moved == 1


async def finish(transaction: Transaction, claimed: AnalysisClaim, result: str) -> bool:
    """Running → done, with the result as JSON; false if the claim was lost."""
    return await _move(transaction, claimed, AnalysisStatus.DONE, result=result, analyzed_at=func.now())


async def fail(transaction: Transaction, claimed: AnalysisClaim, code: str, message: str) -> bool:
    """Running → failed, for good; false if the claim was lost."""
    return await _move(transaction, claimed, AnalysisStatus.FAILED, failure_code=code, failure_message=message)


async def release(transaction: Transaction, claimed: AnalysisClaim, *, counted: bool) -> bool:
    """Running → requested: the push will come again. The attempt counts if that is said, or after a day."""
    attempts: Any = analysis.c.attempts
    if not counted:
        young = analysis.c.created_at > func.now() - MOST_PATIENCE
        attempts = case((young, analysis.c.attempts - 1), else_=analysis.c.attempts)
    return await _move(transaction, claimed, AnalysisStatus.REQUESTED, queued_at=func.now(), attempts=attempts)


async def fail_exhausted(transaction: Transaction, analysis_id: UUID, max_attempts: int) -> Record | None:
    """Requested, or running with a lease that ran out → failed, because no attempt is left."""
    return await transaction.fetch_one(
        update(analysis)
        .where(analysis.c.id == analysis_id, analysis.c.attempts >= max_attempts, _claimable())
        .values(
            status=AnalysisStatus.FAILED, claim_token=None, lease_expires_at=None, updated_at=func.now(), **_EXHAUSTED
        )
        .returning(analysis.c.id, analysis.c.team_id, analysis.c.analyzer, analysis.c.reservation_id)
    )


async def is_known(runner: Runner, team_id: UUID, sha256: bytes, key: dict[str, Any]) -> bool:
    """Whether an analysis is done or under way."""
    same = (analysis.c[name] == value for name, value in key.items())
    held = exists().where(analysis.c.team_id == team_id, analysis.c.sha256 == sha256, analysis.c.status != "failed")
    return bool(await runner.fetch_value(select(held.where(*same))))


async def add_requested(
    transaction: Transaction, team_id: UUID, sha256: bytes, values: dict[str, Any], reservation_id: UUID | None
) -> UUID | None:
    """Inserts a request that comes with an image; None where the team has it already."""
    analysis_id = new_id()
    statement = (
        insert(analysis)
        .values(
            id=analysis_id, team_id=team_id, sha256=sha256, reservation_id=reservation_id, queued_at=func.now(),
            **values,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
    return analysis_id if await transaction.execute(statement) == 1 else None


async def add_finished(
    transaction: Transaction, team_id: UUID, sha256: bytes, values: dict[str, Any], reservation_id: UUID | None
) -> UUID | None:
    """Inserts a result that came with the processing of an image; None where the team has it already."""
    analysis_id = new_id()
    statement = (
        insert(analysis)
        .values(
            id=analysis_id, team_id=team_id, sha256=sha256, status=AnalysisStatus.DONE, analyzed_at=func.now(),
            reservation_id=reservation_id, **values,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
    return analysis_id if await transaction.execute(statement) == 1 else None


async def remove(transaction: Transaction, analysis_id: UUID) -> None:
    """Delete an analysis that was added in this transaction."""
    await transaction.execute(delete(analysis).where(analysis.c.id == analysis_id))


# --- The sweep ----------------------------------------------------------------------------------------------------


def _waiting(lease: timedelta) -> ColumnElement[bool]:
    return or_(
        and_(analysis.c.status == AnalysisStatus.REQUESTED, analysis.c.queued_at < func.now() - lease),
        and_(analysis.c.status == AnalysisStatus.RUNNING, analysis.c.lease_expires_at < func.now()),
    )


def _picked(condition: ColumnElement[bool], most: int) -> ColumnElement[bool]:
    rows = select(analysis.c.id).where(condition).limit(most).with_for_update(skip_locked=True)
    return analysis.c.id.in_(rows.scalar_subquery())


async def requeue(transaction: Transaction, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Waiting for longer than a lease, with attempts left → requested, to be asked for again."""
    return await transaction.fetch(
        update(analysis)
        .where(_picked(and_(_waiting(lease), analysis.c.attempts < max_attempts), most))
        .values(
            status=AnalysisStatus.REQUESTED, claim_token=None, lease_expires_at=None, queued_at=func.now(),
            updated_at=func.now(),
        )
        .returning(analysis.c.id, analysis.c.team_id, analysis.c.trace_parent)
    )  # fmt: skip


async def fail_all_exhausted(transaction: Transaction, lease: timedelta, max_attempts: int, most: int) -> list[Record]:
    """Waiting, without attempts left → failed."""
    return await transaction.fetch(
        update(analysis)
        .where(_picked(and_(_waiting(lease), analysis.c.attempts >= max_attempts), most))
        .values(
            status=AnalysisStatus.FAILED, claim_token=None, lease_expires_at=None, updated_at=func.now(), **_EXHAUSTED
        )
        .returning(analysis.c.id, analysis.c.team_id, analysis.c.analyzer, analysis.c.reservation_id)
    )


async def remove_of_purged(transaction: Transaction, team_id: UUID, sha256: bytes) -> None:
    """Removes what is known of bytes that no image of the team holds any more."""
    held = exists().where(image.c.team_id == team_id, image.c.sha256 == sha256)
    await transaction.execute(delete(analysis).where(analysis.c.team_id == team_id, analysis.c.sha256 == sha256, ~held))

"""The SQL of analyses: claim, end, release."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from image_core.analyses import failures, transitions
from image_core.db import Record, Runner, Transaction
from image_core.ids import new_id
from image_core.models import HOLDS_BYTES_CLAUSE, analysis, image
from image_core.states import AnalysisStatus, Failure


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


async def find_status(runner: Runner, analysis_id: UUID) -> str | None:
    """Return the status of an analysis; None if it does not exist."""
    status: str | None = await runner.fetch_value(select(analysis.c.status).where(analysis.c.id == analysis_id))
    return status


async def claim(
    transaction: Transaction, analysis_id: UUID, max_attempts: int, lease: timedelta
) -> AnalysisClaim | None:
    """Claim an analysis; return None if it cannot be claimed. Only one caller can win."""
    token = new_id()
    row = await transaction.fetch_one(
        transitions.claim(analysis_id, token, max_attempts, lease)
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
    """Find the original with these bytes: of an image of the team, preferably outside the trash."""
    row = await runner.fetch_one(
        select(image.c.object_name, image.c.generation)
        .where(image.c.team_id == team_id, image.c.sha256 == sha256)
        .where(HOLDS_BYTES_CLAUSE, image.c.purge_marked_at.is_(None))
        .order_by(image.c.deleted_at.desc().nulls_first())
        .limit(1)
    )  # fmt: skip
    return None if row is None else Source(row["object_name"], row["generation"])


async def finish(transaction: Transaction, claimed: AnalysisClaim, result: str) -> bool:
    """Store the result as JSON and end the analysis; return False if the claim was lost."""
    return await transaction.execute(transitions.finish(claimed.analysis_id, claimed.token, result)) == 1


async def fail(transaction: Transaction, claimed: AnalysisClaim, failure: Failure) -> bool:
    """Fail an analysis permanently; return False if the claim was lost."""
    return await transaction.execute(transitions.fail(claimed.analysis_id, claimed.token, failure)) == 1


async def release(transaction: Transaction, claimed: AnalysisClaim, *, counted: bool) -> bool:
    """Release a claim, because the message will be pushed again; return False if the claim was lost."""
    released = transitions.release(claimed.analysis_id, claimed.token, counted=counted)
    return await transaction.execute(released) == 1


async def give_up(transaction: Transaction, analysis_id: UUID, max_attempts: int) -> Record | None:
    """Give up an analysis without attempts left; return None if it has some, or if a job works on it."""
    ended = transitions.give_up(analysis_id, max_attempts)
    return await transaction.fetch_one(ended.returning(*failures.COLUMNS))


async def is_known(runner: Runner, team_id: UUID, sha256: bytes, key: dict[str, Any]) -> bool:
    """Return whether an analysis is done or in progress."""
    matches = (analysis.c[name] == value for name, value in key.items())
    held = exists().where(
        analysis.c.team_id == team_id, analysis.c.sha256 == sha256, analysis.c.status != AnalysisStatus.FAILED
    )
    return bool(await runner.fetch_value(select(held.where(*matches))))


async def add_requested(
    transaction: Transaction, team_id: UUID, sha256: bytes, values: dict[str, Any], reservation_id: UUID | None
) -> UUID | None:
    """Insert a request that comes with an image; return None if the team has the analysis already."""
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
    """Insert a result that was computed while an image was processed; return None if the team has it already."""
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

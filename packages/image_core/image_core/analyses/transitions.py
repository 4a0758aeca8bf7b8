"""Every UPDATE of an analysis: one function per transition, with the states it may leave and who may run it.

Each function returns a statement, to which the caller may add a RETURNING clause.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Update, and_, case, func, or_, select, update

from image_core.models import analysis
from image_core.states import UNCOUNTED_RETRY_WINDOW, AnalysisStatus, Failure, Mover, made_by

EXHAUSTED = Failure("analysis-attempts-exhausted", "The analysis failed after several attempts.")

_lapsed = and_(analysis.c.status == AnalysisStatus.RUNNING, analysis.c.lease_expires_at < func.now())
_claimable = or_(analysis.c.status == AnalysisStatus.REQUESTED, _lapsed)


def _change(*conditions: ColumnElement[bool], **columns: Any) -> Update:
    return update(analysis).where(*conditions).values(updated_at=func.now(), **columns)


def _unclaim(*conditions: ColumnElement[bool], status: AnalysisStatus, **columns: Any) -> Update:
    return _change(*conditions, status=status, claim_token=None, lease_expires_at=None, **columns)


def _fail(*conditions: ColumnElement[bool], failure: Failure) -> Update:
    failed = {"failure_code": failure.code, "failure_message": failure.message}
    return _unclaim(*conditions, status=AnalysisStatus.FAILED, **failed)


def _unlocked(condition: ColumnElement[bool], limit: int) -> ColumnElement[bool]:
    """Restrict an UPDATE to a bounded number of rows that no other transaction has locked."""
    rows = select(analysis.c.id).where(condition).limit(limit).with_for_update(skip_locked=True)
    return analysis.c.id.in_(rows.scalar_subquery())


def _is_claimed(analysis_id: UUID, token: UUID) -> ColumnElement[bool]:
    claimed = and_(analysis.c.claim_token == token, analysis.c.status == AnalysisStatus.RUNNING)
    return and_(analysis.c.id == analysis_id, claimed)


def _is_waiting(lease: timedelta) -> ColumnElement[bool]:
    queued = and_(analysis.c.status == AnalysisStatus.REQUESTED, analysis.c.queued_at < func.now() - lease)
    return or_(queued, _lapsed)


@made_by(Mover.PROCESSOR)
def claim(analysis_id: UUID, token: UUID, max_attempts: int, lease: timedelta) -> Update:
    """Claim an analysis: requested, or running with an expired lease → running. Only one caller can win."""
    return _change(
        analysis.c.id == analysis_id, analysis.c.attempts < max_attempts, _claimable, status=AnalysisStatus.RUNNING,
        claim_token=token, lease_expires_at=func.now() + lease, attempts=analysis.c.attempts + 1,
    )  # fmt: skip


@made_by(Mover.PROCESSOR)
def finish(analysis_id: UUID, token: UUID, result: str) -> Update:
    """Finish a claimed analysis: running → done, with the result as JSON."""
    return _unclaim(
        _is_claimed(analysis_id, token), status=AnalysisStatus.DONE, result=result, analyzed_at=func.now()
    )  # fmt: skip


@made_by(Mover.PROCESSOR)
def fail(analysis_id: UUID, token: UUID, failure: Failure) -> Update:
    """Fail a claimed analysis permanently: running → failed."""
    return _fail(_is_claimed(analysis_id, token), failure=failure)


@made_by(Mover.PROCESSOR)
def release(analysis_id: UUID, token: UUID, *, counted: bool) -> Update:
    """Release a claimed analysis: running → requested.

    The attempt counts if `counted` is set, or if the analysis has been tried for more than a day.
    """
    attempts: Any = analysis.c.attempts
    if not counted:
        is_recent = analysis.c.created_at > func.now() - UNCOUNTED_RETRY_WINDOW
        attempts = case((is_recent, analysis.c.attempts - 1), else_=analysis.c.attempts)
    return _unclaim(
        _is_claimed(analysis_id, token), status=AnalysisStatus.REQUESTED, queued_at=func.now(), attempts=attempts
    )


@made_by(Mover.PROCESSOR)
def give_up(analysis_id: UUID, max_attempts: int) -> Update:
    """Give up an analysis without attempts left: requested, or running with an expired lease → failed."""
    return _fail(analysis.c.id == analysis_id, analysis.c.attempts >= max_attempts, _claimable, failure=EXHAUSTED)


@made_by(Mover.SWEEP)
def requeue(lease: timedelta, max_attempts: int, limit: int) -> Update:
    """Requeue analyses that have waited longer than a lease and have attempts left → requested."""
    waiting = and_(_is_waiting(lease), analysis.c.attempts < max_attempts)
    return _unclaim(_unlocked(waiting, limit), status=AnalysisStatus.REQUESTED, queued_at=func.now())


@made_by(Mover.SWEEP)
def give_up_waiting(lease: timedelta, max_attempts: int, limit: int) -> Update:
    """Give up analyses that have waited longer than a lease and have no attempts left → failed."""
    return _fail(_unlocked(and_(_is_waiting(lease), analysis.c.attempts >= max_attempts), limit), failure=EXHAUSTED)


@made_by(Mover.SWEEP)
def clear_requester(user_id: UUID, limit: int) -> Update:
    """Clear the requester of analyses whose requester is being removed."""
    return update(analysis).where(_unlocked(analysis.c.requested_by == user_id, limit)).values(requested_by=None)

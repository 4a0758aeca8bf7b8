"""Every UPDATE of an analysis, one function each, with the states that it may leave and who may run it.

A function returns a statement, which its caller may give a RETURNING.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Update, and_, case, func, or_, select, update

from image_core.models import analysis
from image_core.states import MOST_PATIENCE, AnalysisStatus, Failure, Mover, made_by

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


def _picked(condition: ColumnElement[bool], most: int) -> ColumnElement[bool]:
    """Restrict an UPDATE to a bounded number of rows that nobody else is working on."""
    rows = select(analysis.c.id).where(condition).limit(most).with_for_update(skip_locked=True)
    return analysis.c.id.in_(rows.scalar_subquery())


def _held(analysis_id: UUID, token: UUID) -> ColumnElement[bool]:
    claimed = and_(analysis.c.claim_token == token, analysis.c.status == AnalysisStatus.RUNNING)
    return and_(analysis.c.id == analysis_id, claimed)


def _waiting(lease: timedelta) -> ColumnElement[bool]:
    queued = and_(analysis.c.status == AnalysisStatus.REQUESTED, analysis.c.queued_at < func.now() - lease)
    return or_(queued, _lapsed)


@made_by(Mover.PROCESSOR)
def claim(analysis_id: UUID, token: UUID, max_attempts: int, lease: timedelta) -> Update:
    """requested, or running with a lease that ran out → running: the one UPDATE that decides who works."""
    return _change(
        analysis.c.id == analysis_id, analysis.c.attempts < max_attempts, _claimable, status=AnalysisStatus.RUNNING,
        claim_token=token, lease_expires_at=func.now() + lease, attempts=analysis.c.attempts + 1,
    )  # fmt: skip


@made_by(Mover.PROCESSOR)
def finish(analysis_id: UUID, token: UUID, result: str) -> Update:
    """Running → done, with the result as JSON, by whoever holds the claim."""
    return _unclaim(
        _held(analysis_id, token), status=AnalysisStatus.DONE, result=result, analyzed_at=func.now()
    )  # fmt: skip


@made_by(Mover.PROCESSOR)
def fail(analysis_id: UUID, token: UUID, failure: Failure) -> Update:
    """Running → failed, for good, by whoever holds the claim."""
    return _fail(_held(analysis_id, token), failure=failure)


@made_by(Mover.PROCESSOR)
def release(analysis_id: UUID, token: UUID, *, counted: bool) -> Update:
    """Running → requested, by whoever holds the claim. The attempt counts if that is said, or after a day of trying."""
    attempts: Any = analysis.c.attempts
    if not counted:
        young = analysis.c.created_at > func.now() - MOST_PATIENCE
        attempts = case((young, analysis.c.attempts - 1), else_=analysis.c.attempts)
    return _unclaim(_held(analysis_id, token), status=AnalysisStatus.REQUESTED, queued_at=func.now(), attempts=attempts)


@made_by(Mover.PROCESSOR)
def give_up(analysis_id: UUID, max_attempts: int) -> Update:
    """requested, or running with a lease that ran out → failed, because no attempt is left."""
    return _fail(analysis.c.id == analysis_id, analysis.c.attempts >= max_attempts, _claimable, failure=EXHAUSTED)


@made_by(Mover.SWEEP)
def requeue(lease: timedelta, max_attempts: int, most: int) -> Update:
    """Analyses that wait for longer than a lease, with attempts left → requested."""
    waiting = and_(_waiting(lease), analysis.c.attempts < max_attempts)
    return _unclaim(_picked(waiting, most), status=AnalysisStatus.REQUESTED, queued_at=func.now())


@made_by(Mover.SWEEP)
def give_up_waiting(lease: timedelta, max_attempts: int, most: int) -> Update:
    """Analyses that wait for longer than a lease, without attempts left → failed."""
    return _fail(_picked(and_(_waiting(lease), analysis.c.attempts >= max_attempts), most), failure=EXHAUSTED)


@made_by(Mover.SWEEP)
def forget_requester(user_id: UUID, most: int) -> Update:
    """Take a user who is being removed out of analyses."""
    return update(analysis).where(_picked(analysis.c.requested_by == user_id, most)).values(requested_by=None)

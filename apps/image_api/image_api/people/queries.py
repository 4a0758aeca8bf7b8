"""The SQL of people: accounts by e-mail address, sessions, invitations, resets, delays."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    and_,
    any_,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from image_api.http.pagination import Cursor, newest_first
from image_api.lookups.database_time import database_now
from image_core.db import Record, Runner, Transaction
from image_core.models import invitation, password_reset, session, sign_in_delay, user, user_disabled_at


async def find_by_email(runner: Runner, email: str) -> Record | None:
    """Return the user with this address, ignoring case."""
    columns = (column for column in user.c if column is not user.c.disabled_at)
    statement = select(*columns, user_disabled_at.label("disabled_at"))
    return await runner.fetch_one(statement.where(func.lower(user.c.email) == func.lower(email)))


async def find_user(runner: Runner, user_id: UUID) -> Record | None:
    """Return one user that is not being removed."""
    return await runner.fetch_one(select(user).where(user.c.id == user_id, user.c.deleting_at.is_(None)))


async def add_user(transaction: Transaction, values: dict[str, Any]) -> Record | None:
    """Insert a user and return it; return None if the address is taken."""
    statement = upsert(user).values(password_changed_at=func.now(), **values)
    return await transaction.fetch_one(
        statement.on_conflict_do_nothing(index_elements=[text("lower(email)")]).returning(user)
    )


async def set_password(transaction: Transaction, user_id: UUID, new_hash: str) -> None:
    """Set a user's password, which invalidates all password resets issued before."""
    await transaction.execute(
        update(user).where(user.c.id == user_id).values(password_hash=new_hash, password_changed_at=func.now())
    )
    await _end_resets(transaction, user_id)


async def lock_verified(transaction: Transaction, user_id: UUID, verified_hash: str) -> Record | None:
    """Return the user, locked, if its password is still the one that was verified."""
    statement = select(user).where(user.c.id == user_id, user.c.password_hash == verified_hash)
    return await transaction.fetch_one(statement.with_for_update())


async def replace_hash(transaction: Transaction, user_id: UUID, new_hash: str) -> None:
    """Store the same password under a new hash."""
    await transaction.execute(update(user).where(user.c.id == user_id).values(password_hash=new_hash))


# --- Sessions -----------------------------------------------------------------------------------------------------


async def add_session(transaction: Transaction, lifetime: timedelta, values: dict[str, Any]) -> Record | None:
    """Insert a session and return it."""
    return await transaction.fetch_one(
        insert(session).values(expires_at=func.now() + lifetime, **values).returning(session, database_now)
    )


def _is_live() -> ColumnElement[bool]:
    return and_(session.c.ended_at.is_(None), session.c.expires_at > func.now())


async def live_sessions(runner: Runner, user_id: UUID) -> list[Record]:
    """Return a user's sessions, newest first."""
    statement = select(session).where(session.c.user_id == user_id, _is_live())
    return await runner.fetch(statement.order_by(session.c.created_at.desc(), session.c.id.desc()).limit(200))


async def live_session(runner: Runner, session_id: UUID) -> Record | None:
    """Return one session."""
    return await runner.fetch_one(select(session, database_now).where(session.c.id == session_id, _is_live()))


async def end_sessions(
    transaction: Transaction, user_id: UUID, *, only_id: UUID | None = None, except_id: UUID | None = None
) -> int:
    """End a user's sessions: all of them, `only_id` one, or all `except_id` one; return how many were live."""
    statement = update(session).where(session.c.user_id == user_id, _is_live()).values(ended_at=func.now())
    if only_id is not None:
        statement = statement.where(session.c.id == only_id)
    if except_id is not None:
        statement = statement.where(session.c.id != except_id)
    return await transaction.execute(statement)


async def has_signed_in_from(runner: Runner, email: str, address: str) -> bool:
    """Return whether the account has had a session from this address."""
    statement = (
        select(func.count())
        .select_from(session)
        .join(user, user.c.id == session.c.user_id)
        .where(
            func.lower(user.c.email) == func.lower(email),
            session.c.address == address,
            # An API key does not prove the person.
            session.c.key_public_id.is_(None),
        )
    )
    return bool(await runner.fetch_value(statement))


# --- Invitations --------------------------------------------------------------------------------------------------

_INVITATION = [column for column in invitation.c if column.name != "token_hash"]


def _open_invitation(token_hash: bytes) -> ColumnElement[bool]:
    return and_(
        invitation.c.token_hash == token_hash,
        invitation.c.accepted_at.is_(None),
        invitation.c.revoked_at.is_(None),
        invitation.c.expires_at > func.now(),
    )


async def add_invitation(transaction: Transaction, lifetime: timedelta, values: dict[str, Any]) -> Record | None:
    """Insert an invitation into the team of `team_id` and return it."""
    statement = insert(invitation).values(expires_at=func.now() + lifetime, **values)
    return await transaction.fetch_one(statement.returning(*_INVITATION))


async def invitations(runner: Runner, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return a team's invitations, newest first."""
    statement = select(*_INVITATION).where(invitation.c.team_id == team_id)
    return await runner.fetch(newest_first(statement, invitation.c.created_at, invitation.c.id, cursor, limit))


async def find_invitation(runner: Runner, token_hash: bytes) -> Record | None:
    """Return the invitation of a token."""
    return await runner.fetch_one(select(*_INVITATION).where(_open_invitation(token_hash)))


async def accept_invitation(transaction: Transaction, token_hash: bytes) -> Record | None:
    """Mark the invitation of a token as accepted and return it; concurrent calls return it once."""
    statement = update(invitation).where(_open_invitation(token_hash)).values(accepted_at=func.now())
    return await transaction.fetch_one(statement.returning(*_INVITATION))


async def revoke_invitation(transaction: Transaction, team_id: UUID, invitation_id: UUID) -> int:
    """Revoke an open invitation; return how many there were."""
    return await transaction.execute(
        update(invitation)
        .where(
            invitation.c.id == invitation_id,
            invitation.c.team_id == team_id,
            invitation.c.accepted_at.is_(None),
            invitation.c.revoked_at.is_(None),
        )
        .values(revoked_at=func.now())
    )


# --- Password resets ----------------------------------------------------------------------------------------------


async def _end_resets(transaction: Transaction, user_id: UUID) -> None:
    is_open = and_(password_reset.c.user_id == user_id, password_reset.c.used_at.is_(None))
    await transaction.execute(update(password_reset).where(is_open).values(used_at=func.now()))


async def add_reset(transaction: Transaction, lifetime: timedelta, values: dict[str, Any]) -> Record | None:
    """Insert a reset, which invalidates the user's earlier ones, and return it."""
    await _end_resets(transaction, values["user_id"])
    statement = insert(password_reset).values(expires_at=func.now() + lifetime, **values)
    return await transaction.fetch_one(statement.returning(password_reset))


def _open_reset(token_hash: bytes) -> ColumnElement[bool]:
    return and_(
        password_reset.c.token_hash == token_hash,
        password_reset.c.used_at.is_(None),
        password_reset.c.expires_at > func.now(),
    )


async def user_of_reset(runner: Runner, token_hash: bytes) -> Record | None:
    """Return the user of a reset token."""
    return await runner.fetch_one(
        select(user).join(password_reset, password_reset.c.user_id == user.c.id).where(_open_reset(token_hash))
    )


async def use_reset(transaction: Transaction, token_hash: bytes) -> bool:
    """Mark a reset as used and return its user; concurrent calls return it once."""
    return bool(
        await transaction.execute(
            update(password_reset).where(_open_reset(token_hash)).values(used_at=func.now())
        )
    )  # fmt: skip


# --- Delays -------------------------------------------------------------------------------------------------------


async def count_failure(
    transaction: Transaction, subject: bytes, free: int, max_seconds: int, forgiven_seconds: int
) -> bool:
    """Count a failure unless the subject has to wait; return whether it was counted.

    After `free` failures the wait doubles from one second up to `max_seconds`; one failure is forgiven for every
    `forgiven_seconds` that pass.
    """
    table = sign_in_delay
    # By the clock when the row is locked: a transaction that began earlier may get the lock later, and must not wait
    # for the attempt before it.
    now = func.clock_timestamp()
    passed = func.extract("epoch", now - table.c.last_failed_at)
    failures = func.least(func.greatest(table.c.failures - func.floor(passed / forgiven_seconds), 0) + 1, 40)
    wait_seconds = func.least(func.power(2.0, failures - free), float(max_seconds))
    blocked_until = case((failures < free, now), else_=now + wait_seconds * text("interval '1 second'"))
    statement = (
        upsert(table)
        .values(subject=subject, failures=1, blocked_until=now, last_failed_at=now)
        .on_conflict_do_update(
            index_elements=[table.c.subject],
            set_={"failures": failures, "blocked_until": blocked_until, "last_failed_at": now},
            where=table.c.blocked_until <= now,
        )
    )
    return bool(await transaction.execute(statement))


def _one_of(subjects: list[bytes]) -> ColumnElement[bool]:
    return sign_in_delay.c.subject == any_(literal(subjects, ARRAY(LargeBinary)))


async def wait_seconds(transaction: Transaction, subjects: list[bytes]) -> float:
    """Return the seconds until none of the subjects has to wait."""
    longest = func.max(func.extract("epoch", sign_in_delay.c.blocked_until - func.now()))
    return float(await transaction.fetch_value(select(longest).where(_one_of(subjects))) or 0)


async def forget_failures(transaction: Transaction, subjects: list[bytes]) -> None:
    """Reset the failures of these subjects."""
    await transaction.execute(delete(sign_in_delay).where(_one_of(subjects)))


async def undo_failure(transaction: Transaction, subject: bytes) -> None:
    """Take back the last failure of a subject."""
    await transaction.execute(
        update(sign_in_delay)
        .where(sign_in_delay.c.subject == subject)
        .values(failures=func.greatest(sign_in_delay.c.failures - 1, 0), blocked_until=func.now())
    )

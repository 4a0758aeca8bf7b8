"""The rules of signing in, of sessions, and of signing out.

No connection is held while a password is hashed, so the transaction of a sign-in begins afterwards: these are the named
exceptions to the request's own transaction.
"""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import Actor
from image_api.people import delays, queries
from image_api.people.schemas import Login, Mode
from image_api.proofs import session_cookies
from image_api.proofs.session_cache import actor_of_user
from image_api.services import Services
from image_core import errors, events
from image_core.db import Record, Runner, Transaction
from image_core.ids import new_id
from image_core.telemetry import log

_AGENT_LENGTH = 200


class NewSession(NamedTuple):
    """A new session; `cookie` is its cookie's value, which is known only at this moment."""

    session: Record
    cookie: str | None


class IssuedToken(NamedTuple):
    """An access token of a session, with its lifetime in seconds."""

    token: str
    seconds: int
    session: Record


async def sign_in(services: Services, login: Login, address: str, user_agent: str) -> NewSession:
    """Start a session.

    Raises:
        errors.SignInFailed: Address or password is wrong. Response and work are the same if no account exists.
        errors.UserDisabled: The user of this key is disabled.
        errors.TooManySignIns: Too many attempts to sign in.
        errors.TokensNotConfigured: This deployment issues no access tokens.
        errors.SigningKeysUnavailable: The keys that sign access tokens cannot be read.
        errors.PasswordsBusy: Too many passwords are being checked at the moment.
    """
    if login.mode is Mode.TOKEN:
        await services.access_tokens.keys.signing_key()
    person = await verify_password(services, login.email, login.password.get_secret_value(), address)
    if person["disabled_at"] is not None:
        raise errors.UserDisabled("An admin has disabled this user. Ask an admin to enable it again.")
    new_hash = None
    if services.passwords.is_outdated(person["password_hash"]):
        new_hash = await services.passwords.hash(login.password.get_secret_value())
    session_id = new_id()
    cookie = session_cookies.generate(session_id) if login.mode is Mode.COOKIE else None
    values = {
        "id": session_id, "user_id": person["id"], "address": address, "user_agent": user_agent[:_AGENT_LENGTH],
        "token_hash": session_cookies.hash_value(cookie) if cookie else None,
    }  # fmt: skip
    async with events.committing(services.database, services.publisher) as transaction:
        await lock_verified_user(transaction, person)
        if new_hash is not None:
            await queries.replace_hash(transaction, person["id"], new_hash)
        session = await queries.add_session(transaction, timedelta(hours=services.settings.session_hours), values)
        await delays.forgive(transaction, login.email, address)
        await _record(transaction, actor_of_user(person, session_id), "session.started", session_id, mode=login.mode)
    return NewSession(_require_found(session), cookie)


async def verify_password(services: Services, email: str, password: str, address: str) -> Record:
    """Return the user with this address and password; the attempt counts as failed until it is forgiven.

    Raises:
        errors.SignInFailed: The e-mail address and the password do not match.
        errors.TooManySignIns: Too many attempts to sign in.
        errors.PasswordsBusy: Too many passwords are being checked at the moment.
    """
    await delays.count_attempt(services.database, email, address)
    person = await queries.find_by_email(services.database, email)
    right = await services.passwords.verify(password, person["password_hash"] if person else None)
    if person is None or not right:
        log("sign_in_refused", user_id=str(person["id"]) if person else None)
        raise errors.SignInFailed("E-mail address or password wrong. Check both, or ask an admin for a password reset.")
    return person


async def lock_verified_user(transaction: Transaction, person: Record) -> None:
    """Lock a verified user, whose password may have been changed in the meantime.

    Raises:
        errors.SignInFailed: The e-mail address and the password do not match.
    """
    if await queries.lock_verified(transaction, person["id"], person["password_hash"]) is None:
        raise errors.SignInFailed("The password has just been changed. Sign in with the new one.")


async def access_token(services: Services, session: Record) -> IssuedToken:
    """Issue an access token for a session.

    Raises:
        errors.TokensNotConfigured: This deployment issues no access tokens.
        errors.SigningKeysUnavailable: The keys that sign access tokens cannot be read.
    """
    token, seconds = await services.access_tokens.issue(
        session["id"], session["user_id"], session["now"], session["expires_at"]
    )
    return IssuedToken(token, seconds, session)


async def refresh(services: Services, actor: Actor) -> IssuedToken:
    """Issue another access token for the caller's session; a cookie session gets none, so that no page can extract it.

    Raises:
        errors.SessionEnded: The session has ended.
        errors.TokensNotConfigured: This deployment issues no access tokens.
        errors.SigningKeysUnavailable: The keys that sign access tokens cannot be read.
    """
    session = await current_session(services, actor)
    if session["token_hash"] is not None:
        raise errors.TokensNotConfigured("A cookie session has no access tokens.")
    return await access_token(services, session)


async def current_session(services: Services, actor: Actor) -> Record:
    """Return the caller's session from the database.

    Raises:
        errors.SessionEnded: The session has ended.
    """
    session = await queries.live_session(services.database, actor.session_id) if actor.session_id else None
    if session is None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    return session


async def sessions(runner: Runner, actor: Actor) -> list[Record]:
    """Return the caller's live sessions, newest first."""
    return await queries.live_sessions(runner, actor.user_id)


async def sign_out(transaction: Transaction, actor: Actor, *, everywhere: bool) -> None:
    """End the caller's session, or all of the user's sessions.

    Raises:
        errors.SessionRequired: The session began with a key, so it ends no other one.
    """
    if everywhere and actor.began_with_key:
        raise errors.SessionRequired("This session began with an API key, so it cannot end others.")
    ended = await queries.end_sessions(transaction, actor.user_id, only_id=None if everywhere else actor.session_id)
    await _record(transaction, actor, "session.ended", actor.session_id, sessions=ended)


async def end_session(transaction: Transaction, actor: Actor, session_id: UUID) -> None:
    """End one of the caller's sessions.

    Raises:
        errors.SessionNotFound: The session does not exist.
    """
    if not await queries.end_sessions(transaction, actor.user_id, only_id=session_id):
        raise errors.SessionNotFound
    await _record(transaction, actor, "session.ended", session_id, sessions=1)


async def _record(transaction: Transaction, actor: Actor, action: str, session_id: UUID | None, **after: Any) -> None:
    target = ("session", session_id or actor.user_id)
    await audit.record(transaction, actor, action, target, team_id=actor.team_id, after=after)


def _require_found(row: Record | None) -> Record:
    if row is None:
        raise errors.SessionEnded("The session has ended. Sign in again.")
    return row

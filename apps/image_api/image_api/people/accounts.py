"""The rules of accounts: invitations, registration, and password changes and resets.

An open registration responds the same, after the same work, whether the address has an account or not. A subsequent
sign-in does reveal it, because the password works or not: only a message to the address could prove more, and this
service sends none. Those attempts are rate-limited and delayed like any other.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import DEFAULT_SCOPES, Actor, Role, require_admin
from image_api.http.pagination import Cursor
from image_api.people import delays, queries
from image_api.people.schemas import NewInvitation, PasswordChange, PasswordReset, Registration
from image_api.people.service import lock_verified_user, verify_password
from image_api.proofs import passwords
from image_api.proofs.session_cache import actor_of_user
from image_api.proofs.still_valid import check_still_valid
from image_api.services import Services
from image_api.teams import service as teams
from image_core import errors, events
from image_core.db import ForeignKeyViolation, Record, Runner, Transaction
from image_core.ids import new_id


class Issued(NamedTuple):
    """A row and its token, which is known only at this moment."""

    row: Record
    token: str


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def invite(transaction: Transaction, actor: Actor, team_id: UUID, body: NewInvitation) -> Issued:
    """Invite an e-mail address into a team.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNotFound: The team does not exist.
        errors.TeamBeingRemoved: The team is being removed.
    """
    require_admin(actor)
    await check_still_valid(transaction, actor)
    await teams.check_not_removing(transaction, actor, team_id)
    token, invitation_id = secrets.token_urlsafe(32), new_id()
    values = {
        "id": invitation_id, "team_id": team_id, "email": body.email, "role": body.role,
        "token_hash": _hash(token), "invited_by": actor.user_id,
    }  # fmt: skip
    try:
        row = await queries.add_invitation(transaction, timedelta(seconds=body.expires_in_seconds), values)
    except ForeignKeyViolation as error:
        raise errors.TeamNotFound from error
    await audit.record(
        transaction, actor, "invitation.created", ("invitation", invitation_id), team_id=team_id,
        after={"role": body.role, "expires_in_seconds": body.expires_in_seconds},
    )  # fmt: skip
    return Issued(_require_found(row, errors.TeamNotFound()), token)


async def list_invitations(
    runner: Runner, actor: Actor, team_id: UUID, cursor: Cursor | None, limit: int
) -> list[Record]:
    """Return the invitations into a team.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNotFound: The team does not exist.
    """
    require_admin(actor)
    await teams.get_team(runner, actor, team_id)
    return await queries.invitations(runner, team_id, cursor, limit)


async def revoke_invitation(transaction: Transaction, actor: Actor, team_id: UUID, invitation_id: UUID) -> None:
    """Revoke an invitation that has not been accepted.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.InvitationNotFound: The invitation does not exist or is no longer valid.
    """
    require_admin(actor)
    if not await queries.revoke_invitation(transaction, team_id, invitation_id):
        raise errors.InvitationNotFound("The invitation does not exist or is no longer valid. Ask for a new one.")
    await audit.record(
        transaction, actor, "invitation.revoked", ("invitation", invitation_id), team_id=team_id
    )  # fmt: skip


async def register(services: Services, body: Registration) -> None:
    """Create an account: by invitation into its team and role, else as a member of the team for open registration.

    Raises:
        errors.RegistrationClosed: Registration needs an invitation.
        errors.InvitationNotFound: The invitation does not exist or is no longer valid.
        errors.RequestInvalid: The password is not acceptable.
        errors.PasswordsBusy: Too many passwords are being checked at the moment.
        errors.EmailTaken: The address has an account (only for invitations).
    """
    token_hash = _hash(body.invitation_token) if body.invitation_token else None
    if token_hash is None and services.settings.open_registration_team_id is None:
        raise errors.RegistrationClosed("Registration requires an invitation. Ask an admin for one.")
    if token_hash is not None:
        _check_invited(await queries.find_invitation(services.database, token_hash), body.email)
    password = passwords.validate(body.password.get_secret_value(), body.email)
    password_hash = await services.passwords.hash(password)
    async with events.committing(services.database, services.publisher) as transaction:
        team_id, role = await _place(services, transaction, token_hash)
        values: dict[str, Any] = {
            "id": new_id(), "team_id": team_id, "name": body.name, "email": body.email, "role": role,
            "scopes": list(DEFAULT_SCOPES[role]), "password_hash": password_hash,
        }  # fmt: skip
        await _add(transaction, values, invited=token_hash is not None)


def _check_invited(invitation: Record | None, email: str) -> None:
    if _require_found(invitation, errors.InvitationNotFound())["email"].lower() != email.lower():
        message = "The invitation is for another e-mail address."
        raise errors.invalid_fields([{"field": "email", "code": "email-not-invited", "message": message}])


async def _place(services: Services, transaction: Transaction, token_hash: bytes | None) -> tuple[UUID | None, Role]:
    if token_hash is None:
        return services.settings.open_registration_team_id, Role.MEMBER
    accepted = _require_found(await queries.accept_invitation(transaction, token_hash), errors.InvitationNotFound())
    return accepted["team_id"], Role(accepted["role"])


async def _add(transaction: Transaction, values: dict[str, Any], *, invited: bool) -> None:
    try:
        added = await queries.add_user(transaction, values)
    except ForeignKeyViolation as error:
        raise errors.RegistrationClosed(
            "The team for new users no longer exists. Ask an admin for an invitation."
        ) from error
    if added is None and invited:
        raise errors.EmailTaken("Another user has this e-mail address. Sign in, or ask an admin.")
    # Both cases write one event, so that they take equally long.
    row = added or await queries.find_by_email(transaction, str(values["email"]))
    row = _require_found(row, errors.RegistrationClosed("Registration requires an invitation. Ask an admin for one."))
    action = "user.registered" if added else "user.registration_repeated"
    after = {"role": values["role"], "invited": invited} if added else None
    actor = actor_of_user(row)
    await audit.record(transaction, actor, action, ("user", row["id"]), team_id=row["team_id"], after=after)


async def change_password(services: Services, actor: Actor, body: PasswordChange, address: str) -> None:
    """Change the caller's password and end its other sessions.

    Raises:
        errors.SignInFailed: The e-mail address and the password do not match.
        errors.TooManySignIns: Too many attempts to sign in.
        errors.RequestInvalid: The new password is not acceptable.
        errors.PasswordsBusy: Too many passwords are being checked at the moment.
    """
    found = await queries.find_user(services.database, actor.user_id)
    email = (found["email"] if found else None) or ""
    person = await verify_password(services, email, body.current_password.get_secret_value(), address)
    password = passwords.validate(body.password.get_secret_value(), email)
    password_hash = await services.passwords.hash(password)
    async with events.committing(services.database, services.publisher) as transaction:
        await lock_verified_user(transaction, person)
        await queries.set_password(transaction, actor.user_id, password_hash)
        ended = await queries.end_sessions(transaction, actor.user_id, except_id=actor.session_id)
        await delays.forgive(transaction, email, address)
        await _record_password(transaction, actor, "password.changed", ended)
        transaction.on_commit.append(lambda: services.session_cache.forget_user(actor.user_id))


async def issue_reset(transaction: Transaction, actor: Actor, user_id: UUID, expires_in_seconds: int) -> Issued:
    """Issue a single-use token by which a user may set a password; it invalidates earlier ones.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.UserNotFound: The user does not exist.
        errors.RequestInvalid: The user has no e-mail address.
    """
    require_admin(actor)
    await check_still_valid(transaction, actor)
    person = _require_found(await queries.find_user(transaction, user_id), errors.UserNotFound())
    if person["email"] is None:
        message = "The user has no e-mail address and cannot sign in. Add an address first."
        raise errors.invalid_fields([{"field": "user_id", "code": "email-missing", "message": message}])
    token = secrets.token_urlsafe(32)
    values = {"id": new_id(), "user_id": user_id, "token_hash": _hash(token)}
    row = await queries.add_reset(transaction, timedelta(seconds=expires_in_seconds), values)
    await audit.record(
        transaction, actor, "password.reset_issued", ("user", user_id), team_id=person["team_id"],
        after={"expires_in_seconds": expires_in_seconds},
    )  # fmt: skip
    return Issued(_require_found(row, errors.UserNotFound()), token)


async def reset_password(services: Services, body: PasswordReset, address: str) -> None:
    """Set a password by an admin's token and end all sessions.

    Raises:
        errors.PasswordResetNotFound: The password reset does not exist or is no longer valid.
        errors.RequestInvalid: The password is not acceptable.
        errors.PasswordsBusy: Too many passwords are being checked at the moment.
    """
    token_hash = _hash(body.token)
    person = _require_found(await queries.user_of_reset(services.database, token_hash), errors.PasswordResetNotFound())
    password = passwords.validate(body.password.get_secret_value(), person["email"] or "")
    password_hash = await services.passwords.hash(password)
    async with events.committing(services.database, services.publisher) as transaction:
        if not await queries.use_reset(transaction, token_hash):
            raise errors.PasswordResetNotFound(
                "The password reset does not exist or is no longer valid. Ask an admin for a new one."
            )
        await queries.set_password(transaction, person["id"], password_hash)
        ended = await queries.end_sessions(transaction, person["id"])
        await delays.reset(transaction, person["email"] or "", address)
        await _record_password(transaction, actor_of_user(person), "password.reset", ended)
        transaction.on_commit.append(lambda: services.session_cache.forget_user(person["id"]))


async def _record_password(transaction: Transaction, actor: Actor, action: str, ended: int) -> None:
    after = {"sessions_ended": ended}
    await audit.record(transaction, actor, action, ("user", actor.user_id), team_id=actor.team_id, after=after)


def _require_found(row: Record | None, error: errors.AppError) -> Record:
    if row is None:
        raise error
    return row

"""The rules of users."""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from image_api import audit
from image_api.actor import DEFAULT_SCOPES, Actor, Role, Scope, require_admin
from image_api.http.entity_tags import check_if_match
from image_api.http.pagination import Cursor
from image_api.operations import service as operations
from image_api.operations.items import NewItem
from image_api.proofs.still_valid import check_still_valid
from image_api.teams import service as teams
from image_api.users import queries
from image_core import errors, events
from image_core.billing import credits
from image_core.db import ForeignKeyViolation, Record, Runner, Transaction, UniqueViolation
from image_core.events import EventType
from image_core.ids import new_id
from image_core.keys import api_keys

REMOVAL = "user_removal"
"""The kind of operation that removes a user."""
_MAX_REFERENCES = 200
"""How many references to a user of each kind are cleared at once; an operation clears more in batches."""


class CreatedUser(NamedTuple):
    """A new user with its key, which is shown once."""

    user: Record
    key: api_keys.NewKey
    credential_id: UUID


def _require_found(found: Record | None) -> Record:
    if found is None:
        raise errors.UserNotFound
    return found


async def credits_left(runner: Runner, actor: Actor) -> int | None:
    """Return the credits of the caller's team; None for a caller without a team."""
    account = None if actor.team_id is None else await credits.find_account(runner, actor.team_id)
    return None if account is None else int(account["balance"])


async def list_users(runner: Runner, actor: Actor, team_id: UUID, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return the users of a team that the caller may see.

    Raises:
        errors.TeamNotFound: The team does not exist.
    """
    await teams.get_team(runner, actor, team_id)
    return await queries.page(runner, team_id, cursor, limit)


async def find_users(runner: Runner, actor: Actor, text: str | None, cursor: Cursor | None, limit: int) -> list[Record]:
    """Return the users of all teams whose name or e-mail address contains a text, for an admin.

    Raises:
        errors.RoleMissing: The caller is no admin.
    """
    require_admin(actor)
    return await queries.matching(runner, text, cursor, limit)


async def user_names(runner: Runner, actor: Actor, user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of those of these users that the caller may see, by id."""
    return await queries.names(runner, actor.visible_team_id, user_ids) if user_ids else {}


async def get_user(runner: Runner, actor: Actor, user_id: UUID) -> Record:
    """Return any user, for an admin.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.UserNotFound: The user does not exist.
    """
    require_admin(actor)
    return _require_found(await queries.find(runner, user_id))


async def create_user(transaction: Transaction, actor: Actor, team_id: UUID, values: dict[str, Any]) -> CreatedUser:
    """Create a user with a first key.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.TeamNotFound: The team does not exist.
        errors.EmailTaken: Another user has this e-mail address.
    """
    require_admin(actor)
    await check_still_valid(transaction, actor)
    await teams.check_not_removing(transaction, actor, team_id)
    role = Role(values["role"])
    scopes = list(values["scopes"] if values["scopes"] is not None else DEFAULT_SCOPES[role])
    _check_scopes(role, scopes)
    key, credential_id = api_keys.generate(), new_id()
    try:
        created = _require_found(await queries.add(transaction, new_id(), team_id, {**values, "scopes": scopes}))
        await queries.add_credential(transaction, credential_id, created["id"], "first", key)
    except ForeignKeyViolation as error:
        raise errors.TeamNotFound from error
    except UniqueViolation as error:
        raise errors.EmailTaken("Another user has this e-mail address. Use another one.") from error
    made = {"id": credential_id, "user_id": created["id"], "public_id": key.public_id}
    told = events.credential_event(EventType.KEY_CREATED, team_id, made, {"expires_at": None})
    await events.record(transaction, told)
    after = {"role": role, "scopes": scopes, "key_prefix": key.key_prefix}
    await audit.record(transaction, actor, "user.created", ("user", created["id"]), team_id=team_id, after=after)
    return CreatedUser(created, key, credential_id)


def _check_scopes(role: Role, scopes: list[Scope]) -> None:
    if role is not Role.ADMIN and Scope.ADMIN in scopes:
        raise errors.invalid_fields(
            [
                {
                    "field": "scopes",
                    "code": "scope-needs-admin",
                    "message": "The scope `admin` requires the role `admin`.",
                }
            ]
        )


async def change_user(
    transaction: Transaction, actor: Actor, user_id: UUID, patch: dict[str, Any], if_match: str | None
) -> Record:
    """Apply a patch.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.UserNotFound: The user does not exist.
        errors.EmailTaken: Another user has this e-mail address.
        errors.LastAdmin: The last admin cannot be removed, disabled or demoted.
        errors.ETagMismatch: The resource has changed since it was read.
    """
    require_admin(actor)
    admins = await queries.lock_active_admins(transaction)
    await check_still_valid(transaction, actor)
    old = _require_found(await queries.lock(transaction, user_id))
    check_if_match(if_match, old["revision"])
    values = {name: value for name, value in patch.items() if name != "disabled"}
    if "disabled" in patch and patch["disabled"] != (old["disabled_at"] is not None):
        values["disabled_at"] = old["now"] if patch["disabled"] else None
    role = Role(values.get("role", old["role"]))
    if "role" in values and "scopes" not in values:
        values["scopes"] = list(DEFAULT_SCOPES[role])
    _check_scopes(role, values.get("scopes", old["scopes"]))
    _check_team(role, old)
    stays_admin = role is Role.ADMIN and Scope.ADMIN in values.get("scopes", old["scopes"])
    if admins == [user_id] and (not stays_admin or values.get("disabled_at")):
        raise errors.LastAdmin("This is the last admin. Create another admin first.")
    if not values:
        return old
    try:
        new = _require_found(await queries.change(transaction, user_id, values))
    except UniqueViolation as error:
        raise errors.EmailTaken("Another user has this e-mail address. Use another one.") from error
    shown = {name for name in values if name not in ("name", "email")}
    await audit.record(
        transaction, actor, "user.changed", ("user", user_id), team_id=old["team_id"],
        before={name: old[name] for name in shown}, after={name: new[name] for name in shown},
    )  # fmt: skip
    return new


def _check_team(role: Role, row: Record) -> None:
    if role is not Role.ADMIN and row["team_id"] is None:
        message = "A user without a team must be an admin."
        raise errors.invalid_fields([{"field": "role", "code": "role-needs-team", "message": message}])


async def remove_user(transaction: Transaction, actor: Actor, user_id: UUID, if_match: str | None) -> UUID | None:
    """Remove a user and its keys and return None; if very many rows refer to it, return the operation that clears them.

    Personal data and credentials are gone in either case.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
        errors.UserNotFound: The user does not exist.
        errors.LastAdmin: The last admin cannot be removed, disabled or demoted.
        errors.ETagMismatch: The resource has changed since it was read.
    """
    require_admin(actor)
    admins = await queries.lock_active_admins(transaction)
    old = _require_found(await queries.lock(transaction, user_id))
    check_if_match(if_match, old["revision"])
    if admins == [user_id]:
        raise errors.LastAdmin("This is the last admin. Create another admin first.")
    operation_id = None
    if await queries.has_many_references(transaction, user_id, _MAX_REFERENCES):
        await queries.mark_for_removal(transaction, user_id)
        about = {"user_id": str(user_id)}
        operation_id = await operations.create(transaction, actor, REMOVAL, None, about, items=[NewItem()])
    else:
        await queries.remove(transaction, user_id)
    await audit.record(transaction, actor, "user.removed", ("user", user_id), team_id=old["team_id"])
    return operation_id

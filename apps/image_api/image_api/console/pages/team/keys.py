"""`/console/keys`: the caller's API keys, and for admins those of others: create, rotate, revoke."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor
from image_api.auth import RequireCredentialManager
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, go_to, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.credentials import rotation, schemas, service
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, Cursor, next_cursor
from image_api.idempotency.route import CreationDep
from image_api.services import Services
from image_api.users import service as users
from image_core import errors
from image_core.db import Record

KEYS = f"{HOME}/keys"
router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Keeper = Annotated[Actor, Depends(RequireCredentialManager())]
Done = Annotated[Literal["revoked"] | None, Query()]
_LIST = same_as("GET /api/v1/users/{user_id}/credentials", "GET /api/v1/teams/{team_id}/users")
_CREATE = same_as("POST /api/v1/users/{user_id}/credentials")
_ROTATE = same_as("POST /api/v1/users/{user_id}/credentials/rotate")
_REVOKE = same_as("DELETE /api/v1/users/{user_id}/credentials/{credential_id}")


class Owner(NamedTuple):
    """Whose keys a page shows, and the scopes that a new key may have."""

    id: UUID
    name: str
    scopes: list[str]
    is_caller: bool

    @property
    def path(self) -> str:
        """The address of the list."""
        return KEYS if self.is_caller else keys_path(self.id)


def keys_path(user_id: UUID) -> str:
    """Return the path of a user's keys."""
    return f"{HOME}/users/{user_id}/keys"


async def _owner(services: Services, actor: Actor, user_id: UUID) -> Owner:
    """Return a user whose keys the caller may manage.

    Raises:
        errors.UserNotFound: There is none.
    """
    service.check_may_manage(actor, user_id)
    if user_id == actor.user_id:
        return Owner(user_id, actor.user_name, sorted(actor.scopes), True)
    found = await users.get_user(services.database, actor, user_id)
    return Owner(user_id, found["name"], sorted(found["scopes"]), False)


@router.get("/keys", openapi_extra=_LIST)
async def show_own(
    request: Request, actor: Keeper, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Done = None,
) -> Response:  # fmt: skip
    """List the caller's keys; for admins, also the users of the chosen team."""
    chosen = team_id if service.is_admin(actor) else None
    found = [] if chosen is None else await _users(services, actor, chosen, cursor)
    others = {"users": found[:DEFAULT_LIMIT], "next_cursor": next_cursor(found, DEFAULT_LIMIT), "is_first": not cursor}
    return await _list(request, actor, actor.user_id, team_id, {"chosen": chosen, "done": done, **others})


async def _users(services: Services, actor: Actor, team_id: UUID, cursor: Cursor | None) -> list[Record]:
    return await users.list_users(services.database, actor, team_id, cursor, DEFAULT_LIMIT + 1)


@router.get("/users/{user_id}/keys", openapi_extra=_LIST)
async def show_others(
    user_id: UUID, request: Request, actor: Keeper, team_id: TeamQuery = None, done: Done = None
) -> Response:
    """List the keys of a user."""
    return await _list(request, actor, user_id, team_id, {"chosen": None, "done": done})


async def _list(
    request: Request, actor: Actor, user_id: UUID, team_id: UUID | None, values: dict[str, Any]
) -> Response:
    services: Services = request.app.state.services
    owner = await _owner(services, actor, user_id)
    rows = await service.live_credentials(services.database, actor, user_id)
    shown = {"owner": owner, "keys": [_shown(row) for row in rows], "keys_path": keys_path}
    return render(request, "keys.html", shown | values, team_id=team_id)


def _shown(row: Record) -> dict[str, Any]:
    expires_at = row["expires_at"]
    soon = expires_at is not None and expires_at <= row["now"] + service.FIRST_WARNING
    shown = schemas.shown(row)
    if shown["previous"] and shown["previous"]["expires_at"] <= row["now"]:
        shown["previous"] = None
    return {**shown, "expires_soon": soon}


@router.get("/users/{user_id}/keys/new", openapi_extra=_CREATE)
async def show_new(
    user_id: UUID, request: Request, actor: Keeper, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show the form for a new key."""
    return _new_page(request, await _owner(services, actor, user_id), team_id, Form(()), None)


@router.post("/users/{user_id}/keys", openapi_extra=_CREATE)
async def create(
    user_id: UUID, request: Request, actor: Keeper, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create a key and show it once."""
    owner = await _owner(services, actor, user_id)
    show_again_if_refused(request, lambda refusal: _new_page(request, owner, team_id, form, refusal))
    body = form.parse(schemas.NewCredential, "name", **_chosen(form))
    created = await service.create_credential(transaction, actor, user_id, body.model_dump(exclude_unset=True))
    return show_secret(
        request, "The new key", created.key.api_key, back=owner.path, team_id=team_id, label="API key",
        lead=f"For {body.name}. It works at once.", is_api_key=True,
    )  # fmt: skip


def _chosen(form: Form) -> dict[str, object]:
    """Return the fields of a new key that need to be read.

    Raises:
        errors.RequestInvalid: No scope is chosen.
    """
    scopes = form.all("scopes")
    if not scopes:
        message = "Choose at least one: a key without scopes can do nothing."
        raise errors.invalid_fields([{"field": "scopes", "code": "scopes-missing", "message": message}])
    optional = {"expires_at": form.get("expires_at"), "address_ranges": form.get("address_ranges").split()}
    return {"scopes": scopes} | {name: value for name, value in optional.items() if value}


def _new_page(request: Request, owner: Owner, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    names = ("name", "expires_at", "address_ranges")
    values = {"owner": owner, "keys_path": keys_path, "sent": {name: form.get(name) for name in names}}
    values |= {"scopes": form.all("scopes"), "refusal": refusal}
    return render(request, "key_new.html", values, team_id=team_id, status=refusal.status if refusal else 200)


class Step(NamedTuple):
    """The page before a rotation or a revocation of one key."""

    request: Request
    owner: Owner
    row: Record
    team_id: UUID | None

    def page(self, template: str, form: Form, refusal: Refusal | None) -> Response:
        """Return the page, with what was sent and refused."""
        values = {
            "owner": self.owner, "key": _shown(self.row), "keys_path": keys_path, "refusal": refusal,
            "reason": form.get("reason"), "expires_at": form.get("expires_at"),
            "grace": form.get("grace_period_seconds") or "86400",
        }  # fmt: skip
        status = refusal.status if refusal else 200
        return render(self.request, template, values, team_id=self.team_id, status=status)


async def _step(
    request: Request, user_id: UUID, credential_id: UUID, actor: Keeper, services: ServicesDep,
    team_id: TeamQuery = None,
) -> Step:  # fmt: skip
    """Return what the page shows.

    Raises:
        errors.CredentialNotFound: There is none, or it has been revoked.
    """
    row = await service.get_credential(services.database, actor, user_id, credential_id)
    if row["revoked_at"] is not None:
        raise errors.CredentialNotFound("This key has been revoked.")
    return Step(request, await _owner(services, actor, user_id), row, team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/users/{user_id}/keys/{credential_id}/rotate", openapi_extra=_ROTATE)
async def show_rotation(step: StepDep) -> Response:
    """Say what a rotation does, and offer the time for which the old key keeps working."""
    return step.page("key_rotate.html", Form(()), None)


@router.post("/users/{user_id}/keys/{credential_id}/rotate", openapi_extra=_ROTATE)
async def rotate(
    user_id: UUID, credential_id: UUID, request: Request, actor: Keeper, form: FormDep, transaction: CreationDep,
    step: StepDep, services: ServicesDep,
) -> Response:  # fmt: skip
    """Rotate a key and show the new one once. Sent twice, the form rotates once, unlike the operation."""
    show_again_if_refused(request, lambda refusal: step.page("key_rotate.html", form, refusal))
    body = form.parse(
        schemas.Rotation, credential_id=credential_id, grace_period_seconds=form.whole_number("grace_period_seconds"),
        force=form.get("force") == "true", reason=form.get("reason") or None,
        expires_at=form.get("expires_at") or None,
    )  # fmt: skip
    rotated = await rotation.rotate(transaction, actor, user_id, body)
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    transaction.on_commit.append(lambda: services.session_cache.forget_user(user_id))
    return show_secret(
        request, "The new key", rotated.key.api_key, back=step.owner.path, team_id=step.team_id, label="API key",
        lead=f"For {step.row['name']}. It works at once.", is_api_key=True, previous=rotated.previous,
        former_prefix=schemas.shown(step.row)["key_prefix"],
    )  # fmt: skip


@router.get("/users/{user_id}/keys/{credential_id}/revoke", openapi_extra=_REVOKE)
async def show_revocation(step: StepDep) -> Response:
    """Say what revoking a key does."""
    return step.page("key_revoke.html", Form(()), None)


@router.post("/users/{user_id}/keys/{credential_id}/revoke", openapi_extra=_REVOKE)
async def revoke(
    user_id: UUID, credential_id: UUID, request: Request, actor: Keeper, form: FormDep, step: StepDep,
    transaction: TransactionDep,
) -> Response:  # fmt: skip
    """Revoke a key."""
    show_again_if_refused(request, lambda refusal: step.page("key_revoke.html", form, refusal))
    await service.revoke_credential(transaction, actor, user_id, credential_id, None)
    transaction.on_commit.append(lambda: request.app.state.key_cache.forget(credential_id))
    return go_to(step.owner.path, step.team_id, done="revoked")

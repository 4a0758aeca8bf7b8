"""`/console/keys`: the caller's API keys, and for admins those of others, and the form for a new one."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor
from image_api.auth import RequireCredentialManager
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.credentials import schemas, service
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery
from image_api.http.pagination import DEFAULT_LIMIT, Cursor, next_cursor
from image_api.idempotency.route import CreationDep
from image_api.services import Services
from image_api.users import service as users
from image_core import errors
from image_core.db import Record

KEYS = f"{HOME}/keys"
router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Keeper = Annotated[Actor, Depends(RequireCredentialManager())]
Done = Annotated[Literal["changed", "revoked"] | None, Query()]
_LIST = same_as("GET /api/v1/users/{user_id}/credentials", "GET /api/v1/teams/{team_id}/users")
_ALL = same_as("GET /api/v1/users/{user_id}/credentials")
_CREATE = same_as("POST /api/v1/users/{user_id}/credentials")


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


async def find_owner(services: Services, actor: Actor, user_id: UUID) -> Owner:
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
    owner = await find_owner(services, actor, user_id)
    rows = [shown_key(row) for row in await service.live_credentials(services.database, actor, user_id)]
    shown = {
        "owner": owner, "keys": [row for row in rows if row["revoked_at"] is None],
        "reported": [row for row in rows if row["revoked_at"] is not None], "keys_path": keys_path,
    }  # fmt: skip
    return render(request, "keys.html", shown | values, team_id=team_id)


def shown_key(row: Record) -> dict[str, Any]:
    """Return a key as pages show it, with its state, and whether it expires within a week."""
    expires_at = row["expires_at"]
    soon = expires_at is not None and expires_at <= row["now"] + service.FIRST_WARNING
    shown = schemas.shown(row)
    if shown["previous"] and shown["previous"]["expires_at"] <= row["now"]:
        shown["previous"] = None
    ended = row["revoked_reason"] or "revoked" if row["revoked_at"] else "expired"
    is_live = row["revoked_at"] is None and (expires_at is None or expires_at > row["now"])
    return {**shown, "expires_soon": soon, "state": "active" if is_live else ended}


@router.get("/users/{user_id}/keys/all", openapi_extra=_ALL)
async def show_all(
    user_id: UUID, request: Request, actor: Keeper, services: ServicesDep, team_id: TeamQuery = None,
    cursor: CursorQuery = None,
) -> Response:  # fmt: skip
    """List all keys that a user has ever had, newest first, with why those that ended did."""
    owner = await find_owner(services, actor, user_id)
    rows = await service.list_credentials(services.database, actor, user_id, cursor, DEFAULT_LIMIT + 1)
    values = {
        "owner": owner, "keys": [shown_key(row) for row in rows[:DEFAULT_LIMIT]], "keys_path": keys_path,
        "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None,
    }  # fmt: skip
    return render(request, "keys_all.html", values, team_id=team_id)


@router.get("/users/{user_id}/keys/new", openapi_extra=_CREATE)
async def show_new(
    user_id: UUID, request: Request, actor: Keeper, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Show the form for a new key."""
    return _new_page(request, await find_owner(services, actor, user_id), team_id, Form(()), None)


@router.post("/users/{user_id}/keys", openapi_extra=_CREATE)
async def create(
    user_id: UUID, request: Request, actor: Keeper, form: FormDep, services: ServicesDep, transaction: CreationDep,
    team_id: TeamQuery = None,
) -> Response:  # fmt: skip
    """Create a key and show it once."""
    owner = await find_owner(services, actor, user_id)
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
    scopes = chosen_scopes(form)
    optional = {"expires_at": form.get("expires_at"), "address_ranges": form.get("address_ranges").split()}
    return {"scopes": scopes} | {name: value for name, value in optional.items() if value}


def chosen_scopes(form: Form) -> list[str]:
    """Return the scopes that are ticked.

    Raises:
        errors.RequestInvalid: None is.
    """
    if not (scopes := form.all("scopes")):
        message = "Choose at least one: a key without scopes can do nothing."
        raise errors.invalid_fields([{"field": "scopes", "code": "scopes-missing", "message": message}])
    return scopes


def _new_page(request: Request, owner: Owner, team_id: UUID | None, form: Form, refusal: Refusal | None) -> Response:
    names = ("name", "expires_at", "address_ranges")
    values = {"owner": owner, "keys_path": keys_path, "sent": {name: form.get(name) for name in names}}
    values |= {"scopes": form.all("scopes"), "refusal": refusal}
    return render(request, "key_new.html", values, team_id=team_id)

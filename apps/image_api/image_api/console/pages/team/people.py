"""`/console/people`: the users of a team; admins change and remove them, and let them set a new password."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Role, Scope
from image_api.auth import RequireScope
from image_api.console.forms import Form, FormDep, read_form
from image_api.console.frame import Refusal, go_to, public_url, render, show_again_if_refused, show_secret
from image_api.console.page_route import PageRoute, same_as
from image_api.console.pages.keys.keys import keys_path
from image_api.console.pages.team.chooser import choose_team, name_of_team
from image_api.console.pages.team.operations import operation_path
from image_api.console.policy import HOME
from image_api.console.team_first import lacks_team
from image_api.credentials.service import is_admin
from image_api.dependencies import CursorQuery, ServicesDep, TeamQuery, TransactionDep
from image_api.http.pagination import DEFAULT_LIMIT, next_cursor
from image_api.idempotency.route import CreationDep
from image_api.people import accounts
from image_api.people.schemas import NewPasswordReset
from image_api.users import schemas
from image_api.users import service as users
from image_core.db import Record

PEOPLE = f"{HOME}/people"
router = APIRouter(prefix=PEOPLE, include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Actor, Depends(RequireScope())]
Admin = Annotated[Actor, Depends(RequireScope(Scope.ADMIN))]
AdminPerson = Annotated[Actor, Depends(RequireScope(Scope.ADMIN, key_sessions=False))]
_FORM = [Depends(read_form)]
_CHANGE = same_as("PATCH /api/v1/users/{user_id}")
_REMOVE = same_as("DELETE /api/v1/users/{user_id}")
_RESET = same_as("POST /api/v1/users/{user_id}/password-reset")


@router.get("", openapi_extra=same_as("GET /api/v1/teams/{team_id}/users", "GET /api/v1/teams"))
async def show(
    request: Request, actor: Reader, services: ServicesDep, team_id: TeamQuery = None, cursor: CursorQuery = None,
    done: Annotated[Literal["changed", "removed"] | None, Query()] = None,
) -> Response:  # fmt: skip
    """List the users of a team, newest first."""
    listed_id = team_id or (None if actor.is_admin else actor.team_id)
    if lacks_team(actor, team_id) or listed_id is None:
        return go_to(f"{HOME}/users") if is_admin(actor) else await choose_team(request, actor, "People")
    rows = await users.list_users(services.database, actor, listed_id, cursor, DEFAULT_LIMIT + 1)
    values = {
        "users": rows[:DEFAULT_LIMIT], "next_cursor": next_cursor(rows, DEFAULT_LIMIT), "is_first": cursor is None,
        "team_name": await name_of_team(services, actor, team_id), "done": done, "keys_path": keys_path,
        "may_change": is_admin(actor), "listed_id": listed_id,
    }  # fmt: skip
    return render(request, "people.html", values, team_id=team_id)


class Step(NamedTuple):
    """A page about one user."""

    request: Request
    user: Record
    team_id: UUID | None

    def page(self, template: str, refusal: Refusal | None, **values: Any) -> Response:
        """Return the page, with what was refused."""
        shown = {"user": self.user, "refusal": refusal, **values}
        return render(self.request, template, shown, team_id=self.team_id)

    def form(self, sent: Form | None, refusal: Refusal | None) -> Response:
        """Return the form with the user's values, or with what was sent, beside the values of a conflicting change."""
        user = self.user
        values: dict[str, Any] = {name: user[name] or "" for name in ("name", "email", "role")}
        values |= {"scopes": user["scopes"], "disabled": user["disabled_at"] is not None}
        if sent is not None:
            values = {name: sent.get(name) for name in ("name", "email", "role")}
            values |= {"scopes": sent.all("scopes"), "disabled": bool(sent.get("disabled"))}
        choices = {"roles": [(role.value, role.value) for role in Role], "all_scopes": [scope.value for scope in Scope]}
        is_conflict = refusal is not None and refusal.code == "etag-mismatch"
        return self.page("person.html", refusal, values=values, is_conflict=is_conflict, **choices)


async def _step(
    request: Request, user_id: UUID, actor: Admin, services: ServicesDep, team_id: TeamQuery = None
) -> Step:
    return Step(request, await users.get_user(services.database, actor, user_id), team_id)


StepDep = Annotated[Step, Depends(_step)]
"""Declared after the form, which is compared with the session first."""


@router.get("/{user_id}", openapi_extra=_CHANGE)
async def show_one(step: StepDep) -> Response:
    """Show the form that changes a user."""
    return step.form(None, None)


@router.post("/{user_id}", openapi_extra=_CHANGE)
async def change(
    user_id: UUID, request: Request, actor: Admin, form: FormDep, step: StepDep, transaction: TransactionDep
) -> Response:
    """Change a user, if nobody else has done so since the page was opened."""
    show_again_if_refused(request, lambda refusal: step.form(form, refusal))
    patch = form.parse(
        schemas.UserPatch, "name", "role", email=form.get("email").strip() or None, scopes=form.all("scopes"),
        disabled=bool(form.get("disabled")),
    )  # fmt: skip
    before = {**dict(step.user), "disabled": step.user["disabled_at"] is not None}
    sent = patch.model_dump()
    # Scopes that stay as they are follow the role.
    values = {name: sent[name] for name in sent if _differs(name, sent[name], before[name])}
    await users.change_user(transaction, actor, user_id, values, form.seen_version())
    transaction.on_commit.append(_forgetting(request, user_id))
    return go_to(PEOPLE, step.team_id or step.user["team_id"], done="changed")


def _differs(name: str, sent: Any, before: Any) -> bool:
    return set(sent) != set(before) if name == "scopes" else bool(sent != before)


def _forgetting(request: Request, user_id: UUID) -> Callable[[], None]:
    def forget() -> None:
        request.app.state.key_cache.forget_user(user_id)
        request.app.state.services.session_cache.forget_user(user_id)

    return forget


@router.get("/{user_id}/remove", openapi_extra=_REMOVE)
async def show_removal(step: StepDep) -> Response:
    """Say what removing a user does."""
    return step.page("person_remove.html", None)


@router.post("/{user_id}/remove", dependencies=_FORM, openapi_extra=_REMOVE)
async def remove(user_id: UUID, request: Request, actor: Admin, step: StepDep, transaction: TransactionDep) -> Response:
    """Remove a user; show the operation if that takes long."""
    show_again_if_refused(request, lambda refusal: step.page("person_remove.html", refusal))
    operation_id = await users.remove_user(transaction, actor, user_id, None)
    transaction.on_commit.append(_forgetting(request, user_id))
    if operation_id is not None:
        return go_to(operation_path(operation_id))
    return go_to(PEOPLE, step.team_id or step.user["team_id"], done="removed")


@router.get("/{user_id}/reset", openapi_extra=_RESET)
async def show_reset(_actor: AdminPerson, step: StepDep) -> Response:
    """Say what a password reset does."""
    return step.page("person_reset.html", None)


@router.post("/{user_id}/reset", openapi_extra=_RESET)
async def reset(
    user_id: UUID, request: Request, actor: AdminPerson, form: FormDep, transaction: CreationDep, step: StepDep
) -> Response:
    """Issue a password reset and show its address once."""
    show_again_if_refused(request, lambda refusal: step.page("person_reset.html", refusal))
    options = form.parse(NewPasswordReset, **form.lifetime())
    issued = await accounts.issue_reset(transaction, actor, user_id, options.expires_in_seconds)
    return show_secret(
        request, "Password reset", f"{public_url(request)}{HOME}/reset#{issued.token}", back=PEOPLE,
        team_id=step.team_id or step.user["team_id"], label="Address to pass on", ends_at=issued.row["expires_at"],
        lead=f"For {step.user['name']}. Whoever has the address can set the password, once. Nothing is sent.",
    )  # fmt: skip

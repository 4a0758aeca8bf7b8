"""`/console/password`: a person's new password."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor
from image_api.auth import RequireSession, count_sign_in_attempt
from image_api.console.forms import FormDep
from image_api.console.frame import go_to, refusal_of, render
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TeamQuery
from image_api.people import accounts, schemas
from image_core import errors

PASSWORD = f"{HOME}/password"
router = APIRouter(prefix=PASSWORD, include_in_schema=False, route_class=PageRoute)
Person = Annotated[Actor, Depends(RequireSession())]
_SAME = same_as("POST /api/v1/auth/password")


@router.get("", openapi_extra=_SAME)
async def show(
    request: Request,
    _actor: Person,
    team_id: TeamQuery = None,
    changed: Annotated[Literal["1"] | None, Query()] = None,
) -> Response:
    """Show the form."""
    return render(request, "password.html", {"changed": changed is not None, "refusal": None}, team_id=team_id)


@router.post("", openapi_extra=_SAME)
async def change(
    request: Request, actor: Person, form: FormDep, services: ServicesDep, team_id: TeamQuery = None
) -> Response:
    """Change the password; other sessions end."""
    try:
        address = await count_sign_in_attempt(services)
        change = form.parse(schemas.PasswordChange, "current_password", "password")
        await accounts.change_password(services, actor, change, address)
    except errors.AppError as error:
        refusal = refusal_of(error)
        values = {"changed": False, "refusal": refusal}
        return render(request, "password.html", values, team_id=team_id)
    return go_to(PASSWORD, team_id, changed="1")

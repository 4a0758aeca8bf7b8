"""`/console/reset`: a new password by the token of an admin."""

from fastapi import APIRouter, Request, Response

from image_api.auth import count_sign_in_attempt
from image_api.console.forms import FormDep
from image_api.console.frame import go_to, refusal_of, render
from image_api.console.page_route import PageRoute
from image_api.console.places import SIGN_IN
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep
from image_api.people import accounts, schemas
from image_core import errors

router = APIRouter(prefix=f"{HOME}/reset", include_in_schema=False, route_class=PageRoute)


@router.get("")
async def show(request: Request) -> Response:
    """Show the form; a script takes the token from the fragment of the address."""
    return render(request, "reset.html", {"token": "", "refusal": None})


@router.post("")
async def reset(request: Request, form: FormDep, services: ServicesDep) -> Response:
    """Set the password; all sessions end."""
    try:
        address = await count_sign_in_attempt(services)
        body = form.parse(schemas.PasswordReset, "password", token=form.get("token").strip())
        await accounts.reset_password(services, body, address)
    except errors.AppError as error:
        refusal = refusal_of(error)
        values = {"token": form.get("token"), "refusal": refusal}
        return render(request, "reset.html", values)
    return go_to(f"{SIGN_IN}?password=set")

"""`/console/join`: an account by an invitation, or by nothing where registration is open."""

from fastapi import APIRouter, Request, Response

from image_api.auth import count_sign_in_attempt
from image_api.console.forms import Form, FormDep
from image_api.console.frame import Refusal, enter, go_to, refusal_of, render
from image_api.console.page_route import PageRoute
from image_api.console.places import SIGN_IN
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep
from image_api.people import accounts, schemas
from image_api.people import service as people
from image_api.services import Services
from image_core import errors

router = APIRouter(prefix=f"{HOME}/join", include_in_schema=False, route_class=PageRoute)


@router.get("")
async def show(request: Request, services: ServicesDep) -> Response:
    """Show the form; a script takes the token from the fragment of the address."""
    return _page(request, services, Form(()), None)


@router.post("")
async def join(request: Request, form: FormDep, services: ServicesDep) -> Response:
    """Create the account, and sign in."""
    try:
        address = await count_sign_in_attempt(services)
        token = form.get("token").strip() or None
        names = ("email", "name", "password")
        await accounts.register(services, form.parse(schemas.Registration, *names, invitation_token=token))
    except errors.AppError as error:
        return _page(request, services, form, refusal_of(error))
    try:
        login = form.parse(schemas.Login, "email", "password", mode=schemas.Mode.COOKIE)
        signed_in = await people.sign_in(services, login, address, request.headers.get("user-agent", ""))
    except errors.AppError:
        # Where registration is open, the address may have had an account before.
        return go_to(SIGN_IN)
    return enter(services, signed_in.cookie or "", HOME)


def _page(request: Request, services: Services, form: Form, refusal: Refusal | None) -> Response:
    values = {
        "needs_token": services.settings.open_registration_team_id is None,
        "token": form.get("token"),
        "email": form.get("email"),
        "name": form.get("name"),
        "refusal": refusal,
    }
    return render(request, "join.html", values)

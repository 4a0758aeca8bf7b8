"""`/console/sign-in`: by e-mail address and password, or by API key."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from image_api.auth import caller_address, caller_origin, count_sign_in_attempt
from image_api.console.forms import Form, FormDep
from image_api.console.frame import enter, refusal_of, render
from image_api.console.page_route import PageRoute
from image_api.console.places import SIGN_IN, local_path
from image_api.dependencies import ServicesDep
from image_api.people import key_sessions, schemas
from image_api.people import service as people
from image_api.people.service import NewSession
from image_api.proofs.key_cache import authenticate_key
from image_api.services import Services
from image_core import errors

router = APIRouter(prefix=SIGN_IN, include_in_schema=False, route_class=PageRoute)
NextQuery = Annotated[str, Query(alias="next", max_length=2000)]


@router.get("")
async def show(
    request: Request, next_address: NextQuery = "", password: Annotated[Literal["set"] | None, Query()] = None
) -> Response:
    """Show both forms; `password` says that a new one has just been set."""
    return render(request, "sign_in.html", _values(local_path(next_address)) | {"is_password_set": bool(password)})


@router.post("")
async def by_person(form: FormDep, services: ServicesDep, request: Request) -> Response:
    """Sign in with e-mail address and password."""

    async def sign_in() -> NewSession:
        address = await count_sign_in_attempt(services)
        login = form.parse(schemas.Login, "email", "password", mode=schemas.Mode.COOKIE)
        return await people.sign_in(services, login, address, request.headers.get("user-agent", ""))

    return await _enter(request, services, form, "person", sign_in)


@router.post("/key")
async def by_key(form: FormDep, services: ServicesDep, request: Request) -> Response:
    """Sign in with an API key, for a session that is bound as the key is."""

    async def sign_in() -> NewSession:
        address = await count_sign_in_attempt(services)
        origin = caller_origin(request)
        try:
            owner = await authenticate_key(request.app.state.key_cache, form.get("api_key").strip(), origin)
        except errors.Unauthorized:
            await services.rate_limits.count_bad_key(caller_address())
            raise
        return await key_sessions.sign_in_by_key(services, owner, address, origin.agent or "")

    return await _enter(request, services, form, "key", sign_in)


async def _enter(
    request: Request, services: Services, form: Form, way: str, sign_in: Callable[[], Awaitable[NewSession]]
) -> Response:
    """Sign in and go on, or show the forms again with what was refused."""
    back = local_path(form.get("next"))
    try:
        signed_in = await sign_in()
    except errors.AppError as error:
        refusal = refusal_of(error)
        values = _values(back, way, email=form.get("email")) | {"refusal": refusal}
        return render(request, "sign_in.html", values)
    return enter(services, signed_in.cookie or "", back)


def _values(back: str, way: str = "", email: str = "") -> dict[str, object]:
    return {"back": back, "way": way, "email": email, "is_password_set": False, "refusal": None}

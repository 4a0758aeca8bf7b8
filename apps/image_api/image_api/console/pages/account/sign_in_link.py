"""`/console/sign-in/link`: a link that signs in once, which the local cloud prints."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from image_api.actor import Actor
from image_api.auth import RequireScope, caller_origin, count_sign_in_attempt
from image_api.console.forms import FormDep
from image_api.console.frame import enter, refusal_of, render
from image_api.console.page_route import PageRoute
from image_api.console.places import SIGN_IN
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep
from image_api.guarded_route import GuardedRoute
from image_api.people import key_sessions
from image_api.proofs.key_cache import authenticate_session_of_key
from image_core import errors


async def on_local_cloud(services: ServicesDep) -> None:
    """Answer 404 anywhere else."""
    if not services.settings.is_local:
        raise HTTPException(404)


router = APIRouter(prefix=SIGN_IN, include_in_schema=False, route_class=PageRoute)
_LOCAL = [Depends(on_local_cloud)]


@router.get("/link", dependencies=_LOCAL)
async def show(request: Request) -> Response:
    """Spend the link by script, or offer the form for the key that the link stands for."""
    return render(request, "sign_in_link.html", {"back": HOME, "refusal": None})


@router.post("/link", dependencies=_LOCAL)
async def spend(form: FormDep, services: ServicesDep, request: Request) -> Response:
    """Sign in by the token of a link."""
    try:
        address = await count_sign_in_attempt(services)
        origin = caller_origin(request)
        public_id = services.sign_in_links.spend(form.get("token"))
        owner = await authenticate_session_of_key(request.app.state.key_cache, public_id, origin)
        signed_in = await key_sessions.sign_in_by_key(services, owner, address, origin.agent or "")
    except errors.AppError as error:
        refusal = refusal_of(error)
        values = {"back": HOME, "refusal": refusal}
        return render(request, "sign_in_link.html", values)
    return enter(services, signed_in.cookie or "", HOME)


# For `image-manager up` and `open`, which hold a key; so there is no form whose token could be checked.
programs_router = APIRouter(prefix=SIGN_IN, include_in_schema=False, route_class=GuardedRoute)


@programs_router.post("/links", status_code=201, dependencies=_LOCAL)
async def issue(actor: Annotated[Actor, Depends(RequireScope())], services: ServicesDep) -> dict[str, Any]:
    """Issue a link for the owner of the calling key."""
    if actor.session_id is not None:
        raise errors.KeyMissing("A session issues no links. Send an API key in the header X-API-KEY.")
    token = services.sign_in_links.issue(actor)
    return {"url": f"{services.settings.base_url}{SIGN_IN}/link#{token}"}

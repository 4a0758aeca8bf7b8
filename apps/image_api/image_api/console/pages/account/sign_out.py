"""Signing out, from the frame of every page."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from image_api.actor import Actor
from image_api.auth import RequireSession
from image_api.console.forms import read_form
from image_api.console.frame import signed_out
from image_api.console.page_route import PageRoute, same_as
from image_api.console.policy import HOME
from image_api.dependencies import ServicesDep, TransactionDep
from image_api.people import service as people

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
SignedIn = Annotated[Actor, Depends(RequireSession(key_sessions=True))]


@router.post("/sign-out", dependencies=[Depends(read_form)], openapi_extra=same_as("POST /api/v1/auth/logout"))
async def sign_out(actor: SignedIn, transaction: TransactionDep, services: ServicesDep) -> Response:
    """End this session."""
    await people.sign_out(transaction, actor, everywhere=False)
    transaction.on_commit.append(lambda: services.session_cache.forget_user(actor.user_id))
    return signed_out(services)

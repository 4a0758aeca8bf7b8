"""HTTP of the pages of share links: `/s/{token}`, outside the API's prefix and document."""

import re
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from image_api.auth import caller_address
from image_api.dependencies import ServicesDep
from image_api.guarded_route import GuardedRoute, body_limit
from image_api.http import problems
from image_api.http.paths import SHARE_PREFIX
from image_api.services import Services
from image_api.share_pages import cookies, guesses, pages, service
from image_core import errors
from image_core.db import Record

_PATH = f"{SHARE_PREFIX}/{{token}}"
_PICTURE_PATH = f"{_PATH}/{{picture}}"
_MOST_FORM_BYTES = 4096
_FORM = "application/x-www-form-urlencoded"
_NUMBER = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class _PageRoute(GuardedRoute):
    """A route whose errors are pages. Other sites add parameters of their own to links, so any are accepted."""

    checks_query = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except errors.AppError as error:
                problems.log_unavailable(error)
                return pages.failed(error)

        return handle


router = APIRouter(include_in_schema=False, route_class=_PageRoute)
router.include_router(pages.static_files.router())


# With a HEAD of their own, as only GET counts a view.
@router.api_route(_PATH, methods=["GET", "HEAD"])
async def show_gallery(token: str, request: Request, services: ServicesDep) -> Response:
    """Show a page of the link's pictures, or ask for its password."""
    link = await service.find_link(services, token)
    if link is None:
        return pages.not_found()
    if not await service.may_see(services, link, _cookie(request, services)):
        return pages.password(token)
    signing = await service.signing_of(services, link)
    shown = await service.gallery(services, link, _page_number(request))
    await _count_view(request, services, link)
    # Of the request, the page repeats nothing but a number.
    request.state.may_compress = True
    return pages.gallery(token, link, shown, signing)


@router.api_route(_PICTURE_PATH, methods=["GET", "HEAD"])
async def show_picture(token: str, picture: str, request: Request, services: ServicesDep) -> Response:
    """Show one of the link's pictures, or ask for the link's password."""
    link = await service.find_link(services, token)
    if link is None:
        return pages.not_found()
    if not await service.may_see(services, link, _cookie(request, services)):
        return pages.password(token)
    row = await service.find_image(services, link, picture)
    if row is None:
        return pages.not_found()
    signing = await service.signing_of(services, link)
    await _count_view(request, services, link)
    return pages.picture(token, link, row, signing)


@router.post(_PATH, openapi_extra=body_limit(_MOST_FORM_BYTES))
async def enter_password(token: str, request: Request, services: ServicesDep) -> Response:
    """Let a visitor in who knows the password: by a cookie for this link, for an hour."""
    link = await service.find_link(services, token)
    if link is None:
        return pages.not_found()
    if await service.may_see(services, link, _cookie(request, services)):
        return _to_gallery(token)
    try:
        is_right = await guesses.is_right(services, link, await _password(request), caller_address())
    except errors.TooManySignIns as error:
        seconds = error.retry_after_seconds or 1
        message = f"Too many wrong passwords. Try again in {_duration(seconds)}."
        return pages.password(token, 429, message, seconds)
    except errors.PasswordsBusy as error:
        return pages.password(
            token, 503, "Too many passwords are being checked. Try again in a moment.", error.retry_after_seconds
        )
    if not is_right:
        return pages.password(token, 403, "This is not the password.")
    return await _let_in(token, services, link)


def _cookie(request: Request, services: Services) -> str | None:
    return request.cookies.get(cookies.cookie_name(is_secure=services.settings.cookies_are_secure))


def _page_number(request: Request) -> int:
    text = request.query_params.get("page", "1")
    return int(text) if _NUMBER.fullmatch(text) else 1


async def _count_view(request: Request, services: Services, link: Record) -> None:
    if request.method == "GET":
        master = await services.require_delivery_master()
        request.app.state.view_counts.count(master, link["id"], caller_address(), request.headers)


async def _password(request: Request) -> str:
    body = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return ""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        return ""
    return fields.get("password", [""])[0]


async def _let_in(token: str, services: Services, link: Record) -> Response:
    answer = _to_gallery(token)
    is_secure = services.settings.cookies_are_secure
    answer.set_cookie(
        cookies.cookie_name(is_secure=is_secure),
        await service.issue_cookie(services, link),
        max_age=cookies.LIFE_SECONDS,
        path=service.path_of(token),
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )
    return answer


def _to_gallery(token: str) -> Response:
    return RedirectResponse(service.path_of(token), 303, {"cache-control": "no-store", **pages.ROBOTS})


def _duration(seconds: int) -> str:
    if seconds < 90:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"

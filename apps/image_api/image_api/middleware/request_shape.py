"""Rejections based on the head of a request: too many parameters or cookies, and WebSockets."""

from starlette.types import ASGIApp, Receive, Scope, Send

from image_api.http import problems
from image_core import errors

MAX_PARAMETERS = 100
MAX_COOKIES = 100


class RequestShapeMiddleware:
    """Reject requests with extreme heads. Pure ASGI. Counting separators is cheap, and happens before any parsing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await problems.app_problem(refusal)(scope, receive, send)


def _refusal(scope: Scope) -> errors.Invalid | None:
    if scope["query_string"].count(b"&") >= MAX_PARAMETERS:
        return errors.TooManyParameters(f"Too many query parameters: the limit is {MAX_PARAMETERS}.")
    cookies = 0
    for name, value in scope["headers"]:
        if name == b"cookie":
            cookies += value.count(b";") + 1
        elif name == b"upgrade" and value.strip().lower() == b"websocket":
            return errors.UpgradeNotSupported(
                "WebSockets are not supported. Send the request without the header Upgrade."
            )
    if cookies > MAX_COOKIES:
        return errors.HeaderTooLarge(f"Too many cookies: the limit is {MAX_COOKIES}.")
    return None

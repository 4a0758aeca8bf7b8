"""The ASGI middleware of services that only the platform calls. Pure ASGI, without a web framework."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from image_core.telemetry import current_request, log, log_unexpected, request_context

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestLog:
    """Assign ids to every request, and turn unexpected errors into a 500 that Error Reporting groups."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = current_request.set(request_context(dict(scope["headers"]), None))
        status = 0

        async def send_response(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_response)
        except Exception as error:
            if status == 413:
                # The framework has answered a body that is too large, and raises an exception of its own.
                raise
            log_unexpected(error, http_request={"requestMethod": scope["method"], "requestUrl": scope["path"]})
            if status == 0:
                await send_response({"type": "http.response.start", "status": 500, "headers": []})
                await send_response({"type": "http.response.body", "body": b""})
        finally:
            if status >= 400 and not scope["path"].startswith("/health"):
                log("request", severity="WARNING", path=scope["path"], status=status)
            current_request.reset(token)

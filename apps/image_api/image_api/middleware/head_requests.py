"""HEAD for every GET: the same response without its body, so that routes need not implement it."""

from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_api.http.problems import methods_of


class _BodyDiscarded(Exception):
    """Ends a streaming response whose body is not sent."""


class HeadMiddleware:
    """Answer HEAD with the headers of GET. Pure ASGI. Routes with their own HEAD, such as content, are left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or "HEAD" in _own_methods(scope):
            await self._app(scope, receive, send)
            return
        # What would wait for something to send does not.
        scope.setdefault("state", {})["is_head"] = True
        as_get = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.body":
                # The log line and the metrics use this scope.
                scope.update({name: as_get[name] for name in ("route", "path_params") if name in as_get})
                await send(message)
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body"):
                raise _BodyDiscarded

        with suppress(_BodyDiscarded):
            await self._app(as_get, receive, send_head)


def _own_methods(scope: Scope) -> list[str]:
    methods = methods_of(scope)
    return methods if "GET" in methods else ["HEAD"]

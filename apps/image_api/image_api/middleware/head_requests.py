"""HEAD for every GET: the same answer without its body, so that no route has to say so itself."""

from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_api.http.problems import methods_of


class _Enough(Exception):
    """Ends an answer that is being streamed: nobody gets its body."""


class HeadMiddleware:
    """Pure ASGI. A route that answers HEAD itself, as those of content do, is left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or "HEAD" in _own_methods(scope):
            await self._app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.body":
                # For the log line and the metrics, which look at the scope that they gave.
                scope.update({name: as_get[name] for name in ("route", "path_params") if name in as_get})
                await send(message)
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body"):
                raise _Enough

        with suppress(_Enough):
            await self._app(as_get, receive, send_head)


def _own_methods(scope: Scope) -> list[str]:
    methods = methods_of(scope)
    return methods if "GET" in methods else ["HEAD"]

"""Responses sent before the request's body has arrived: the rest is drained, so that the caller can read the response.

Otherwise a caller that writes its whole body before it reads would see a connection reset.
"""

from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_api.server.shutdown import Shutdown

MAX_DRAINED_BYTES = 32 * 1024 * 1024
DRAIN_SECONDS = 10.0
MAX_DRAINING = 100
"""Maximum number of requests drained at once; beyond it, connections are closed with their responses."""
_SMALL_BODY_BYTES = 64 * 1024
_TOO_SLOW = 408


class EarlyRefusalMiddleware:
    """Drain the body after an early response. Pure ASGI; outermost, so that every response passes through it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._draining = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _find_body(scope, receive) if scope["type"] == "http" else None
        if body is None:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_drain(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if not body.ended and not (body.is_small and status != _TOO_SLOW):
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            elif not message.get("more_body") and not body.ended and _is_worth_draining(status, body):
                # The client has the whole response, but the request ends only after the rest of the body.
                await send({**message, "more_body": True})
                await self._drain(body, scope["app"].state.services.shutdown)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, body.receive, send_and_drain)

    async def _drain(self, body: "_Body", shutdown: Shutdown) -> None:
        if self._draining >= MAX_DRAINING:
            return
        self._draining += 1
        try:
            with suppress(TimeoutError):
                async with shutdown.deadline(DRAIN_SECONDS):
                    await body.drain()
        finally:
            self._draining -= 1


def _is_worth_draining(status: int, body: "_Body") -> bool:
    """Return whether the caller may still be writing. One that timed out is not given more time."""
    return status != _TOO_SLOW and (status >= 400 or not body.is_small)


class _Body:
    """The body of one request as it arrives."""

    def __init__(self, receive: Receive, declared_bytes: int | None) -> None:
        self._receive, self._declared_bytes = receive, declared_bytes
        self._received_bytes = 0
        self.is_small = declared_bytes is not None and declared_bytes <= _SMALL_BODY_BYTES
        self.ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._received_bytes += len(message.get("body", b""))
        self.ended = not message.get("more_body", False) or self._received_bytes == self._declared_bytes
        return message

    async def drain(self) -> None:
        drained = 0
        while not self.ended and drained < MAX_DRAINED_BYTES:
            drained += len((await self.receive()).get("body", b""))


def _find_body(scope: Scope, receive: Receive) -> _Body | None:
    """Return the request's body; None if its headers announce none."""
    length = b"0"
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return _Body(receive, None)
        if name == b"content-length":
            length = value
    return None if length == b"0" else _Body(receive, int(length) if length.isdigit() else None)

"""`/i/…`: a bare ASGI application that answers delivery addresses before any middleware."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from starlette.types import Message, Receive, Scope, Send

from image_core import errors
from image_core.delivery.rendition_requests import FULL, FULL_HASH
from image_core.delivery.spec import FOCAL_GRAVITY, Format, Recipe
from image_core.errors.problem_documents import MEDIA_TYPE, document, status_of
from image_core.storage.protocol import ObjectMissing
from image_core.telemetry import current_request, log, log_unexpected, request_context, span
from image_delivery.derivatives import finding, sending
from image_delivery.derivatives.finding import Content
from image_delivery.derivatives.full_size import can_be_copied, format_of_whole
from image_delivery.derivatives.making import LeftToProcessor, Makers
from image_delivery.derivatives.memory import PictureMemory
from image_delivery.derivatives.requesting import BackgroundRequests
from image_delivery.derivatives.sending import Headers, Prepared
from image_delivery.derivatives.storing import order_of
from image_delivery.derivatives.usage import TeamUsage
from image_delivery.grants.images import DeliveredImages
from image_delivery.grants.permits import AUTO, ImageFailed, Permit, PictureNotMade, Unknown
from image_delivery.grants.verification import Verification
from image_delivery.parts import Parts
from image_engine.contract.rejections import PictureRejected

ROUTE = "/i/{grant}/{image}/{file}"
UNKNOWN_SECONDS = 60
"""How long caches may keep that an address is unknown or has expired."""
_NOT_READY_SECONDS = 5
_PENDING_SECONDS = 5
_METHODS = (b"GET, HEAD", frozenset({"GET", "HEAD"}))
_TOO_MUCH_MEMORY = (
    "The picture needs more memory than one picture may use. Ask for a smaller one, for one without transparency or for"
    " JPEG."
)
_NO_STORE = (b"cache-control", b"no-store")
_ENDS = (b"cache-control", b"public, max-age=%d" % UNKNOWN_SECONDS)

EVERY_ANSWER: Headers = [
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
    (b"timing-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Server-Timing, X-Derivative, ETag"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
]


@dataclass(frozen=True)
class Serving:
    """What answers addresses."""

    parts: Parts
    images: DeliveredImages
    verification: Verification
    memory: PictureMemory
    makers: Makers
    usage: TeamUsage
    requests: BackgroundRequests


class Found(NamedTuple):
    """An object, and how it came to be there: `hit`, `made` for this request, or `waited` for another's."""

    content: Content
    origin: str


class Addresses:
    """Answers delivery addresses."""

    def __init__(self, serving: Callable[[], Serving]) -> None:
        """Take a function that returns what answers, once the service has started."""
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_headers = dict(scope["headers"])
        token = current_request.set(request_context(request_headers, None))
        serving = self._serving()
        provider = serving.parts.tracer_provider
        parent = request_headers.get(b"traceparent", b"").decode("latin-1") or None
        try:
            with span(provider, f"{scope['method']} {ROUTE}", parent) if provider else nullcontext():
                await _Exchange(serving, scope, request_headers, receive, send).answer()
        finally:
            current_request.reset(token)


def _not_made(rejection: PictureRejected) -> PictureNotMade:
    """Return the refusal of a picture that cannot be made of an image, though the image itself is ready."""
    # To upload the image smaller, as its own failures advise, would not help: its border may be what is large.
    message = _TOO_MUCH_MEMORY if rejection.code == "picture-too-much-memory" else rejection.message
    return PictureNotMade(rejection.code, message)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, serving: Serving, scope: Scope, request_headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        self._serving, self._request_headers = serving, request_headers
        self._method: str = scope["method"]
        # As it came: what the server has decoded may be spelled in many ways.
        self._path: str = scope["raw_path"].decode("latin-1")
        self._receive, self._wire = receive, send
        self._status = 0

    async def answer(self) -> None:
        """Send the answer, whatever it is."""
        try:
            await self._answer()
        except Exception as error:  # noqa: BLE001 (the outermost catch: nothing may leave as a bare 500)
            if self._status:
                # The server ends the connection, and the caller sees that the answer is short.
                log("answer_broken_off", severity="WARNING", reason=type(error).__qualname__)
                return
            log_unexpected(error, http_request={"requestMethod": self._method, "requestUrl": ROUTE})
            await self._refuse(500, "internal-error", "Internal error", "The error has been logged.", _NO_STORE)

    async def _answer(self) -> None:
        if self._method == "OPTIONS":
            await self._send_empty(204, [(b"access-control-allow-methods", _METHODS[0]), (b"allow", _METHODS[0])])
            return
        if self._method not in _METHODS[1]:
            await self._send_empty(405, [(b"allow", _METHODS[0]), _NO_STORE])
            return
        try:
            prepared, headers = await self._prepare()
            await self._serving.usage.flush_if_due()
        except Unknown:
            await self._send_empty(404, [_ENDS])
        except ImageFailed as failed:
            await self._refuse(422, failed.code, failed.title, failed.message, _NO_STORE)
        except LeftToProcessor:
            await self._send_empty(202, [(b"retry-after", b"%d" % _PENDING_SECONDS), _NO_STORE])
        except errors.AppError as error:
            if isinstance(error, errors.DeliveryBusy):
                self._serving.usage.count_refusal()
                await self._serving.usage.flush_if_due()
            await self._refuse_for(error)
        else:
            await prepared.send(self._send, self._receive, headers)
            self._count(dict(headers).get(b"x-derivative", b"").decode(), prepared.size_bytes)

    async def _prepare(self) -> tuple[Prepared, Headers]:
        began_at = time.perf_counter()
        permit = await self._serving.verification.permit(self._path)
        permitted_at = time.perf_counter()
        await self._serving.usage.check_bytes(permit.image.team_id)
        found, prepared = await self._picture(permit)
        self._serving.usage.count_answer(permit.image.team_id, prepared.size_bytes)
        timing = b"permit;dur=%.1f, picture;dur=%.1f" % (
            (permitted_at - began_at) * 1000,
            (time.perf_counter() - permitted_at) * 1000,
        )
        return prepared, [
            (b"cache-control", self._cache_control(permit)),
            (b"cache-tag", f"image-{permit.image.id}".encode()),
            (b"server-timing", timing),
            (b"x-derivative", found.origin.encode()),
        ]

    async def _picture(self, permit: Permit) -> tuple[Found, Prepared]:
        found = await self._find(permit)
        try:
            return found, await self._prepare_content(found.content)
        except ObjectMissing:
            # What the row in memory names may have been removed meanwhile.
            rows = self._serving.images.rows
            image = await rows.get_since(permit.image.id, rows.clock())
        if image is None or image.tag != permit.image.tag:
            raise Unknown
        found = await self._find(permit._replace(image=image))
        try:
            return found, await self._prepare_content(found.content)
        except ObjectMissing as error:
            raise errors.StorageUnavailable("The bytes cannot be found at the moment. Try again.") from error

    async def _prepare_content(self, content: Content) -> Prepared:
        return await sending.prepare(content, self._method, self._request_headers, self._serving.memory)

    async def _find(self, permit: Permit) -> Found:
        parts, image = self._serving.parts, permit.image
        if permit.recipe is None and permit.name != FULL:
            return Found(finding.original(parts, permit), "hit")
        recipe, spec_hash, extension = self._wanted(permit)
        self._ask_for_avif(permit, recipe, spec_hash)
        stored = image.pictures.get((spec_hash, extension))
        if stored is not None:
            if stored.is_rendition:
                self._serving.usage.note_use(stored.object_name)
            return Found(finding.picture(parts, permit, stored, extension, None), "hit")
        try:
            if recipe is None:
                await self._check_whole(permit, extension)
            made, is_first = await self._serving.makers.make(
                image, recipe, extension, permit.preset, is_exact=permit.is_exact
            )
        except LeftToProcessor:
            order = order_of(image, FULL_HASH, extension)
            await self._serving.requests.ask(image, order, FULL, is_exact=permit.is_exact)
            raise
        except PictureRejected as rejection:
            raise (_not_made(rejection) if permit.is_signed else Unknown()) from rejection
        content = finding.picture(parts, permit, made.picture, extension, made.body)
        return Found(content, "made" if is_first else "waited")

    async def _check_whole(self, permit: Permit, extension: Format) -> None:
        """Let the whole picture be copied here, where that can be done.

        Raises:
            PictureNotMade: it could not be made within the last hour.
            LeftToProcessor: it cannot be copied, or is too large for it.
        """
        image = permit.image
        failure = image.failures.get((FULL_HASH, extension))
        if failure is not None:
            raise PictureNotMade(failure.code, failure.message)
        order = order_of(image, FULL_HASH, extension)
        if not can_be_copied(image) or self._serving.requests.was_asked(order):
            raise LeftToProcessor

    def _ask_for_avif(self, permit: Permit, recipe: Recipe | None, spec_hash: bytes) -> None:
        """Have AVIF made for whoever comes later, where the address leaves the format open and the preset lists it."""
        image = permit.image
        if recipe is None or not permit.lists_avif or permit.extension != AUTO:
            return
        is_known = (spec_hash, "avif") in image.pictures or (spec_hash, "avif") in image.failures
        # Of what moves `auto` never becomes AVIF.
        if is_known or (image.frames > 1 and recipe.animated):
            return
        order = order_of(image, spec_hash, "avif")
        self._serving.requests.ask_meanwhile(image, order, permit.name, is_exact=permit.is_exact)

    def _wanted(self, permit: Permit) -> tuple[Recipe | None, bytes, Format]:
        """Return what to make, the hash by which it is stored, and its format."""
        if permit.recipe is None:
            return None, FULL_HASH, format_of_whole(permit.image)
        recipe = permit.recipe.focused(permit.image.focal_point)
        accept = self._request_headers.get(b"accept", b"")
        return recipe, finding.spec_hash_of(recipe), finding.format_of(permit, recipe, accept)

    def _cache_control(self, permit: Permit) -> bytes:
        is_lasting = permit.is_lasting and (permit.recipe is None or permit.recipe.gravity != FOCAL_GRAVITY)
        return sending.cache_control(
            self._serving.verification.now(), permit.expires_at, is_lasting=is_lasting,
            most_seconds=self._serving.parts.settings.delivery_cache_seconds,
        )  # fmt: skip

    async def _refuse_for(self, error: errors.AppError) -> None:
        headers = [_ENDS if isinstance(error, errors.DeliveryExpired) else _NO_STORE]
        seconds = getattr(error, "retry_after_seconds", None)
        if isinstance(error, errors.ImageNotReady):
            seconds = _NOT_READY_SECONDS
        if seconds is not None:
            headers.append((b"retry-after", b"%d" % seconds))
        if isinstance(error, errors.RangeNotSatisfiable):
            headers.append((b"content-range", b"bytes */%d" % error.extra["size_bytes"]))
        if isinstance(error, errors.Unavailable) and error.__cause__ is not None:
            reason = type(error.__cause__).__qualname__
            log("part_unavailable", severity="WARNING", code=error.code, reason=reason)
        await self._refuse(status_of(error), error.code, error.title(), error.detail, *headers, **error.extra)

    async def _refuse(
        self, status: int, code: str, title: str, detail: str, *headers: tuple[bytes, bytes], **extra: object
    ) -> None:
        base_url = self._serving.parts.settings.base_url
        body = document(status, code, title, detail, base_url, **extra)
        described = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body)), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": described})
        await self._send({"type": "http.response.body", "body": b"" if self._method == "HEAD" else body})
        self._count("", 0)

    async def _send_empty(self, status: int, headers: Headers) -> None:
        length = [] if status == 204 else [(b"content-length", b"0")]
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        await self._send({"type": "http.response.body", "body": b""})
        self._count("", 0)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            vary = [(b"vary", b"Accept")] if self._path.endswith(f".{AUTO}") else []
            self._status = message["status"]
            message["headers"] = [*EVERY_ANSWER, *vary, *message["headers"]]
        await self._wire(message)

    def _count(self, origin: str, size_bytes: int) -> None:
        self._serving.parts.metrics.count_answer(self._status, origin, size_bytes)

"""Request ids, log lines, metrics, security headers, and the handler of unexpected errors."""

import asyncio
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from opentelemetry import trace
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_api.http import problems
from image_api.request_counts import RequestCounts
from image_core import errors
from image_core.telemetry import current_request, log, log_unexpected, request_context

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_PIECE_BYTES = 64 * 1024
_QUIET_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})


class Metrics:
    """The API's Prometheus metrics, in a separate registry so that two applications never share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests", ["method", "route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "http_request_duration_seconds",
            "Duration of requests",
            ["method", "route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.uploads = Counter("uploads", "Uploads by outcome", ["outcome"], registry=self.registry)
        self.upload_bytes = Counter("upload_bytes", "Bytes of stored uploads", registry=self.registry)
        self.rate_limit_fallbacks = Counter(
            "rate_limit_fallbacks", "Requests counted by this instance alone, as Redis was away", registry=self.registry
        )
        self.outbox_age = Gauge("outbox_age_seconds", "Age of the oldest unpublished event", registry=self.registry)
        self._series: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        # The process's own memory, CPU time and file descriptors.
        for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001 (the default registry has no public list)
            self.registry.register(collector)

    def count_upload(self, size_bytes: int, *, duplicate: bool) -> None:
        """Count an upload that was accepted."""
        self.uploads.labels("duplicate" if duplicate else "stored").inc()
        self.upload_bytes.inc(0 if duplicate else size_bytes)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; label lookups are cached because they cost more than counting."""
        series = self._series.get((method, route, status))
        if series is None:
            series = self.requests.labels(method, route, str(status)), self.seconds.labels(method, route)
            self._series[method, route, status] = series
        series[0].inc()
        series[1].observe(seconds)


@dataclass(frozen=True)
class TrustedProxies:
    """The number of proxies that always append to `X-Forwarded-For`, and the addresses of optional ones."""

    depth: int
    addresses: frozenset[str] = frozenset()


class ObservabilityMiddleware:
    """Add an id, a log line, metrics and headers to every request. Pure ASGI, outermost."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, request_counts: RequestCounts, trusted_proxies: TrustedProxies
    ) -> None:
        self._app, self._metrics, self._trusted_proxies = app, metrics, trusted_proxies
        self._request_counts = request_counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        context = request_context(headers, client_address(scope, headers, self._trusted_proxies))
        token = current_request.set(context)
        scope["state"] = {**scope.get("state", {}), "rate_limit": None}
        answer = _ResponseObserver(scope, send, context.request_id)
        _hide_path(scope)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 (the outermost catch: nothing may leave as a bare 500)
            await self._last_catch(error, scope, receive, answer)
        finally:
            self._finish(scope, headers, answer.status, time.perf_counter() - started)
            current_request.reset(token)

    async def _last_catch(self, error: Exception, scope: Scope, receive: Receive, answer: "_ResponseObserver") -> None:
        if answer.status and isinstance(error.__cause__, errors.AppError):
            # The failure happened in the middle of a body: the server closes the connection, so the caller sees it is
            # incomplete.
            log("answer_broken_off", severity="WARNING", code=error.__cause__.code)
            return
        if isinstance(error, errors.AppError):
            response = problems.app_problem(error)
        else:
            log_unexpected(error, http_request={"requestMethod": scope["method"], "requestUrl": _template(scope)})
            response = problems.problem(
                500,
                "internal-error",
                "Internal error",
                "The error has been logged. Send the request ID when you report it.",
            )
        if answer.status == 0:
            await response(scope, receive, answer.send)

    def _finish(self, scope: Scope, headers: dict[bytes, bytes], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.observe(method, route, status, seconds)
        if (actor := scope["state"].get("actor")) is not None:
            self._request_counts.count(actor, f"{method} {_template(scope)}", failed=status >= 400)
        if scope["path"] in _QUIET_PATHS and status < 500:
            return
        log(
            "request",
            severity="INFO" if status < 500 else "ERROR",
            http_request={
                "requestMethod": method,
                "requestUrl": _template(scope),
                "status": status,
                "latency": f"{seconds:.6f}s",
                "userAgent": headers.get(b"user-agent", b"").decode("latin-1")[:200],
                "protocol": f"HTTP/{scope['http_version']}",
            },
            route=route,
            **_path_ids(scope),
            **(scope["state"].get("actor_fields") or {}),
        )


def _template(scope: Scope) -> str:
    """Return the path as its route declares it: path or query may contain a key."""
    route = scope.get("route")
    if route is None:
        return _UNMATCHED
    paths: dict[Any, str] = scope["app"].state.whole_paths
    path: str = route.path
    return paths.get((getattr(route, "endpoint", None), path), path)


def _path_ids(scope: Scope) -> dict[str, Any]:
    """Return the ids in the path of a request."""
    found = {name: value for name, value in scope.get("path_params", {}).items() if _UUID.fullmatch(str(value))}
    return {"target": found} if found else {}


def _hide_path(scope: Scope) -> None:
    """Replace the path in the request's span by its template."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attribute("url.path", _template(scope))
        if scope["query_string"]:
            span.set_attribute("url.query", "REDACTED")


class _ResponseObserver:
    """Record the status of a response and add the headers common to all responses."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.status = 0
        self._scope, self._send, self._request_id = scope, send, request_id.encode()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # The span ends with the response.
            _hide_path(self._scope)
            headers = [*_with_security_headers(message["headers"]), (b"x-request-id", self._request_id)]
            if limits := self._scope["state"]["rate_limit"]:
                headers += [(name.encode(), value.encode()) for name, value in limits.items()]
            message["headers"] = headers
        elif len(message.get("body", b"")) > _PIECE_BYTES and not message.get("more_body"):
            message = await self._send_pieces(message)
        await self._send(message)

    async def _send_pieces(self, message: Message) -> Message:
        """Send a long body in pieces, so that concurrent responses take turns; return the last piece."""
        body = message["body"]
        last = (len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES
        for start in range(0, last, _PIECE_BYTES):
            piece = body[start : start + _PIECE_BYTES]
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        return {**message, "body": body[last:]}


def _with_security_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Add the security headers; a page's own `Referrer-Policy` is kept, as of two the last one counts."""
    if any(name == b"referrer-policy" for name, _ in headers):
        return [*headers, *(header for header in _SECURITY_HEADERS if header[0] != b"referrer-policy")]
    return [*headers, *_SECURITY_HEADERS]


def client_address(scope: Scope, headers: dict[bytes, bytes], proxies: TrustedProxies) -> str:
    """Return the caller's address. Of `X-Forwarded-For`, only addresses appended by our own proxies are trusted."""
    if proxies.depth:
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
        if len(hops) >= proxies.depth:
            place = len(hops) - proxies.depth
            # A caller cannot have such an address, so that proxy appended the address before it.
            while place and hops[place] in proxies.addresses:
                place -= 1
            # Not the connection's address: that is the proxy's, which a key's networks may allow.
            return hops[place] if _is_address(hops[place]) else "unknown"
    return scope["client"][0] if scope.get("client") else "unknown"


@lru_cache(maxsize=4096)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def add_actor(scope: Scope, **fields: str) -> None:
    """Add the caller's ids to the request's log line."""
    scope["state"]["actor_fields"] = fields

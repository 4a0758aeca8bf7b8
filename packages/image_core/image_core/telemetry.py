"""Logs, traces and metrics.

A log line is a constant event name and values as fields: `log("image_rejected", image_id=…, code=…)`. Ids only:
never a key, a token, a file's content or a person's data. On Cloud Run the lines go through Google's structured
handler; elsewhere `JsonFormatter` writes the same shape. Source of the shape: Cloud Logging documentation,
"Structured logging"; of unexpected errors: Error Reporting documentation, "Format errors in a log entry".
"""

import logging
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_logger = logging.getLogger("image_manager")
_ERROR_EVENT = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"


@dataclass(frozen=True)
class RequestContext:
    """What is known of one request; trace and span ids are lower-case hex, as W3C writes them.

    The address is for limits and the audit log; no log line carries it.
    """

    request_id: str
    address: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    sampled: bool = False

    @property
    def trace_parent(self) -> str | None:
        """The W3C `traceparent` of this request, or None where there is no trace."""
        if not self.trace_id or not self.span_id:
            return None
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)
_service: dict[str, str] = {}
_project: str | None = None


def log(event: str, *, severity: str = "INFO", http_request: dict[str, Any] | None = None, **fields: Any) -> None:
    """Writes one line. `event` is a constant; what varies goes into `fields`."""
    level = logging.getLevelNamesMapping()[severity]
    if _logger.isEnabledFor(level):
        _logger.log(level, event, extra={"json_fields": fields, "http_request": http_request})


def log_unexpected(error: BaseException, *, http_request: dict[str, Any] | None = None, **fields: Any) -> None:
    """Writes an error that nobody expected, in the shape that Error Reporting groups.

    The text of the exception stays out of it: it may quote a value that no log should hold.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    context = (
        {"httpRequest": {"method": http_request["requestMethod"], "url": http_request["requestUrl"]}}
        if http_request
        else {}
    )
    log(
        "unexpected_error",
        severity="ERROR",
        http_request=http_request,
        **{"@type": _ERROR_EVENT},
        stack_trace=f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}",
        serviceContext=_service,
        context=context,
        **fields,
    )


class _AddContext(logging.Filter):
    """Gives each record the ids of the request it belongs to, under the names that both handlers read."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = current_request.get()
        fields = dict(getattr(record, "json_fields", None) or {})
        if context is not None:
            fields.setdefault("request_id", context.request_id)
            record.trace = _trace_name(context.trace_id)
            record.span_id = context.span_id
            record.trace_sampled = context.sampled
        record.json_fields = {"event": record.getMessage(), **fields}
        return True


def _trace_name(trace_id: str | None) -> str | None:
    if trace_id is None:
        return None
    return f"projects/{_project}/traces/{trace_id}" if _project else trace_id


class JsonFormatter(logging.Formatter):
    """One JSON object a line, as Cloud Logging reads it from standard output."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "severity": record.levelname,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "message": record.getMessage(),
            "logger": record.name,
            **getattr(record, "json_fields", {}),
        }
        if record.exc_info and "stack_trace" not in line:
            line["stack_trace"] = self.formatException(record.exc_info)
        if http_request := getattr(record, "http_request", None):
            line["httpRequest"] = http_request
        if trace := getattr(record, "trace", None):
            line["logging.googleapis.com/trace"] = trace
            line["logging.googleapis.com/spanId"] = getattr(record, "span_id", None)
            line["logging.googleapis.com/trace_sampled"] = getattr(record, "trace_sampled", False)
        return orjson.dumps(line, default=str).decode()


def configure_logging(service: str, version: str, project: str | None, level: str = "INFO") -> None:
    """Sends every log of the process, libraries' included, to standard output as JSON."""
    global _project  # noqa: PLW0603 (set once, at start)
    _project = project
    _service.update(service=service, version=version)
    handler: logging.Handler
    if os.environ.get("K_SERVICE"):
        from google.cloud.logging_v2.handlers import StructuredLogHandler

        handler = StructuredLogHandler(project_id=project, stream=sys.stdout)  # type: ignore[no-untyped-call]
    else:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonFormatter())
    handler.addFilter(_AddContext())
    # What no line shows need not be found out for each. Source: Python documentation, "Logging HOWTO: Optimization".
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 (the documented switch for the caller's line)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Our own middleware writes the line of each request, with more in it.
    logging.getLogger("uvicorn.access").disabled = True
    for chatty in ("urllib3", "google", "asyncio", "grpc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def tracer_provider(service: str, version: str, endpoint: str | None) -> "TracerProvider | None":
    """A provider that exports by OTLP over HTTP; None where no endpoint is set, and then nothing is traced."""
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    return provider


def parse_trace_parent(header: str | None) -> tuple[str, str, bool] | None:
    """Trace id, span id and the sampled flag of a W3C `traceparent`; None where it is absent or malformed."""
    parts = (header or "").split("-")
    if len(parts) != 4 or [len(part) for part in parts] != [2, 32, 16, 2]:
        return None
    try:
        if not int(parts[1], 16) or not int(parts[2], 16):
            return None
        return parts[1], parts[2], bool(int(parts[3], 16) & 1)
    except ValueError:
        return None


def request_context(headers: dict[bytes, bytes], address: str | None) -> RequestContext:
    """The ids of a request: an id of its own, and its trace from our own span, or else from the caller's header."""
    traced = _current_trace()
    if traced is None and (trace_parent := headers.get(b"traceparent")):
        traced = parse_trace_parent(trace_parent.decode("latin-1"))
    return RequestContext(f"{random.getrandbits(128):032x}", address, *(traced or ()))


def _current_trace() -> tuple[str, str, bool] | None:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id), context.trace_flags.sampled


@contextmanager
def span(
    provider: "TracerProvider | None", name: str, parent: str | None = None, **attributes: str | int
) -> Iterator[None]:
    """A span below the W3C parent `parent`, or below the present span; log lines inside carry its ids.

    Where nothing is traced, it is the parent's ids that log lines carry.
    """
    outer = current_request.get() or RequestContext("")
    if provider is None:
        inner = replace(outer, **_trace_fields(parse_trace_parent(parent))) if parent else outer
        with _request(inner):
            yield
        return
    from opentelemetry.propagate import extract

    tracer = provider.get_tracer("image_manager")
    context = extract({"traceparent": parent}) if parent else None
    with (
        tracer.start_as_current_span(name, context=context, attributes=attributes),
        _request(replace(outer, **_trace_fields(_current_trace()))),
    ):
        yield


def _trace_fields(traced: tuple[str, str, bool] | None) -> dict[str, Any]:
    return dict(zip(("trace_id", "span_id", "sampled"), traced or (None, None, False), strict=True))


@contextmanager
def _request(context: RequestContext) -> Iterator[None]:
    token = current_request.set(context)
    try:
        yield
    finally:
        current_request.reset(token)

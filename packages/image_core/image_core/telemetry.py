"""Logs, traces and metrics.

A log line is a constant event name and values as fields: `log("image_rejected", image_id=…, code=…)`. Ids only:
never a key, a token, a file's content or a person's data. On Cloud Run the lines go through Google's structured
handler; elsewhere `JsonFormatter` writes the same shape. Source of the shape: Cloud Logging documentation,
"Structured logging"; of unexpected errors: Error Reporting documentation, "Format errors in a log entry".
"""

import json
import logging
import os
import random
import re
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
_TRACE_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_OWN_LOGGERS = ("image_core.", "image_api.", "image_delivery.", "image_engine.", "image_processor.", "local_cloud.")
# Attributes that a record has by itself, or gets from the handlers.
_RECORD_NAMES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "json_fields", "http_request", "trace", "span_id", "trace_sampled", "resource", "labels",
}  # fmt: skip
_ERROR_EVENT = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"


@dataclass(frozen=True)
class RequestContext:
    """The ids of one request; trace and span ids are lower-case hex, as in W3C Trace Context.

    The address is for limits and the audit log; no log line carries it.
    """

    request_id: str
    address: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    sampled: bool = False

    @property
    def trace_parent(self) -> str | None:
        """The W3C `traceparent` of this request, or None if there is no trace."""
        if not self.trace_id or not self.span_id:
            return None
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)
_service: dict[str, str] = {}
_project: str | None = None


def log(event: str, *, severity: str = "INFO", http_request: dict[str, Any] | None = None, **fields: Any) -> None:
    """Write one log line. `event` is a constant; variable values go into `fields`."""
    level = logging.getLevelNamesMapping()[severity]
    if _logger.isEnabledFor(level):
        _logger.log(level, event, extra={"json_fields": fields, "http_request": http_request})


def log_unexpected(error: BaseException, *, http_request: dict[str, Any] | None = None, **fields: Any) -> None:
    """Log an unexpected error in the format that Error Reporting groups.

    The exception's text is omitted: it may quote a value that must not be logged.
    """
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
        stack_trace=_stack_trace(error),
        serviceContext=_service,
        context=context,
        **fields,
    )


def _stack_trace(error: BaseException) -> str:
    """Return frames and type of an error, without its text."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}"


class _AddContext(logging.Filter):
    """Add the ids of the current request to each record, under the names that both handlers read."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = current_request.get()
        fields = _extra_fields(record) | (getattr(record, "json_fields", None) or {})
        if context is not None:
            fields.setdefault("request_id", context.request_id)
            record.trace = _trace_name(context.trace_id)
            record.span_id = context.span_id
            record.trace_sampled = context.sampled
        if record.exc_info and record.exc_info[1] is not None:
            # A library's error is formatted like our own: its text may quote a value, too.
            fields.setdefault("stack_trace", _stack_trace(record.exc_info[1]))
            record.exc_info = record.exc_text = None
        record.json_fields = {"event": record.getMessage(), **fields}
        return True


def _extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that our own code gave to a standard logger; a library's may hold values not to be logged."""
    if not record.name.startswith(_OWN_LOGGERS):
        return {}
    return {name: value for name, value in vars(record).items() if name not in _RECORD_NAMES and name[0] != "_"}


def _trace_name(trace_id: str | None) -> str | None:
    if trace_id is None:
        return None
    return f"projects/{_project}/traces/{trace_id}" if _project else trace_id


class _TextEncoder(json.JSONEncoder):
    """Write what JSON does not know, such as a UUID, as text. A line that cannot be encoded would be lost."""

    def default(self, o: object) -> str:
        return str(o)


class JsonFormatter(logging.Formatter):
    """A formatter that writes one JSON object per line, as Cloud Logging reads it from standard output."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "severity": record.levelname,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "message": record.getMessage(),
            "logger": record.name,
            **getattr(record, "json_fields", {}),
        }
        if http_request := getattr(record, "http_request", None):
            line["httpRequest"] = http_request
        if trace := getattr(record, "trace", None):
            line["logging.googleapis.com/trace"] = trace
            line["logging.googleapis.com/spanId"] = getattr(record, "span_id", None)
            line["logging.googleapis.com/trace_sampled"] = getattr(record, "trace_sampled", False)
        return orjson.dumps(line, default=str).decode()


def configure_logging(service: str, version: str, project: str | None, level: str = "INFO") -> None:
    """Send all logs of the process, including those of libraries, to standard output as JSON."""
    global _project  # noqa: PLW0603 (set once, at start)
    _project = project
    _service.update(service=service, version=version)
    handler: logging.Handler
    if os.environ.get("K_SERVICE"):
        from google.cloud.logging_v2.handlers import StructuredLogHandler

        handler = StructuredLogHandler(project_id=project, stream=sys.stdout, json_encoder_cls=_TextEncoder)  # type: ignore[no-untyped-call]
    else:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonFormatter())
    handler.addFilter(_AddContext())
    # Skip collecting values that no line shows. Source: Python documentation, "Logging HOWTO: Optimization".
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 (the documented switch for the caller's line)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Our own middleware logs each request, with more fields.
    logging.getLogger("uvicorn.access").disabled = True
    for logger_name in ("urllib3", "google", "asyncio", "grpc"):
        logging.getLogger(logger_name).setLevel(logging.WARNING)


def tracer_provider(service: str, version: str, endpoint: str | None) -> "TracerProvider | None":
    """Return a provider that exports by OTLP over HTTP; None, and no tracing, if no endpoint is set."""
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
    """Return trace id, span id and the sampled flag of a W3C `traceparent`; None if it is absent or malformed."""
    found = _TRACE_PARENT.fullmatch(header or "")
    if found is None or found[1] == "ff" or not int(found[2], 16) or not int(found[3], 16):
        return None
    return found[2], found[3], bool(int(found[4], 16) & 1)


def request_context(headers: dict[bytes, bytes], address: str | None) -> RequestContext:
    """Return the ids of a request: a new request id, and the trace of our own span or of the caller's header."""
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
    """Open a span below the W3C parent `parent`, or below the current span; log lines inside carry its ids.

    If tracing is off, log lines carry the parent's ids.
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

import io
import logging
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from image_core import telemetry
from image_core.telemetry import RequestContext, current_request, log, log_unexpected, parse_trace_parent, span

TRACE, SPAN = "a" * 32, "b" * 16
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the process writes to standard output, as the service configures it."""
    output = io.StringIO()
    root = logging.getLogger()
    kept = root.handlers[:], root.level, logging._srcfile, logging.getLogger("uvicorn.access").disabled
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    monkeypatch.setattr(sys, "stdout", output)
    telemetry.configure_logging("image-test", "1.2.3", "project")
    yield output
    root.handlers[:], root.level, logging._srcfile, logging.getLogger("uvicorn.access").disabled = kept
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in output.getvalue().split("\n") if line]


class TestLines:
    def test_a_line_has_the_shape_that_cloud_logging_reads(self, written: io.StringIO) -> None:
        request = {"requestMethod": "GET", "requestUrl": "/x", "status": 200}
        log("something_happened", severity="WARNING", http_request=request, count=3)
        (line,) = lines(written)
        assert (line["severity"], line["message"], line["event"]) == ("WARNING", *["something_happened"] * 2)
        assert (line["count"], line["httpRequest"]) == (3, request)
        assert line["time"].endswith("Z")

    def test_a_line_carries_the_ids_of_its_request(self, written: io.StringIO) -> None:
        token = current_request.set(RequestContext("request-1", "192.0.2.1", TRACE, SPAN, sampled=True))
        try:
            log("inside")
        finally:
            current_request.reset(token)
        log("outside")
        inside, outside = lines(written)
        assert inside["request_id"] == "request-1"
        assert inside["logging.googleapis.com/trace"] == f"projects/project/traces/{TRACE}"
        assert inside["logging.googleapis.com/spanId"] == SPAN
        assert inside["logging.googleapis.com/trace_sampled"] is True
        assert "192.0.2.1" not in written.getvalue()
        assert "request_id" not in outside

    def test_an_unexpected_error_is_grouped_and_its_text_kept_out(self, written: io.StringIO) -> None:
        try:
            raise ValueError("-".join(["hunter", "2"]))
        except ValueError as error:
            log_unexpected(error, http_request={"requestMethod": "GET", "requestUrl": "/x"}, image_id="1")
        (line,) = lines(written)
        assert line["@type"].endswith("ReportedErrorEvent")
        assert line["serviceContext"] == {"service": "image-test", "version": "1.2.3"}
        assert line["context"] == {"httpRequest": {"method": "GET", "url": "/x"}}
        assert line["stack_trace"].startswith("Traceback (most recent call last):")
        assert line["stack_trace"].endswith("ValueError")
        assert "hunter-2" not in written.getvalue()

    def test_a_librarys_error_keeps_its_text_out_too(self, written: io.StringIO) -> None:
        try:
            raise ValueError("-".join(["hunter", "2"]))
        except ValueError:
            logging.getLogger("some.library").exception("it_failed")
        (line,) = lines(written)
        assert line["stack_trace"].endswith("ValueError")
        assert (line["message"], line["logger"]) == ("it_failed", "some.library")
        assert "hunter-2" not in written.getvalue()

    @pytest.mark.parametrize("in_the_cloud", [False, True])
    def test_fields_of_a_standard_logger_of_ours_are_in_its_line(
        self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, in_the_cloud: bool
    ) -> None:
        if in_the_cloud:
            monkeypatch.setenv("K_SERVICE", "image-test")
        written = request.getfixturevalue("written")
        own = {"place": "ValueError at resize.py:12 shrink", "count": 2}
        logging.getLogger("image_engine.pool.process").error("processing_step_failed", extra=own)
        logging.getLogger("some.library").error("it_failed", extra={"place": "hunter-2"})
        # Google's handler writes a line about itself before the first one.
        ours, theirs = lines(written)[-2:]
        assert ours["event"] == "processing_step_failed"
        assert {name: ours[name] for name in own} == own
        assert "place" not in theirs
        # Nothing but what a line always has: what handlers add to a record for themselves stays out of it.
        shape = {name for name in theirs if name != "logger"} | own.keys()
        assert {name for name in ours if name != "logger"} == shape

    def test_what_cannot_be_json_does_not_break_a_line(self, written: io.StringIO) -> None:
        log("odd", value=object(), text="\u2028\n")
        assert len(lines(written)) == 1

    def test_what_cannot_be_json_does_not_break_a_line_on_cloud_run(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        monkeypatch.setenv("K_SERVICE", "image-test")
        try:
            telemetry.configure_logging("image-test", "1.2.3", "project")
            log("odd", image_id=UUID(int=1), value={1})
        finally:
            root.handlers, root.level = handlers, level
        (line,) = map(orjson.loads, capsys.readouterr().out.splitlines())
        assert (line["image_id"], line["value"]) == (str(UUID(int=1)), "{1}")

    def test_chatty_libraries_are_quiet(self, written: io.StringIO) -> None:
        logging.getLogger("urllib3").info("chatter")
        logging.getLogger("uvicorn.access").warning("GET /")
        assert lines(written) == []


class TestTraceParent:
    def test_a_header_tells_trace_span_and_sampling(self) -> None:
        assert parse_trace_parent(PARENT) == (TRACE, SPAN, True)
        assert parse_trace_parent(PARENT[:-2] + "00") == (TRACE, SPAN, False)
        assert RequestContext("x", None, TRACE, SPAN, sampled=True).trace_parent == PARENT

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "x",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{'_' * 31}1-{SPAN}-01",
            f"00-+{'a' * 31}-{SPAN}-01",
            f"00- {'a' * 31}-{SPAN}-01",
            f"00-{'A' * 32}-{SPAN}-01",
            f"ff-{TRACE}-{SPAN}-01",
            PARENT + "-extra",
            PARENT + "\n",
        ],
    )
    def test_what_the_standard_does_not_allow_is_no_trace(self, header: str | None) -> None:
        assert parse_trace_parent(header) is None

    @given(st.text())
    def test_no_header_breaks_the_parser(self, header: str) -> None:
        assert parse_trace_parent(header) is None

    def test_without_a_trace_there_is_no_parent(self) -> None:
        assert RequestContext("x").trace_parent is None


class TestSpans:
    @pytest.fixture
    def exporter(self) -> InMemorySpanExporter:
        return InMemorySpanExporter()

    @pytest.fixture
    def provider(self, exporter: InMemorySpanExporter) -> TracerProvider:
        made = TracerProvider()
        made.add_span_processor(SimpleSpanProcessor(exporter))
        return made

    def test_a_span_goes_on_below_its_parent(self, exporter: InMemorySpanExporter, provider: TracerProvider) -> None:
        with span(provider, "work", PARENT, image_id="7"):
            inside = current_request.get()
        (finished,) = exporter.get_finished_spans()
        assert finished.name == "work"
        assert finished.context is not None
        assert f"{finished.context.trace_id:032x}" == TRACE
        assert finished.parent is not None
        assert f"{finished.parent.span_id:016x}" == SPAN
        assert finished.attributes == {"image_id": "7"}
        assert inside is not None
        assert inside.trace_id == TRACE
        assert inside.span_id == f"{finished.context.span_id:016x}"

    def test_without_a_provider_log_lines_carry_the_parents_ids(self) -> None:
        with span(None, "work", PARENT):
            inside = current_request.get()
        assert inside is not None
        assert (inside.trace_id, inside.span_id) == (TRACE, SPAN)
        assert current_request.get() is None

    def test_without_an_endpoint_nothing_is_traced(self) -> None:
        assert telemetry.tracer_provider("s", "v", None) is None

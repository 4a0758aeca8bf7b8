"""Each filter of the plan takes the line it was written for: ours as the code writes it, the platform's as seen."""

import ast
import asyncio
import inspect
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from scripts.infra.terraform_checks import planned

from image_api.dead_letters import tasks as dead_letters
from image_api.operations import tasks as operations
from image_api.tasks import queries, runner
from image_api.webhooks import tasks as webhooks
from image_core import events, telemetry
from image_core.audit import events as audit
from image_core.feed import reading
from image_core.images import failures
from image_delivery.derivatives import making
from image_delivery.derivatives import queries as delivery_queries
from image_delivery.derivatives.usage import TeamUsage
from image_processor.images import job

from .log_filters import Entry, matches

IMAGE, TEAM = UUID(int=1), UUID(int=2)
RESOURCE = {"type": "cloud_run_revision", "labels": {"service_name": "image-processor"}}
# The platform's own lines, shortened. Sources: Google Cloud documentation, "Troubleshoot Cloud Run" and "Cloud
# Scheduler: view logs"; lines that others published.
OUT_OF_MEMORY = {
    "resource": RESOURCE,
    "severity": "ERROR",
    "logName": "projects/example-project/logs/run.googleapis.com%2Fvarlog%2Fsystem",
    "textPayload": "Memory limit of 512 MiB exceeded with 519 MiB used. Consider increasing the memory limit, see"
    " https://cloud.google.com/run/docs/configuring/memory-limits",
}
REVISION_FAILED = {
    "resource": RESOURCE,
    "severity": "ERROR",
    "logName": "projects/example-project/logs/cloudaudit.googleapis.com%2Fsystem_event",
    "protoPayload": {
        "serviceName": "run.googleapis.com",
        "response": {"kind": "Revision"},
        "status": {
            "code": 9,
            "message": "Ready condition status changed to False for Revision image-processor-00003-6kk with message:"
            " The user-provided container failed to start and listen on the port",
        },
    },
}
SCHEDULE_FAILED = {
    "resource": {"type": "cloud_scheduler_job", "labels": {"job_id": "image-sweep", "location": "europe-west1"}},
    "severity": "ERROR",
    "logName": "projects/example-project/logs/cloudscheduler.googleapis.com%2Fexecutions",
    "httpRequest": {"status": 403},
    "jsonPayload": {
        "@type": "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished",
        "status": "PERMISSION_DENIED",
        "targetType": "HTTP",
        "debugInfo": "URL_ERROR-ERROR_AUTHENTICATION. Original HTTP response code number = 403",
    },
}


@contextmanager
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Entry]]:
    """What is logged meanwhile, as Cloud Logging takes it from a container of Cloud Run."""
    output, lines = io.StringIO(), list[Entry]()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv("K_SERVICE", "image-processor")
    monkeypatch.setattr(sys, "stdout", output)
    telemetry.configure_logging("image-processor", "1.2.3", "example-project")
    try:
        yield lines
    finally:
        for handler in root.handlers:
            handler.flush()
        root.handlers, root.level = handlers, level
    lines += [
        {"resource": RESOURCE, "severity": line.pop("severity"), "jsonPayload": line}
        for line in map(json.loads, output.getvalue().splitlines())
        if " " not in line["event"]  # a library's, of a slow moment
    ]


def a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none_of(_database: object) -> int:
        return 0

    monkeypatch.setattr(queries, "count_overdue_removals", none_of)
    monkeypatch.setattr(events, "outbox_age_seconds", none_of)
    monkeypatch.setattr(reading, "lag_seconds", none_of)
    gauge = SimpleNamespace(set=lambda _value: None)
    metrics = SimpleNamespace(orphans=gauge, outbox_age=gauge, feed_lag=gauge)
    asyncio.run(runner.sweep(SimpleNamespace(database=None, metrics=metrics), {}))  # type: ignore[arg-type]


def a_failed_image(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_arguments: object) -> None:
        return

    monkeypatch.setattr(events, "record", nothing)
    row = {"id": IMAGE, "team_id": TEAM, "status": "failed", "revision": 2, "trace_parent": None}
    asyncio.run(failures.record_failure(None, row, "processing-crashed"))  # type: ignore[arg-type]


def call_that_logs(event: str, module: ModuleType, **values: Any) -> None:
    """Make the very call in a module that logs an event."""
    tree = ast.parse(inspect.getsource(module))
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and getattr(node.args[0], "value", "") == event
    ]
    eval(ast.unparse(call), vars(module), values)


def a_ready_image(_monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = SimpleNamespace(image_id=IMAGE, team_id=TEAM, first_stored_at=datetime.now(UTC))
    call_that_logs("image_ready", job, claimed=claimed)


def a_made_picture(_monkeypatch: pytest.MonkeyPatch) -> None:
    image, order = SimpleNamespace(id=IMAGE, team_id=TEAM), SimpleNamespace(format="webp")
    call_that_logs("rendition_made", making, image=image, order=order, made=SimpleNamespace(content=b""), seconds=0.1)


def a_minute_of_delivery(count: Callable[[TeamUsage], None]) -> Callable[[pytest.MonkeyPatch], None]:
    def make(monkeypatch: pytest.MonkeyPatch) -> None:
        async def written(*_arguments: object) -> None:
            return

        monkeypatch.setattr(delivery_queries, "add_usage", written)
        usage = TeamUsage(None, SimpleNamespace(delivery_outage_seconds=5))  # type: ignore[arg-type]
        count(usage)
        asyncio.run(usage.flush())

    return make


def an_audit_event(_monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry.log(audit.LOG_EVENT, audit_event_id=1, action="team.created", target_type="team")


def open_dead_letters(_monkeypatch: pytest.MonkeyPatch) -> None:
    call_that_logs("dead_letters_open", dead_letters, count=3)


def stuck_operations(_monkeypatch: pytest.MonkeyPatch) -> None:
    call_that_logs("operations_stuck", operations, count=1)


def stuck_webhooks(_monkeypatch: pytest.MonkeyPatch) -> None:
    call_that_logs("webhooks_stuck", webhooks, count=1)


def a_feed_held_up(_monkeypatch: pytest.MonkeyPatch) -> None:
    call_that_logs("feed_held_up", runner, seconds=61)


OURS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "sweeps_done": a_sweep,
    "images_failed": a_failed_image,
    "image_ready_seconds": a_ready_image,
    "renditions_made": a_made_picture,
    "delivered_bytes": a_minute_of_delivery(lambda usage: usage.count_answer(TEAM, 1000)),
    "dead_letters_open": open_dead_letters,
    "feed_held_up": a_feed_held_up,
    "operations_stuck": stuck_operations,
    "webhooks_stuck": stuck_webhooks,
    "pictures_refused": a_minute_of_delivery(lambda usage: usage.count_refusal()),
}


def request_of_the_api(**values: str) -> Entry:
    """A line of Cloud Run's own log of requests."""
    name = "projects/example-project/logs/run.googleapis.com%2Frequests"
    labels = {"service_name": "image-api", "revision_name": "image-api-00012-abc"}
    return {"resource": {"type": "cloud_run_revision", "labels": labels}, "logName": name, "httpRequest": values}


OF_THE_PLATFORM = {
    "out_of_memory": OUT_OF_MEMORY,
    "revisions_failed": REVISION_FAILED,
    "schedules_failed": SCHEDULE_FAILED,
    "answer_seconds": request_of_the_api(
        requestUrl="https://images.example.com/api/v1/images?limit=2", latency="0.12s"
    ),
}


@pytest.fixture(scope="module")
def metrics() -> dict[str, dict[str, Any]]:
    changes = [change["change"]["after"] for change in planned("prod").values()]
    return {each["name"]: each for each in changes if each and "metric_descriptor" in each}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    found = dict(OF_THE_PLATFORM)
    for name, make in OURS.items():
        with monkeypatch.context() as patched, written(patched) as made:
            make(patched)
        (found[name],) = made
    return found


@pytest.mark.infra
def test_every_metric_counts_its_line_and_no_other(metrics: dict[str, dict[str, Any]], lines: dict[str, Entry]) -> None:
    assert set(metrics) == set(lines)
    for name, metric in metrics.items():
        assert {other for other, line in lines.items() if matches(metric["filter"], line)} == {name}


@pytest.mark.infra
def test_what_a_metric_reads_is_in_its_line(metrics: dict[str, dict[str, Any]], lines: dict[str, Entry]) -> None:
    read = {
        name: re.findall(r"jsonPayload\.(\w+)\)", f"{metric['value_extractor']} {metric['label_extractors']}")
        for name, metric in metrics.items()
    }
    assert {name: fields for name, fields in read.items() if fields} == {
        "image_ready_seconds": ["seconds_since_stored"],
        "images_failed": ["code"],
        "delivered_bytes": ["size_bytes"],
        "dead_letters_open": ["count"],
        "pictures_refused": ["requests"],
    }
    assert all(field in lines[name]["jsonPayload"] for name, fields in read.items() for field in fields)


@pytest.mark.infra
def test_an_image_that_was_ready_before_is_not_measured(metrics: dict[str, dict[str, Any]]) -> None:
    payload = {"event": "image_ready", "seconds_since_stored": None}
    assert not matches(metrics["image_ready_seconds"]["filter"], {"resource": RESOURCE, "jsonPayload": payload})


@pytest.mark.infra
@pytest.mark.parametrize(
    ("target", "is_measured"),
    [
        ("events", False),
        ("events?after=c", False),
        ("changes?wait=25", False),
        ("changes?after=c&wait=25", False),
        ("changes?after=c", True),
        ("changes?after=c&limit=1", True),
        ("webhooks?event_types=x", True),
    ],
)
def test_requests_that_wait_for_the_feed_are_not_measured(
    metrics: dict[str, dict[str, Any]], target: str, is_measured: bool
) -> None:
    line = request_of_the_api(requestUrl=f"https://images.example.com/api/v1/{target}", latency="25.01s")
    assert matches(metrics["answer_seconds"]["filter"], line) == is_measured


@pytest.mark.infra
def test_the_sink_keeps_audit_events_and_nothing_else_of_ours(
    lines: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = [
        change["change"]["after"]["filter"]
        for change in planned("prod").values()
        if change["type"] == "google_logging_project_sink"
    ]
    with monkeypatch.context() as patched, written(patched) as made:
        an_audit_event(patched)
    assert [matches(kept, line) for line in made] == [True]
    assert {name for name, line in lines.items() if matches(kept, line)} == {"revisions_failed"}


TOKEN = "0123456789abcdef0123456789abcdef"
IMAGE_URL = f"https://images.example.com/api/v1/images/{IMAGE}"


@pytest.fixture(scope="module")
def link_exclusion() -> str:
    (found,) = [
        change["change"]["after"]
        for change in planned("prod").values()
        if change["address"].endswith("google_logging_project_exclusion.link_requests")
    ]
    assert found["disabled"] is False
    return str(found["filter"])


@pytest.mark.infra
@pytest.mark.parametrize(
    "path",
    [
        f"/s/{TOKEN}",
        f"/s/{TOKEN}?page=2",
        f"/s/{TOKEN}/pictures/3",
        f"//s/{TOKEN}",
        f"/S/{TOKEN.upper()}",
        f"/%73/{TOKEN}",
        f"/s%2F{TOKEN}",
        f"/%2e/s/{TOKEN}",
        "/s/%30123456789abcdef0123456789abcdef",
        "//%53%2F%30123456789abcdef0123456789abcdef",
        f"/mail/https://images.example.com/s/{TOKEN}",
        f"/api/v1/../../s/{TOKEN}",
        f"/sign-in?next=%2Fs%2F{TOKEN}.",
    ],
)
def test_no_spelling_of_a_share_link_is_logged(link_exclusion: str, path: str) -> None:
    link = f"https://images.example.com{path}"
    assert matches(link_exclusion, request_of_the_api(requestUrl=link))
    assert matches(link_exclusion, request_of_the_api(requestUrl="https://images.example.com/a.css", referer=link))


@pytest.mark.infra
@pytest.mark.parametrize(
    "url",
    [
        IMAGE_URL,
        f"{IMAGE_URL}/content?sha256={TOKEN}{TOKEN}",
        "https://images.example.com/api/v1/links?limit=20",
        "https://images.example.com/sign-in",
        "https://images.example.com/api/v1/s/",
        "https://s/health/live",
        "https://images.example.com/s",
    ],
)
def test_other_requests_of_the_api_are_logged(link_exclusion: str, url: str) -> None:
    assert not matches(link_exclusion, request_of_the_api(requestUrl=url))
    assert not matches(link_exclusion, request_of_the_api(requestUrl=IMAGE_URL, referer=url))


@pytest.mark.infra
def test_the_sink_keeps_no_request_for_a_share_link() -> None:
    (kept,) = [
        change["change"]["after"]["filter"]
        for change in planned("prod").values()
        if change["type"] == "google_logging_project_sink"
    ]
    assert not matches(kept, request_of_the_api(requestUrl=f"https://images.example.com/s/{TOKEN}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a.b="c"', True),
        ('a.b="d"', False),
        ('a.b=("c" OR "d")', True),
        ('a.b:"C" AND n>=3', True),
        ("n>=4 OR n<4", True),
        ('NOT a.b="c"', False),
        ('missing="c"', False),
        ("missing>=0", False),
        ('severity>=ERROR AND a."@t"="x"', True),
        ("severity>=CRITICAL", False),
        ('a.b="d" AND n=3 OR n=3', False),
        ('(a.b="d" AND n=3) OR n=3', True),
        ('NOT a.b="c" OR n=3', True),
        ('a.b=~"^[a-c]$"', True),
        ('a.b=~"C"', False),
    ],
)
def test_filters_are_read_as_cloud_logging_reads_them(text: str, expected: bool) -> None:
    assert matches(text, {"a": {"b": "c", "@t": "x"}, "n": 3, "severity": "ERROR"}) is expected

"""The rollout against a fake gcloud whose revisions, jobs and commands fail at each stage in turn."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT
from .fake_api import MEMBER_KEY, FakeApi, Reply
from .fake_monitoring import FakeMonitoring
from .in_process import roll_out

DIGEST = "sha256:" + "a1" * 32
BUILT = {
    "image-api": "image-api",
    "image-processor": "image-processor",
    "image-delivery": "image-delivery",
    "image-tasks": "image-api",
}
IMAGES = {name: f"europe-west1-docker.pkg.dev/project/images/{image}@{DIGEST}" for name, image in BUILT.items()}
OLD = {name: f"{name}-old" for name in IMAGES}
NEW = {name: f"{name}-00002" for name in IMAGES}
ALL_OLD = {name: {revision: 100} for name, revision in OLD.items()}
PLACE = ["--project", "project", "--region", "europe-west1"]


@dataclass
class Cloud:
    """The fake project: its file, and the fake API behind all of its URLs."""

    file: Path
    rollout_state: Path
    api: FakeApi
    monitoring: FakeMonitoring

    @property
    def seen(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    def break_at(self, *faults: dict[str, Any]) -> None:
        self.file.write_text(json.dumps({**self.seen, "faults": list(faults)}))

    def traffic(self) -> dict[str, dict[str, int]]:
        return {name: service["traffic"] for name, service in self.seen["services"].items()}

    def tags(self) -> list[str]:
        return [tag for service in self.seen["services"].values() for tag in service["tags"]]

    def moves(self) -> list[str]:
        """Each change of traffic as `service new-revision's-percent`."""
        return [f"{name} {shares.get(NEW[name], 0)}" for name, shares in self.seen["moves"]]

    def command(self, *arguments: str) -> list[str]:
        return [*arguments, *PLACE, "--state", str(self.rollout_state)]

    def forward(self, *more: str) -> list[str]:
        images = [argument for name, image in IMAGES.items() for argument in ("--image", f"{name}={image}")]
        pace = ["--watch-seconds", "0.05", "--poll-seconds", "0.01", "--pause-seconds", "0.01"]
        return self.command("forward", *images, "--version", "1.4.0", *pace, *more)


@pytest.fixture
def cloud(
    api: FakeApi, tmp_path: Path, put_on_path: Callable[[str, Path], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    put_on_path("gcloud", Path(__file__).with_name("fake_gcloud.py"))
    file = tmp_path / "cloud.json"
    services = {
        name: {"revisions": {revision: "old-image"}, "traffic": {revision: 100}, "tags": {}}
        for name, revision in OLD.items()
    }
    file.write_text(
        json.dumps(
            {
                "api_url": api.url, "services": services, "jobs": {"image-migrate": "old-image"}, "executed": [],
                "calls": [], "moves": [], "faults": [],
            }
        )
    )  # fmt: skip
    monkeypatch.setenv("FAKE_GCLOUD_STATE", str(file))
    monkeypatch.setenv("IMAGE_MANAGER_KEY", MEMBER_KEY)
    monitoring = FakeMonitoring(file)
    monitoring.start()
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING", monitoring.url)
    yield Cloud(file, tmp_path / "rollout.json", api, monitoring)
    monitoring.stop()


PROCESS = [sys.executable, "-m", "scripts.delivery.rollout"]


def run_as_process(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """With gcloud and the smoke test as processes, too."""
    return subprocess.run([*PROCESS, *command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_sound_release_goes_all_the_way_in_order(cloud: Cloud) -> None:
    seen: list[tuple[str, int]] = []

    def look(_method: str, _path: str, prefix: str) -> Reply | None:
        seen.append((prefix, len(cloud.seen["moves"])))
        return None

    cloud.api.fault = look
    done = roll_out(cloud.forward())
    assert done.returncode == 0, done.stdout + done.stderr
    assert cloud.traffic() == {name: {revision: 100} for name, revision in NEW.items()}
    stages = [10, 50, 100]
    assert cloud.moves() == [f"{name} {percent}" for name in NEW for percent in stages]
    assert cloud.seen["executed"] == [["image-migrate", IMAGES["image-api"]]]
    assert cloud.tags() == []
    assert not cloud.rollout_state.exists()

    # The migration is over before any revision is made.
    calls = cloud.seen["calls"]
    order = [
        "run jobs update image-migrate", "run jobs execute image-migrate", "run services update image-api",
        "run services update-traffic image-api", "run services update image-processor",
        "run services update-traffic image-processor", "run services update image-delivery",
        "run services update-traffic image-delivery", "run services update image-tasks",
        "run services update-traffic image-tasks",
    ]  # fmt: skip
    first = [next(at for at, call in enumerate(calls) if call.startswith(f"{text} ")) for text in order]
    assert first == sorted(first)

    # The smoke test goes through the tag before any traffic moves.
    assert {moves for prefix, moves in seen if prefix == "/candidate-image-api"} == {0}
    assert {moves for prefix, moves in seen if prefix == "/candidate-image-delivery"} == {6}
    # After each move it goes to the services' own addresses, image-delivery's once more while its tag is tried.
    assert {moves for prefix, moves in seen if prefix == "/image-api"} == set(range(1, 13))
    assert {moves for prefix, moves in seen if prefix == "/image-delivery"} == set(range(13))

    # Revisions get no traffic, and their names from Cloud Run: an apply would ask for the same name again.
    updates = [call for call in calls if call.startswith("run services update ")]
    assert len(updates) == 4
    for call, image in zip(updates, IMAGES.values(), strict=True):
        assert f"--image={image}" in call
        assert "--no-traffic" in call
        assert "--revision-suffix" not in call
        assert "--tag" not in call

    # The requests that are counted are the new revision's, by class of status.
    counted = set()
    for query in cloud.monitoring.queries:
        (service,) = re.findall(r'resource\.labels\.service_name = "([^"]+)"', query["filter"])
        assert f'resource.labels.revision_name = "{NEW[service]}"' in query["filter"]
        assert 'metric.type = "run.googleapis.com/request_count"' in query["filter"]
        assert query["aggregation.groupByFields"] == "metric.labels.response_code_class"
        counted.add(service)
    assert counted == set(NEW)


def test_what_may_happen_in_a_sound_release_does_not_end_it(cloud: Cloud) -> None:
    def is_new(service: str, prefix: str) -> bool:
        return prefix == f"/candidate-{service}" or cloud.traffic()[service].get(NEW[service]) == 100

    def only_the_new_ones_know_addresses_and_links(_method: str, path: str, prefix: str) -> Reply | None:
        if "delivery" in prefix:
            cloud.api.delivery_version = None if is_new("image-delivery", prefix) else "1.3.0"
            return (404, {}) if cloud.api.delivery_version and "of-a-link" in path else None
        # At 10 % it is a revision without image-delivery that answers, at 50 % one without share links.
        cloud.api.issues_addresses = (
            is_new("image-api", prefix) or cloud.traffic()["image-api"].get(NEW["image-api"]) == 50
        )
        return (404, {}) if path.endswith("/links") and not is_new("image-api", prefix) else None

    def clock_misses_a_part_of_the_traffic(query: dict[str, str]) -> dict[str, Any]:
        traffic = cloud.traffic()["image-tasks"].get(NEW["image-tasks"], 0)
        return count(query) if "image-tasks" not in query["filter"] or traffic == 100 else {"timeSeries": []}

    cloud.api.fault = only_the_new_ones_know_addresses_and_links
    count = cloud.monitoring.answer
    cloud.monitoring.answer = clock_misses_a_part_of_the_traffic  # type: ignore[method-assign]
    few_errors, tag_stays = {"errors": "image-api", "from": 10}, {"command": "--remove-tags"}
    cloud.break_at(few_errors, tag_stays)
    done = roll_out(cloud.forward("--max-error-share", "0.5"))
    assert done.returncode == 0, done.stdout
    assert cloud.traffic() == {name: {revision: 100} for name, revision in NEW.items()}
    assert len(cloud.tags()) == len(NEW)


def test_both_versions_that_callers_meet_are_those_of_the_release(cloud: Cloud) -> None:
    def other(_method: str, path: str, prefix: str) -> Reply | None:
        is_old = (prefix, path) == ("/candidate-image-delivery", "/version")
        return (200, {"service": "image-delivery", "version": "1.3.0"}) if is_old else None

    cloud.api.fault = other
    done = roll_out(cloud.forward())
    assert done.returncode == 1
    assert "version 1.3.0 answers instead of 1.4.0" in done.stdout
    assert cloud.traffic() == ALL_OLD


def smoke_fails(prefix: str, moves: int) -> Callable[[Cloud], None]:
    """Uploads, or image-delivery's version, under this prefix fail once traffic has been moved so often."""

    def arrange(cloud: Cloud) -> None:
        def fault(method: str, path: str, asked: str) -> Reply | None:
            # What image-delivery answers with a picture is tried again for a minute, its version is not.
            is_asked = asked == prefix and (method == "POST" or ("delivery" in prefix and path == "/version"))
            return (503, {}) if is_asked and len(cloud.seen["moves"]) >= moves else None

        cloud.api.fault = fault

    return arrange


def link_faults(service: str, part: str) -> Callable[[Cloud], None]:
    """A revision answers 404 at its tag to requests whose path has this part."""

    def arrange(cloud: Cloud) -> None:
        def fault(_method: str, path: str, prefix: str) -> Reply | None:
            if prefix == "/image-delivery" and path == "/version":
                return 200, {"service": "image-delivery", "version": "1.3.0"}
            return (404, {}) if prefix == f"/candidate-{service}" and part in path else None

        cloud.api.fault = fault

    return arrange


def gcloud_faults(*faults: dict[str, Any]) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.break_at(*faults)


# What breaks, and the moves of traffic that happen before everything goes back. Every share of the traffic is tried
# with the API; the other services, which come after it and take longer, are moved by the same steps.
API_MOVES = ["image-api 10", "image-api 50", "image-api 100"]
PROCESSOR_MOVES = ["image-processor 10", "image-processor 50", "image-processor 100"]
DELIVERY_MOVES = ["image-delivery 10", "image-delivery 50", "image-delivery 100"]
TASKS_MOVES = ["image-tasks 10", "image-tasks 50", "image-tasks 100"]
BEFORE_DELIVERY = API_MOVES + PROCESSOR_MOVES
BEFORE_TASKS = BEFORE_DELIVERY + DELIVERY_MOVES
STAGES: dict[str, tuple[Callable[[Cloud], None], list[str]]] = {
    "api cannot start": (gcloud_faults({"command": "services update image-api "}), []),
    "api cannot be tagged": (gcloud_faults({"command": "--update-tags"}), []),
    "api smoke test on its tag": (smoke_fails("/candidate-image-api", 0), []),
    "api errors at 10": (gcloud_faults({"errors": "image-api", "from": 10}), API_MOVES[:1]),
    "api errors at 50": (gcloud_faults({"errors": "image-api", "from": 50}), API_MOVES[:2]),
    "api errors at 100": (gcloud_faults({"errors": "image-api", "from": 100}), API_MOVES),
    "api smoke test at 10": (smoke_fails("/image-api", 1), API_MOVES[:1]),
    "api smoke test at 50": (smoke_fails("/image-api", 2), API_MOVES[:2]),
    "api smoke test at 100": (smoke_fails("/image-api", 3), API_MOVES),
    "processor cannot start": (gcloud_faults({"command": "services update image-processor "}), API_MOVES),
    "processor errors at 100": (gcloud_faults({"errors": "image-processor", "from": 100}), API_MOVES + PROCESSOR_MOVES),
    "processor smoke test at 10": (smoke_fails("/image-api", 4), API_MOVES + PROCESSOR_MOVES[:1]),
    "api issues no addresses": (lambda cloud: setattr(cloud.api, "issues_addresses", False), []),
    "api makes no share links": (link_faults("image-api", "/links"), []),
    "delivery does not show share links": (link_faults("image-delivery", "/i/of-a-link/"), BEFORE_DELIVERY),
    "delivery cannot start": (gcloud_faults({"command": "services update image-delivery "}), BEFORE_DELIVERY),
    "delivery smoke test on its tag": (smoke_fails("/candidate-image-delivery", 0), BEFORE_DELIVERY),
    "delivery errors at 10": (
        gcloud_faults({"errors": "image-delivery", "from": 10}), BEFORE_DELIVERY + DELIVERY_MOVES[:1]
    ),
    "delivery smoke test at 50": (smoke_fails("/image-delivery", 8), BEFORE_DELIVERY + DELIVERY_MOVES[:2]),
    "tasks cannot start": (gcloud_faults({"command": "services update image-tasks "}), BEFORE_TASKS),
    "tasks errors at 50": (gcloud_faults({"errors": "image-tasks", "from": 50}), BEFORE_TASKS + TASKS_MOVES[:2]),
    "nothing calls tasks, or it does not know the call": (
        gcloud_faults({"unserved": "image-tasks", "from": 100}), BEFORE_TASKS + TASKS_MOVES
    ),
    "traffic cannot be moved": (gcloud_faults({"command": "image-api-00002=50"}), API_MOVES[:1]),
    "nobody is logged in": (gcloud_faults({"command": "auth print-access-token"}), API_MOVES[:1]),
    "requests cannot be counted": (lambda cloud: setattr(cloud.monitoring, "status", 503), API_MOVES[:1]),
}  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_a_failure_at_each_stage_brings_everything_back(cloud: Cloud, stage: str) -> None:
    arrange, moved = STAGES[stage]
    arrange(cloud)
    done = roll_out(cloud.forward())
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stdout
    assert cloud.traffic() == ALL_OLD
    assert cloud.tags() == []
    assert not cloud.rollout_state.exists()
    moves = cloud.moves()
    assert moves[: len(moved)] == moved
    # In the reverse order: the API last.
    back = moves[len(moved) :]
    assert set(back) <= {f"{name} 0" for name in NEW}
    moved_back = [move.removesuffix(" 0") for move in back]
    assert moved_back == [name for name in reversed(NEW) if name in moved_back]
    assert set(moved_back) >= {move.split()[0] for move in moved}


def test_a_failed_migration_touches_no_traffic(cloud: Cloud) -> None:
    cloud.break_at({"command": "jobs execute"})
    done = roll_out(cloud.forward())
    assert done.returncode == 1
    calls = cloud.seen["calls"]
    assert not any("services update" in call for call in calls)
    assert cloud.traffic() == ALL_OLD


def test_without_a_way_back_nothing_begins(cloud: Cloud) -> None:
    seen = cloud.seen
    seen["services"]["image-processor"]["traffic"] = {}
    cloud.file.write_text(json.dumps(seen))
    done = roll_out(cloud.forward())
    assert done.returncode == 1
    assert all("describe" in call for call in cloud.seen["calls"])


def test_the_way_back_is_tried_again(cloud: Cloud) -> None:
    cloud.break_at({"errors": "image-api", "from": 50}, {"command": "image-api-old=100", "times": 2})
    done = roll_out(cloud.forward())
    assert done.returncode == 1, done.stdout
    assert cloud.traffic() == ALL_OLD


def test_a_way_back_that_fails_tells_the_command_and_keeps_the_state(cloud: Cloud) -> None:
    cloud.break_at({"errors": "image-api", "from": 50}, {"command": "image-api-old=100"})
    done = roll_out(cloud.forward())
    assert done.returncode == 2
    assert "gcloud run services update-traffic image-api --to-revisions=image-api-old=100" in done.stdout
    cloud.break_at()
    assert roll_out(cloud.command("back")).returncode == 0
    assert cloud.traffic() == ALL_OLD
    assert not cloud.rollout_state.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_brings_everything_back(cloud: Cloud, number: signal.Signals) -> None:
    command = [*PROCESS, *cloud.forward("--watch-seconds", "60")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ) as rollout:
        wait_for_moves(cloud, 1)
        rollout.send_signal(number)
        output, _ = rollout.communicate(timeout=30)
    assert rollout.returncode == 1, output
    assert f"ended by {number.name}" in output
    assert cloud.traffic() == ALL_OLD


@pytest.mark.parametrize(
    "command",
    [
        "services update image-api",
        "update-tags",
        "image-processor-00002=10",
        "services update image-delivery",
        "image-delivery-00002=100",
        "image-tasks-old=50",
    ],
)
def test_a_rollout_that_is_killed_anywhere_is_undone_by_back(cloud: Cloud, command: str) -> None:
    cloud.break_at({"kills": command})
    assert roll_out(cloud.forward()).returncode == -signal.SIGKILL
    assert roll_out(cloud.command("back")).returncode == 0
    assert cloud.traffic() == ALL_OLD
    assert cloud.tags() == []
    assert not cloud.rollout_state.exists()


def test_a_rollout_whose_process_is_killed_is_undone_by_back(cloud: Cloud) -> None:
    cloud.break_at({"kills": "image-api-00002=10"})
    assert run_as_process(cloud.forward()).returncode == -signal.SIGKILL
    assert roll_out(cloud.command("back")).returncode == 0
    assert cloud.traffic() == ALL_OLD
    assert not cloud.rollout_state.exists()


def test_back_without_a_rollout_does_nothing(cloud: Cloud) -> None:
    done = roll_out(cloud.command("back"))
    assert done.returncode == 0
    assert cloud.seen["calls"] == []


@pytest.mark.parametrize("service", ["image-processor", "image-delivery"])
def test_a_service_that_is_not_there_asks_for_an_apply_first(cloud: Cloud, service: str) -> None:
    seen = cloud.seen
    del seen["services"][service]
    cloud.file.write_text(json.dumps(seen))
    done = roll_out(cloud.forward())
    assert done.returncode == 1
    assert f"{service}: not there" in done.stdout
    assert "Apply first" in done.stdout
    assert all("describe" in call for call in cloud.seen["calls"])


def test_a_service_that_cannot_be_asked_for_is_not_taken_for_missing(cloud: Cloud) -> None:
    cloud.break_at({"command": "describe image-processor"})
    done = roll_out(cloud.forward())
    assert done.returncode == 1
    assert "Apply first" not in done.stdout


@pytest.mark.parametrize("missing", IMAGES)
def test_every_service_needs_its_image(cloud: Cloud, missing: str) -> None:
    named = [f"--image={name}={image}" for name, image in IMAGES.items() if name != missing]
    done = roll_out(cloud.command("forward", "--version", "1.4.0", *named))
    assert done.returncode != 0
    assert "Name an image for each" in done.stderr
    assert cloud.seen["calls"] == []


@pytest.mark.parametrize("image", ["europe-west1-docker.pkg.dev/p/images/image-api:1.4.0", "image-api"])
def test_an_image_that_is_not_named_by_its_digest_is_refused(cloud: Cloud, image: str) -> None:
    done = roll_out(cloud.forward("--image", f"image-api={image}"))
    assert done.returncode != 0
    assert "digest" in done.stderr
    assert cloud.seen["calls"] == []


def wait_for_moves(cloud: Cloud, count: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if len(cloud.seen["moves"]) >= count:
                return
        except ValueError:
            pass  # The file is being written.
        assert time.monotonic() < deadline
        time.sleep(0.02)

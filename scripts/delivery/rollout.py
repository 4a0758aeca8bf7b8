"""Roll out new images step by step, and roll everything back as soon as a step fails.

    python -m scripts.delivery.rollout forward --project … --region … --version … --state rollout.json
        --image image-api=…@sha256:… --image image-processor=…@sha256:… --image image-delivery=…@sha256:…
        --image image-tasks=…@sha256:…
    python -m scripts.delivery.rollout back --project … --region … --state rollout.json

Forward: the migration job runs and is waited for; the API gets a revision without traffic, the smoke test goes
through its tag, then 10, 50 and 100 percent of the traffic while its errors are watched; then every other service
likewise. image-delivery is tried at its tag, too. The processor and image-tasks answer nobody from outside, so that a
picture uploaded through the API tries them. A service that an apply has yet to make ends the rollout before it begins.
Whatever fails, the services that were touched go back to the revisions that served before; the schema stays, because
those accept a newer one. `back` does the same for a run that was ended from outside.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from scripts.delivery.cloud_run import Candidate, CloudRun, GcloudError
from scripts.delivery.request_count import requests

API, PROCESSOR, DELIVERY, TASKS = "image-api", "image-processor", "image-delivery", "image-tasks"
MIGRATION = "image-migrate"
SERVICES = (API, PROCESSOR, DELIVERY, TASKS)
"""In the order in which they are rolled out; the API, through which the others are tried, is the first."""
CALLED_BY_THE_CLOCK = {TASKS}
"""Called every minute, and by nothing that a smoke test does: at 100 % the new revision has to have served a call."""
TAG = "candidate"
STAGES = (10, 50, 100)
BACK_ATTEMPTS = 4
SMOKE_TEST = Path(__file__).resolve().parent.parent / "smoke.py"
_BY_DIGEST = re.compile(r"^[a-z0-9./_-]+@sha256:[0-9a-f]{64}$")


class RolloutError(Exception):
    """A step failed, and everything must be rolled back."""


class InterruptedRolloutError(RolloutError):
    """The run was interrupted between two states."""


@dataclass(frozen=True)
class Release:
    """The images and the version to roll out."""

    images: dict[str, str]
    version: str


@dataclass(frozen=True)
class Watch:
    """Duration of each stage, and the maximum number of errors."""

    seconds: float
    poll_seconds: float
    max_error_share: float
    min_errors: int


@dataclass
class Rollout:
    """A rollout; `touched` contains, in order, the changed services and the revision to roll each back to."""

    cloud: CloudRun
    release: Release
    watch: Watch
    state: Path
    say: Callable[[str], None]
    previous: dict[str, str] = field(default_factory=dict)
    touched: dict[str, str] = field(default_factory=dict)

    def forward(self) -> None:
        """Roll out completely. Raises `RolloutError` or `GcloudError` without rolling back."""
        if missing := [service for service in SERVICES if not self.cloud.is_there(service)]:
            raise RolloutError(
                f"{', '.join(missing)}: not there, or not this account's to deploy. Apply first (the workflow"
                " infra-apply, or `make apply`), which makes it with the image of this commit; then deploy again"
            )
        # Known for all before anything changes, because the way back has to be certain.
        self.previous = {service: self.cloud.serving_revision(service) for service in SERVICES}
        self.say(f"Migrating with {self.release.images[API]}")
        self.cloud.run_job(MIGRATION, self.release.images[API])
        api_url = self.cloud.url(API)
        for service in SERVICES:
            candidate = self._create(service)
            self._try_at_its_tag(service, candidate, api_url)
            self._shift(service, candidate, api_url)
        for service in SERVICES:
            self._remove_tag(service)
        self.state.unlink(missing_ok=True)

    def _create(self, service: str) -> Candidate:
        self.touched[service] = self.previous[service]
        self.state.write_text(json.dumps(self.touched))
        image = self.release.images[service]
        self.say(f"{service}: a revision of {image}, without traffic")
        candidate = self.cloud.create_revision(service, image, TAG)
        self.say(f"{service}: {candidate.revision} is ready at {candidate.url}")
        return candidate

    def _try_at_its_tag(self, service: str, candidate: Candidate, api_url: str) -> None:
        called = {
            API: ("--tag-url", candidate.url, "--expect-delivery"),
            DELIVERY: ("--url", api_url, "--delivery-url", candidate.url),
        }
        if service in called:
            self._smoke_test(f"{service} without traffic", *called[service], *self._expected_version(service))

    def _expected_version(self, service: str) -> tuple[str, ...]:
        options = {API: "--expect-version", DELIVERY: "--expect-delivery-version"}
        return (options[service], self.release.version, "--expect-links") if service in options else ()

    def _shift(self, service: str, candidate: Candidate, api_url: str) -> None:
        for percent in STAGES:
            shares = {candidate.revision: percent}
            if percent < 100:
                shares[self.previous[service]] = 100 - percent
            self.say(f"{service}: {percent} % to {candidate.revision}")
            since = datetime.now(UTC)
            self.cloud.set_traffic(service, shares)
            version = self._expected_version(service) if percent == 100 else ()
            # A revision of the API that was made before image-delivery issues no addresses.
            delivery = () if service == API and percent < 100 else ("--expect-delivery",)
            self._smoke_test(f"{service} at {percent} %", "--url", api_url, *delivery, *version)
            self._watch(service, candidate, percent, since)

    def _smoke_test(self, stage: str, *arguments: str) -> None:
        # Its key comes from the environment, its output goes where ours goes.
        done = subprocess.run([sys.executable, str(SMOKE_TEST), *arguments], check=False)  # noqa: S603 (our own script)
        if done.returncode != 0:
            raise RolloutError(f"the smoke test failed: {stage}")

    def _watch(self, service: str, candidate: Candidate, percent: int, since: datetime) -> None:
        deadline = time.monotonic() + self.watch.seconds
        while True:
            seen = requests(self.cloud.project, service, candidate.revision, since)
            if seen.errors >= self.watch.min_errors and seen.error_share > self.watch.max_error_share:
                raise RolloutError(f"{service} at {percent} %: {seen.errors} of {seen.total} requests failed")
            if time.monotonic() >= deadline:
                if service in CALLED_BY_THE_CLOCK and percent == 100 and not seen.served:
                    raise RolloutError(f"{service} at 100 %: no call was served; is the scheduler's job paused?")
                self.say(f"{service}: {seen.errors} of {seen.total} requests failed at {percent} %")
                return
            time.sleep(self.watch.poll_seconds)

    def _remove_tag(self, service: str) -> None:
        try:
            self.cloud.remove_tag(service, TAG)
        except GcloudError as error:
            # The release is in service; the next rollout puts the tag elsewhere.
            self.say(f"{service}: the tag {TAG} could not be removed: {error}")


def back(cloud: CloudRun, touched: dict[str, str], say: Callable[[str], None], pause_seconds: float) -> bool:
    """Give the previous revisions all traffic again, the last service first; return whether that succeeded."""
    certain = True
    for service, previous in reversed(touched.items()):
        for attempt in range(1, BACK_ATTEMPTS + 1):
            try:
                cloud.set_traffic(service, {previous: 100})
                say(f"{service}: all traffic is at {previous}")
                break
            except GcloudError as error:
                say(f"{service}: attempt {attempt} to go back failed: {error}")
                time.sleep(pause_seconds * attempt)
        else:
            certain = False
            say(
                f"{service}: STILL NOT BACK. Run: gcloud run services update-traffic {service}"
                f" --to-revisions={previous}=100"
            )
            continue
        try:
            cloud.remove_tag(service, TAG)
        except GcloudError as error:
            # It may never have been set, and it has no traffic.
            say(f"{service}: the tag {TAG} stays: {str(error).splitlines()[0]}")
    return certain


def main(argv: Sequence[str] | None = None) -> int:
    """Roll out or roll back; return 0 on success, 1 after a rollback, 2 if a person has to intervene."""
    arguments = parser().parse_args(argv)
    cloud = CloudRun(arguments.project, arguments.region)
    if arguments.command == "back":
        if not arguments.state.exists():
            _say("There is nothing to bring back: no rollout is under way.")
            return 0
        return 0 if _back(cloud, json.loads(arguments.state.read_text()), arguments) else 2
    release = _release(arguments)
    watch = Watch(arguments.watch_seconds, arguments.poll_seconds, arguments.max_error_share, arguments.min_errors)
    rollout = Rollout(cloud, release, watch, arguments.state, _say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        rollout.forward()
    except (RolloutError, GcloudError) as error:
        # A second signal would otherwise end the way back half-way.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _say(f"FAILED: {error}")
        return 1 if _back(cloud, rollout.touched, arguments) else 2
    _say(f"{release.version} is in service.")
    return 0


def _back(cloud: CloudRun, touched: dict[str, str], arguments: argparse.Namespace) -> bool:
    certain = back(cloud, touched, _say, arguments.pause_seconds)
    if certain:
        arguments.state.unlink(missing_ok=True)
    return certain


def _release(arguments: argparse.Namespace) -> Release:
    images = dict(each.partition("=")[::2] for each in arguments.image)
    if set(images) != set(SERVICES):
        sys.exit(f"Name an image for each of {', '.join(SERVICES)}, and for nothing else: --image NAME=IMAGE")
    for image in images.values():
        if not _BY_DIGEST.match(image):
            sys.exit(f"{image} is not named by its digest: a tag can be moved")
    return Release(images, arguments.version)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description="Bring images into service step by step.")
    commands = made.add_subparsers(dest="command", required=True)
    forward = commands.add_parser("forward", help="migrate, then one service after the other")
    forward.add_argument("--image", action="append", required=True, help="NAME=IMAGE for each service, by digest")
    forward.add_argument("--version", required=True, help="what the API's /version has to say")
    forward.add_argument("--watch-seconds", type=float, default=300, help="how long each stage is watched")
    forward.add_argument("--poll-seconds", type=float, default=15, help="pause between two looks")
    forward.add_argument("--max-error-share", type=float, default=0.02, help="a larger share of errors ends it")
    forward.add_argument("--min-errors", type=int, default=2, help="fewer errors never end it")
    for command in (forward, commands.add_parser("back", help="undo a rollout that was ended from outside")):
        command.add_argument("--project", required=True)
        command.add_argument("--region", required=True)
        command.add_argument("--state", type=Path, default=Path("rollout.json"), help="file with the way back")
        command.add_argument("--pause-seconds", type=float, default=5, help="pause after a failed way back")
    return made


def _interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    raise InterruptedRolloutError(f"ended by {signal.Signals(number).name}")


def _say(text: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

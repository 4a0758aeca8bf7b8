"""Smoke test: send one image through the whole system, locally or in a deployment.

    python scripts/smoke.py                        the system that .local/system.json names
    IMAGE_MANAGER_URL=… IMAGE_MANAGER_KEY=… python scripts/smoke.py
    python scripts/smoke.py --tag-url https://candidate---image-api-….run.app --expect-version 1.4.0
    python scripts/smoke.py --url … --delivery-url https://candidate---image-delivery-….run.app

It needs only Python, so it also runs without the project's environment. The key is never
an argument, because arguments are visible to everybody on a machine.
"""

import argparse
import hashlib
import html
import http.client
import json
import os
import re
import secrets
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

API = "/api/v1"
TEAM_NAME = "Smoke test"
NEEDED_SCOPES = {"images:read", "images:write", "images:delete"}
LINK_SCOPE = "delivery:manage"
LINK_LIFE = timedelta(hours=1)
"""After which the test's link ends if nothing else has ended it."""
SIDE_PX = 320
REQUEST_SECONDS = 60.0
POLL_SECONDS = 0.5
# Names a key, as a person's token does, and is signed by nobody.
NOBODYS_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IngifQ.e30.e30"  # noqa: S105 (opens nothing)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class SmokeTestError(Exception):
    """A step did not see what it expected."""


@dataclass(frozen=True)
class Answer:
    """A response of the server."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON. Raises `SmokeTestError`."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise SmokeTestError(f"the answer is not JSON: {self.body[:200]!r}") from None


class Client:
    """Calls one base URL with one key, or with an access token."""

    def __init__(self, url: str, key: str | None, *, token: str | None = None) -> None:
        """Set URL and key; nothing is sent yet."""
        self.url = url.rstrip("/")
        self._proof = {"X-API-KEY": key} if key else {"Authorization": f"Bearer {token}"} if token else {}
        # A proxy of the environment cannot reach this machine's own addresses.
        self.is_local = urllib.parse.urlsplit(self.url).hostname in _LOOPBACK
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if self.is_local else []))

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request and return the response, whatever its status. Raises `SmokeTestError` if there is none.

        Names of `headers` are written with underscores. A body is JSON unless `content_type` says otherwise.
        """
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            given.setdefault("content-type", "application/json")
        headers = {"User-Agent": "image-manager-smoke-test", **self._proof, **given}
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310 (see target_url)
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as response:
                return Answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read())
        except (OSError, http.client.HTTPException) as error:
            raise SmokeTestError(f"{method} {path}: no answer ({error})") from None

    def expect(self, status: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request and check the status of the response. Raises `SmokeTestError`."""
        answer = self.send(method, path, body, **headers)
        if answer.status != status:
            raise SmokeTestError(f"{method} {path}: {answer.status} instead of {status}: {answer.body[:300]!r}")
        return answer


@dataclass(frozen=True)
class Delivery:
    """What is known of image-delivery before the API has issued an address.

    Attributes:
        url: what is called instead of the address's own host.
        version: what has to answer there.
        is_expected: whether the API has to issue addresses.
        shows_links: whether all of the API that may answer has share links.
    """

    url: str | None = None
    version: str | None = None
    is_expected: bool = False
    shows_links: bool = False


@dataclass
class Run:
    """One run of the smoke test: whom it calls, what it waits for, and what it has made so far."""

    client: Client
    expected_version: str | None
    start_seconds: float
    ready_seconds: float
    picture: bytes
    processor: Client | None = None
    tasks: Client | None = None
    delivery: Delivery = Delivery()
    team_query: str = ""
    scopes: Sequence[str] = ()
    image_id: str | None = None
    link_id: str | None = None
    image: dict[str, Any] = field(default_factory=dict)
    address: str | None = None


def picture_png(side_px: int = SIDE_PX) -> bytes:
    """Draw a gradient in colours that no other run has, so that it is never a duplicate.

    Source of the format: https://www.w3.org/TR/png-3/.
    """
    red, green, blue = secrets.token_bytes(3)
    noise = secrets.token_bytes(side_px)
    row, rows = bytearray(1 + 3 * side_px), []
    row[1::3] = bytes((red + x) % 256 for x in range(side_px))
    row[3::3] = bytes(blue ^ part & 7 for part in noise)
    for y in range(side_px):
        row[2::3] = bytes([(green + y) % 256]) * side_px
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def check_live(run: Run) -> str:
    """Check that the process responds; a cold instance gets time to start."""
    return _until(run.start_seconds, lambda: f"status {run.client.expect(200, 'GET', '/health/live').json()['status']}")


def check_ready(run: Run) -> str:
    """Check that the database responds and its schema matches the code."""

    def ask() -> str:
        seen = run.client.expect(200, "GET", "/health/ready").json()
        return f"schema {seen['schema_revision']}" + "".join(f", warning: {text}" for text in seen["warnings"])

    return _until(run.start_seconds, ask)


def check_processor(run: Run) -> str:
    """Check that workers are confined; only the local system's processor can be called."""
    if run.processor is None:
        return "not asked: its address is not known here"
    return _confinement(run.processor)


def check_tasks(run: Run) -> str:
    """Check that housekeeping is ready; only that of the local system can be called."""
    if run.tasks is None:
        return "not asked: its address is not known here"
    tasks = run.tasks

    def ask() -> str:
        name = tasks.expect(200, "GET", "/version").json()["service"]
        if name != "image-tasks":
            raise SmokeTestError(f"{tasks.url} is {name} instead of image-tasks")
        return f"schema {tasks.expect(200, 'GET', '/health/ready').json()['schema_revision']}"

    return _until(run.start_seconds, ask)


def check_version(run: Run) -> str:
    """Check that the expected version is running."""
    seen = run.client.expect(200, "GET", "/version").json()
    if run.expected_version not in (None, seen["version"]):
        raise SmokeTestError(f"version {seen['version']} answers instead of {run.expected_version}")
    return f"{seen['service']} {seen['version']}"


def check_key(run: Run) -> str:
    """Check that the key is accepted, and a request without one is refused."""
    refused = Client(run.client.url, None).send("GET", f"{API}/whoami")
    if refused.status != 401:
        raise SmokeTestError(f"GET {API}/whoami without a key: {refused.status} instead of 401")
    caller = run.client.expect(200, "GET", f"{API}/whoami").json()
    run.scopes = caller["scopes"]
    missing = NEEDED_SCOPES - set(run.scopes)
    if missing:
        raise SmokeTestError(f"key {caller['key_prefix']} lacks {', '.join(sorted(missing))}")
    if caller["team_id"] is None:
        run.team_query = f"?team_id={_own_team(run.client)}"
    return f"{caller['key_prefix']}, {caller['role']}"


def check_tokens(run: Run) -> str:
    """Check that the signing keys can be read: without them, this token would not be rejected as invalid."""
    refused = Client(run.client.url, None, token=NOBODYS_TOKEN).expect(401, "GET", f"{API}/whoami").json()
    return f"a forged one is {refused['code']}"


def check_upload(run: Run) -> str:
    """Upload a new image, and check that the stored values match it."""
    answer = run.client.expect(201, "POST", f"{API}/images{run.team_query}", run.picture, content_type="image/png")
    image = answer.json()
    run.image_id = image["id"]
    if image["sha256"] != hashlib.sha256(run.picture).hexdigest():
        raise SmokeTestError(f"image {run.image_id}: the stored SHA-256 is not that of the bytes sent")
    return f"{run.image_id}, {len(run.picture)} bytes"


def check_processing(run: Run) -> str:
    """Check that notification, push and processor made the image ready."""
    began_at = time.monotonic()
    while True:
        run.image = run.client.expect(200, "GET", f"{API}/images/{run.image_id}").json()
        passed = time.monotonic() - began_at
        if run.image["status"] == "ready":
            return f"ready after {passed:.1f} s, {run.image['width']} x {run.image['height']} px"
        if run.image["status"] in {"failed", "expired"}:
            raise SmokeTestError(f"image {run.image_id} is {run.image['status']}: {run.image['failure']}")
        if passed > run.ready_seconds:
            raise SmokeTestError(f"image {run.image_id} is still {run.image['status']} after {passed:.0f} s")
        time.sleep(POLL_SECONDS)


def check_derivative(run: Run) -> str:
    """Check that a derivative can be read and matches its description."""
    if not run.image["derivatives"]:
        raise SmokeTestError(f"image {run.image_id} is ready without any derivative")
    entry = min(run.image["derivatives"], key=lambda derivative: int(derivative["size_bytes"]))
    # By path, because the entry's URL names the public address and not the revision that is tried.
    answer = run.client.expect(200, "GET", f"{API}/images/{run.image_id}/derivatives/{entry['preset']}")
    if len(answer.body) != entry["size_bytes"] or answer.body[:4] + answer.body[8:12] != b"RIFFWEBP":
        raise SmokeTestError(f"derivative {entry['preset']}: {len(answer.body)} bytes that are not the WebP announced")
    return f"{entry['preset']}, {len(answer.body)} bytes"


def check_address(run: Run) -> str:
    """Check that the API issues a delivery address for the image."""
    shown = run.client.expect(200, "GET", f"{API}/images/{run.image_id}?include=delivery").json().get("delivery")
    if shown is None:
        if run.delivery.is_expected:
            raise SmokeTestError(f"image {run.image_id} has no delivery addresses: does the API have a DELIVERY_URL?")
        return "none: this deployment issues no delivery addresses"
    run.address = str(shown["presets"]["thumb"]["url"])
    return f"at {urllib.parse.urlsplit(run.address).netloc}"


def check_delivery(run: Run) -> str:
    """Check that image-delivery is ready and confined, and makes the picture that the address names, without a key."""
    if run.address is None:
        return "not asked: there is no address"
    address, delivery = run.address, _delivery_of(run, run.address)

    def ask() -> str:
        confinement = _confinement(delivery)
        return f"{_load_jpeg(delivery, address)}; {confinement}"

    made = _until(run.start_seconds, ask)
    seen = delivery.expect(200, "GET", "/version").json()
    if seen["service"] != "image-delivery":
        raise SmokeTestError(f"{delivery.url} is {seen['service']} instead of image-delivery")
    if run.delivery.version not in (None, seen["version"]):
        raise SmokeTestError(f"version {seen['version']} answers instead of {run.delivery.version}")
    return made


def check_link(run: Run) -> str:
    """Check that a share link shows the image to whoever has it, and nobody once it is deleted."""
    if run.address is None or not run.delivery.shows_links:
        return "not asked: there are no addresses, or a revision without share links may answer"
    if LINK_SCOPE not in run.scopes:
        return f"not asked: the key lacks {LINK_SCOPE}"
    expires_at = (datetime.now(UTC) + LINK_LIFE).isoformat(timespec="seconds")
    wanted = {"image_ids": [run.image_id], "presets": ["thumb"], "expires_at": expires_at}
    made = run.client.expect(201, "POST", f"{API}/links{run.team_query}", json.dumps(wanted).encode()).json()
    run.link_id = made["id"]
    path, visitor = f"/s/{made['token']}", Client(run.client.url, None)
    shown = _look_at_link(run, visitor.expect(200, "GET", path))
    run.client.expect(204, "DELETE", f"{API}/links/{run.link_id}")
    run.link_id = None
    visitor.expect(404, "GET", path)
    return f"{shown}; deleted, its page is 404"


def _look_at_link(run: Run, page: Answer) -> str:
    found = re.search(r'"([^"\s]+/i/[^"\s]+)"', html.unescape(page.body.decode()))
    if found is None:
        raise SmokeTestError("the page of the share link shows no picture")
    delivery = _delivery_of(run, found[1])
    ours, theirs = (client.expect(200, "GET", "/version").json()["version"] for client in (run.client, delivery))
    if ours != theirs:
        # A rollout brings the API first, and the release before may not know the addresses that links issue.
        return f"its picture was not loaded, because image-delivery is still {theirs}"
    return _load_jpeg(delivery, found[1])


def check_original(run: Run) -> str:
    """Check that the original is returned byte by byte."""
    answer = run.client.expect(200, "GET", f"{API}/images/{run.image_id}/content")
    if answer.body != run.picture:
        raise SmokeTestError(f"image {run.image_id}: the content read is not the content sent")
    return "the bytes sent"


def check_trash(run: Run) -> str:
    """Move the image to the trash, and check that its content cannot be read."""
    path, run.image_id = f"{API}/images/{run.image_id}", None
    run.client.expect(204, "DELETE", path)
    if run.client.expect(200, "GET", path).json()["deleted_at"] is None:
        raise SmokeTestError(f"GET {path}: deleted_at is null after the image was deleted")
    run.client.expect(404, "GET", f"{path}/content")
    return "deleted, content is 404"


STEPS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("live", check_live),
    ("ready", check_ready),
    ("processor", check_processor),
    ("tasks", check_tasks),
    ("version", check_version),
    ("key", check_key),
    ("tokens", check_tokens),
    ("upload", check_upload),
    ("processing", check_processing),
    ("derivative", check_derivative),
    ("address", check_address),
    ("delivery", check_delivery),
    ("link", check_link),
    ("original", check_original),
    ("trash", check_trash),
)


def perform(run: Run, say: Callable[[str], None]) -> bool:
    """Run all steps up to the first that fails, report each, and leave neither image nor link behind."""
    for name, check in STEPS:
        began_at = time.monotonic()
        try:
            detail = check(run)
        except SmokeTestError as error:
            reason = str(error)
        except (KeyError, TypeError, AttributeError) as error:
            # A server that answers with other JSON is a finding like any other.
            reason = f"the answer has another shape: {error!r}"
        else:
            say(f"  ok    {name:<11} {detail}  ({time.monotonic() - began_at:.2f} s)")
            continue
        say(f"  FAIL  {name:<11} {reason}")
        _clean_up(run)
        return False
    return True


def target_url(arguments: argparse.Namespace, environment: Mapping[str, str], system: Mapping[str, Any]) -> str:
    """Return the URL: from the argument, the environment or the local system. Raises `SmokeTestError`."""
    url = arguments.tag_url or arguments.url or environment.get("IMAGE_MANAGER_URL") or system.get("url")
    if not url:
        raise SmokeTestError("no address: give --url, set IMAGE_MANAGER_URL, or start the local cloud with `make up`")
    if not _is_web_address(url):
        raise SmokeTestError(f"{url} is not an http or https address")
    return str(url)


def api_key(url: str, environment: Mapping[str, str], system: Mapping[str, Any]) -> str:
    """Return the key: from the environment, or, for the local system, its own. Raises `SmokeTestError`."""
    key = environment.get("IMAGE_MANAGER_KEY")
    if not key and _same_address(url, system.get("url")):
        key = system.get("admin_api_key")
    if not key:
        raise SmokeTestError(f"no key for {url}: set IMAGE_MANAGER_KEY")
    return str(key)


def inner_client(name: str, url: str, system: Mapping[str, Any]) -> Client | None:
    """A service of the local system that callers do not reach, where that system is what is tried."""
    address = system.get(name) if _same_address(url, system.get("url")) else None
    return Client(str(address), None) if address else None


def _same_address(url: str, other: object) -> bool:
    return bool(other) and url.rstrip("/") == str(other).rstrip("/")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the smoke test; return 0 on success, 1 if a step failed, 2 if it could not start."""
    arguments = _parser().parse_args(argv)
    try:
        system = _local_system(arguments.data_dir)
        url = target_url(arguments, os.environ, system)
        client = Client(url, api_key(url, os.environ, system))
        processor, tasks = (inner_client(name, url, system) for name in ("processor_url", "tasks_url"))
        delivery = _delivery(arguments, is_local=inner_client("delivery_url", url, system) is not None)
    except SmokeTestError as error:
        sys.stderr.write(f"Smoke test: {error}\n")
        return 2
    began_at = time.monotonic()
    _say(f"Smoke test of {url}")
    for _ in range(arguments.uploads):
        seconds = (arguments.start_seconds, arguments.ready_seconds)
        run = Run(client, arguments.expect_version, *seconds, picture_png(), processor, tasks, delivery)
        if not perform(run, _say):
            _say(f"Smoke test FAILED after {time.monotonic() - began_at:.1f} s")
            return 1
    _say(f"Smoke test passed in {time.monotonic() - began_at:.1f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Send one picture through the whole system and look at it.")
    parser.add_argument("--url", help="address of the API (else IMAGE_MANAGER_URL, else the local system)")
    parser.add_argument("--tag-url", help="address of one revision's tag, tried instead of the service's own")
    parser.add_argument("--expect-version", help="version that has to answer")
    parser.add_argument("--delivery-url", help="where delivery addresses are tried instead of at their own host")
    parser.add_argument("--expect-delivery", action="store_true", help="fail if no delivery addresses are issued")
    parser.add_argument("--expect-links", action="store_true", help="try a share link as well")
    parser.add_argument("--expect-delivery-version", help="version of image-delivery that has to answer")
    parser.add_argument("--uploads", type=int, default=1, help="how many pictures, one after the other")
    parser.add_argument("--start-seconds", type=float, default=60, help="time for an instance to start")
    parser.add_argument("--ready-seconds", type=float, default=60, help="time for a picture to become ready")
    parser.add_argument("--data-dir", type=Path, default=Path(".local"), help="folder of the local system")
    return parser


def _delivery(arguments: argparse.Namespace, *, is_local: bool) -> Delivery:
    url, version = arguments.delivery_url, arguments.expect_delivery_version
    if url and not _is_web_address(url):
        raise SmokeTestError(f"{url} is not an http or https address")
    is_expected = is_local or arguments.expect_delivery or bool(url or version)
    return Delivery(url, version, is_expected, is_local or arguments.expect_links)


def _is_web_address(url: str) -> bool:
    return urllib.parse.urlsplit(url).scheme in {"http", "https"}


def _local_system(data_dir: Path) -> dict[str, Any]:
    try:
        system: dict[str, Any] = json.loads((data_dir / "system.json").read_text())
    except (OSError, ValueError):
        return {}
    return system


def _own_team(client: Client) -> str:
    # An admin belongs to no team, so that its pictures need one; later runs find it again.
    path, cursor = f"{API}/teams?limit=200", ""
    while True:
        page = client.expect(200, "GET", path + cursor).json()
        for team in page["items"]:
            if team["name"] == TEAM_NAME:
                return str(team["id"])
        if page["next_cursor"] is None:
            made = client.expect(201, "POST", f"{API}/teams", json.dumps({"name": TEAM_NAME}).encode())
            return str(made.json()["id"])
        cursor = f"&cursor={urllib.parse.quote(page['next_cursor'])}"


def _confinement(service: Client) -> str:
    """Return how workers are confined. Raises `SmokeTestError` if their system calls are not filtered on Linux."""
    seen = service.expect(200, "GET", "/health/ready").json()["confinement"]
    if seen["system_calls"]:
        return f"workers are confined, Landlock {seen['landlock'] or 'missing'}"
    # Elsewhere than on this machine it is always Linux.
    if sys.platform == "linux" or not service.is_local:
        raise SmokeTestError("workers are not confined: their system calls are not filtered")
    return "workers are not confined: this system has no filter for system calls"


def _delivery_of(run: Run, address: str) -> Client:
    return Client(run.delivery.url or address.partition("/i/")[0], None)


def _load_jpeg(delivery: Client, address: str) -> str:
    """Load the picture that an address names. The stored one is WebP, so a JPEG has to be made from the original."""
    _, mark, rest = address.partition("/i/")
    picture = delivery.expect(200, "GET", mark + rest, accept="image/jpeg").body
    if not picture.startswith(b"\xff\xd8\xff"):
        raise SmokeTestError(f"the delivery address shows no JPEG: {picture[:20]!r}")
    return f"JPEG, {len(picture)} bytes"


def _until(seconds: float, ask: Callable[[], str]) -> str:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except SmokeTestError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def _clean_up(run: Run) -> None:
    for kind, made_id in (("link", run.link_id), ("image", run.image_id)):
        if made_id is None:
            continue
        try:
            run.client.send("DELETE", f"{API}/{kind}s/{made_id}")
        except SmokeTestError as error:
            _say(f"        {kind} {made_id} could not be deleted: {error}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""What may never happen, whatever was broken: reads everything back once the faults have ended and compares.

I1 no acknowledged upload is lost · I2 no object without a row, no ready row without its derivatives · I3 done once ·
I4 every image final within a minute · I5 what was not acknowledged is absent, expired or whole · I7 teams see nothing
of each other · I8 each committed event arrives · I9 no secret leaves · I10 no answer is a 500 or a hang.
"""

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from pydantic import ValidationError

from image_core import events
from image_core.feed import event_types
from image_core.states import FINAL, HOLDS_BYTES
from local_cloud.system.environment import PROJECT_ID

from .inbox import Inbox
from .journal import Answered, Caller, Journal, Tried
from .system import PUSH_SUBSCRIPTION, RENDITIONS_SUBSCRIPTION, FaultySystem

FINAL_SECONDS = 60
QUIET_SECONDS = 60
LONGEST_ANSWER_SECONDS = 30
PRESETS = {"thumb", "preview", "large"}
# What the services write about an exception that no code of ours expected.
_UNEXPECTED = ("unexpected_error", "Exception in ASGI application", "Task exception was never retrieved")


@dataclass
class Stored:
    """Everything that lies in the database and in both buckets."""

    images: dict[str, Any]
    derivatives: defaultdict[str, list[Any]]
    renditions: set[str]
    """The names of their objects."""
    events: list[Any]
    originals: set[tuple[str, int]]
    derived: dict[str, int]
    """Size by name; more than one generation of a name counts as a name of its own."""


@dataclass
class Checker:
    """Checks one system again and again; remembers which log lines it has seen."""

    system: FaultySystem
    inbox: Inbox
    _read: dict[Path, int] = field(default_factory=dict)

    async def check(self, journal: Journal) -> None:
        """End all faults, wait until nothing is left to do, and compare.

        Raises:
            AssertionError: listing every invariant that does not hold.
        """
        await asyncio.to_thread(self.system.heal)
        await self._wait_until_final()
        await self._wait_until_quiet()
        stored = await self._read_everything()
        violations = [
            *_objects_and_rows(stored),
            *_done_once(stored),
            *_whole_or_absent(stored, journal.uploads),
            *_events_arrived(stored, self.inbox),
            *_answers(journal),
            *self._logs(journal),
            *await _read_back(stored, journal),
            *await _teams_apart(journal),
        ]
        assert not violations, "\n".join(violations)

    # --- Until everything is over -------------------------------------------------------------------------------

    async def _wait_until_final(self) -> None:
        deadline = self.system.last_fault_at + FINAL_SECONDS
        final = [str(status) for status in FINAL]
        sql = "SELECT id, status, attempts FROM image WHERE NOT status = ANY($1) AND deleted_at IS NULL"
        while left := await self.system.query(sql, final):
            assert time.monotonic() < deadline, f"I4: not final after {FINAL_SECONDS} s: {left}"
            await asyncio.sleep(0.2)

    async def _wait_until_quiet(self) -> None:
        """Until all events have arrived, no message waits, and everything that was to be removed is removed."""
        deadline = time.monotonic() + QUIET_SECONDS
        while left := await self._still_to_do():
            assert time.monotonic() < deadline, f"not quiet after {QUIET_SECONDS} s: {left}"
            await asyncio.sleep(0.3)

    async def _still_to_do(self) -> dict[str, int]:
        state = await asyncio.to_thread(self.system.emulator_state)
        waiting = (PUSH_SUBSCRIPTION, RENDITIONS_SUBSCRIPTION)
        pushes = sum(state["subscriptions"][name]["backlog"] for name in waiting)
        if not pushes:
            # A job lives inside a push and an upload inside its request: nobody works on anything any more, so that
            # what was promised to the sweep for later may go now.
            await self.system.query("UPDATE discarded_object SET remove_after = now()")
            await asyncio.to_thread(self.system.sweep)
        (counts,) = await self.system.query(
            "SELECT (SELECT count(*) FROM discarded_object) AS discarded_objects,"
            " (SELECT count(*) FROM event WHERE published_at IS NULL) AS unpublished_events"
        )
        await asyncio.to_thread(self.inbox.pull)
        told = await self.system.query("SELECT id FROM event WHERE topic = 'events'")
        on_their_way = sum(str(row["id"]) not in self.inbox.received for row in told)
        left = {**dict(counts), "pushes": pushes, "events_on_their_way": on_their_way}
        return {name: count for name, count in left.items() if count}

    # --- What there is ------------------------------------------------------------------------------------------

    async def _read_everything(self) -> Stored:
        images = {str(row["id"]): row for row in await self.system.query("SELECT * FROM image")}
        derivatives = defaultdict(list)
        for row in await self.system.query("SELECT * FROM derivative"):
            derivatives[str(row["image_id"])].append(row)
        originals = await self._objects("originals")
        derived = Counter(found["name"] for found in await self._objects("derivatives"))
        return Stored(
            images,
            derivatives,
            {row["object_name"] for row in await self.system.query("SELECT object_name FROM rendition")},
            await self.system.query("SELECT * FROM event"),
            {(found["name"], int(found["generation"])) for found in originals},
            dict(derived),
        )

    async def _objects(self, bucket: str) -> list[dict[str, Any]]:
        url = f"{self.system.layout.emulators_url}/storage/v1/b/{PROJECT_ID}-{bucket}/o"
        found: list[dict[str, Any]] = []
        parameters = {"versions": "true", "maxResults": "1000"}
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            while True:
                page = (await client.get(url, params=parameters)).raise_for_status().json()
                found += page.get("items", [])
                if "nextPageToken" not in page:
                    return found
                parameters["pageToken"] = page["nextPageToken"]

    def _logs(self, journal: Journal) -> Iterator[str]:
        """I9, and that nothing happened which no code expected."""
        secrets = [*self.system.secrets, *journal.api_keys, "Bearer ey"]
        for path in self.system.log_files:
            with path.open("rb") as log:
                log.seek(self._read.get(path, 0))
                text = log.read().decode(errors="replace")
                self._read[path] = log.tell()
            if any(secret in text for secret in secrets):
                yield f"I9: {path.name} holds a secret"
            for line in text.splitlines():
                if any(sign in line for sign in _UNEXPECTED):
                    yield f"I10: {path.name}: {line[:3000]}"


def _objects_and_rows(stored: Stored) -> Iterator[str]:
    """I2, and the half of I1 and I5 that concerns objects."""
    whole = {image_id: row for image_id, row in stored.images.items() if row["status"] in HOLDS_BYTES}
    named = {(row["object_name"], row["generation"]): image_id for image_id, row in whole.items()}
    for name, generation in stored.originals - named.keys():
        yield f"I2: no row names original {name} of generation {generation}"
    for name, generation in named.keys() - stored.originals:
        yield f"I1: the original {name} of generation {generation} is gone"
    rows = {row["object_name"] for image_rows in stored.derivatives.values() for row in image_rows}
    rows |= stored.renditions
    for name in stored.derived.keys() - rows:
        yield f"I2: no row names derivative {name}"
    for name in rows - stored.derived.keys():
        yield f"I2: the derivative {name} is gone"
    for image_id, row in whole.items():
        found = [each for each in stored.derivatives[image_id] if each["generation"] == row["generation"]]
        if row["status"] == "ready" and {each["preset"] for each in found} != PRESETS:
            yield f"I2: ready image {image_id} has the derivatives {[each['preset'] for each in found]}"


def _done_once(stored: Stored) -> Iterator[str]:
    """I3."""
    created, ready = [
        Counter(str(event["image_id"]) for event in stored.events if event["type"] == kind)
        for kind in ("image.created", "image.ready")
    ]
    for image_id, row in stored.images.items():
        wanted = 1 if row["status"] == "ready" else 0
        if ready[image_id] != wanted:
            yield f"I3: image {image_id} ({row['status']}) has {ready[image_id]} events that tell of its being ready"
        wanted = 0 if row["status"] in ("pending", "expired") else 1
        if created[image_id] != wanted:
            yield f"I3: image {image_id} ({row['status']}) has {created[image_id]} events that tell of its creation"
    for name, count in stored.derived.items():
        if count > 1:
            yield f"I3: derivative {name} was written {count} times"


def _whole_or_absent(stored: Stored, uploads: list[Tried]) -> Iterator[str]:
    """I5: however often the same bytes were sent, there is at most one living image of them."""
    for tried in set(uploads):
        living = [
            image_id
            for image_id, row in stored.images.items()
            if str(row["team_id"]) == tried.team_id
            and row["sha256"] is not None
            and row["sha256"].hex() == tried.sha256
            and row["status"] in HOLDS_BYTES
            and row["deleted_at"] is None
        ]
        if len(living) > 1:
            yield f"I5: the same bytes are {len(living)} images: {living}"


def _events_arrived(stored: Stored, inbox: Inbox) -> Iterator[str]:
    """I8."""
    for event in stored.events:
        if event["topic"] != "events":
            continue
        bodies = inbox.received[str(event["id"])]
        if not bodies:
            yield f"I8: the event {event['id']} ({event['type']}) never arrived"
        if any(body != bodies[0] or body["type"] != event["type"] for body in bodies):
            yield f"I8: the event {event['id']} was told in different ways"
        try:
            event_types.validate(event["type"], events.of_row(event).envelope()["data"])
        except (KeyError, ValidationError) as misfit:
            yield f"I8: the event {event['id']} does not fit the table of events: {misfit}"
    known = {str(event["id"]) for event in stored.events}
    for event_id in inbox.received.keys() - known:
        yield f"I8: the event {event_id} arrived and was never committed"


def _answers(journal: Journal) -> Iterator[str]:
    """I10, and I9 for what callers are told."""
    for answer in journal.answers:
        what = f"{answer.method} {answer.path}: {answer.status} after {answer.seconds:.1f} s {answer.text[:300]}"
        if answer.status is None:
            if not journal.connections_may_break:
                yield f"I10: no answer: {what}"
        elif not _is_allowed(answer):
            yield f"I10: {what}"
        if answer.seconds > LONGEST_ANSWER_SECONDS:
            yield f"I10: too late: {what}"
        if any(key in answer.text for key in journal.api_keys):
            yield f"I9: a key was told to a caller: {answer.method} {answer.path}"


def _is_allowed(answer: Answered) -> bool:
    status = answer.status or 0
    return 200 <= status < 500 or (status == 503 and answer.retry_after is not None)


async def _read_back(stored: Stored, journal: Journal) -> list[str]:
    """I1: every upload that was acknowledged, and every derivative of it, byte for byte."""
    violations = []
    callers = {caller.team_id: caller for caller in journal.callers}
    acknowledged = {(tried.image_id, tried.sha256, tried.team_id) for tried in journal.uploads if tried.image_id}
    for image_id, sha256, team_id in acknowledged:
        if image_id in journal.trashed:
            continue
        caller = callers[team_id]
        content = await caller.get(f"/images/{image_id}/content")
        if content.status_code != 200 or hashlib.sha256(content.content).hexdigest() != sha256:
            violations.append(f"I1: image {image_id} does not read back: {content.status_code}")
        for row in stored.derivatives[str(image_id)]:
            made = await caller.get(f"/images/{image_id}/derivatives/{row['preset']}")
            if made.status_code != 200 or hashlib.sha256(made.content).digest() != row["sha256"]:
                violations.append(f"I2: derivative {row['preset']} of {image_id} does not read back")
    return violations


async def _teams_apart(journal: Journal) -> list[str]:
    """I7: to everybody else a team's image is like one that never was."""
    violations = []
    for owner in journal.callers:
        owned = [tried.image_id for tried in journal.uploads if tried.image_id and tried.team_id == owner.team_id][:2]
        for other in journal.callers:
            if other.team_id == owner.team_id or not owned:
                continue
            listed = {item["id"] for item in (await other.get("/images?limit=200")).json()["items"]}
            violations += [f"I7: {image_id} is listed to another team" for image_id in listed.intersection(owned)]
            for image_id in owned:
                for way in _WAYS:
                    foreign = await _told(other, way, image_id)
                    if foreign != await _told(other, way, str(uuid4())):
                        violations.append(f"I7: {way} of a foreign image answers {foreign}")
    return violations


_WAYS = (
    ("GET", "/images/{}"),
    ("GET", "/images/{}/content"),
    ("GET", "/images/{}/derivatives"),
    ("GET", "/images/{}/derivatives/thumb"),
    ("POST", "/images/{}/restore"),
    ("DELETE", "/images/{}"),
)


async def _told(caller: Caller, way: tuple[str, str], image_id: str) -> tuple[int, dict[str, Any]]:
    method, path = way
    answer = await caller.ask(method, path.format(image_id))
    assert answer is not None
    body = answer.json()
    del body["request_id"]
    return answer.status_code, body

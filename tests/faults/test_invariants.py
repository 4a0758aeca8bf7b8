"""The checker sees what it is there to see: each violation is planted and has to be found."""

import contextlib
import dataclasses
import os
from collections import defaultdict
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from local_cloud.system.environment import PROJECT_ID

from . import invariants
from .conftest import Scene
from .invariants import Checker, Stored
from .journal import Answered, Journal, Tried
from .pictures import picture

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

TEAM, IMAGE, GENERATION, SHA256 = str(uuid4()), str(uuid4()), 7, "ab" * 32


def row(**values: Any) -> dict[str, Any]:
    whole = {"status": "ready", "object_name": "originals/a", "generation": GENERATION, "team_id": TEAM}
    return {**whole, "sha256": bytes.fromhex(SHA256), "deleted_at": None, **values}


@pytest.fixture
def sound() -> Stored:
    """One ready image with everything that belongs to it."""
    made = [{"object_name": f"d/{preset}", "preset": preset, "generation": GENERATION} for preset in invariants.PRESETS]
    kinds = ("image.created", "image.ready")
    told = [{"id": uuid4(), "type": kind, "topic": "events", "image_id": IMAGE} for kind in kinds]
    derived = {str(each["object_name"]): 1 for each in made}
    return Stored({IMAGE: row()}, defaultdict(list, {IMAGE: made}), set(), told, {("originals/a", GENERATION)}, derived)


def found(stored: Stored, *uploads: Tried) -> list[str]:
    return [
        *invariants._objects_and_rows(stored),
        *invariants._done_once(stored),
        *invariants._whole_or_absent(stored, list(uploads)),
    ]


def test_what_is_sound_is_not_complained_of(sound: Stored) -> None:
    assert found(sound, Tried(TEAM, SHA256, IMAGE)) == []


def test_what_is_lost_or_left_over_is_named(sound: Stored) -> None:
    change = dataclasses.replace
    assert found(change(sound, originals=set()))[0].startswith("I1")
    assert found(change(sound, originals={*sound.originals, ("originals/b", 1)}))[0].startswith("I2")
    assert found(change(sound, originals={*sound.originals, ("originals/a", 8)}))[0].startswith("I2")
    assert found(change(sound, derived={**sound.derived, "d/other": 1}))[0].startswith("I2")
    assert found(change(sound, derived={}))[0].startswith("I2")
    older = [{**each, "generation": 1} for each in sound.derivatives[IMAGE]]
    assert found(change(sound, derivatives=defaultdict(list, {IMAGE: older})))[0].startswith("I2")
    assert found(change(sound, events=sound.events * 2))[0].startswith("I3")
    assert found(change(sound, events=[]))[0].startswith("I3")
    assert found(change(sound, derived=dict.fromkeys(sound.derived, 2)))[0].startswith("I3")


def test_two_living_images_of_the_same_bytes_are_named(sound: Stored) -> None:
    other_id = str(uuid4())
    created = [{**event, "image_id": other_id} for event in sound.events if event["type"] == "image.created"]
    stored = dataclasses.replace(
        sound,
        images={**sound.images, other_id: row(status="failed", object_name="originals/b")},
        events=[*sound.events, *created],
        originals={*sound.originals, ("originals/b", GENERATION)},
    )
    assert found(stored, Tried(TEAM, SHA256, None))[0].startswith("I5")


@pytest.mark.parametrize(
    "answer",
    [
        Answered("GET", "/", 500, None, 0.1, ""),
        Answered("GET", "/", 502, None, 0.1, ""),
        Answered("GET", "/", 503, None, 0.1, ""),
        Answered("GET", "/", None, None, 0.1, ""),
        Answered("GET", "/", 200, None, 31.0, ""),
    ],
)
def test_an_answer_that_may_not_be_is_named(answer: Answered) -> None:
    assert any(line.startswith("I10") for line in invariants._answers(Journal(answers=[answer])))


def test_a_key_in_an_answer_is_named() -> None:
    journal = Journal(answers=[Answered("GET", "/", 400, None, 0.1, "your im_key")], api_keys=["im_key"])
    assert any(line.startswith("I9") for line in invariants._answers(journal))


async def test_what_is_planted_in_a_running_system_is_found(scene: Scene, checker: Checker) -> None:
    image = await scene.caller.uploaded(picture(), wait=20)
    url = f"{scene.system.layout.emulators_url}/upload/storage/v1/b/{PROJECT_ID}-derivatives/o"
    httpx2.post(url, params={"uploadType": "media", "name": "left/over"}, content=b"x", trust_env=False)
    with (scene.system.logs / "image_api.log").open("a") as log:
        log.write(f"{scene.caller.api_key}\n")
    (fact,) = await scene.system.query(
        "INSERT INTO event (id, topic, type, image_id, payload, published_at, created_at)"
        " VALUES ($1, 'events', 'image.ready', $2, '{}', now(), now()) RETURNING id",
        uuid4(),
        image["id"],
    )
    # The event says that it was published, and never was: nobody will ever receive it.
    scene.inbox.received[str(fact["id"])] = [{"type": "image.ready"}]
    scene.journal.uploads.append(Tried(scene.caller.team_id, os.urandom(32).hex(), image["id"]))
    with pytest.raises(AssertionError) as complaint:
        await checker.check(scene.journal)
    for invariant in ("I1: image", "I2: no row names derivative left/over", "I3: image", "I9: image_api.log"):
        assert invariant in str(complaint.value)
    # Clean up, since the scene ends with the same check.
    scene.journal.uploads.pop()
    await scene.system.query("DELETE FROM event WHERE id = $1", fact["id"])
    del scene.inbox.received[str(fact["id"])]
    with contextlib.suppress(httpx2.HTTPError):
        deletion = f"{scene.system.layout.emulators_url}/storage/v1/b/{PROJECT_ID}-derivatives/o/left%2Fover"
        httpx2.delete(deletion, trust_env=False)

"""Each UPDATE of an image in a real database: the states that it leaves, who may run it, and what it must not touch."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Update, select, text
from sqlalchemy.dialects.postgresql import insert

from image_core import states, testing
from image_core.db import Database, DatabaseConfig, Record, Runner
from image_core.ids import new_id
from image_core.images import transitions
from image_core.models import HOLDS_BYTES_CLAUSE, discarded_object, image, team, user
from image_core.states import TRANSITIONS, Failure, ImageStatus, Mover

S = ImageStatus
LEASE, RETENTION = timedelta(seconds=60), timedelta(days=7)
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
TOKEN, TEAM, OTHER_TEAM, USER, OTHER_USER, IMAGE = (new_id() for _ in range(6))
NOT_AN_IMAGE = Failure("not-an-image", "x")
MOST_ATTEMPTS = 3

CLAIM = {"claim_token": TOKEN, "lease_expires_at": PAST}
CLAIMED = CLAIM | {"status": S.PROCESSING, "attempts": 1}
WORN_OUT = {"status": S.STORED, "queued_at": PAST, "attempts": MOST_ATTEMPTS}
LIVE = {"status": S.PROCESSING, "claim_token": TOKEN, "lease_expires_at": FUTURE}
WAITING = {"status": S.STORED, "queued_at": PAST}
TRASHED = {"deleted_at": PAST}
LOST = {"status": S.FAILED, "failure_code": "original-missing"}
MARKED = TRASHED | {"purge_marked_at": PAST, "deadline_at": PAST}
WAS_READY = {"ready_at": PAST, "width": 1, "height": 1, "frames": 1}


@dataclass(frozen=True)
class Case:
    """A transition, an image that it changes, and what keeps it from changing one, told by the columns."""

    make: Callable[[], Update]
    changes: dict[str, Any]
    spares: tuple[dict[str, Any], ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    moves: bool = True
    """Whether it moves an image to a state."""
    removal_attempts: int = 0
    """How often the removal of what the claim wrote was tried."""


_completed = {
    "new_size_bytes": 5, "new_sha256": testing.a_sha256("new"), "new_crc32c": "AAAAAA==", "new_generation": 7,
    "new_filename": None, "new_tags": [], "new_metadata": "{}",
}  # fmt: skip
_copied = {"new_generation": testing.GENERATION, "new_crc32c": "AAAAAA=="}
_stored = {"new_size_bytes": 5, "new_sha256": testing.a_sha256("new"), **_copied}
_claim = {
    "of_generation": testing.GENERATION, "max_attempts": MOST_ATTEMPTS, "new_token": new_id(), "lease": LEASE,
}  # fmt: skip
_finish = {"new_token": TOKEN, "discard_id": IMAGE, "new_width": 1, "new_height": 1, "new_frames": 1}
_other = {"image_id": new_id()}
_other_claim = {"claim_token": new_id()}

_capture = {
    "image_ids": [IMAGE], "taken_at": [PAST], "taken_at_source": ["exif"], "taken_local": [PAST.replace(tzinfo=None)],
    "location_cell": [1],
}  # fmt: skip

CASES: dict[str, Case] = {
    "fill_capture": Case(
        transitions.fill_capture, {}, ({"image_id": new_id()}, {"taken_at_source": "unknown"}), _capture, moves=False
    ),
    "fill_search_terms": Case(
        transitions.fill_search_terms,
        # A ready one has them already.
        {"status": S.STORED},
        ({"image_id": new_id()}, {"status": S.READY}),
        {"image_ids": [IMAGE]},
        moves=False,
    ),
    "fill_crc32c": Case(
        transitions.fill_crc32c,
        {},
        (_other, {"generation": testing.GENERATION + 1}, {"crc32c": "AAAAAA=="}),
        {"of_generation": testing.GENERATION, "new_crc32c": "yZRlqg=="},
        moves=False,
    ),
    "complete_upload": Case(
        transitions.complete_upload, {"status": S.PENDING}, (_other, {"duplicate_of": IMAGE}), _completed
    ),
    "store": Case(transitions.store, {"status": S.PENDING}, (_other, {"duplicate_of": IMAGE}), _stored),
    "await_direct_upload": Case(
        transitions.await_direct_upload,
        {"status": S.PENDING},
        (_other, {"status": S.EXPIRED}),
        {"deadline": LEASE},
        moves=False,
    ),
    "note_copy": Case(
        transitions.note_copy, {"status": S.PENDING}, (_other, {"status": S.EXPIRED}), _copied, moves=False
    ),
    "expire": Case(lambda: transitions.expire(IMAGE, NOT_AN_IMAGE), {"status": S.PENDING}, (_other,)),
    "claim": Case(
        transitions.claim,
        {"status": S.STORED},
        (_other, TRASHED, LIVE, {"generation": testing.GENERATION + 1}, {"attempts": MOST_ATTEMPTS}),
        _claim,
    ),
    "finish": Case(
        lambda: transitions.finish(("width", "height", "frames")), CLAIMED, (_other, _other_claim), _finish
    ),
    "fail": Case(lambda: transitions.fail(IMAGE, TOKEN, NOT_AN_IMAGE), CLAIMED, (_other, _other_claim)),
    "release": Case(lambda: transitions.release(IMAGE, TOKEN, counted=True), CLAIMED, (_other, _other_claim)),
    "give_up": Case(
        lambda: transitions.give_up(IMAGE, MOST_ATTEMPTS),
        WORN_OUT,
        (_other, LIVE, {"attempts": MOST_ATTEMPTS - 1}),
    ),
    "requeue": Case(
        lambda: transitions.requeue(LEASE, MOST_ATTEMPTS, 1),
        WAITING,
        (TRASHED, LIVE, {"queued_at": FUTURE}, {"attempts": MOST_ATTEMPTS}),
    ),
    "give_up_waiting": Case(
        lambda: transitions.give_up_waiting(LEASE, MOST_ATTEMPTS, 1),
        WORN_OUT,
        (TRASHED, LIVE, {"queued_at": FUTURE}, {"attempts": MOST_ATTEMPTS - 1}),
    ),
    "process_again": Case(
        lambda: transitions.process_again(IMAGE), {"status": S.FAILED}, (_other, TRASHED, LOST)
    ),
    "reprocess": Case(
        lambda: transitions.reprocess(image.c.filename == "cat", 1),
        {"status": S.READY, "filename": "cat"},
        (TRASHED, {"filename": "dog"}, LOST),
    ),
    "lose_original": Case(
        lambda: transitions.lose_original(IMAGE, testing.GENERATION, NOT_AN_IMAGE),
        {},
        (_other, {"generation": 1}, LIVE),
    ),
    "bring_back_original": Case(
        lambda: transitions.bring_back_original(IMAGE, testing.GENERATION, testing.GENERATION + 1),
        {"status": S.FAILED},
        (_other, {"generation": 1}, LIVE, MARKED),
    ),
    "replace_derivative": Case(
        transitions.replace_derivative,
        WAS_READY | {"status": S.READY},
        (_other, {"ready_at": None, "status": S.STORED}, {"status": S.FAILED}, TRASHED, {"generation": 1}),
        {"of_generation": testing.GENERATION},
        moves=False,
    ),
    "remake_derivatives": Case(
        lambda: transitions.remake_derivatives(IMAGE, 1),
        {"status": S.STORED, "attempts": 1},
        (_other, {"revision": 2}, {"attempts": 0}),
    ),
    "defer_overdue": Case(
        lambda: transitions.defer_overdue(LEASE, 1),
        {"status": S.PENDING, "deadline_at": PAST},
        ({"deadline_at": FUTURE}, {"status": S.EXPIRED}),
        moves=False,
    ),
    "edit": Case(lambda: transitions.edit(IMAGE, {"filename": "cat"}), {}, (_other,), moves=False),
    "revoke_addresses": Case(lambda: transitions.revoke_addresses(IMAGE), {}, (_other,), moves=False),
    "trash": Case(lambda: transitions.trash(IMAGE), {}, (_other, TRASHED), moves=False),
    "restore": Case(lambda: transitions.restore(IMAGE), TRASHED, (_other, {"deleted_at": None}, MARKED), moves=False),
    "trash_of_team": Case(
        lambda: transitions.trash_of_team(TEAM, 1),
        {},
        ({"team_id": OTHER_TEAM}, TRASHED, {"status": S.EXPIRED}),
        moves=False,
    ),
    "mark_for_purge": Case(
        lambda: transitions.mark_for_purge(RETENTION, 1),
        TRASHED,
        (
            MARKED, {"deleted_at": FUTURE}, {"deleted_at": None}, {"status": S.PENDING, "deadline_at": FUTURE},
            TRASHED | LIVE,
        ),
        moves=False,
    ),
    "defer_purge": Case(
        lambda: transitions.defer_purge(1),
        MARKED,
        ({"purge_marked_at": None}, {"deadline_at": FUTURE}),
        moves=False,
    ),
    "clear_uploader": Case(
        lambda: transitions.clear_uploader(USER, 1), {"uploaded_by": USER}, ({"uploaded_by": OTHER_USER},),
        moves=False,
    ),
}  # fmt: skip
MOVERS: dict[str, frozenset[Mover]] = {
    name: function.movers  # type: ignore[attr-defined]
    for name, function in inspect.getmembers(transitions, inspect.isfunction)
    if hasattr(function, "movers")
}
CLAIMS = ("claim", "finish", "fail", "release", "give_up", "requeue", "give_up_waiting")
FORBIDDEN: list[tuple[str, str, dict[str, Any]]] = [
    *((name, "ck_image_claim_when_processing", CLAIM | {"status": S.READY}) for name in CLAIMS),
    ("defer_purge", "ck_image_purge_from_trash", {"deleted_at": None}),
]
SPARED = [(name, spared) for name, case in CASES.items() for spared in case.spares]
BOUNDED = [
    name
    for name, case in CASES.items()
    if name not in ("edit", "fill_capture", "fill_search_terms", "revoke_addresses") and _other not in case.spares
]


def test_every_transition_is_in_the_list() -> None:
    assert CASES.keys() == MOVERS.keys()


@pytest.fixture
async def databases(urls: Any) -> Any:
    """The database as each mover may use it: rights on columns included."""
    logins = {
        Mover.API: urls.api, Mover.PROCESSOR: urls.processor, Mover.SWEEP: urls.tasks, Mover.OPERATOR: urls.owner,
    }  # fmt: skip
    opened = {mover: Database(DatabaseConfig(url=url)) for mover, url in logins.items()}
    for database in opened.values():
        await database.open()
    yield opened
    for database in opened.values():
        await database.close()


@pytest.fixture
async def two_teams(rows: Database) -> None:
    for team_id, user_id in ((TEAM, USER), (OTHER_TEAM, OTHER_USER)):
        await rows.execute(insert(team).values(id=team_id, name=str(team_id)))
        await rows.execute(insert(user).values(id=user_id, team_id=team_id, name="Somebody", role="member", scopes=[]))


async def add(rows: Runner, case: Case, columns: dict[str, Any]) -> UUID:
    columns = {"image_id": IMAGE, "team_id": TEAM, "status": S.READY} | case.changes | columns
    image_id = await testing.add_image(rows, columns.pop("team_id"), columns.pop("status"), **columns)
    await rows.execute(
        insert(discarded_object)
        .values(id=IMAGE, bucket="derivatives", object_name="x/", remove_after=FUTURE, attempts=case.removal_attempts)
        .on_conflict_do_nothing()
    )
    return image_id


async def run(runner: Runner, case: Case) -> int:
    values = case.parameters | ({"image_id": IMAGE} if case.parameters else {})
    return await runner.execute(case.make(), **values)


async def moved(rows: Database, database: Database, case: Case, columns: dict[str, Any]) -> ImageStatus | None:
    """Run a transition on an image of its own; return the state that it has given it, if any."""
    image_id = await add(rows, case, columns)
    old = await found(rows, image_id)
    await run(database, case)
    new = await found(rows, image_id)
    await rows.execute(image.delete())
    await rows.execute(discarded_object.delete())
    # An image that keeps its status has still moved if it was queued or claimed anew.
    is_moved = any(old[name] != new[name] for name in ("status", "queued_at", "claim_token"))
    return ImageStatus(new["status"]) if is_moved else None


async def found(rows: Database, image_id: UUID) -> Record:
    row = await rows.fetch_one(select(image).where(image.c.id == image_id))
    assert row is not None
    return row


@pytest.mark.parametrize("status", tuple(ImageStatus))
@pytest.mark.parametrize("mover", tuple(Mover))
async def test_each_moves_an_image_only_as_the_table_says(
    rows: Database, two_teams: None, databases: dict[Mover, Database], mover: Mover, status: ImageStatus
) -> None:
    reached: set[ImageStatus | None] = set()
    for name, case in CASES.items():
        if mover not in MOVERS[name] or not case.moves:
            continue
        columns: dict[str, Any] = {name: value for name, value in case.changes.items() if name != "claim_token"}
        # A lease that is over and a long wait, so that whoever may take the image can.
        columns |= {"status": status, "queued_at": PAST, "deadline_at": PAST}
        claim = status is S.PROCESSING
        columns |= {"claim_token": TOKEN if claim else None, "lease_expires_at": PAST if claim else None}
        reached.add(await moved(rows, databases[mover], case, columns))
        if status in (S.STORED, S.PROCESSING):
            reached.add(await moved(rows, databases[mover], case, columns | WAS_READY))
    allowed = {to for (start, to), movers in TRANSITIONS.items() if start == status and mover in movers}
    assert reached - {None} == allowed


@pytest.mark.parametrize("name", CASES)
async def test_it_changes_what_it_is_for(
    rows: Database, two_teams: None, databases: dict[Mover, Database], name: str
) -> None:
    for mover in MOVERS[name]:
        image_id = await add(rows, CASES[name], {})
        assert await run(databases[mover], CASES[name]) == 1
        changed = await found(rows, image_id)
        # An entity tag changes with whatever callers see.
        is_seen = name not in (
            "await_direct_upload",
            "note_copy",
            "defer_overdue",
            "defer_purge",
            "mark_for_purge",
            "clear_uploader",
            "fill_capture",
            "fill_search_terms",
            "fill_crc32c",
        )
        assert (changed["revision"], changed["updated_at"] > changed["created_at"]) == (1 + is_seen, is_seen)
        await rows.execute(image.delete())
        await rows.execute(discarded_object.delete())


@pytest.mark.parametrize(("name", "spared"), SPARED)
async def test_it_spares_every_other_image(
    rows: Database, two_teams: None, databases: dict[Mover, Database], name: str, spared: dict[str, Any]
) -> None:
    await add(rows, CASES[name], spared)
    assert await run(databases[min(MOVERS[name])], CASES[name]) == 0


@pytest.mark.parametrize("name", BOUNDED)
async def test_it_takes_no_more_than_it_was_told_and_nothing_that_is_locked(
    rows: Database, two_teams: None, databases: dict[Mover, Database], name: str
) -> None:
    database = databases[min(MOVERS[name])]
    for each in range(3):
        await add(rows, CASES[name], {"image_id": new_id(), "claim_token": None} if each else {})
    async with database.transaction() as first, database.transaction() as second, database.transaction() as third:
        assert [await run(runner, CASES[name]) for runner in (first, second, third)] == [1, 1, 1]


async def test_an_upload_that_has_expired_is_not_completed(
    rows: Database, two_teams: None, databases: dict[Mover, Database]
) -> None:
    case = CASES["complete_upload"]
    await add(rows, case, {"status": S.EXPIRED})
    assert await run(databases[Mover.API], case) == 0


async def test_work_whose_removal_has_begun_does_not_count(
    rows: Database, two_teams: None, databases: dict[Mover, Database]
) -> None:
    finish = CASES["finish"]
    await add(rows, Case(finish.make, finish.changes, removal_attempts=1), {})
    assert await run(databases[Mover.PROCESSOR], finish) == 0


@pytest.mark.parametrize(("name", "constraint", "forbidden"), FORBIDDEN)
async def test_it_does_not_rely_on_what_the_schema_forbids(
    rows: Database, two_teams: None, name: str, constraint: str, forbidden: dict[str, Any]
) -> None:
    with pytest.raises(_Undo):
        async with rows.transaction() as transaction:
            await transaction.fetch(text(f"ALTER TABLE image DROP CONSTRAINT {constraint}"))
            await add(transaction, CASES[name], forbidden)
            assert await run(transaction, CASES[name]) == 0
            raise _Undo


class _Undo(Exception):
    """Undoes a transaction."""


@pytest.mark.parametrize(
    ("counted", "first_claimed_at", "attempts"), [(True, FUTURE, 2), (False, FUTURE, 1), (False, PAST, 2)]
)
async def test_an_attempt_is_given_back_for_a_day(
    rows: Database,
    two_teams: None,
    databases: dict[Mover, Database],
    counted: bool,
    first_claimed_at: datetime,
    attempts: int,
) -> None:
    released = Case(lambda: transitions.release(IMAGE, TOKEN, counted=counted), CLAIMED)
    await add(rows, released, {"attempts": 2, "first_claimed_at": first_claimed_at})
    assert await run(databases[Mover.PROCESSOR], released) == 1
    assert (await found(rows, IMAGE))["attempts"] == attempts


OF_TEAM = Case(lambda: transitions.mark_for_purge(RETENTION, 1, TEAM), TRASHED, moves=False)


@pytest.mark.parametrize(
    ("columns", "is_marked"),
    [
        ({"status": S.PENDING, "deadline_at": FUTURE}, True),
        ({"team_id": OTHER_TEAM}, False),
        (LIVE, False),
        ({"deleted_at": None}, False),
    ],
)
async def test_of_a_removed_team_what_is_still_to_be_uploaded_is_purged_too(
    rows: Database, two_teams: None, databases: dict[Mover, Database], columns: dict[str, Any], is_marked: bool
) -> None:
    await add(rows, OF_TEAM, columns)
    assert await run(databases[Mover.SWEEP], OF_TEAM) == is_marked


@pytest.mark.parametrize(
    ("name", "columns"), [("mark_for_purge", CLAIMED), ("remake_derivatives", {"status": S.READY, "attempts": 0})]
)
async def test_a_lease_that_ran_out_and_attempts_that_are_left_keep_nothing(
    rows: Database, two_teams: None, databases: dict[Mover, Database], name: str, columns: dict[str, Any]
) -> None:
    await add(rows, CASES[name], columns)
    assert await run(databases[min(MOVERS[name])], CASES[name]) == 1


@pytest.mark.parametrize(("name", "columns"), [
    ("defer_purge", [{"deadline_at": PAST + LEASE}, {"deadline_at": PAST}]), ("reprocess", [{}, {}]),
])  # fmt: skip
async def test_the_longest_overdue_and_the_newest_come_first(
    rows: Database, two_teams: None, databases: dict[Mover, Database], name: str, columns: list[dict[str, Any]]
) -> None:
    for each in columns:
        last = await add(rows, CASES[name], {"image_id": new_id()} | each)
    database = databases[min(MOVERS[name])]
    assert await database.fetch_value(CASES[name].make().returning(image.c.id)) == last


async def test_a_finished_claim_takes_back_no_other_promise(
    rows: Database, two_teams: None, databases: dict[Mover, Database]
) -> None:
    await add(rows, CASES["finish"], {})
    other = insert(discarded_object).values(id=new_id(), bucket="derivatives", object_name="y/", remove_after=FUTURE)
    await rows.execute(other)
    await run(databases[Mover.PROCESSOR], CASES["finish"])
    assert [row["object_name"] for row in await rows.fetch(select(discarded_object))] == ["y/"]


@pytest.mark.parametrize(
    ("attempts", "created_at", "given_up"),
    [(MOST_ATTEMPTS + 1, PAST, True), (MOST_ATTEMPTS, PAST, False), (MOST_ATTEMPTS + 1, FUTURE, False)],
)
async def test_an_upload_is_given_up_after_many_attempts_and_a_day(
    rows: Database, two_teams: None, attempts: int, created_at: datetime, given_up: bool
) -> None:
    await add(rows, CASES["expire"], {"attempts": attempts, "created_at": created_at})
    assert await rows.fetch_value(select(transitions.is_abandoned(MOST_ATTEMPTS)).select_from(image)) is given_up


async def test_a_direct_upload_has_a_day_from_whenever_it_may_have_arrived(rows: Database, two_teams: None) -> None:
    now = datetime.now(UTC)
    abandoned = select(transitions.is_abandoned(MOST_ATTEMPTS)).select_from(image)
    image_id = await testing.add_upload(rows, TEAM, attempts=MOST_ATTEMPTS + 1, created_at=now - timedelta(hours=36))
    assert await rows.fetch_value(abandoned) is False
    await rows.execute(image.update().where(image.c.id == image_id).values(created_at=now - timedelta(hours=49)))
    assert await rows.fetch_value(abandoned) is True


def test_every_state_but_the_final_ones_can_be_left() -> None:
    left = {start for start, _ in TRANSITIONS}
    assert {None, *ImageStatus} - left == {S.EXPIRED}
    assert set(states.FINAL) >= {S.EXPIRED}


def test_the_states_in_the_sql_are_those_that_hold_bytes() -> None:
    in_sql = set(re.findall(r"'(\w+)'", str(HOLDS_BYTES_CLAUSE.compile(compile_kwargs={"literal_binds": True}))))
    assert in_sql == {str(status) for status in states.HOLDS_BYTES}

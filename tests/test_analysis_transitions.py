"""Each UPDATE of an analysis in a real database: the states that it leaves, who may run it, what it must not touch."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Update, select, text

from image_core import testing
from image_core.analyses import transitions
from image_core.db import Database, DatabaseConfig, Record, Runner
from image_core.ids import new_id
from image_core.models import analysis
from image_core.states import ANALYSIS_TRANSITIONS, AnalysisStatus, Failure, Mover
from image_processor.analyses import queries

S = AnalysisStatus
LEASE = timedelta(seconds=60)
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
TOKEN, ANALYSIS = new_id(), new_id()
MOST_ATTEMPTS = 3
CRASHED = Failure("analyzer-failed", "x")

RUNNING = {"status": S.RUNNING, "claim_token": TOKEN, "lease_expires_at": PAST}
WAITING = {"status": S.REQUESTED, "queued_at": PAST}
WORN_OUT = WAITING | {"attempts": MOST_ATTEMPTS}
LIVE = RUNNING | {"lease_expires_at": FUTURE}
OTHER, OTHER_CLAIM = {"id": new_id()}, {"claim_token": new_id()}
LEFT, NOT_LEFT = {"attempts": MOST_ATTEMPTS - 1}, {"attempts": MOST_ATTEMPTS}


@dataclass(frozen=True)
class Case:
    """A transition, an analysis that it moves, and what keeps it from moving one."""

    make: Callable[[], Update]
    moves: dict[str, Any]
    spares: tuple[dict[str, Any], ...]


CASES: dict[str, Case] = {
    "claim": Case(
        lambda: transitions.claim(ANALYSIS, new_id(), MOST_ATTEMPTS, LEASE), WAITING, (OTHER, LIVE, NOT_LEFT)
    ),
    "finish": Case(lambda: transitions.finish(ANALYSIS, TOKEN, "{}"), RUNNING, (OTHER, OTHER_CLAIM)),
    "fail": Case(lambda: transitions.fail(ANALYSIS, TOKEN, CRASHED), RUNNING, (OTHER, OTHER_CLAIM)),
    "release": Case(
        lambda: transitions.release(ANALYSIS, TOKEN, counted=True), RUNNING, (OTHER, OTHER_CLAIM)
    ),
    "give_up": Case(lambda: transitions.give_up(ANALYSIS, MOST_ATTEMPTS), WORN_OUT, (OTHER, LIVE, LEFT)),
    "requeue": Case(
        lambda: transitions.requeue(LEASE, MOST_ATTEMPTS, 1), WAITING, (LIVE, {"queued_at": FUTURE}, NOT_LEFT)
    ),
    "give_up_waiting": Case(
        lambda: transitions.give_up_waiting(LEASE, MOST_ATTEMPTS, 1), WORN_OUT, (LIVE, {"queued_at": FUTURE}, LEFT)
    ),
}  # fmt: skip
SPARED = [(name, spared) for name, case in CASES.items() for spared in case.spares]
MOVERS: dict[str, frozenset[Mover]] = {
    name: function.movers  # type: ignore[attr-defined]
    for name, function in inspect.getmembers(transitions, inspect.isfunction)
    if hasattr(function, "movers")
}


def test_every_transition_is_in_the_list() -> None:
    assert CASES.keys() | {"clear_requester"} == MOVERS.keys()


@pytest.fixture
async def processor(urls: Any) -> Any:
    """The database as the processor may use it."""
    database = Database(DatabaseConfig(url=urls.processor))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def tasks(urls: Any) -> Any:
    """The database as housekeeping may use it."""
    database = Database(DatabaseConfig(url=urls.tasks))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def team_id(rows: Database) -> UUID:
    return await testing.add_team(rows)


async def add(rows: Runner, team_id: UUID, columns: dict[str, Any]) -> UUID:
    row = {"id": ANALYSIS} | columns
    return await testing.add_analysis(rows, team_id, testing.a_sha256(row["id"]), **row)


async def found(rows: Database) -> Record:
    row = await rows.fetch_one(select(analysis))
    assert row is not None
    return row


def columns_in(status: AnalysisStatus, case: Case) -> dict[str, Any]:
    """An analysis in a state, which its transition would move as far as everything but the state goes."""
    columns = case.moves | {"status": status, "queued_at": PAST}
    is_running = status is S.RUNNING
    columns |= {"claim_token": TOKEN if is_running else None, "lease_expires_at": PAST if is_running else None}
    if status is S.DONE:
        columns |= {"result": "{}", "analyzed_at": PAST}
    return columns | ({"failure_code": "x"} if status is S.FAILED else {})


@pytest.mark.parametrize("status", tuple(AnalysisStatus))
@pytest.mark.parametrize("mover", tuple(Mover))
async def test_each_moves_an_analysis_only_as_the_table_says(
    rows: Database, team_id: UUID, processor: Database, tasks: Database, mover: Mover, status: AnalysisStatus
) -> None:
    runner = tasks if mover is Mover.SWEEP else processor
    reached = set()
    for name in (name for name in CASES if mover in MOVERS[name]):
        await add(rows, team_id, columns_in(status, CASES[name]))
        if await runner.execute(CASES[name].make()):
            reached.add(AnalysisStatus((await found(rows))["status"]))
        await rows.execute(analysis.delete())
    assert reached == {
        to for (start, to), movers in ANALYSIS_TRANSITIONS.items() if start == status and mover in movers
    }


async def test_an_image_that_arrives_brings_analyses_as_the_table_says(
    rows: Database, team_id: UUID, processor: Database
) -> None:
    values = {"analyzer": "colors", "version": "1", "parameters": "{}", "parameters_hash": testing.a_sha256("{}")}
    async with processor.transaction() as transaction:
        await queries.add_requested(transaction, team_id, testing.a_sha256("a"), values, None)
        finished = values | {"result": "{}"}
        await queries.add_finished(transaction, team_id, testing.a_sha256("b"), finished, None)
    made = {AnalysisStatus(row["status"]) for row in await rows.fetch(select(analysis.c.status))}
    assert made == {
        to for (start, to), movers in ANALYSIS_TRANSITIONS.items() if not start and Mover.PROCESSOR in movers
    }


@pytest.mark.parametrize("name", CASES)
async def test_it_moves_what_it_is_for(rows: Database, team_id: UUID, processor: Database, name: str) -> None:
    await add(rows, team_id, CASES[name].moves)
    assert await processor.execute(CASES[name].make()) == 1
    moved = await found(rows)
    assert moved["updated_at"] > moved["created_at"]


@pytest.mark.parametrize(("name", "spared"), SPARED)
async def test_it_spares_every_other_analysis(
    rows: Database, team_id: UUID, processor: Database, name: str, spared: dict[str, Any]
) -> None:
    await add(rows, team_id, CASES[name].moves | spared)
    assert await processor.execute(CASES[name].make()) == 0


@pytest.mark.parametrize("name", ["requeue", "give_up_waiting"])
async def test_it_takes_no_more_than_it_was_told_and_nothing_that_is_locked(
    rows: Database, team_id: UUID, processor: Database, name: str
) -> None:
    for _ in range(3):
        await add(rows, team_id, CASES[name].moves | {"id": new_id()})
    async with processor.transaction() as first, processor.transaction() as second:
        assert [await runner.execute(CASES[name].make()) for runner in (first, second)] == [1, 1]


class _Undo(Exception):
    """Undoes a transaction."""


@pytest.mark.parametrize("name", CASES)
async def test_a_token_and_a_lease_alone_are_no_claim(rows: Database, team_id: UUID, name: str) -> None:
    """The schema forbids both on an analysis that does not run; the statements do not rely on it."""
    claimed_but_failed = CASES[name].moves | RUNNING | {"status": S.FAILED, "failure_code": "x"}
    with pytest.raises(_Undo):
        async with rows.transaction() as transaction:
            await transaction.fetch(text("ALTER TABLE analysis DROP CONSTRAINT ck_analysis_claim_when_running"))
            await add(transaction, team_id, claimed_but_failed)
            assert await transaction.execute(CASES[name].make()) == 0
            raise _Undo


@pytest.mark.parametrize(
    ("counted", "created_at", "attempts"), [(True, FUTURE, 2), (False, FUTURE, 1), (False, PAST, 2)]
)
async def test_an_attempt_is_given_back_for_a_day(
    rows: Database, team_id: UUID, processor: Database, counted: bool, created_at: datetime, attempts: int
) -> None:
    await add(rows, team_id, RUNNING | {"attempts": 2, "created_at": created_at})
    assert await processor.execute(transitions.release(ANALYSIS, TOKEN, counted=counted)) == 1
    assert (await found(rows))["attempts"] == attempts


async def test_a_user_is_taken_out_of_its_own_analyses_only(rows: Database, team_id: UUID, tasks: Database) -> None:
    going, staying = [(await testing.add_user(rows, team_id)).user_id for _ in range(2)]
    for user_id in (going, going, staying):
        await add(rows, team_id, {"id": new_id(), "requested_by": user_id})
    async with tasks.transaction() as first, tasks.transaction() as second:
        taken = [await runner.execute(transitions.clear_requester(going, 1)) for runner in (first, second, second)]
    assert taken == [1, 1, 0]
    assert [row["requested_by"] for row in await rows.fetch(select(analysis.c.requested_by))].count(staying) == 1

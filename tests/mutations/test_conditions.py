"""What the mutations of queries find in a module."""

from pathlib import Path

import pytest
from scripts.mutations.conditions import ROOT, Kind, mutations_of, query_modules

SOURCE = '''
from sqlalchemy import ColumnElement, and_, func, select

_open = (row.c.team_id == team, row.c.status == "open")
_TABLE: dict[str, ColumnElement[bool]] = {"mine": row.c.name == name}


def narrowed(*conditions: ColumnElement[bool]) -> Select:
    return select(row).where(*conditions)


def first(most: int) -> Select:
    """É: what counts is bytes."""
    chosen = narrowed(row.c.id == row_id, row.c.expires_at > func.now()).where(*_open, and_(row.c.a, row.c.b))
    return chosen.values(attempts=func.least(row.c.attempts, 20)).limit(most)
'''
FOUND = [
    (Kind.TEAM, "row.c.team_id == team"),
    (Kind.GUARD, "row.c.status == 'open'"),
    (Kind.GUARD, "row.c.name == name"),
    (Kind.GUARD, "*conditions"),
    (Kind.KEY, "row.c.id == row_id"),
    (Kind.BOUND, "row.c.expires_at > func.now()"),
    (Kind.GUARD, "row.c.a"),
    (Kind.GUARD, "row.c.b"),
    (Kind.LIMIT, ".limit(most)"),
    (Kind.BOUND, "func.least(row.c.attempts, 20)"),
]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "queries.py"
    path.write_text(SOURCE)
    return path


def test_every_condition_and_bound_is_found(module: Path) -> None:
    found = [(each.kind, each.removed) for each in mutations_of(module, module.parent)]
    assert sorted(found) == sorted(FOUND)


def test_each_removal_takes_out_one_thing_and_leaves_valid_code(module: Path) -> None:
    source = module.read_bytes()
    results = {each.applied(source) for each in mutations_of(module, module.parent)}
    assert len(results) == len(FOUND)
    for result in results:
        compile(result, str(module), "exec")
    without_limit = SOURCE.replace(".limit(most)", "")
    assert without_limit.encode() in results


def test_every_room_with_queries_is_covered() -> None:
    covered = {path.relative_to(ROOT).as_posix() for path in query_modules(ROOT)}
    of_apps = {path for path in ROOT.glob("apps/*/*/**/*queries.py") if "tests" not in path.parts}
    assert {path.relative_to(ROOT).as_posix() for path in of_apps} <= covered
    assert {path.name for path in query_modules(ROOT)} >= {"transitions.py", "credits.py", "key_cache.py"}

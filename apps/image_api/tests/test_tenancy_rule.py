"""The rule of tenancy sees what is not tied to a team, wherever it stands in a statement."""

import importlib
import os
from itertools import count
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, exists, func, insert, or_, select, update

from image_api.duplicates import queries
from image_core.db import Database
from image_core.ids import new_id
from image_core.models import analysis, credit_account, derivative, image, near_duplicate, team

from .tenancy_rule import ANY_TEAM, TenancyRule, untied

ID, TEAM = bindparam("image_id"), bindparam("team_id", type_=image.c.team_id.type)
_of_team = image.c.team_id == TEAM
_pair_of_image = near_duplicate.c.image_id_a == image.c.id
_same_bytes = analysis.c.sha256 == image.c.sha256
_few = select(image.c.id).where(_of_team).limit(5)

TIED: list[Any] = [
    select(image).where(image.c.id == ID, _of_team),
    select(image).where(or_(TEAM.is_(None), _of_team)),
    select(image).join(near_duplicate, _pair_of_image).where(_of_team),
    select(image).where(_of_team, exists().where(_pair_of_image)),
    select(image).where(_of_team, ~exists().where(_same_bytes, analysis.c.team_id == image.c.team_id)),
    select(credit_account).join(team).where(team.c.id == TEAM),
    select(image).where(image.c.id.in_(_few)),
    select(_few.cte("few"), near_duplicate).where(near_duplicate.c.team_id == TEAM),
    select(derivative).where(derivative.c.image_id == ID),
    update(image).where(_of_team).values(tags=[]),
    insert(image).values(team_id=TEAM),
]
UNTIED: list[tuple[Any, set[str]]] = [
    (select(image).where(image.c.id == ID), {"image"}),
    (select(image.c.team_id).where(image.c.id == ID), {"image"}),
    (select(image).where(or_(image.c.id == ID, _of_team)), {"image"}),
    (select(image).where(image.c.team_id != TEAM), {"image"}),
    (select(image).join(near_duplicate, _pair_of_image), {"image", "near_duplicate"}),
    (select(image).join(analysis, _same_bytes).where(_of_team), {"analysis"}),
    (select(image).where(_of_team, exists().where(_same_bytes)), {"analysis"}),
    (select(image).where(image.c.id.in_(select(image.c.id).limit(5))), {"image"}),
    (select(select(image.c.id).limit(5).cte("few")), {"image"}),
    (select(func.count()).select_from(select(image.c.id).subquery()), {"image"}),
    (update(image).where(image.c.id == ID).values(tags=[]), {"image"}),
    (delete(image).where(image.c.id.in_(select(near_duplicate.c.image_id_a))), {"image", "near_duplicate"}),
    (insert(team).from_select(["id"], select(image.c.team_id)), {"image"}),
    (select(image.c.id).where(_of_team).union(select(near_duplicate.c.image_id_a)), {"near_duplicate"}),
]  # fmt: skip


@pytest.mark.parametrize("statement", TIED, ids=count())
def test_a_statement_under_one_team_is_taken(statement: Any) -> None:
    assert untied(statement) == set()


@pytest.mark.parametrize(("statement", "tables"), UNTIED, ids=count())
def test_a_table_without_a_team_is_named(statement: Any, tables: set[str]) -> None:
    assert untied(statement) == tables


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        (select(image).where(image.c.purge_marked_at.is_not(None)), set()),
        (select(image).join(near_duplicate, _pair_of_image), set()),
        (select(image).where(exists().where(_same_bytes)), {"analysis"}),
        (delete(analysis).where(analysis.c.team_id == TEAM, ~exists().where(_same_bytes)), {"image"}),
    ],
    ids=count(),
)
def test_housekeeping_reaches_rows_of_one_team_at_a_time(statement: Any, tables: set[str]) -> None:
    found = untied(statement, of_any_team=True)
    assert len(found) == len(tables)


@pytest.mark.skipif(os.environ.get("TENANCY_RULE") == "off", reason="nothing is looked at")
async def test_what_the_api_executes_is_looked_at(
    rows: Database, tenancy_rule: TenancyRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_newest", select(near_duplicate.c.image_id_b))
    await queries.newest(rows, new_id(), 6, None, 10)
    assert tenancy_rule.broken == {"image_api.duplicates.queries:newest": {"near_duplicate"}}
    tenancy_rule.broken = {}


def test_every_exception_names_a_function_that_exists() -> None:
    for place in ANY_TEAM:
        module, _, name = place.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found)

"""The SQL of similar images beside vectors of another team and of another model."""

from uuid import UUID

import pytest

from image_api.similarity import queries
from image_core import testing
from image_core.db import Database

VECTOR, DIMENSIONS, EMBEDDING = [1.0, 0.0], 2, "my-model"


@pytest.fixture
async def teams(rows: Database) -> tuple[UUID, UUID]:
    return await testing.add_team(rows), await testing.add_team(rows)


async def add_image(rows: Database, team_id: UUID, *models: str) -> UUID:
    image_id = await testing.add_image(rows, team_id)
    for model in models:
        await testing.add_vector(rows, team_id, image_id, VECTOR, model)
    return image_id


async def test_one_model_is_chosen_for_an_image_and_none_for_another_team(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    image_id = await add_image(rows, teams[0], EMBEDDING, "older-model")
    assert len(await rows.fetch(queries._model, team_id=teams[0], image_id=image_id)) == 1
    assert await queries.find_model(rows, teams[1], image_id) is None


async def test_the_vectors_of_a_team_and_a_model_are_counted_up_to_a_bound(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    for team_id, model in ((teams[0], EMBEDDING), (teams[0], EMBEDDING), (teams[0], "other"), (teams[1], EMBEDDING)):
        await add_image(rows, team_id, model)
    assert [await queries.count_vectors(rows, teams[0], EMBEDDING, most) for most in (1, 10)] == [1, 2]


@pytest.mark.parametrize("exact_rows", [0, 10_000])
async def test_an_image_is_compared_within_its_team_only(
    rows: Database, teams: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch, exact_rows: int
) -> None:
    monkeypatch.setattr(queries, "EXACT_ROWS", exact_rows)
    subject = await add_image(rows, teams[0], EMBEDDING)
    await add_image(rows, teams[1], EMBEDDING)
    # A vector that says another team than its image does.
    stray = await testing.add_image(rows, teams[1])
    await testing.add_vector(rows, teams[0], stray, VECTOR, EMBEDDING)
    for team_id in teams:
        assert await queries.nearest(rows, queries.Subject(team_id, subject, EMBEDDING, DIMENSIONS), 10, 2.0) == []

"""Images by their likeness: the team's own, ready ones, the nearest first."""

import math
import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import func, select, text

from image_api.actor import Role
from image_api.similarity import queries
from image_core import testing
from image_core.images.similarity import DESCRIPTOR_DIMENSIONS, DESCRIPTOR_MODEL
from image_core.models import image_vector
from image_core.testing import UserWithKey

from ..conftest import Api


def at(degrees: float) -> list[float]:
    """A vector at an angle to the first axis."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), *[0.0] * (DESCRIPTOR_DIMENSIONS - 2)]


async def image_at(api: Api, team_id: UUID | None, degrees: float, **columns: object) -> UUID:
    assert team_id is not None
    image_id = await testing.add_image(api.rows, team_id, **columns)  # type: ignore[arg-type]
    await testing.add_vector(api.rows, team_id, image_id, at(degrees))
    return image_id


async def similar(api: Api, by: UserWithKey, image_id: UUID, **parameters: float) -> list[tuple[UUID, float]]:
    path = f"/api/v1/images/{image_id}/similar"
    answer = await api.client.get(path, headers=by.headers, params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == DESCRIPTOR_MODEL
    return [(UUID(item["image"]["id"]), item["distance"]) for item in answer.json()["items"]]


async def test_the_nearest_come_first_and_the_image_itself_does_not(api: Api, member: UserWithKey) -> None:
    subject, far, near = [await image_at(api, member.team_id, degrees) for degrees in (0, 90, 60)]
    found = await similar(api, member, subject)
    assert [image_id for image_id, _ in found] == [near, far]
    assert [distance for _, distance in found] == pytest.approx([0.5, 1.0], abs=0.002)
    assert await similar(api, member, subject, limit=1) == found[:1]
    assert await similar(api, member, subject, max_distance=0.6) == found[:1]


async def test_an_image_opposite_has_no_similarity(api: Api, member: UserWithKey) -> None:
    subject = await image_at(api, member.team_id, 0)
    other = await image_at(api, member.team_id, 180, filename="other.png")
    await testing.add_derivative(api.rows, other, "there")
    answer = await api.client.get(f"/api/v1/images/{subject}/similar", headers=member.headers)
    (item,) = answer.json()["items"]
    assert (item["distance"], item["similarity"]) == (2.0, 0.0)
    assert item["image"]["filename"] == "other.png"
    assert item["image"]["thumbnail_url"].endswith(f"/api/v1/images/{other}/derivatives/thumb")


async def test_trash_and_images_in_work_are_left_out(api: Api, member: UserWithKey) -> None:
    subject, trashed, left = [await image_at(api, member.team_id, degrees) for degrees in (0, 1, 2)]
    await api.set_row(trashed, deleted_at=func.now())
    await image_at(api, member.team_id, 1, status="stored")
    assert [image_id for image_id, _ in await similar(api, member, subject)] == [left]


async def test_an_image_that_cannot_be_compared_says_why(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    in_work = await image_at(api, member.team_id, 0, status="stored")
    without_vector = await testing.add_image(api.rows, member.team_id)
    trashed = await image_at(api, member.team_id, 0, deleted_at=datetime.now(UTC))
    for image_id, status, code in (
        (in_work, 409, "image-not-comparable"),
        (without_vector, 409, "image-not-comparable"),
        (trashed, 404, "image-not-found"),
    ):
        answer = await api.client.get(f"/api/v1/images/{image_id}/similar", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_an_embedding_is_preferred_to_the_descriptor(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    first, second, third = [await image_at(api, member.team_id, degrees) for degrees in (0, 10, 20)]
    for image_id, numbers in ((first, [1.0, 0.0]), (third, [0.6, 0.8])):
        await testing.add_vector(api.rows, member.team_id, image_id, numbers, "my-model_2.onnx")
    answer = (await api.client.get(f"/api/v1/images/{first}/similar", headers=member.headers)).json()
    assert (answer["model"], [item["image"]["id"] for item in answer["items"]]) == ("my-model_2.onnx", [str(third)])
    assert [image_id for image_id, _ in await similar(api, member, second)] == [first, third]


async def test_an_admin_sees_the_team_of_the_image_only(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    subject, other = [await image_at(api, member.team_id, degrees) for degrees in (0, 10)]
    await image_at(api, stranger.team_id, 1)
    assert [image_id for image_id, _ in await similar(api, api.admin, subject)] == [other]
    outsider = await api.user(role=Role.MEMBER)
    answer = await api.client.get(f"/api/v1/images/{subject}/similar", headers=outsider.headers)
    assert answer.json()["code"] == "image-not-found"


@pytest.mark.parametrize("exact_rows", [0, queries.EXACT_ROWS], ids=["index", "exact"])
async def test_many_teams_see_their_own_images_only_and_enough_of_them(
    api: Api, monkeypatch: pytest.MonkeyPatch, exact_rows: int
) -> None:
    monkeypatch.setattr(queries, "EXACT_ROWS", exact_rows)
    chance = random.Random(5)
    members = [await api.user() for _ in range(8)]
    owned: dict[UUID, dict[UUID, float]] = {}
    for by in members:
        assert by.team_id is not None
        angles = [chance.uniform(0, 180) for _ in range(chance.randint(3, 30))]
        owned[by.team_id] = {await image_at(api, by.team_id, degrees): degrees for degrees in angles}
    for by in members:
        assert by.team_id is not None
        angles_of = owned[by.team_id]
        subject = next(iter(angles_of))
        found = await similar(api, by, subject, limit=100)
        assert {image_id for image_id, _ in found} == angles_of.keys() - {subject}
        apart = [abs(angles_of[image_id] - angles_of[subject]) for image_id, _ in found]
        # Half precision tells angles apart that differ by a few degrees.
        assert all(first <= second + 3 for first, second in pairwise(apart))


async def test_the_index_of_vectors_is_used_beyond_the_exact_search_and_never_in_it(
    api: Api, urls: Any, member: UserWithKey
) -> None:
    subject = await image_at(api, member.team_id, 0)
    known = {"team_id": member.team_id, "image_id": subject, "limit": 10, "max_distance": 2.0}
    connection = await asyncpg.connect(urls.superuser)
    plans = []
    for exact in (False, True):
        sql, names, _ = queries.nearest_query(DESCRIPTOR_MODEL, DESCRIPTOR_DIMENSIONS, exact=exact).compiled
        # So few rows would be read and sorted whole.
        await connection.execute("SET enable_seqscan = off; SET enable_sort = off")
        plans.append(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *(known[name] for name in names)))
    await connection.close()
    assert ["ix_image_vector_descriptor" in plan for plan in plans] == [True, False]


async def test_what_is_purged_takes_its_vector_along(api: Api, member: UserWithKey) -> None:
    image_id = await image_at(api, member.team_id, 0)
    await api.rows.execute(text("DELETE FROM image"))
    assert await api.rows.fetch(select(image_vector).where(image_vector.c.image_id == image_id)) == []


async def test_limits_are_checked(api: Api, member: UserWithKey) -> None:
    subject = await image_at(api, member.team_id, 0)
    for parameters in ({"limit": 0}, {"limit": 101}, {"max_distance": -1}, {"max_distance": "nan"}):
        path = f"/api/v1/images/{subject}/similar"
        answer = await api.client.get(path, headers=member.headers, params=parameters)
        assert answer.status_code == 422, parameters

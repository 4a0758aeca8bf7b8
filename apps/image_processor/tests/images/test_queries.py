"""Twins, neighbours and analyses on arrival, beside images and analyses of others."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from image_core import testing
from image_core.analyses.catalogue import CATALOGUE, canonical_parameters
from image_core.db import Database
from image_core.ids import new_id
from image_core.models import image_hash, near_duplicate
from image_processor.images import on_arrival, queries, similarity
from image_processor.images.queries import ImageClaim

SHA256, OTHER_SHA256 = testing.a_sha256("bytes"), testing.a_sha256("other bytes")
PAST = datetime(2020, 1, 1, tzinfo=UTC)
HASH = 0x0F0F_0F0F_0F0F_0F0F


@pytest.fixture
async def teams(rows: Database) -> tuple[UUID, UUID]:
    return await testing.add_team(rows), await testing.add_team(rows)


async def test_a_twin_is_a_living_image_of_the_team_that_holds_the_bytes(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    for team_id, columns in (
        (teams[1], {"sha256": SHA256}),
        (teams[0], {"sha256": OTHER_SHA256}),
        (teams[0], {"sha256": SHA256, "status": "pending"}),
        (teams[0], {"sha256": SHA256, "deleted_at": PAST}),
    ):
        await testing.add_image(rows, team_id, **columns)  # type: ignore[arg-type]
    assert await queries.find_existing(rows, teams[0], SHA256) is None
    twin = await testing.add_image(rows, teams[0], sha256=SHA256)
    found = await queries.find_existing(rows, teams[0], SHA256)
    assert found is not None
    assert (found["id"], found["is_lost"]) == (twin, False)


@pytest.mark.parametrize(
    ("own_team", "columns", "chosen"),
    [
        (True, {}, []),
        (False, {}, ["colors"]),
        (True, {"sha256": OTHER_SHA256}, ["colors"]),
        (True, {"status": "failed", "failure_code": "x"}, ["colors"]),
    ],
)
async def test_on_arrival_runs_what_the_team_has_no_result_of(
    rows: Database, teams: tuple[UUID, UUID], own_team: bool, columns: dict[str, Any], chosen: list[str]
) -> None:
    spec = CATALOGUE["colors"]
    _, digest = canonical_parameters(spec, {})
    stored = {"sha256": SHA256, "version": spec.version, "parameters_hash": digest} | columns
    await testing.add_analysis(rows, teams[0 if own_team else 1], **stored)
    claimed = ImageClaim(
        new_id(), teams[0], "x", 1, 1, SHA256, new_id(), new_id(), "x/", keep_location=False, trace_parent=None,
        analyze_on_arrival=["colors"],
    )  # fmt: skip
    assert [order.analyzer for order in await on_arrival.orders(rows, claimed, {})] == chosen


async def add_hashed(rows: Database, team_id: UUID, value: int) -> UUID:
    image_id = await testing.add_image(rows, team_id)
    await rows.execute(insert(image_hash).values(image_id=image_id, team_id=team_id, hash=value))
    return image_id


async def test_neighbours_are_other_images_of_the_team_with_a_near_hash(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    subject = await add_hashed(rows, teams[0], HASH)
    near = await add_hashed(rows, teams[0], HASH ^ 0x3)
    await add_hashed(rows, teams[1], HASH)
    await add_hashed(rows, teams[0], HASH ^ 0x0003_0003_0003_0003)
    async with rows.transaction() as transaction:
        found = await similarity.find_near(transaction, teams[0], subject, HASH)
    assert [row["image_id"] for row in found] == [near]


async def test_no_more_than_the_nearest_are_neighbours(rows: Database, teams: tuple[UUID, UUID]) -> None:
    for _ in range(similarity.MAX_NEIGHBOURS + 1):
        await add_hashed(rows, teams[0], HASH)
    async with rows.transaction() as transaction:
        found = await similarity.find_near(transaction, teams[0], new_id(), HASH)
    assert len(found) == similarity.MAX_NEIGHBOURS


async def test_an_image_that_is_processed_again_forgets_its_own_pairs_only(
    rows: Database, teams: tuple[UUID, UUID]
) -> None:
    first, second, third = sorted([await testing.add_image(rows, teams[0]) for _ in range(3)])
    for pair in ((first, second), (second, third), (first, third)):
        await testing.add_near_duplicate(rows, teams[0], pair)
    await rows.execute(similarity._forget_pairs, image_id=second)
    left = await rows.fetch(select(near_duplicate.c.image_id_a, near_duplicate.c.image_id_b))
    assert [tuple(row) for row in left] == [(first, third)]

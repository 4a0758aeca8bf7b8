"""What is stored for finding images that look alike: by the job, in one transaction with everything else."""

import asyncio
import math
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text

from image_core import testing
from image_core.images.similarity import DESCRIPTOR_MODEL
from image_core.models import image, image_hash, image_vector, near_duplicate
from image_engine.contract.framing import decode_processed
from image_engine.contract.requests import ProcessingRequest
from image_engine.testing.results import FACTS, PROCESSED
from image_processor.images import job, similarity

from ..conftest import Processor

HASH = "f0e1d2c3b4a59687"
VECTORS = {DESCRIPTOR_MODEL: [1.0, *[0.0] * 95]}


async def ready(processor: Processor, team_id: UUID, perceptual_hash: str) -> UUID:
    """The id of a new image whose picture has this hash."""
    facts = replace(FACTS, perceptual_hash=perceptual_hash)
    processor.pool.processed = replace(PROCESSED, facts=facts, vectors=VECTORS)
    row, stored = await processor.image(team_id=team_id)
    await job.handle(processor.parts, processor.finalized(stored))
    image_id: UUID = row["id"]
    return image_id


async def pairs(processor: Processor) -> set[tuple[UUID, UUID, int]]:
    return {
        (row["image_id_a"], row["image_id_b"], row["distance"])
        for row in await processor.rows.fetch(select(near_duplicate))
    }


def flipped(perceptual_hash: str, bits: int) -> str:
    return f"{int(perceptual_hash, 16) ^ bits:016x}"


async def test_near_hashes_of_a_team_make_pairs(processor: Processor) -> None:
    team_id, other_team = [await testing.add_team(processor.rows) for _ in range(2)]
    first = await ready(processor, team_id, HASH)
    # Seven bits, two in each band but one.
    second = await ready(processor, team_id, flipped(HASH, 0x0003_0003_0003_0001))
    await ready(processor, team_id, flipped(HASH, 0x0F00_0F00_0F00_0F00))
    await ready(processor, other_team, HASH)
    assert await pairs(processor) == {(first, second, 7)}


async def test_pictures_without_structure_make_no_pairs(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    for _ in range(2):
        await ready(processor, team_id, "8000000000000000")
    assert await pairs(processor) == set()


async def test_processed_again_an_image_has_its_new_pairs_only(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    first, second = [await ready(processor, team_id, HASH) for _ in range(2)]
    assert await pairs(processor) == {(first, second, 0)}
    for perceptual_hash, left in ((HASH, {(first, second, 0)}), (flipped(HASH, 0xFFFF), set())):
        facts = replace(FACTS, perceptual_hash=perceptual_hash)
        processor.pool.processed = replace(PROCESSED, facts=facts, vectors=VECTORS)
        row = await processor.row(second)
        await processor.set_row(second, status="stored", attempts=0)
        stored = await processor.parts.originals.stat(row["object_name"])
        assert stored is not None
        await job.handle(processor.parts, processor.finalized(stored))
        assert await pairs(processor) == left
    assert await processor.rows.fetch_value(text("SELECT count(*) FROM image_vector")) == 2


async def test_images_made_ready_at_the_same_moment_see_each_other(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    await asyncio.gather(*(ready(processor, team_id, HASH) for _ in range(4)))
    assert len(await pairs(processor)) == 6


async def test_an_image_that_is_purged_at_the_same_moment_makes_no_pair(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    purged = await ready(processor, team_id, HASH)
    async with processor.rows.transaction() as purge:
        await purge.execute(delete(image).where(image.c.id == purged))
        other = asyncio.create_task(ready(processor, team_id, HASH))
        await testing.wait_for_lock_waiter(processor.rows)
    assert (await processor.row(await other))["status"] == "ready"
    assert await pairs(processor) == set()


async def test_what_is_purged_takes_everything_along(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    for _ in range(2):
        await ready(processor, team_id, HASH)
    await processor.rows.execute(delete(image))
    for table in (image_vector, image_hash, near_duplicate):
        assert await processor.rows.fetch(select(table)) == []


async def test_a_message_that_comes_twice_changes_no_pair(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    first, second = [await ready(processor, team_id, HASH) for _ in range(2)]
    made = await processor.rows.fetch(select(image_vector.c.created_at).order_by(image_vector.c.image_id))
    stored = await processor.parts.originals.stat((await processor.row(second))["object_name"])
    assert stored is not None
    await job.handle(processor.parts, processor.finalized(stored))
    assert await pairs(processor) == {(first, second, 0)}
    assert await processor.rows.fetch(select(image_vector.c.created_at).order_by(image_vector.c.image_id)) == made


async def test_an_image_is_paired_with_its_nearest_only(processor: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    team_id = await testing.add_team(processor.rows)
    for _ in range(similarity.MAX_NEIGHBOURS + 3):
        image_id = await testing.add_image(processor.rows, team_id)
        columns = {"image_id": image_id, "team_id": team_id, "hash": int(flipped(HASH, 1), 16) - 2**64}
        await processor.rows.execute(insert(image_hash).values(**columns))
    same = await testing.add_image(processor.rows, team_id)
    columns = {"image_id": same, "team_id": team_id, "hash": int(HASH, 16) - 2**64}
    await processor.rows.execute(insert(image_hash).values(**columns))
    await ready(processor, team_id, HASH)
    found = await pairs(processor)
    assert len(found) == similarity.MAX_NEIGHBOURS
    assert {first for first, _, distance in found if distance == 0} == {same}


async def test_the_vector_is_stored_under_its_model(processor: Processor) -> None:
    team_id = await testing.add_team(processor.rows)
    image_id = await ready(processor, team_id, HASH)
    (row,) = await processor.rows.fetch(select(image_vector.c.image_id, image_vector.c.team_id, image_vector.c.model))
    assert tuple(row) == (image_id, team_id, DESCRIPTOR_MODEL)


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=7))
def test_whatever_differs_by_seven_bits_shares_a_probe(value: int, bits: set[int]) -> None:
    other = value ^ sum(1 << bit for bit in bits)
    bands = [other >> shift & 0xFFFF for shift in (48, 32, 16, 0)]
    assert any(band in similarity._probes(value, number) for number, band in enumerate(bands))


HEADER = {
    "facts": asdict(FACTS), "derivatives": [], "step_seconds": {}, "analyses": [], "worker_rss_bytes": 0,
    "worker_cpu_seconds": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    "vectors",
    [
        {DESCRIPTOR_MODEL: [1.0]},
        {"my-model": []},
        {"my-model": [1.0, *[0.0] * 4000]},
        {"my-model": [0.5, 0.5]},
        {"my-model": [math.nan, 1.0]},
        {"my-model": [1e9, 0.0]},
        {"my-model": [True]},
        {"my-model": "1"},
        {"my-model": None},
        {"'; DROP TABLE image": [1.0]},
        [1.0],
        None,
    ],
)
def test_a_vector_that_no_model_gives_is_not_believed(vectors: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_processed(ProcessingRequest(presets=()), {**HEADER, "vectors": vectors}, [])


def test_a_vector_comes_up_as_the_worker_sent_it() -> None:
    vectors = {**VECTORS, "my-model_1.2": [0.6, -0.8]}
    assert decode_processed(ProcessingRequest(presets=()), {**HEADER, "vectors": vectors}, []).vectors == vectors

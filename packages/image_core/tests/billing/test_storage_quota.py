"""The counter of a team's storage: kept by the database itself, through the whole life of an image."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import delete, func, select, update

from image_core import testing
from image_core.billing import storage_quota
from image_core.billing.storage_quota import StorageQuota
from image_core.db import Database
from image_core.models import event, image, storage_usage

STORED = {"status": "stored", "size_bytes": 700, "generation": 1, "sha256": testing.a_sha256(1), "revision": 2}
# Each step of a life, and what the team holds after it: bytes and images.
LIFE: list[tuple[dict[str, Any], tuple[int, int]]] = [
    (STORED, (700, 1)),
    ({"status": "processing", "claim_token": UUID(int=1), "lease_expires_at": func.now()}, (700, 1)),
    ({"status": "failed", "claim_token": None, "lease_expires_at": None, "failure_code": "x"}, (700, 1)),
    ({"status": "stored", "failure_code": None}, (700, 1)),
    ({"status": "ready", "width": 1, "height": 1, "frames": 1, "ready_at": func.now()}, (700, 1)),
    ({"deleted_at": func.now()}, (700, 1)),
    ({"deleted_at": None}, (700, 1)),
    ({"deleted_at": func.now(), "purge_marked_at": func.now()}, (700, 1)),
]


async def held(rows: Database, team_id: UUID) -> tuple[int, int]:
    found = await rows.fetch_one(select(storage_usage).where(storage_usage.c.team_id == team_id))
    return (0, 0) if found is None else (found["bytes"], found["images"])


@pytest.fixture
async def team_id(rows: Database) -> UUID:
    return await testing.add_team(rows)


async def test_an_image_counts_from_the_first_byte_to_the_purge(rows: Database, team_id: UUID) -> None:
    image_id = await testing.add_image(rows, team_id, "pending", expected_bytes=1000)
    assert await held(rows, team_id) == (1000, 1)
    for values, expected in LIFE:
        await rows.execute(update(image).where(image.c.id == image_id).values(**values))
        assert await held(rows, team_id) == expected, values
    await rows.execute(delete(image).where(image.c.id == image_id))
    assert await held(rows, team_id) == (0, 0)


async def test_an_upload_that_expired_counts_nothing_then_or_later(rows: Database, team_id: UUID) -> None:
    image_id = await testing.add_image(rows, team_id, "pending", expected_bytes=1000)
    await rows.execute(update(image).values(status="expired", failure_code="duplicate"))
    assert await held(rows, team_id) == (0, 0)
    await rows.execute(delete(image).where(image.c.id == image_id))
    assert await held(rows, team_id) == (0, 0)


async def test_each_team_is_counted_by_itself(rows: Database, team_id: UUID) -> None:
    other_id = await testing.add_team(rows)
    await testing.add_image(rows, team_id, size_bytes=3)
    await testing.add_image(rows, other_id, size_bytes=4)
    assert (await held(rows, team_id), await held(rows, other_id)) == ((3, 1), (4, 1))


async def test_what_leaves_the_weight_alone_does_not_wait_for_the_counter(rows: Database, team_id: UUID) -> None:
    image_id = await testing.add_image(rows, team_id, "stored", size_bytes=700)
    async with rows.transaction() as holding:
        await holding.fetch(select(storage_usage).with_for_update())
        async with rows.transaction() as other:
            claim = {"status": "processing", "claim_token": UUID(int=1), "lease_expires_at": func.now()}
            # Were the counter touched, this would wait for ever.
            async with asyncio.timeout(5):
                await other.execute(update(image).where(image.c.id == image_id).values(**claim))


NO_QUOTA = StorageQuota(None, None)


@pytest.mark.parametrize("quota", [{"quota_bytes": 1000}, {"quota_images": 10}])
async def test_storage_is_low_from_ninety_percent(rows: Database, quota: dict[str, int]) -> None:
    team_id = await testing.add_team(rows, **quota)
    for _ in range(8):
        await testing.add_image(rows, team_id, size_bytes=100)
    assert await storage_quota.find_low_storage_changes(rows, NO_QUOTA, 10) == []
    image_id = await testing.add_image(rows, team_id, size_bytes=99)
    if "quota_bytes" in quota:
        assert await storage_quota.find_low_storage_changes(rows, NO_QUOTA, 10) == []
        await rows.execute(update(image).where(image.c.id == image_id).values(size_bytes=100))
    assert await storage_quota.find_low_storage_changes(rows, NO_QUOTA, 10) == [team_id]


async def test_each_team_is_told_of_its_own_storage(rows: Database) -> None:
    low, roomy, also_low = [await testing.add_team(rows, quota_images=images) for images in (1, 1000, 1)]
    for each in (low, roomy, also_low):
        await testing.add_image(rows, each)
    assert len(await storage_quota.find_low_storage_changes(rows, NO_QUOTA, 1)) == 1
    async with rows.transaction() as transaction:
        for each in (low, roomy, low):
            await storage_quota.record_if_low(transaction, each, NO_QUOTA)
    assert [row["team_id"] for row in await rows.fetch(select(event.c.team_id))] == [low]
    assert await storage_quota.find_low_storage_changes(rows, NO_QUOTA, 10) == [also_low]
    for each, quota in ((low, 1), (roomy, 1000), (also_low, 1)):
        usage = await storage_quota.find_usage(rows, each, NO_QUOTA)
        assert usage is not None
        assert (usage["team_id"], usage["quota_images"]) == (each, quota)


@pytest.mark.parametrize("role", ["api", "processor"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE storage_usage SET bytes = 0",
        "DELETE FROM storage_usage",
        "INSERT INTO storage_usage (team_id) VALUES (gen_random_uuid())",
        "ALTER TABLE image DISABLE TRIGGER storage_changed",
        """CREATE TEMPORARY TABLE made_up (LIKE image);
        CREATE TRIGGER counted AFTER INSERT ON made_up FOR EACH ROW EXECUTE FUNCTION count_storage()""",
    ],
)
async def test_no_service_can_write_the_counter(urls: Any, role: str, statement: str) -> None:
    connection = await asyncpg.connect(getattr(urls, role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_the_functions_that_run_as_the_owner_look_nowhere_else(urls: Any) -> None:
    connection = await asyncpg.connect(urls.superuser)
    found = await connection.fetch("SELECT proname, proconfig FROM pg_proc WHERE prosecdef ORDER BY proname")
    await connection.close()
    path = ["search_path=pg_catalog, public, pg_temp"]
    names = [
        "add_first_delivery_key", "count_storage", "forget_ledger", "remove_marked_team", "remove_marked_user",
        "storage_fits",
    ]  # fmt: skip
    assert [tuple(row) for row in found] == [(name, path) for name in names]

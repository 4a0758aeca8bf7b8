"""Which links are open, and how many images they show, whatever happens to both meanwhile."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from image_api.links import viewing
from image_core import testing
from image_core.db import Record
from image_core.models import share_link, team

from ..conftest import Api

TOKEN = "0123456789abcdef" * 2
DIGEST = sha256(TOKEN.encode()).digest()


@pytest.fixture
async def team_id(api: Api) -> UUID:
    return await api.team()


@pytest.fixture
async def five(api: Api, team_id: UUID) -> list[UUID]:
    return [await testing.add_image(api.rows, team_id, "ready") for _ in range(5)]


@pytest.fixture(params=["own", "collection"])
async def link(request: Any, api: Api, team_id: UUID, five: list[UUID]) -> Record:
    """A link to five images, by themselves or as those of a collection."""
    if request.param == "own":
        await testing.add_share_link(api.rows, team_id, five, token_hash=DIGEST)
    else:
        collection_id = await testing.add_collection(api.rows, team_id, five)
        await testing.add_share_link(api.rows, team_id, collection_id=collection_id, token_hash=DIGEST)
    found = await viewing.find_open_link(api.services.database, TOKEN)
    assert found is not None
    return found


async def test_what_is_in_the_trash_or_has_no_picture_is_not_counted_and_comes_back(
    api: Api, link: Record, team_id: UUID, five: list[UUID]
) -> None:
    database = api.services.database
    # Of other links.
    await testing.add_share_link(api.rows, team_id, five[:1])
    await testing.add_collection(api.rows, team_id, five[:1])
    assert await viewing.count_images(database, link) == 5
    await api.set_row(five[1], deleted_at=datetime.now(UTC))
    await api.set_row(five[2], status="failed", failure_code="not-an-image")
    assert await viewing.count_images(database, link) == 3
    # It is processed again, or for the first time.
    await api.set_row(five[3], status="stored")
    await api.set_row(five[4], status="stored", ready_at=None)
    assert await viewing.count_images(database, link) == 2
    await api.set_row(five[1], deleted_at=None)
    assert await viewing.count_images(database, link) == 3


@pytest.mark.parametrize(
    "columns",
    [{"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, {"ended_at": datetime.now(UTC)}],
    ids=["expired", "ended"],
)
async def test_a_link_that_has_ended_is_not_found(api: Api, team_id: UUID, columns: dict[str, Any]) -> None:
    link_id = await testing.add_share_link(api.rows, team_id, token_hash=DIGEST)
    find = viewing.find_open_link
    assert await find(api.services.database, TOKEN) is not None
    for nearly in (TOKEN.upper(), TOKEN + "0", "1" + TOKEN[1:], "", "é" * 32):
        assert await find(api.services.database, nearly) is None
    await api.rows.execute(update(share_link).where(share_link.c.id == link_id).values(**columns))
    assert await find(api.services.database, TOKEN) is None


async def test_links_of_a_team_that_is_being_removed_have_ended(api: Api, team_id: UUID) -> None:
    await testing.add_share_link(api.rows, team_id, token_hash=DIGEST)
    await api.rows.execute(update(team).where(team.c.id == team_id).values(deleting_at=datetime.now(UTC)))
    assert await viewing.find_open_link(api.services.database, TOKEN) is None

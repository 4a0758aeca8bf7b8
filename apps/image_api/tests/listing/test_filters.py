"""Filters of a list by several states, and by a tag that can be written in several ways."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api


@pytest.mark.parametrize(
    ("statuses", "found"),
    [
        (["ready", "failed"], {"ready", "failed"}),
        (["failed", "trashed"], {"failed", "trashed"}),
        (["ready", "failed", "stored", "trashed"], {"ready", "failed", "stored", "trashed"}),
    ],
)
async def test_images_of_any_of_the_states_are_listed(
    api: Api, member: UserWithKey, statuses: list[str], found: set[str]
) -> None:
    assert member.team_id is not None
    ids: dict[UUID, str] = {}
    for status in ("ready", "failed", "stored"):
        ids[await testing.add_image(api.rows, member.team_id, status)] = status
    ids[await testing.add_image(api.rows, member.team_id, deleted_at=datetime.now(UTC))] = "trashed"
    answer = await api.client.get("/api/v1/images", headers=member.headers, params={"status": statuses})
    assert answer.status_code == 200, answer.text
    assert {ids[UUID(image["id"])] for image in answer.json()["items"]} == found


@pytest.mark.parametrize("written", ["caf\u00e9", "cafe\u0301"], ids=["composed", "decomposed"])
async def test_a_tag_is_found_however_its_letters_are_composed(api: Api, member: UserWithKey, written: str) -> None:
    assert member.team_id is not None
    found = {str(await testing.add_image(api.rows, member.team_id, tags=[tag])) for tag in ("caf\u00e9", "cafe\u0301")}
    await testing.add_image(api.rows, member.team_id, tags=["cafe"])
    answer = await api.client.get("/api/v1/images", headers=member.headers, params={"tag": written})
    assert {image["id"] for image in answer.json()["items"]} == found

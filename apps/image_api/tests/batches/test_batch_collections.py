"""Batches that add images to a collection or remove them: outcomes, order, room, and what is another team's."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from image_api.batches import service
from image_core import testing
from image_core.models import audit_event, collection_member
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi

ADD, REMOVE = "add_to_collection", "remove_from_collection"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHUNK", 2)


async def images(api: Api, by: UserWithKey, number: int) -> list[UUID]:
    assert by.team_id is not None
    return [await testing.add_image(api.rows, by.team_id) for _ in range(number)]


async def batch(
    api: Api, by: UserWithKey, action: str, ids: list[UUID], collection_id: Any, status: int = 200, **fields: Any
) -> Any:
    body = {"ids": [str(each) for each in ids], "action": action, "collection_id": collection_id, **fields}
    answer = await api.client.post("/api/v1/images/batch", json=body, headers=by.headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def told(answer: Any) -> list[tuple[str, str | None]]:
    return [(item["outcome"], item["error"] and item["error"]["code"]) for item in answer["items"]]


async def members(api: Api) -> list[UUID]:
    rows = await api.rows.fetch(select(collection_member.c.image_id).order_by(collection_member.c.position))
    return [row["image_id"] for row in rows]


async def test_images_are_added_last_in_the_order_given_and_removed(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    assert member.team_id is not None
    mine, (theirs,), absent = await images(api, member, 4), await images(api, stranger, 1), uuid4()
    album = str(await testing.add_collection(api.rows, member.team_id, mine[:1]))
    named = [mine[3], mine[0], theirs, mine[1], absent, mine[2]]
    missing = ("not-found", "image-not-found")
    outcomes = [("changed", None), ("unchanged", None), missing, ("changed", None), missing, ("changed", None)]
    # Not even for an admin, who sees the images of all teams.
    assert told(await batch(api, api.admin, ADD, named, album, validate_only=True)) == outcomes
    assert await members(api) == mine[:1]
    assert told(await batch(api, member, ADD, named, album)) == outcomes
    assert await members(api) == [mine[0], mine[3], mine[1], mine[2]]
    named = [mine[1], mine[3], mine[0], theirs]
    assert (await batch(api, member, REMOVE, named, album, validate_only=True))["changed"] == 3
    removed = await batch(api, member, REMOVE, named, album)
    assert (removed["changed"], removed["unchanged"], removed["failed"]) == (3, 0, 1)
    assert told(await batch(api, member, REMOVE, named[:1], album)) == [("unchanged", None)]
    assert await members(api) == [mine[2]]
    rows = await api.rows.fetch(select(audit_event.c.action).order_by(audit_event.c.position))
    assert [row["action"] for row in rows] == ["collection.images_added"] * 3 + ["collection.images_removed"] * 2


async def test_what_does_not_fit_is_refused_and_the_rest_is_added(make_api: MakeApi) -> None:
    async with make_api(images_per_collection=4) as api:
        member = await api.user()
        assert member.team_id is not None
        mine = await images(api, member, 6)
        album = str(await testing.add_collection(api.rows, member.team_id, mine[:1]))
        full = ("refused", "collection-full")
        outcomes = [*[("changed", None)] * 3, full, full, ("unchanged", None)]
        for validate_only in (True, False):
            found = await batch(api, member, ADD, [*mine[1:], mine[0]], album, validate_only=validate_only)
            assert told(found) == outcomes
        assert await members(api) == mine[:4]


async def test_a_collection_that_is_not_there_is_no_outcome_but_an_error(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    assert stranger.team_id is not None
    mine = await images(api, member, 1)
    for action in (ADD, REMOVE):
        for album in (uuid4(), await testing.add_collection(api.rows, stranger.team_id)):
            found = await batch(api, member, action, mine, str(album), 404)
            assert found["code"] == "collection-not-found"
        await batch(api, member, action, mine, None, 422)
    await batch(api, member, "trash", mine, str(uuid4()), 422)

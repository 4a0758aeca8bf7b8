"""Filters of a list by states, tags that can be written in several ways, shape, and who can see an image."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from image_api.listing import queries
from image_core import models, testing
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


IMAGES = "/api/v1/images"
SHAPES = {"landscape": (41, 40), "portrait": (40, 41), "square": (40, 40), None: (None, None)}


async def listed(api: Api, by: UserWithKey, **filters: Any) -> set[str]:
    answer = await api.client.get(IMAGES, headers=by.headers, params=filters)
    assert answer.status_code == 200, answer.text
    return {image["id"] for image in answer.json()["items"]}


async def set_default(api: Api, team_id: UUID | None, visibility: str) -> None:
    team = models.team
    await api.rows.execute(update(team).where(team.c.id == team_id).values(default_visibility=visibility))


async def add_each_visibility(api: Api, owner: UserWithKey, **columns: Any) -> dict[str | None, str]:
    """Add an image with each visibility of its own, and one with none; return their ids."""
    assert owner.team_id is not None
    return {
        own: str(await testing.add_image(api.rows, owner.team_id, visibility=own, **columns))
        for own in ("public", "private", None)
    }


@pytest.mark.parametrize("orientation", ["landscape", "portrait", "square"])
async def test_images_are_found_by_their_shape(api: Api, member: UserWithKey, orientation: str) -> None:
    assert member.team_id is not None
    ids = {}
    for shape, (width, height) in SHAPES.items():
        columns = {"width": width, "height": height, "frames": width and 1}
        ids[shape] = str(await testing.add_image(api.rows, member.team_id, "stored", **columns))
    assert await listed(api, member, orientation=orientation) == {ids[orientation]}


@pytest.mark.parametrize("default", ["public", "private"])
@pytest.mark.parametrize("more", [{}, {"status": "trashed"}], ids=["walked", "sorted"])
async def test_the_default_of_the_team_counts_for_images_without_a_visibility(
    api: Api, member: UserWithKey, stranger: UserWithKey, default: str, more: dict[str, str]
) -> None:
    columns = {"deleted_at": datetime.now(UTC)} if more else {}
    ids = await add_each_visibility(api, member, **columns)
    await add_each_visibility(api, stranger, **columns)
    await set_default(api, member.team_id, default)
    await set_default(api, stranger.team_id, "private" if default == "public" else "public")
    for asked in ("public", "private"):
        expected = {ids[asked]} | ({ids[None]} if asked == default else set())
        assert await listed(api, member, visibility=asked, **more) == expected


async def test_an_admin_gets_the_images_of_each_team_by_its_own_default(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    mine, theirs = await add_each_visibility(api, member), await add_each_visibility(api, stranger)
    await set_default(api, member.team_id, "public")
    found = await listed(api, api.admin, visibility="public")
    assert found & {*mine.values(), *theirs.values()} == {mine["public"], mine[None], theirs["public"]}
    found = await listed(api, api.admin, visibility="private", team_id=str(stranger.team_id))
    assert found == {theirs["private"], theirs[None]}


async def test_a_rare_visibility_is_found_page_by_page(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert member.team_id is not None
    oldest = await testing.add_image(api.rows, member.team_id, visibility="public")
    for _ in range(3):
        await testing.add_image(api.rows, member.team_id)
    monkeypatch.setattr(queries, "WALKED_IMAGES", 2)
    cursor, pages = {}, []
    while not pages or pages[-1]["next_cursor"]:
        answer = await api.client.get(IMAGES, headers=member.headers, params={"visibility": "public", **cursor})
        pages.append(answer.json())
        cursor = {"cursor": pages[-1]["next_cursor"]}
    assert [[each["id"] for each in page["items"]] for page in pages if page["items"]] == [[str(oldest)]]
    assert pages[0]["partial"]


async def test_everything_that_takes_filters_takes_these(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    columns = {"width": 30, "height": 40, "metadata": {"place": "Oslo"}}
    await testing.add_image(api.rows, member.team_id, visibility="public", **columns)
    for differing in ({"visibility": "private"}, {"visibility": "public", "width": 50}):
        await testing.add_image(api.rows, member.team_id, **columns | differing)
    filters = {"visibility": "public", "orientation": "portrait"}

    async def ask(method: str, path: str, expected: int = 200, **more: Any) -> Any:
        answer = await api.client.request(method, f"/api/v1{path}", headers=member.headers, **more)
        assert answer.status_code == expected, answer.text
        return answer.json()

    assert (await ask("GET", "/images", params={**filters, "include_total": "true"}))["total"] == 1
    facet = await ask("GET", "/images/facets", params={**filters, "field": "place"})
    assert [(each["value"], each["count"]) for each in facet["values"]] == [("Oslo", 1)]
    months = (await ask("GET", "/images/timeline", params=filters))["months"]
    assert [each["count"] for each in months] == [1]
    assert len((await ask("GET", f"/images/timeline/{months[0]['month']}", params=filters))["id"]) == 1
    batch = {"filter": filters, "action": "tag", "tags": ["sea"], "validate_only": True}
    assert (await ask("POST", "/images/batch", json=batch))["images"] == 1
    search = {"name": "Upright", "query": "visibility=public&orientation=portrait"}
    saved = await ask("POST", "/saved-searches", 201, json=search)
    assert len((await ask("GET", saved["images_url"].removeprefix("/api/v1")))["items"]) == 1


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("visibility=hidden", 422, "request-invalid"),
        ("visibility=", 422, "request-invalid"),
        ("orientation=Portrait", 422, "request-invalid"),
        ("visibility=public&visibility=private", 400, "parameter-repeated"),
        ("orientation=square&orientation=square", 400, "parameter-repeated"),
        # What no image can be.
        ("orientation=landscape&max_width=50&min_height=50", 422, "request-invalid"),
        ("orientation=portrait&max_height=50&min_width=50", 422, "request-invalid"),
        ("orientation=square&max_width=49&min_height=50", 422, "request-invalid"),
        ("orientation=square&max_height=49&min_width=50", 422, "request-invalid"),
        ("orientation=landscape&max_width=51&min_height=50", 200, None),
        ("orientation=landscape&max_height=50&min_width=50", 200, None),
        ("orientation=portrait&max_height=51&min_width=50", 200, None),
        ("orientation=portrait&max_width=49&min_height=50", 200, None),
        ("orientation=square&max_width=50&min_height=50&max_height=50&min_width=50", 200, None),
    ],
)
async def test_a_shape_or_a_visibility_that_makes_no_sense_is_refused(
    api: Api, member: UserWithKey, query: str, status: int, code: str | None
) -> None:
    answer = await api.client.get(f"{IMAGES}?{query}", headers=member.headers)
    assert (answer.status_code, answer.json().get("code")) == (status, code)

"""What the items of a list contain, and what `include` adds to them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from image_api.images.inclusion import INCLUDABLE
from image_api.listing import included
from image_core import testing
from image_core.db import Database, to_json
from image_core.testing import UserWithKey

from ..conftest import Api

IMAGES = "/api/v1/images"
ALL = ",".join(INCLUDABLE)
RESULT = {
    "palette": [], "transparency": 0, "grey": True, "mean_chroma": 0, "warmth": 0, "temperature": "neutral",
}  # fmt: skip
DONE: dict[str, Any] = {
    "status": "done", "result": to_json(RESULT), "analyzed_at": datetime(2020, 1, 1, tzinfo=UTC),
}  # fmt: skip
LEAN = {
    "id", "team_id", "uploaded_by", "status", "failure", "filename", "content_type", "size_bytes", "size", "width",
    "height", "frames", "tags", "visibility", "placeholder", "created_at", "updated_at", "deleted_at",
    "taken_at", "taken_at_source", "taken_local", "description", "alt_text", "rating", "focal_point",
}  # fmt: skip


async def items(api: Api, by: UserWithKey, **params: Any) -> list[dict[str, Any]]:
    answer = await api.client.get(IMAGES, headers=by.headers, params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def add(api: Api, owner: UserWithKey, status: str = "ready", **columns: Any) -> UUID:
    assert owner.team_id is not None
    return await testing.add_image(api.rows, owner.team_id, status, **columns)


async def test_an_item_has_what_a_grid_shows_and_no_more(api: Api, member: UserWithKey) -> None:
    await add(api, member, facts={"blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj"}, metadata={"a": 1})
    (item,) = await items(api, member)
    assert item.keys() == LEAN
    assert item["placeholder"] == "LEHV6nWB2yk8pyo0adR*.7kCMdnj"


@pytest.mark.parametrize(
    ("include", "added"),
    [
        ("facts", {"facts", "format", "sha256", "duplicate_of", "ready_at"}),
        ("metadata", {"metadata"}),
        ("derivatives", {"derivatives"}),
        ("analyses", {"analyses"}),
        ("delivery", {"delivery", "delivery_tag"}),
    ],
)
async def test_include_adds_what_it_names(api: Api, member: UserWithKey, include: str, added: set[str]) -> None:
    await add(api, member)
    (item,) = await items(api, member, include=include)
    assert item.keys() == LEAN | added


async def test_with_everything_included_an_item_is_the_image(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member, facts={"blurhash": "x"}, metadata={"a": 1}, filename="a.png")
    for preset, width in (("preview", 1024), ("thumb", 256), ("large", 1024)):
        await testing.add_derivative(api.rows, image_id, preset, preset, width=width, spec_hash=bytes(16))
    await add(api, member, "pending")
    await add(api, member, deleted_at=DONE["analyzed_at"])
    for status in (["ready", "pending"], ["trashed"]):
        for item in await items(api, member, include=ALL, status=status):
            answer = await api.client.get(f"{IMAGES}/{item['id']}?include={ALL}", headers=member.headers)
            assert item == answer.json()


async def test_derivatives_are_those_of_each_image_and_none_of_the_trash(api: Api, member: UserWithKey) -> None:
    first, second, bare, trashed = [await add(api, member) for _ in range(4)]
    for image_id in (first, second, trashed):
        await testing.add_derivative(api.rows, image_id, str(image_id))
    found = {item["id"]: item["derivatives"] for item in await items(api, member, include="derivatives")}
    assert [len(found[str(image_id)]) for image_id in (first, second, bare)] == [1, 1, 0]
    assert str(first) in found[str(first)][0]["url"]
    await api.set_row(trashed, deleted_at=DONE["analyzed_at"])
    (item,) = await items(api, member, include="derivatives", status="trashed")
    assert item["derivatives"] == []


async def test_results_are_the_newest_20_of_the_teams_bytes(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    sha256 = testing.a_sha256("bytes")
    image_id, other = await add(api, member, sha256=sha256), await add(api, member)
    assert member.team_id is not None
    assert stranger.team_id is not None
    await testing.add_analysis(api.rows, stranger.team_id, sha256, version="strange", **DONE)
    await testing.add_analysis(api.rows, member.team_id, sha256, version="requested")
    for number in range(21):
        done = DONE | {"analyzed_at": datetime(2020, 1, 1 + number, tzinfo=UTC)}
        await testing.add_analysis(api.rows, member.team_id, sha256, version=str(number), **done)
    found = {item["id"]: item["analyses"] for item in await items(api, member, include="analyses")}
    assert [each["version"] for each in found[str(image_id)]] == [str(number) for number in range(20, 0, -1)]
    assert found[str(other)] == []


async def test_results_are_read_under_the_team_only(rows: Database) -> None:
    mine, other = await testing.add_team(rows), await testing.add_team(rows)
    image_id = await testing.add_image(rows, mine, sha256=testing.a_sha256("bytes"))
    await testing.add_analysis(rows, mine, testing.a_sha256("bytes"), **DONE)
    for team_id, count in ((mine, 1), (None, 1), (other, 0)):
        assert len(await included.find_results(rows, team_id, [image_id])) == count


async def test_what_cannot_be_included_is_refused(api: Api, member: UserWithKey) -> None:
    answer = await api.client.get(f"{IMAGES}?include=facts,exif", headers=member.headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "include")
    assert "'exif' cannot be included" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("limit", [1, 2], ids=["among the newest", "by terms"])
async def test_pages_filtered_by_metadata_have_what_is_included(api: Api, member: UserWithKey, limit: int) -> None:
    for _ in range(2):
        await add(api, member, metadata={"place": "Oslo"})
    found = await items(api, member, include="metadata,facts", limit=limit, **{"meta.place": "Oslo"})
    assert [(item["metadata"], item["facts"]) for item in found] == [({"place": "Oslo"}, {})] * limit

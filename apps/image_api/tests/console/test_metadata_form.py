"""The metadata and the focal point in the form of an image, without script."""

from typing import Any

import orjson
import pytest

from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .test_images import IMAGES, signed_in, upload_some

FIELDS = [
    {"name": "age", "type": "integer", "min": 18},
    {"name": "weight", "type": "number"},
    {"name": "member", "type": "boolean"},
    {"name": "day", "type": "date"},
    {"name": "sea", "type": "enum", "enum": ["North Sea", "Baltic"]},
    {"name": "note", "type": "string", "required": True},
]


@pytest.fixture
async def image_id(api: Api, member: UserWithKey) -> str:
    return (await upload_some(api, member, 1))[0]


@pytest.fixture
async def browser(api: Api, member: UserWithKey) -> Browser:
    return await signed_in(api, member)


async def declare(api: Api, by: UserWithKey) -> None:
    path = f"/api/v1/metadata-schema?team_id={by.team_id}"
    answer = await api.client.put(path, headers=api.admin.headers, json={"fields": FIELDS})
    assert answer.status_code == 200, answer.text


async def metadata_of(api: Api, image_id: str) -> Any:
    return orjson.loads((await api.row(image_id))["metadata"])


def chosen(page: str, name: str) -> list[str]:
    """The values that a choice offers."""
    inside = page.partition(f'name="{name}"')[2].partition("</select>")[0]
    return [each["value"] for tag, each in tags_of(inside) if tag == "option"]


async def test_each_field_of_the_schema_is_edited_by_its_type(
    api: Api, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    # From before the schema: one without a field, one that fits no longer.
    await api.set_row(image_id, metadata=orjson.dumps({"old": True, "sea": "Red Sea"}).decode())
    await declare(api, member)
    edit = f"{IMAGES}/{image_id}/edit"
    await browser.get(edit)
    types = {
        each["name"]: each["type"] for tag, each in tags_of(browser.page) if tag == "input" and "." in each["name"]
    }
    assert types == {
        "metadata.age": "number", "metadata.weight": "number", "metadata.day": "date", "metadata.note": "text",
    }  # fmt: skip
    assert chosen(browser.page, "metadata.member") == ["", "true", "false"]
    assert chosen(browser.page, "metadata.sea") == ["", "North Sea", "Baltic", "Red Sea"]
    untouched = {"metadata.sea": "Red Sea", "rating": ""}
    refused = await browser.submit(edit, **untouched, **{"metadata.age": "17", "metadata.weight": "much"})
    assert refused.status_code == 422
    assert "Must be at least 18." in refused.text
    assert "Must be a number." in refused.text
    sent = {"metadata.age": "30", "metadata.weight": "61.5", "metadata.member": "true", "metadata.day": "2026-03-01"}
    assert (await browser.submit(edit, **untouched, **sent, **{"metadata.note": "At dawn"})).status_code == 303
    # What nobody touched stays, though the schema would refuse it.
    stored = {
        "old": True, "sea": "Red Sea", "age": 30, "weight": 61.5, "member": True, "day": "2026-03-01",
        "note": "At dawn",
    }  # fmt: skip
    assert await metadata_of(api, image_id) == stored
    await browser.get(edit)
    sent = {"rating": "", "metadata.member": "", "metadata.sea": "Baltic", "metadata.age": ""}
    assert (await browser.submit(edit, **sent, **{"metadata.note": ""})).status_code == 422
    assert (await browser.submit(edit, **sent, **{"metadata.note": "At dawn"})).status_code == 303
    assert await metadata_of(api, image_id) == {
        "old": True, "sea": "Baltic", "weight": 61.5, "day": "2026-03-01", "note": "At dawn",
    }  # fmt: skip


async def test_without_a_schema_metadata_are_edited_as_json(api: Api, image_id: str, browser: Browser) -> None:
    await api.set_row(image_id, metadata=orjson.dumps({"kept": 1, "gone": "x", "typed": 1}).decode())
    edit = f"{IMAGES}/{image_id}/edit"
    await browser.get(edit)
    for wrong in ("{", "[1]", '{"deep": {}}'):
        refused = await browser.submit(edit, rating="", metadata=wrong)
        assert refused.status_code == 422
        assert browser.form(edit)["metadata"] == wrong
    assert (await browser.submit(edit, rating="", metadata='{"kept": 1, "typed": true, "new": "y"}')).status_code == 303
    assert await metadata_of(api, image_id) == {"kept": 1, "typed": True, "new": "y"}
    await browser.get(edit)
    assert (await browser.submit(edit, rating="", metadata="")).status_code == 303
    assert await metadata_of(api, image_id) == {}


async def test_metadata_that_changed_meanwhile_are_shown_and_kept(
    api: Api, member: UserWithKey, image_id: str, browser: Browser
) -> None:
    await declare(api, member)
    edit = f"{IMAGES}/{image_id}/edit"
    await browser.get(edit)
    body = {"metadata": {"note": "Theirs"}}
    assert (await api.client.patch(f"/api/v1/images/{image_id}", json=body, headers=member.headers)).status_code == 200
    refused = await browser.submit(
        edit, rating="", **{"metadata.note": "Mine", "metadata.member": "", "metadata.sea": ""}
    )
    assert refused.status_code == 412
    assert '<span class="lines">Theirs</span>' in refused.text
    assert await metadata_of(api, image_id) == {"note": "Theirs"}


async def test_the_focal_point_is_given_in_per_cent(api: Api, image_id: str, browser: Browser) -> None:
    edit = f"{IMAGES}/{image_id}/edit"
    await browser.get(edit)
    for x, y in (("20", ""), ("101", "5"), ("x", "5")):
        refused = await browser.submit(edit, rating="", focal_x=x, focal_y=y)
        assert refused.status_code == 422
        assert "from 0 to 100" in refused.text
    assert (await browser.submit(edit, rating="", focal_x="20.5", focal_y="100")).status_code == 303
    row = await api.row(image_id)
    assert (row["focal_x"], row["focal_y"]) == (205, 1000)
    await browser.get(edit)
    assert (browser.form(edit)["focal_x"], browser.form(edit)["focal_y"]) == ("20.5", "100")
    assert (await browser.submit(edit, rating="", focal_x="", focal_y="")).status_code == 303
    assert (await api.row(image_id))["focal_x"] is None

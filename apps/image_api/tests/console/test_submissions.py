"""The table of a team's images with the fields of its schema, without script."""

import re
from typing import Any
from uuid import UUID

import orjson
import pytest

from image_api.metadata_schemas.rules import Declared
from image_api.metadata_schemas.schemas import DeclaredField
from image_api.metadata_schemas.submissions import ordered_fields
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, attributes, tags_of
from .catalogue import call
from .test_images import IMAGES, link, signed_in, upload_some

SUBMISSIONS = "/console/submissions"
TEMPLATE = {"template": "photo-submission"}
FIELDS = [
    {"name": "licence", "type": "string"},
    {"name": "reviewed", "type": "boolean"},
    {"name": "made_on", "type": "date"},
]


async def declare(api: Api, team_id: UUID | None, body: dict[str, Any]) -> None:
    await call(api, api.admin, "PUT", f"/metadata-schema?team_id={team_id}", **body)


async def describe(api: Api, image_id: str, **metadata: Any) -> None:
    await api.set_row(UUID(image_id), metadata=orjson.dumps(metadata).decode())


def cells(page: str, row: int = 0) -> dict[str, str]:
    """The cells of a row of the table by the names of their columns, as text."""
    rows = page.partition("<tbody>")[2].split("</tr>")
    found = re.findall(r'<t[dh][^>]*data-name="([^"]+)">(.*?)</t[dh]>', rows[row], re.DOTALL)
    return {name: re.sub(r"<[^>]+>", "", content).strip() for name, content in found}


def listed(page: str) -> list[str]:
    return re.findall(rf'<th[^>]*><a href="{IMAGES}/([0-9a-f-]{{36}})', page)


@pytest.fixture
async def admin(api: Api) -> Browser:
    return await signed_in(api, api.admin)


async def test_the_schema_makes_columns_and_filters(api: Api, member: UserWithKey) -> None:
    await declare(api, member.team_id, {"fields": [*FIELDS, {"name": "age", "type": "integer"}]})
    (first, second), browser = await upload_some(api, member, 2), await signed_in(api, member)
    await describe(api, first, age=27, reviewed=True, made_on="2026-03-01", licence="cc0", older="x")
    page = (await browser.get(SUBMISSIONS)).text
    assert listed(page) == [first, second]
    names = {"Age": "27", "Reviewed": "Yes", "Made on": "2026-03-01", "Licence": "cc0"}
    shown = cells(page)
    assert names.items() <= shown.items()
    assert (shown["File"], shown["Uploaded by"], shown["Status"]) == ("001.png", "Somebody", "stored")
    assert list(shown).index("Age") < list(shown).index("Licence")
    assert "Older" not in shown
    assert cells(page, 1)["Age"] == "–"
    fields = {
        each["name"]: each.get("type") for tag, each in tags_of(page) if tag in ("input", "select") and "name" in each
    }
    assert fields.items() >= {
        "meta.age[gte]": "number", "meta.age[lte]": "number", "meta.made_on[gte]": "date", "meta.reviewed": None,
        "meta.licence[prefix]": "search",
    }.items()  # fmt: skip


async def test_filters_select_and_keep_what_was_chosen(api: Api, member: UserWithKey) -> None:
    await declare(api, member.team_id, TEMPLATE)
    (old, young, other), browser = await upload_some(api, member, 3), await signed_in(api, member)
    await describe(api, old, age=61, gender="female", place_of_living="Oslo")
    await describe(api, young, age=19, gender="female", place_of_living="Oslofjord")
    await describe(api, other, age=19, gender="male")
    for query, found in (
        ("meta.age%5Bgte%5D=20", [old]),
        ("meta.age%5Blte%5D=20&meta.gender=female", [young]),
        ("meta.place_of_living%5Bprefix%5D=Oslo", [old, young]),
    ):
        assert listed((await browser.get(f"{SUBMISSIONS}?{query}")).text) == found
    await browser.get(f"{SUBMISSIONS}?meta.age[gte]=20&meta.gender=female&meta.age=61&tag=&order_by=created_at")
    place = f"{SUBMISSIONS}?meta.age%5Bgte%5D=20&meta.gender=female&meta.age=61&order_by=created_at"
    page = (await browser.get(place)).text
    values = {each["name"]: each["value"] for tag, each in tags_of(page) if tag == "input" and each.get("value")}
    # What the form has no field for stays as well.
    assert values.items() >= {"meta.age[gte]": "20", "meta.age": "61", "order_by": "created_at"}.items()
    assert '<option value="female" selected>' in page
    assert "No image matches" in (await browser.get(f"{SUBMISSIONS}?meta.age%5Bgte%5D=90")).text
    assert (await browser.get(f"{SUBMISSIONS}?meta.weight=1")).status_code == 400


async def test_pages_and_orders(api: Api, member: UserWithKey) -> None:
    ids, browser = await upload_some(api, member, 3), await signed_in(api, member)
    first = await browser.get(f"{SUBMISSIONS}?limit=2&q=png")
    assert (listed(first.text), listed((await browser.get(link(first.text, "next"))).text)) == (ids[:2], ids[2:])
    orders = [
        attributes(f'<a href="{each}"')["href"] for each in re.findall(r'<a href="([^"]+order_by[^"]+)"', first.text)
    ]
    assert [listed((await browser.get(each)).text) for each in orders] == [ids[:0:-1], ids[:0:-1]]
    assert 'aria-sort="ascending"' in browser.page


async def test_an_admin_comes_to_the_first_team_with_submissions(api: Api, admin: Browser) -> None:
    assert (await Browser(api).get("/admin")).headers["location"] == SUBMISSIONS
    assert (await admin.get(SUBMISSIONS)).headers["location"] == f"{IMAGES}?view=table"
    await declare(api, await api.team("No submissions"), {"fields": FIELDS})
    assert (await admin.get(SUBMISSIONS)).headers["location"] == f"{IMAGES}?view=table"
    first, second = await api.team("First"), await api.team("Second")
    await declare(api, second, TEMPLATE)
    fields = [{"name": name, "type": "string"} for name in ("Age", "gender", "place", "country.code", "villages")]
    await declare(api, first, {"fields": fields})
    assert (await admin.get(SUBMISSIONS)).headers["location"] == f"{SUBMISSIONS}?team_id={first}"
    assert "The images of First" in (await admin.get(f"{SUBMISSIONS}?team_id={first}")).text


async def test_a_member_sees_its_own_team_only(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    (image_id,) = await upload_some(api, member, 1)
    await declare(api, member.team_id, TEMPLATE)
    await describe(api, image_id, place_of_living="Tromsø")
    # An admin of the platform, whose name the team's list of users does not show.
    await api.set_row(UUID(image_id), uploaded_by=api.admin.user_id)
    page = (await (await signed_in(api, member)).get(SUBMISSIONS)).text
    assert "Tromsø" in page
    assert cells(page)["Uploaded by"] == "not of the team"
    elsewhere = await signed_in(api, stranger)
    assert "photo-submission" in (await elsewhere.get(SUBMISSIONS)).text
    assert "Tromsø" not in elsewhere.page
    assert (await elsewhere.get(f"{SUBMISSIONS}?team_id={member.team_id}")).status_code == 404


def test_the_words_of_submissions_are_whole_words_and_come_first() -> None:
    names = ("aged", "Country-of-origin", "place_of_living", "country", "AGE", "weight", "gender.now")
    declared: Declared = {name: DeclaredField.model_validate({"name": name, "type": "string"}) for name in names}
    assert [each.name for each in ordered_fields(declared)] == [
        "AGE", "gender.now", "place_of_living", "Country-of-origin", "aged", "country", "weight",
    ]  # fmt: skip

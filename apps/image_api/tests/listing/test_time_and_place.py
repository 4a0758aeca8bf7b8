"""Images by the time and the place of the photograph, its camera and its lens."""

from datetime import UTC, datetime
from typing import Any

import pytest

from image_core import testing
from image_core.capture.place_cells import cell_of
from image_core.testing import UserWithKey

from ..conftest import Api

IMAGES = "/api/v1/images"
# In metres, a degree of a great circle.
DEGREE = 111_195


async def add(api: Api, owner: UserWithKey, place: tuple[float, float] | None = None, **columns: Any) -> str:
    assert owner.team_id is not None
    if place is not None:
        location = {"latitude": place[0], "longitude": place[1]}
        columns |= {"location_cell": cell_of(*place), "facts": {"location": location} | columns.get("facts", {})}
    if "taken_at" in columns:
        columns |= {"taken_at_source": "exif", "taken_local": columns["taken_at"].replace(tzinfo=None)}
    return str(await testing.add_image(api.rows, owner.team_id, **columns))


async def listed(api: Api, by: UserWithKey, **filters: Any) -> list[str]:
    answer = await api.client.get(IMAGES, headers=by.headers, params=filters)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


@pytest.mark.parametrize(
    ("place", "near", "found"),
    [
        ((59.91, 10.75), "59.91,10.75,1", True),
        ((1, 0), f"0,0,{DEGREE + 10}", True),
        ((1, 0), f"0,0,{DEGREE - 10}", False),
        # Longitudes are closer to each other in the north.
        ((60, 1), f"60,0,{DEGREE / 2 + 10}", True),
        ((60, 1), f"60,0,{DEGREE / 2 - 10}", False),
        # Across the date line, in both directions.
        ((0, 179.9), f"0,-179.9,{DEGREE / 5 + 10}", True),
        ((0, -179.9), f"0,179.9,{DEGREE / 5 + 10}", True),
        ((0, -179.9), f"0,179.9,{DEGREE / 5 - 10}", False),
        ((0, -180), "0,180,1", True),
        # Across the poles.
        ((89.9, 0), f"89.9,180,{DEGREE / 5 + 10}", True),
        ((-89.9, 90), f"-89.9,-90,{DEGREE / 5 + 10}", True),
        ((-89.9, 90), f"-89.9,-90,{DEGREE / 5 - 10}", False),
        ((90, 12), "90,-100,1", True),
        # The other side of the earth.
        ((-10, -160), "10,20,20100000", True),
        (None, "0,0,20100000", False),
    ],
)
async def test_images_are_found_by_their_distance(
    api: Api, member: UserWithKey, place: tuple[float, float] | None, near: str, found: bool
) -> None:
    image_id = await add(api, member, place)
    assert await listed(api, member, near=near) == ([image_id] if found else [])


@pytest.mark.parametrize(
    ("place", "bbox", "found"),
    [
        ((5, 5), "0,0,10,10", True),
        ((10, 0), "0,0,10,10", True),
        ((10.001, 5), "0,0,10,10", False),
        ((-0.001, 5), "0,0,10,10", False),
        ((5, 10.001), "0,0,10,10", False),
        ((5, -0.001), "0,0,10,10", False),
        ((0, 175), "170,-10,-170,10", True),
        ((0, -175), "170,-10,-170,10", True),
        ((0, 0), "170,-10,-170,10", False),
        ((0, 180), "-180,-10,-170,10", True),
        ((0, -180), "170,-10,180,10", True),
        ((0, 180), "-170,-10,-160,10", False),
        ((90, 40), "-180,89,180,90", True),
        (None, "-180,-90,180,90", False),
    ],
)
async def test_images_are_found_in_an_area(
    api: Api, member: UserWithKey, place: tuple[float, float] | None, bbox: str, found: bool
) -> None:
    image_id = await add(api, member, place)
    assert await listed(api, member, bbox=bbox) == ([image_id] if found else [])


async def test_a_place_is_found_under_its_team_only(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    mine, theirs = await add(api, member, (5, 5)), await add(api, stranger, (5, 5))
    for filters in ({"near": "5,5,10"}, {"bbox": "0,0,10,10"}, {"has": "location"}):
        assert await listed(api, member, **filters) == [mine]
        assert set(await listed(api, api.admin, **filters)) == {mine, theirs}
    assert await listed(api, member, near="5,5,10", bbox="6,6,7,7") == []


async def test_the_time_of_the_photograph_counts_and_else_that_of_the_upload(api: Api, member: UserWithKey) -> None:
    old = await add(api, member, taken_at=datetime(2001, 5, 1, 12, tzinfo=UTC))
    uploaded = await add(api, member, created_at=datetime(2002, 5, 1, tzinfo=UTC))
    new = await add(api, member, taken_at=datetime(2003, 5, 1, tzinfo=UTC))
    assert await listed(api, member, taken_before="2001-05-01T12:00:00Z") == []
    assert await listed(api, member, taken_before="2001-05-01T14:00:01+02:00") == [old]
    assert set(await listed(api, member, taken_after="2002-05-01")) == {uploaded, new}
    assert await listed(api, member, taken_after="2002-05-01T00:00:01Z", taken_before="2004-01-01") == [new]
    assert set(await listed(api, member, has="taken_at")) == {old, new}


async def test_what_has_to_be_known_narrows_the_list_together(api: Api, member: UserWithKey) -> None:
    time = datetime(2001, 5, 1, tzinfo=UTC)
    await add(api, member, taken_at=time)
    await add(api, member, (1, 1))
    both = await add(api, member, (1, 1), taken_at=time)
    assert await listed(api, member, has=["location", "taken_at"]) == [both]


@pytest.mark.parametrize(("name", "fact"), [("camera", "camera_model"), ("lens", "lens")])
async def test_a_model_is_found_by_its_whole_name_in_any_case(
    api: Api, member: UserWithKey, name: str, fact: str
) -> None:
    image_id = await add(api, member, facts={"exif": {fact: "Größe X100_v%"}})
    other = "lens" if fact == "camera_model" else "camera_model"
    await add(api, member, facts={"exif": {other: "Größe X100_v%"}})
    await add(api, member)
    assert await listed(api, member, **{name: "GRÖßE x100_V%"}) == [image_id]
    assert await listed(api, member, **{name: "Größe X100"}) == []
    assert await listed(api, member, **{name: "Größe X100%v%"}) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("near", "1,2", "3 numbers as"),
        ("near", "1,2,0", "radius"),
        ("bbox", "0,10,1,9", "South is greater"),
        ("has", "place", "Must be"),
        ("taken_after", "yesterday", ""),
        ("camera", "", ""),
    ],
)
async def test_what_makes_no_sense_is_refused_by_field(
    api: Api, member: UserWithKey, name: str, value: str, message: str
) -> None:
    answer = await api.client.get(IMAGES, headers=member.headers, params={name: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].split(".")[0] == name
    assert message in answer.json()["errors"][0]["message"]


async def test_a_period_that_is_empty_is_refused(api: Api, member: UserWithKey) -> None:
    params = {"taken_after": "2002-01-01", "taken_before": "2001-01-01"}
    answer = await api.client.get(IMAGES, headers=member.headers, params=params)
    assert answer.status_code == 422
    assert "`taken_after` is not before `taken_before`" in answer.json()["errors"][0]["message"]

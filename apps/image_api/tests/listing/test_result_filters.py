from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert

from image_api.listing.filters.results import fields_of
from image_core.analyses.catalogue import CATALOGUE
from image_core.db import to_json
from image_core.ids import new_id
from image_core.models import analysis
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import picture

SHARP = {
    "sharpness": 0.8, "noise": 2.5, "verdict": "good", "issues": [], "exposure": 50.0, "clipped_dark": 0.0,
    "clipped_bright": 0.0, "contrast": 0.2, "dynamic_range": 6.0, "colorfulness": 40.0, "blockiness": None,
}  # fmt: skip
BLURRED = SHARP | {"sharpness": 0.2, "noise": None, "verdict": "fair", "issues": ["blurred"]}


async def analysed(
    api: Api,
    of: dict[str, Any],
    found: dict[str, Any] | None,
    analyzer: str = "quality",
    hours_ago: int = 0,
    **more: Any,
) -> None:
    """Stores a result of an image's bytes; None for one that was only asked for."""
    values: dict[str, Any] = {
        "team_id": of["team_id"], "sha256": bytes.fromhex(of["sha256"]), "analyzer": analyzer, "version": "1",
        "parameters": "{}", "parameters_hash": bytes(32), "queued_at": func.now(), **more,
    }  # fmt: skip
    if found is not None:
        analyzed_at = datetime.now(UTC) - timedelta(hours=hours_ago)
        values |= {"status": "done", "result": to_json(found), "analyzed_at": analyzed_at}
    await api.rows.execute(insert(analysis).values(id=new_id(), **values))


async def listed(api: Api, by: UserWithKey, expected: int = 200, **params: Any) -> Any:
    answer = await api.client.get("/api/v1/images", headers=by.headers, params=params)
    assert answer.status_code == expected, answer.text
    return answer.json()


async def found(api: Api, by: UserWithKey, **params: Any) -> list[str]:
    return [item["filename"] for item in (await listed(api, by, **params))["items"]]


@pytest.fixture
async def three(api: Api, member: UserWithKey) -> list[dict[str, Any]]:
    """A sharp picture, a blurred one and one that nobody analysed."""
    images = [
        await api.upload(member, picture(seed), filename=name)
        for seed, name in enumerate(("sharp", "blurred", "unknown"))
    ]
    await analysed(api, images[0], SHARP)
    await analysed(api, images[1], BLURRED)
    return images


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"analysis.quality.sharpness[gte]": "0.8"}, ["sharp"]),
        ({"analysis.quality.sharpness[gt]": "0.8"}, []),
        ({"analysis.quality.sharpness[lt]": "0.80001"}, ["blurred", "sharp"]),
        ({"analysis.quality.sharpness": "00.20"}, ["blurred"]),
        ({"analysis.quality.sharpness[ne]": "0.2"}, ["sharp"]),
        ({"analysis.quality.noise[ne]": "1"}, ["sharp"]),
        ({"analysis.quality.noise[lte]": "99"}, ["sharp"]),
        ({"analysis.quality.noise[exists]": "true"}, ["sharp"]),
        ({"analysis.quality.noise[exists]": "false"}, ["unknown", "blurred"]),
        ({"analysis.quality.verdict": "good"}, ["sharp"]),
        ({"analysis.quality.verdict[ne]": "good"}, ["blurred"]),
        ({"analysis.quality.issues[contains]": "blurred"}, ["blurred"]),
        ({"analysis.quality.issues[exists]": "true"}, ["blurred", "sharp"]),
        ({"analysis.quality.sharpness[gt]": "0.1", "analysis.quality.verdict": "fair"}, ["blurred"]),
        ({"analysis.quality.sharpness[gt]": "0.1", "analysis.colors.grey": "true"}, []),
        ({"analysis.quality.verdict": "good", "meta.place[exists]": "true"}, []),
    ],
)
async def test_images_are_found_by_their_results(
    api: Api, member: UserWithKey, three: Any, query: dict[str, str], expected: list[str]
) -> None:
    assert await found(api, member, **query) == expected


async def test_filters_on_two_analyzers_hold_together(api: Api, member: UserWithKey, three: Any) -> None:
    await analysed(api, three[0], {"grey": True, "warmth": -0.5}, "colors")
    await analysed(api, three[1], {"grey": False, "warmth": 0.5}, "colors")
    query = {"analysis.colors.grey": "true", "analysis.quality.sharpness[gt]": "0.1"}
    assert await found(api, member, **query) == ["sharp"]
    assert await found(api, member, **{"analysis.colors.warmth[lt]": "-0.25"}) == ["sharp"]


async def test_newest_result_decides(api: Api, member: UserWithKey, three: Any) -> None:
    await analysed(api, three[0], BLURRED, hours_ago=-1, version="2")
    await analysed(api, three[1], SHARP, hours_ago=1, version="0")
    assert await found(api, member, **{"analysis.quality.verdict": "good"}) == []


async def test_results_of_another_team_find_nothing(
    api: Api, member: UserWithKey, stranger: UserWithKey, three: Any
) -> None:
    await api.upload(stranger, picture(0), filename="theirs")
    assert await found(api, stranger, **{"analysis.quality.sharpness[gte]": "0"}) == []


async def test_pages_and_totals_keep_to_the_filter(api: Api, member: UserWithKey, three: Any) -> None:
    query = {"analysis.quality.sharpness[gte]": "0", "limit": "1", "include_total": "true"}
    first = await listed(api, member, **query)
    assert (first["total"], [item["filename"] for item in first["items"]]) == (2, ["blurred"])
    assert await found(api, member, **query, cursor=first["next_cursor"]) == ["sharp"]


@pytest.mark.parametrize(
    ("key", "value", "code", "said"),
    [
        ("analysis.qualty.sharpness", "1", "filter-unknown", "'quality'"),
        ("analysis.quality.sharpnes", "1", "filter-unknown", "'sharpness'"),
        ("analysis.colors.palette", "1", "filter-unknown", "palette"),
        ("analysis.quality", "1", "filter-invalid", "analysis.<analyzer>"),
        ("analysis.quality.sharpness[in]", "1", "filter-invalid", "number takes"),
        ("analysis.quality.sharpness", "sharp", "filter-invalid", "a number"),
        ("analysis.quality.sharpness", "1 || true", "filter-invalid", "a number"),
        ("analysis.quality.verdict[gt]", "good", "filter-invalid", "string takes"),
        ("analysis.quality.verdict", 'good" || "1', "filter-invalid", "good, fair, poor"),
        ("analysis.quality.issues", "blurred", "filter-invalid", "contains"),
        ("analysis.colors.grey", "1", "filter-invalid", "true or false"),
        ("analysis.colors.grey[exists]", "yes", "filter-invalid", "true or false"),
        ("analysis.labels.notice", "\0", "filter-invalid", "characters"),
    ],
)
async def test_filter_that_makes_no_sense_is_told(
    api: Api, member: UserWithKey, key: str, value: str, code: str, said: str
) -> None:
    told = await listed(api, member, 400, **{key: value})
    assert told["code"] == code
    assert said in told["detail"]


async def test_eleven_filters_are_too_many(api: Api, member: UserWithKey) -> None:
    query = [("analysis.quality.sharpness[gt]", "0")] * 5 + [("meta.a[exists]", "true")] * 6
    answer = await api.client.get("/api/v1/images", headers=member.headers, params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, "filter-invalid")


def test_every_analyzer_can_be_filtered_by() -> None:
    assert all(fields_of(name) for name in CATALOGUE)
    assert {"sharpness", "noise", "verdict", "issues"} <= set(fields_of("quality"))


class TestInclude:
    async def test_results_are_shown_beside_the_image(self, api: Api, member: UserWithKey, three: Any) -> None:
        await analysed(api, three[0], None, "colors")
        url = f"/api/v1/images/{three[0]['id']}"
        shown = (await api.client.get(url, headers=member.headers, params={"include": "analyses"})).json()
        assert [each["result"] for each in shown["analyses"]] == [SHARP]
        assert "analyses" not in (await api.client.get(url, headers=member.headers)).json()

    async def test_what_cannot_be_included_is_told(self, api: Api, member: UserWithKey, three: Any) -> None:
        url = f"/api/v1/images/{three[0]['id']}"
        answer = await api.client.get(url, headers=member.headers, params={"include": "analyses,likes"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "include")
        assert "analyses" in answer.json()["errors"][0]["message"]

"""Filters on metadata and results are understood in every form in which clients write an object."""

import pytest

from image_api.listing.filters.names import dotted
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import picture


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("meta[country]", "meta.country"),
        ("meta[age[gte]]", "meta.age[gte]"),
        ("meta[age][gte]", "meta.age[gte]"),
        ("meta[a.b][in]", "meta.a.b[in]"),
        ("analysis[quality.sharpness]", "analysis.quality.sharpness"),
        ("analysis[quality.sharpness[gte]]", "analysis.quality.sharpness[gte]"),
        ("analysis[quality.sharpness][gte]", "analysis.quality.sharpness[gte]"),
        ("analysis[quality][sharpness]", "analysis.quality.sharpness"),
        ("analysis[quality][sharpness][gte]", "analysis.quality.sharpness[gte]"),
        ("analysis[quality][sharpness[gte]]", "analysis.quality.sharpness[gte]"),
        ("meta.age[gte]", "meta.age[gte]"),
        ("metadata[age]", "metadata[age]"),
        ("meta[]", "meta."),
        ("tag", "tag"),
    ],
)
def test_objects_are_read_as_dotted_names(name: str, read: str) -> None:
    assert dotted([(name, "1")]) == [(read, "1")]


@pytest.mark.parametrize("name", ["meta.age[gte]", "meta[age][gte]", "meta[age[gte]]"])
async def test_each_form_finds_the_same_images(api: Api, member: UserWithKey, name: str) -> None:
    url = "/api/v1/metadata-schema"
    declared = {"fields": [{"name": "age", "type": "integer"}]}
    await api.client.put(url, headers=api.admin.headers, params={"team_id": str(member.team_id)}, json=declared)
    await api.upload(member, picture(1), metadata='{"age": 17}')
    older = await api.upload(member, picture(2), metadata='{"age": 18}')
    listed = await api.client.get("/api/v1/images", headers=member.headers, params={name: "18"})
    assert [each["id"] for each in listed.json()["items"]] == [older["id"]]
    counted = await api.client.get("/api/v1/images/facets", headers=member.headers, params={name: "18", "field": "age"})
    assert counted.json()["values"] == [{"value": 18, "count": 1}]


@pytest.mark.parametrize("name", ["meta[]", "meta[a b]", "meta[a][gte][b]", "meta[a[", "analysis[quality]", "meta["])
async def test_a_broken_object_is_refused(api: Api, member: UserWithKey, name: str) -> None:
    answer = await api.client.get("/api/v1/images", headers=member.headers, params={name: "18"})
    assert (answer.status_code, answer.json()["code"][:6]) == (400, "filter")

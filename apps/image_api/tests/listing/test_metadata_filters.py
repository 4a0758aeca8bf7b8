"""Filters on metadata: typed as declared, the same whichever way they are found, harmless whatever they hold."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_api.listing import queries
from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api
from ..metadata_schemas.test_metadata_schema import declare
from ..uploading import IMAGES

CHOICES = ["small", "medium", "large"]
FIELDS: list[dict[str, Any]] = [
    {"name": "name", "type": "string"},
    {"name": "age", "type": "integer"},
    {"name": "ratio", "type": "number"},
    {"name": "public", "type": "boolean"},
    {"name": "taken", "type": "date"},
    {"name": "size", "type": "enum", "enum": CHOICES},
]
TYPES = {each["name"]: each["type"] for each in FIELDS}


@pytest.fixture(autouse=True, params=["near", "terms"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each answer is found among the newest images, and by terms alone."""
    if request.param == "terms":
        monkeypatch.setattr(queries, "FIRST_WALKED_IMAGES", 1)
    return request.param


async def find(api: Api, by: UserWithKey, expected: int = 200, **parameters: Any) -> Any:
    answer = await api.client.get(IMAGES, headers=by.headers, params={"limit": "200", **parameters})
    assert answer.status_code == expected, answer.text
    return answer.json()


async def found(api: Api, by: UserWithKey, **parameters: Any) -> set[str]:
    return {each["id"] for each in (await find(api, by, **parameters))["items"]}


async def add(api: Api, by: UserWithKey, **metadata: Any) -> str:
    assert by.team_id is not None
    return str(await testing.add_image(api.rows, by.team_id, metadata=metadata))


class TestMeaning:
    async def test_numbers_are_compared_as_numbers(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        nine, _, adult = [await add(api, member, age=age) for age in (9, "18", 18)]
        assert await found(api, member, **{"meta.age[gte]": "18"}) == {adult}
        assert await found(api, member, **{"meta.age[lt]": "18"}) == {nine}

    async def test_dates_are_compared_as_dates(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        early, late = [await add(api, member, taken=day) for day in ("2025-12-31", "2026-01-01")]
        await add(api, member, taken="someday")
        assert await found(api, member, **{"meta.taken[gt]": "2025-12-31"}) == {late}
        assert await found(api, member, **{"meta.taken[lte]": "2025-12-31"}) == {early}

    async def test_a_value_beside_the_choices_of_an_enum_is_none_of_its_values(
        self, api: Api, member: UserWithKey
    ) -> None:
        old, _, large = [await add(api, member, size=size) for size in ("huge", "small", "large")]
        await declare(api, member.team_id, {"fields": FIELDS})
        assert await found(api, member, **{"meta.size[ne]": "small"}) == {large}
        assert await found(api, member, **{"meta.size[exists]": "false"}) == {old}
        assert await found(api, member, **{"meta.size[prefix]": "huge"}) == set()

    async def test_without_a_schema_values_are_compared_as_they_read(self, api: Api, member: UserWithKey) -> None:
        number, text, yes = [await add(api, member, k=value) for value in (18, "18", True)]
        assert await found(api, member, **{"meta.k": "18"}) == {number, text}
        assert await found(api, member, **{"meta.k": "true"}) == {yes}
        assert await found(api, member, **{"meta.k[ne]": "18"}) == {yes}
        assert await found(api, member, **{"meta.k[prefix]": "1"}) == {text}
        told = await find(api, member, 400, **{"meta.k[gte]": "18"})
        assert "declare its type" in told["detail"]

    async def test_filters_combine_with_each_other_and_with_those_of_the_list(
        self, api: Api, member: UserWithKey
    ) -> None:
        await declare(api, member.team_id, {"template": "photo-submission"})
        whole = {"age": 30, "gender": "female", "place_of_living": "Oslo", "country_of_origin": "NO"}
        wanted = await add(api, member, **whole)
        others = [{"age": 31}, {"gender": "male"}, {"place_of_living": "Bergen"}, {"country_of_origin": "SE"}]
        for other in others:
            await add(api, member, **{**whole, **other})
        await api.set_row(await add(api, member, **whole), filename="other.png", tags=["x"])
        await api.set_row(wanted, filename="wanted.png", tags=["y"])
        asked = {
            "meta.age[gte]": "18", "meta.age[lte]": "30", "meta.gender": "female", "meta.place_of_living": "Oslo",
            "meta.country_of_origin": "NO",
        }  # fmt: skip
        assert await found(api, member, **asked, q="want", tag="y", status="ready") == {wanted}
        assert (await find(api, member, **asked, include_total="true"))["total"] == 2
        assert len(await found(api, api.admin, **asked, team_id=str(member.team_id))) == 2

    async def test_pages_show_each_match_once_newest_first(self, api: Api, member: UserWithKey) -> None:
        matching = [await add(api, member, k=str(number % 2)) for number in range(14)][::2]
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await find(api, member, **{"meta.k": "0", "limit": "3", **cursor})
            seen += [each["id"] for each in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == matching[::-1]

    async def test_older_matches_are_found_beyond_the_newest_images(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "FIRST_WALKED_IMAGES", 2)
        old, _, _, new = [await add(api, member, k=value) for value in "abba"]
        assert await found(api, member, **{"meta.k": "a"}) == {old, new}


class TestTeams:
    async def test_another_teams_images_are_not_found(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        theirs = await add(api, stranger, k="x")
        assert await found(api, stranger, **{"meta.k": "x"}) == {theirs}
        assert await found(api, member, **{"meta.k": "x"}) == set()
        assert await found(api, member, **{"meta.k": "x", "team_id": str(stranger.team_id)}) == set()
        assert await found(api, member, **{"meta.k[exists]": "false"}) == set()

    async def test_an_admin_finds_what_all_teams_declare_alike(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        for by in (member, stranger):
            await declare(api, by.team_id, {"template": "photo-submission"})
        both = {await add(api, by, age=40, country_of_origin="NO") for by in (member, stranger)}
        await add(api, member, age=9, country_of_origin="NO")
        asked = {"meta.age[gte]": "18", "meta.country_of_origin": "NO"}
        assert await found(api, api.admin, **asked) == both

    async def test_a_field_that_teams_declare_differently_needs_a_team(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        await declare(api, member.team_id, {"fields": [{"name": "age", "type": "integer"}]})
        await declare(api, stranger.team_id, {"fields": [{"name": "age", "type": "string"}]})
        told = await find(api, api.admin, 400, **{"meta.age": "18"})
        assert (told["code"], "team_id" in told["detail"]) == ("filter-invalid", True)
        wanted = await add(api, member, age=18)
        assert await found(api, api.admin, **{"meta.age": "18", "team_id": str(member.team_id)}) == {wanted}

    async def test_of_a_team_that_is_not_there_nothing_is_found(self, api: Api) -> None:
        assert await found(api, api.admin, **{"meta.k": "x", "team_id": str(uuid4())}) == set()


@pytest.mark.parametrize(
    ("parameter", "value", "code", "says"),
    [
        ("meta.ages[gte]", "18", "filter-unknown", "'age'"),
        ("meta.age[above]", "18", "filter-invalid", "gte"),
        ("meta.age[gte]", "old", "filter-invalid", "a number"),
        ("meta.age[gte]", "1e9", "filter-invalid", "a number"),
        ("meta.age[gte]", "١٨", "filter-invalid", "a number"),
        ("meta.age[gte]", "NaN", "filter-invalid", "a number"),
        ("meta.age", "", "filter-invalid", "a number"),
        ("meta.age[prefix]", "1", "filter-invalid", "prefix"),
        ("meta.name[gte]", "a", "filter-invalid", "gte"),
        ("meta.name[prefix]", "", "filter-invalid", "at least one"),
        ("meta.public", "yes", "filter-invalid", "true or false"),
        ("meta.taken[lt]", "2026-02-30", "filter-invalid", "a date"),
        ("meta.size", "smal", "filter-invalid", "small"),
        ("meta.size[exists]", "1", "filter-invalid", "true or false"),
        ("meta.size[in]", "[", "filter-invalid", "JSON array"),
        ("meta.name[in]", "[" * 300 + "]" * 300, "filter-invalid", "JSON array"),
        ("meta.name[in]", ",".join(["x"] * 51), "filter-invalid", "1 to 50"),
        ("meta.name[in]", "[]", "filter-invalid", "1 to 50"),
        ("meta.", "x", "filter-invalid", "meta.<field>"),
        ("meta.a b", "x", "filter-invalid", "meta.<field>"),
        ("meta.name]", "x", "filter-invalid", "meta.<field>"),
        ("meta.name[eq", "x", "filter-invalid", "meta.<field>"),
        ("meta.name[eq][eq]", "x", "filter-invalid", "meta.<field>"),
        ('meta.na"me', "x", "filter-invalid", "meta.<field>"),
        ("meta.na'me", "x", "filter-invalid", "meta.<field>"),
        ("meta.näme", "x", "filter-invalid", "meta.<field>"),
        ("meta.na\0me", "x", "filter-invalid", "meta.<field>"),
        ("meta." + "x" * 65, "x", "filter-invalid", "meta.<field>"),
        ("meta.name", "x\0", "filter-invalid", "NUL"),
        ("meta.name", "x" * 513, "filter-invalid", "512"),
        ("meta.name[in]", "a," + "x" * 513, "filter-invalid", "512"),
    ],
)
async def test_a_filter_that_makes_no_sense_says_why(
    api: Api, member: UserWithKey, parameter: str, value: str, code: str, says: str
) -> None:
    await declare(api, member.team_id, {"fields": FIELDS})
    told = await find(api, member, 400, **{parameter: value})
    assert told["code"] == code
    assert says in told["detail"]


async def test_eleven_filters_are_one_too_many(api: Api, member: UserWithKey) -> None:
    asked = httpx2.QueryParams([("meta.k[ne]", str(number)) for number in range(11)])
    answer = await api.client.get(f"{IMAGES}?{asked}", headers=member.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "filter-invalid")
    ten = httpx2.QueryParams([("meta.k[in]", f"{number},x") for number in range(10)])
    assert (await api.client.get(f"{IMAGES}?{ten}", headers=member.headers)).status_code == 200


HOSTILE = [
    "'", '"', "\\", '" || true || "', '" || 1 == 1 || "', "$.*", '") || exists($', "x' OR '1'='1",
    "'; DROP TABLE image", "${k}", "\u2028", "\x01\n\t\b", "😀", "%", "_", "{}", "\\u0022", "$$", '"}', "\ufffd", "a\\",
    "\\\"",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
async def test_hostile_values_are_only_values(api: Api, member: UserWithKey, value: str) -> None:
    same, other = await add(api, member, k=value), await add(api, member, k="harmless")
    assert await found(api, member, **{"meta.k": value}) == {same}
    assert await found(api, member, **{"meta.k[prefix]": value}) == {same}
    assert await found(api, member, **{"meta.k[ne]": value}) == {other}


TEXTS = st.text(st.sampled_from("ab0 é\"'\\%_"), min_size=1, max_size=5)


def _rounded(value: float) -> float:
    return round(value, 6)


NUMBERS = (
    st.integers(-(2**53), 2**53)
    | st.integers(-30, 30)
    | st.floats(-1e20, 1e20).map(_rounded)
    | st.floats(-3, 3).map(_rounded)
)
DATES = st.dates(date(1, 1, 1)).map(str) | st.dates(date(2026, 1, 1), date(2026, 3, 1)).map(str)
OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "integer": st.integers(-30, 30) | st.integers(-(2**53), 2**53),
    "number": NUMBERS,
    "boolean": st.booleans(),
    "date": DATES,
    "enum": st.sampled_from(CHOICES),
}
# What older images may hold: any value in any field.
ANYTHING = TEXTS | NUMBERS | st.booleans() | DATES
METADATA = st.fixed_dictionaries({}, optional={name: OF_TYPE[kind] | ANYTHING for name, kind in TYPES.items()})


@st.composite
def filters(draw: Any) -> tuple[str, str, Any]:
    name = draw(st.sampled_from(sorted(TYPES)))
    kind = TYPES[name]
    operators = {"eq", "ne", "in", "exists"}
    operators |= {"prefix"} if kind in ("string", "enum") else set()
    operators |= {"gt", "gte", "lt", "lte"} if kind in ("integer", "number", "date") else set()
    operator = draw(st.sampled_from(sorted(operators)))
    if operator == "exists":
        return name, operator, draw(st.booleans())
    if operator == "in":
        return name, operator, draw(st.lists(OF_TYPE[kind], min_size=1, max_size=4))
    return name, operator, draw(OF_TYPE[kind])


def number(value: Any) -> Decimal:
    # As PostgreSQL reads the shortest notation that Python writes.
    return Decimal(repr(value))


def comparable(kind: str, value: Any) -> Any:
    """The value as its type compares it, None where it is of another type."""
    if kind in ("integer", "number"):
        return None if isinstance(value, bool) or not isinstance(value, int | float) else number(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if not isinstance(value, str) or (kind == "enum" and value not in CHOICES):
        return None
    return value if kind != "date" or (len(value) == 10 and value[4] == value[7] == "-") else None


def matches(metadata: dict[str, Any], name: str, operator: str, value: Any) -> bool:
    has = comparable(TYPES[name], metadata[name]) if name in metadata else None
    if operator == "exists":
        return (has is not None) is value
    if has is None:
        return False
    if operator == "in":
        return has in [comparable(TYPES[name], each) for each in value]
    wanted = comparable(TYPES[name], value)
    return bool(
        {
            "eq": lambda: has == wanted, "ne": lambda: has != wanted, "gt": lambda: has > wanted,
            "gte": lambda: has >= wanted, "lt": lambda: has < wanted, "lte": lambda: has <= wanted,
            "prefix": lambda: has.startswith(wanted),
        }[operator]()
    )  # fmt: skip


def written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{number(value):f}" if isinstance(value, int | float) else str(value)


def parameter(name: str, operator: str, value: Any) -> tuple[str, str]:
    if operator == "in":
        return f"meta.{name}[in]", orjson.dumps([written(each) for each in value]).decode()
    return f"meta.{name}[{operator}]", written(value)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(images=st.lists(METADATA, min_size=1, max_size=8), asked=st.lists(st.lists(filters(), max_size=3), max_size=8))
async def test_every_filter_finds_what_a_plain_comparison_finds(
    api: Api, images: list[dict[str, Any]], asked: list[list[tuple[str, str, Any]]]
) -> None:
    member = await api.user()
    await declare(api, member.team_id, {"fields": FIELDS})
    ids = [await add(api, member, **metadata) for metadata in images]
    # Each stored value is looked for as well, so that not all filters find nothing.
    for metadata in images:
        for name, value in metadata.items():
            if comparable(TYPES[name], value) is not None:
                asked = [*asked, [(name, "eq", value)]]
    for some in asked[:20]:
        query = httpx2.QueryParams([parameter(*each) for each in some])
        answer = await api.client.get(f"{IMAGES}?{query}", headers=member.headers)
        expected = {
            image_id for image_id, metadata in zip(ids, images, strict=True) if all(matches(metadata, *f) for f in some)
        }
        if answer.status_code == 400:
            # What can never match says so, and is refused for nothing else.
            assert ("No value can match all filters" in answer.json()["detail"], expected) == (True, set()), some
            continue
        assert {each["id"] for each in answer.json()["items"]} == expected, some


class TestFacets:
    async def test_a_field_that_only_old_images_have_is_not_known(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "WALKED_IMAGES", 1)
        await add(api, member, old=1)
        await add(api, member, new=1)
        assert await queries.metadata_names(api.rows, member.team_id) == ["new"]

    async def test_values_are_counted_among_what_the_filters_leave(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"template": "photo-submission"})
        for age, country in ((20, "NO"), (30, "NO"), (40, "SE"), (9, "NO"), (50, None)):
            await add(api, member, age=age, **({"country_of_origin": country} if country else {}))
        parameters = {"field": "country_of_origin", "meta.age[gte]": "18"}
        answer = await api.client.get(f"{IMAGES}/facets", headers=member.headers, params=parameters)
        assert answer.json() == {
            "field": "country_of_origin",
            "values": [{"value": "NO", "count": 2}, {"value": "SE", "count": 1}],
            "numbers": None, "images": 4, "without_value": 1, "complete": True,
        }  # fmt: skip
        answer = await api.client.get(f"{IMAGES}/facets", headers=member.headers, params={"field": "age", "top": 1})
        assert answer.json()["numbers"] == {"min": 9.0, "max": 50.0, "average": 29.8}
        assert len(answer.json()["values"]) == 1

    async def test_another_teams_values_are_not_counted(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        await add(api, stranger, k="theirs")
        for parameters in ({}, {"team_id": str(stranger.team_id)}):
            answer = await api.client.get(
                f"{IMAGES}/facets", headers=member.headers, params={"field": "k", **parameters}
            )
            assert (answer.status_code, answer.json()["nearest"]) == (400, None)
        await add(api, member, k="own")
        answer = await api.client.get(f"{IMAGES}/facets", headers=member.headers, params={"field": "k"})
        assert answer.json()["values"] == [{"value": "own", "count": 1}]

    async def test_more_images_than_are_counted_are_told_of(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("image_api.listing.facets.MAX_IMAGES", 2)
        for value in "abc":
            await add(api, member, k=value)
        told = (await api.client.get(f"{IMAGES}/facets", headers=member.headers, params={"field": "k"})).json()
        assert (told["images"], told["complete"]) == (2, False)
        assert sum(each["count"] for each in told["values"]) == 2

    @pytest.mark.parametrize("name", ["limit", "cursor", "include_total"])
    async def test_there_are_no_pages_of_counts(self, api: Api, member: UserWithKey, name: str) -> None:
        answer = await api.client.get(f"{IMAGES}/facets", headers=member.headers, params={"field": "k", name: "1"})
        assert (answer.status_code, answer.json()["code"]) == (400, "filter-unknown")
        assert answer.json()["nearest"] not in {"limit", "cursor", "include_total"}

    async def test_an_undeclared_field_names_the_nearest(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"template": "photo-submission"})
        answer = await api.client.get(f"{IMAGES}/facets", headers=member.headers, params={"field": "country"})
        assert (answer.status_code, answer.json()["code"]) == (400, "filter-unknown")

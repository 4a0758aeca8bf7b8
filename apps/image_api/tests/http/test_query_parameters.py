"""Every operation refuses query parameters that it does not know, or takes only once."""

import re
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import httpx2
import pytest
from fastapi.routing import APIRoute

from image_api.app import ROUTERS
from image_api.guarded_route import GuardedRoute
from image_api.http.query_parameters import query_parameters_of
from image_api.listing.schemas import ListedType
from image_api.openapi.operations import api_routes, needs_session
from image_core import testing
from image_core.errors.nearest import nearest
from image_core.images.picture_header import PictureFormat
from image_core.testing import UserWithKey

from ..conftest import Api
from ..uploading import IMAGES

ROUTES = [
    (path, route)
    for path, route in api_routes(ROUTERS)
    if isinstance(route, GuardedRoute) and route.checks_query and route.methods != {"HEAD"}
]
# Addresses that people pass on, to which other sites add parameters of their own, and pages that do not exist.
TAKE_ANY = {"/s/{token}", "/s/{token}/{picture}", "/console/{name}"}


async def send(api: Api, path: str, route: APIRoute, query: list[tuple[str, str]]) -> httpx2.Response:
    """Send a request that is refused for its query, if for anything: no body, and ids that do not exist."""
    (method, *_) = sorted(route.methods or ())
    others = {"preset": "thumb", "code": "not-found", "name": "x", "month": "2026-03"}
    url = re.sub(r"\{[a-z_]+_id\}", str(uuid4()), path).format(**others)
    headers = await api.bearer(api.admin) if needs_session(route) else api.admin.headers
    return await api.client.request(method, url, params=query, headers=headers)


def test_no_operation_is_left_out() -> None:
    assert {path for path, route in api_routes(ROUTERS)} <= {path for path, _ in ROUTES} | TAKE_ANY


async def test_an_unknown_parameter_is_refused(api: Api) -> None:
    wrong = []
    for path, route in ROUTES:
        names = query_parameters_of(route).names
        told = (await send(api, path, route, [("xyzzy", "1")])).json()
        is_told = (told["status"], told.get("field"), told.get("nearest")) == (400, "xyzzy", None)
        is_told = is_told and told["code"] in ("parameter-unknown", "filter-unknown")
        if not (is_told and all(name in told["detail"] for name in names)):
            wrong.append((path, route.methods, told))
        for name in names:
            told = (await send(api, path, route, [(f"{name}s", "1")])).json() if len(name) >= 3 else {"nearest": name}
            if not (told.get("nearest") == name or f"{name}s" in names):
                wrong.append((path, route.methods, told))
    assert wrong == []


async def test_a_parameter_with_one_value_is_refused_twice(api: Api) -> None:
    wrong = []
    for path, route in ROUTES:
        for name, is_list in query_parameters_of(route).names.items():
            answer = await send(api, path, route, [(name, "1"), (name, "1")])
            is_refused = answer.status_code == 400 and answer.json()["code"] == "parameter-repeated"
            if is_refused is is_list:
                wrong.append((path, route.methods, name, answer.text))
    assert wrong == []


async def test_what_the_document_shows_is_what_is_taken(api: Api) -> None:
    shown, taken = {}, {}
    for path, route in ROUTES:
        if not route.include_in_schema:
            continue
        (method, *_) = sorted(route.methods or ())
        operation = api.truth.document["paths"][path][method.lower()]
        of_query = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        shown[method, path] = {name.partition("{")[0] for name in of_query}
        known = query_parameters_of(route)
        taken[method, path] = {*known.names, *(prefix.rstrip(".[") for prefix in known.prefixes)}
    assert shown == taken


async def test_a_caller_without_a_key_learns_of_no_parameter(api: Api) -> None:
    assert (await api.client.get(IMAGES, params={"xyzzy": "1"})).status_code == 401


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("limt", "limit"), ("Limit", "limit"), ("contenttype", "content_type"), ("tags", "tag"),
        ("created", None), ("uploaded", "uploaded_by"), ("sort", None), ("order", None), ("page", None), ("x", None),
        ("cursr", "cursor"), ("offset", None), ("statsu", "status"),
    ],
)  # fmt: skip
def test_only_what_is_close_is_suggested(written: str, meant: str | None) -> None:
    names = ["status", "tag", "content_type", "uploaded_by", "created_after", "created_before", "limit", "cursor", "q"]
    assert nearest(written, names) == meant


class TestFilters:
    async def ask(self, api: Api, by: UserWithKey, *query: tuple[str, str]) -> dict[str, Any]:
        told: dict[str, Any] = (await api.client.get(IMAGES, headers=by.headers, params=list(query))).json()
        return told

    async def test_several_states_may_be_asked_for(self, api: Api, member: UserWithKey) -> None:
        ids = {}
        for seed, status in enumerate(("ready", "failed", "pending", "trashed")):
            made = await api.user(member.team_id)
            ids[status] = await self.add(api, made, "ready" if status == "trashed" else status, seed)
        await api.set_row(ids["trashed"], deleted_at=(await api.row(ids["trashed"]))["created_at"])
        for wanted in (["ready", "failed"], ["failed", "trashed"], ["trashed"], ["pending"], ["ready", "ready"]):
            told = await self.ask(api, member, *(("status", status) for status in wanted))
            assert {each["id"] for each in told["items"]} == {ids[status] for status in wanted}

    async def add(self, api: Api, by: UserWithKey, status: str, seed: int) -> str:
        assert by.team_id is not None
        return str(await testing.add_image(api.rows, by.team_id, status))

    @pytest.mark.parametrize(
        "query",
        [
            [("status", "nonsense")],
            [("content_type", "image/*"), ("content_type", "image/png")],
            [("content_type", "text/html")],
            [("content_type", "image/jpg")],
            [("min_width", "2"), ("max_width", "1")],
            [("min_height", "2"), ("max_height", "1")],
            [("min_size", "2"), ("max_size", "1")],
            [("created_after", "2026-01-02"), ("created_before", "2026-01-01")],
            [("created_after", "2026-01-01"), ("created_before", "2026-01-01T00:00:00Z")],
            [("meta.a", "1"), ("meta.a[exists]", "false")],
            [("analysis.quality.sharpness[gte]", "0.9"), ("analysis.quality.sharpness[lt]", "0.9")],
            [("analysis.colors.colors[exists]", "maybe")],
        ],
    )
    async def test_what_can_never_match_is_refused(
        self, api: Api, member: UserWithKey, query: list[tuple[str, str]]
    ) -> None:
        assert (await self.ask(api, member, *query))["status"] in (400, 422)

    async def test_every_type_of_image_may_be_asked_for(self, api: Api, member: UserWithKey) -> None:
        image_id = (await api.upload(member))["id"]
        assert set(get_args(get_args(ListedType)[0])) == {f"image/{name}" for name in ("*", *get_args(PictureFormat))}
        for name in ("image/*", "image/png", "IMAGE/PNG"):
            assert [each["id"] for each in (await self.ask(api, member, ("content_type", name)))["items"]] == [image_id]

    @pytest.mark.parametrize("name", ["created_after", "created_before"])
    @pytest.mark.parametrize(
        "value",
        ["0.5", "1767225600", "2026-01-01T00:00:00", "2026-13-01", "2026-02-30", "01.02.2026", "now", "",
         "2026-01-01T25:00:00Z", "0001-01-01T00:00:00+14:00"],
    )  # fmt: skip
    async def test_a_time_is_a_time_and_nothing_else(
        self, api: Api, member: UserWithKey, name: str, value: str
    ) -> None:
        told = await self.ask(api, member, (name, value))
        assert (told["status"], told["errors"][0]["field"]) == (422, name)
        assert "2026-03-01T12:00:00Z" in told["errors"][0]["message"]

    @pytest.mark.parametrize(
        ("value", "found"),
        [("2026-01-01", True), ("2026-01-02", False), ("2026-01-01T01:00:00+01:00", True), ("2026-01-01 00:00Z", True),
         ("2026-01-01T00:00:00 01:00", True), ("2026-01-01T00:00:00.000001Z", False)],
    )  # fmt: skip
    async def test_a_date_is_its_midnight(self, api: Api, member: UserWithKey, value: str, found: bool) -> None:
        image_id = await self.add(api, member, "ready", 1)
        await api.set_row(image_id, created_at=datetime(2026, 1, 1, tzinfo=UTC))
        assert bool((await self.ask(api, member, ("created_after", value)))["items"]) is found

    @pytest.mark.parametrize("value", ["1.0", "1e1", " 1", "1_0", "one", "0x1", "-"])
    async def test_a_whole_number_is_written_in_digits(self, api: Api, member: UserWithKey, value: str) -> None:
        told = await self.ask(api, member, ("limit", value))
        assert (told["status"], told["errors"][0]["field"]) == (422, "limit")


async def test_counts_of_a_field_that_no_image_has_name_the_nearest(api: Api, member: UserWithKey) -> None:
    await api.upload(member, metadata='{"country": "NO"}')
    answer = await api.client.get(f"{IMAGES}/facets", headers=member.headers, params={"field": "contry"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["nearest"]) == (400, "filter-unknown", "country")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("metadata.country", "meta.country"), ("metadata[age][gte]", "meta[age][gte]"), ("meta", "meta.…"),
     ("analyses.quality.sharpness[gte]", "analysis.quality.sharpness[gte]")],
)  # fmt: skip
async def test_a_filter_on_metadata_by_another_name_is_told_its_own(
    api: Api, member: UserWithKey, written: str, meant: str
) -> None:
    told = (await api.client.get(IMAGES, headers=member.headers, params={written: "1"})).json()
    assert (told["nearest"], told["field"]) == (meant, written)


async def test_a_number_that_is_too_large_is_told_its_limit(api: Api, member: UserWithKey) -> None:
    told = (await api.client.get(IMAGES, headers=member.headers, params={"min_size": "9" * 30})).json()
    assert told["detail"] == f"min_size: Must be at most {2**53}."


async def test_filters_that_contradict_each_other_are_in_the_query(api: Api, member: UserWithKey) -> None:
    told = (await api.client.get(IMAGES, headers=member.headers, params={"min_width": 2, "max_width": 1})).json()
    assert [each["field"] for each in told["errors"]] == ["query"]

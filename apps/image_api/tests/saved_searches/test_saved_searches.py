"""Saved searches: filters under a name, checked as the list checks them."""

from typing import Any

import pytest
from sqlalchemy import select

from image_core import testing
from image_core.models import audit_event
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi

SEARCHES = "/api/v1/saved-searches"
FJORDS = {"name": "Fjords", "query": "tag=fj%C3%B8rd&has=location&meta[place]=Oslo&order_by=filename"}


async def ask(api: Api, by: UserWithKey, method: str, path: str = "", status: int = 200, **request: Any) -> Any:
    headers = {**by.headers, **request.pop("headers", {})}
    answer = await api.client.request(method, SEARCHES + path, headers=headers, **request)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def test_it_is_saved_changed_listed_and_removed(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    saved = await ask(api, member, "POST", status=201, json={**FJORDS, "query": f" ?{FJORDS['query']}"})
    assert (saved["name"], saved["query"]) == ("Fjords", FJORDS["query"])
    second = await ask(api, member, "POST", status=201, json=FJORDS)
    changed = await ask(api, member, "PATCH", f"/{saved['id']}", json={"query": "tag=oslo"})
    assert changed == {**saved, **{name: changed[name] for name in ("query", "images_url", "updated_at")}}
    stale = {"headers": {"If-Match": '"1"'}}
    await ask(api, member, "PATCH", f"/{saved['id']}", 412, json={"name": "Oslo"}, **stale)
    await ask(api, member, "DELETE", f"/{saved['id']}", 412, **stale)
    first = await ask(api, member, "GET", params={"limit": 1})
    rest = await ask(api, member, "GET", params={"cursor": first["next_cursor"]})
    assert [first["items"][0]["id"], rest["items"]] == [second["id"], [changed]]
    assert (await ask(api, stranger, "GET"))["items"] == []
    await ask(api, member, "DELETE", f"/{saved['id']}", 204)
    assert (await ask(api, member, "GET", f"/{saved['id']}", 404))["code"] == "saved-search-not-found"
    rows = await api.rows.fetch(select(audit_event.c.action, audit_event.c.after).order_by(audit_event.c.position))
    assert [row["action"].removeprefix("saved_search.") for row in rows] == [
        "created", "created", "changed", "removed",
    ]  # fmt: skip
    assert rows[2]["after"] == '{"fields": ["query"]}'


async def test_its_address_lists_what_matches(api: Api, member: UserWithKey) -> None:
    assert member.team_id is not None
    await testing.add_image(api.rows, member.team_id, tags=["oslo"])
    found = await testing.add_image(
        api.rows, member.team_id, tags=["fj\u00f8rd"], location_cell=1, metadata={"place": "Oslo"},
    )  # fmt: skip
    saved = await ask(api, member, "POST", status=201, json=FJORDS)
    answer = await api.client.get(saved["images_url"], headers=member.headers)
    assert [item["id"] for item in answer.json()["items"]] == [str(found)]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("tags=fjord", 400, "filter-unknown"),
        ("limit=5", 400, "filter-unknown"),
        ("include=facts", 400, "filter-unknown"),
        ("team_id=0199c0de-0000-7000-8000-000000000001", 400, "filter-unknown"),
        ("camera=a&camera=b", 400, "parameter-repeated"),
        ("min_width=wide", 422, "request-invalid"),
        ("meta[age[gte]]=old", 400, "filter-invalid"),
        ("analysis.nothing.x=1", 400, "filter-unknown"),
        ("?", 422, "request-invalid"),
        ("q=" + "x" * 2000, 422, "request-invalid"),
        (None, 422, "request-invalid"),
    ],
)
async def test_it_is_checked_as_the_list_checks_it(
    api: Api, member: UserWithKey, query: Any, status: int, code: str
) -> None:
    assert member.team_id is not None
    fields, params = {"fields": [{"name": "age", "type": "integer"}]}, {"team_id": str(member.team_id)}
    await api.client.put("/api/v1/metadata-schema", json=fields, params=params, headers=api.admin.headers)
    saved = await testing.add_saved_search(api.rows, member.team_id)
    # An admin saves for the team that it names, whose schema counts.
    request = {"params": params, "json": {"name": "a", "query": query}}
    assert (await ask(api, api.admin, "POST", status=status, **request))["code"] == code
    assert (await ask(api, member, "PATCH", f"/{saved}", status, json={"query": query}))["code"] == code


async def test_a_team_has_as_many_as_it_may(make_api: MakeApi) -> None:
    async with make_api(saved_searches_per_team=1) as api:
        member, stranger = await api.user(), await api.user()
        await ask(api, member, "POST", status=201, json=FJORDS)
        refused = await ask(api, member, "POST", status=409, json=FJORDS)
        assert (refused["code"], refused["limit"]) == ("too-many-saved-searches", 1)
        await ask(api, stranger, "POST", status=201, json=FJORDS)

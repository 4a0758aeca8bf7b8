"""What holds for every page and form of the console: the tests walk all routes, so a new one is tested too."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import func, insert, select, update

from image_api.actor import Role, Scope
from image_api.app import ROUTERS
from image_api.console.page_route import PageRoute, operations_of
from image_api.console.policy import is_console
from image_api.guarded_route import guard_of
from image_api.http.paths import API_PREFIX
from image_api.idempotency.route import takes_key
from image_api.openapi.operations import api_routes, needs_session, scope_alternatives
from image_core import testing
from image_core.models import audit_event, credential, delivery_key, invitation, user
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from .browser import SAME_ORIGIN, Browser, tags_of
from .catalogue import add_catalogue

ROUTES = [(path, route) for path, route in api_routes(ROUTERS) if is_console(path)]
PAGES = [(path, route) for path, route in ROUTES if "GET" in (route.methods or ())]
# It is for programs, which hold a key.
ISSUE = "/console/sign-in/links"
FORMS = [(path, route) for path, route in ROUTES if "POST" in (route.methods or ()) and path != ISSUE]
# They show and change nothing of anybody; the forms count attempts by address, and need our own origin.
OPEN = {
    "/admin", "/console/_components", "/console/join", "/console/reset", "/console/sign-in", "/console/sign-in/key",
    "/console/sign-in/link",
}  # fmt: skip
HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(1)</script>{{ 7 * 7 }}"
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; script-src 'self';"
    " style-src 'self'; img-src 'self' https://pictures.test/ data: blob:;"
    " connect-src 'self' https://pictures.test/ {uploads}; require-trusted-types-for 'script';"
    " trusted-types console-worker"
)


def name_of(found: Any) -> str:
    return found if isinstance(found, str) else ""


def url_of(path: str, ids: Mapping[str, str] | None = None) -> str:
    """The address of a page, of things that do not exist unless `ids` names them."""
    return re.sub(r"\{([^}]+)\}", lambda found: (ids or {}).get(found[1]) or str(uuid4()), path)


def operation(named: str) -> APIRoute:
    method, _, path = named.partition(" ")
    assert path.startswith(API_PREFIX)
    return next(route for each, route in api_routes(ROUTERS) if each == path and method in (route.methods or ()))


def scopes_of(route: APIRoute) -> set[str]:
    return set((scope_alternatives(route) or [[]])[0])


@pytest.fixture
async def api(local_api: Api) -> Api:
    return local_api


@pytest.mark.parametrize(("path", "route"), PAGES + FORMS, ids=name_of)
def test_a_page_has_the_rights_and_limits_of_the_operations_it_stands_for(path: str, route: APIRoute) -> None:
    assert isinstance(route, PageRoute)
    assert not route.include_in_schema
    # With a guard, it is authenticated and counted before a body is read.
    assert (guard_of(route.dependant) is None) == (path in OPEN)
    if path not in OPEN:
        same = [operation(named) for named in operations_of(route)]
        assert same
        assert scopes_of(route) == set().union(*map(scopes_of, same))
        assert needs_session(route) == any(map(needs_session, same))
        # A form may take a key where the operation does not: people press buttons twice.
        needs_key = "POST" in (route.methods or ()) and any(takes_key(each.dependant) for each in same)
        assert takes_key(route.dependant) or not needs_key


def assert_headers(headers: Any, settings: Any) -> None:
    uploads = f"{settings.storage_emulator_host}/upload/storage/v1/b/{settings.image_upload_bucket_name}/o"
    assert {name: headers.get_list(name) for name in EXPECTED} == EXPECTED | {
        "content-security-policy": [POLICY.format(uploads=uploads)]
    }


EXPECTED = {
    "cache-control": ["no-store"],
    "content-security-policy": [],
    "cross-origin-opener-policy": ["same-origin"],
    "referrer-policy": ["same-origin"],
    "x-frame-options": ["DENY"],
    "x-content-type-options": ["nosniff"],
}


@pytest.mark.parametrize("signed_in", [False, True], ids=["stranger", "admin"])
async def test_every_answer_has_the_headers_of_a_page_and_is_kept_nowhere(api: Api, signed_in: bool) -> None:
    browser = Browser(api)
    if signed_in:
        await browser.sign_in(await api.person(role=Role.ADMIN))
    for path, _ in PAGES:
        answer = await browser.get(url_of(path))
        assert answer.status_code in (200, 303, 404), path
        assert_headers(answer.headers, api.services.settings)
    for path, _ in FORMS:
        assert_headers((await browser.post(url_of(path), {"a": "b"})).headers, api.services.settings)
    for method, path in (
        ("GET", "/console?unknown=1"),
        ("GET", "/console/a/b"),
        ("PUT", "/console"),
        ("HEAD", "/console"),
    ):
        answer = await browser._ask(method, path, None, {})
        assert_headers(answer.headers, api.services.settings)


async def test_a_page_that_does_not_exist_is_said_to_be_missing_whatever_is_asked_of_it(api: Api) -> None:
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    assert [(await browser.get(f"/console/nothing{query}")).status_code for query in ("", "?team_id=1")] == [404, 404]


async def test_errors_from_outside_of_the_routes_are_pages_too(make_api: MakeApi) -> None:
    async with make_api(address_rate_limit_per_second=1) as api:
        browser = Browser(api)
        answers = [await browser.get("/console/sign-in") for _ in range(50)]
        last = answers[-1]
        assert last.status_code == 429
        assert last.headers["content-type"] == "text/html; charset=utf-8"
        assert last.headers["retry-after"]
        assert last.headers["x-request-id"] in last.text
        assert_headers(last.headers, api.services.settings)
        # A program gets the problem document.
        assert (await browser.get("/console/sign-in", Accept="*/*")).json()["code"] == "rate-limited"


@pytest.mark.parametrize(("path", "route"), [each for each in FORMS if each[0] not in OPEN], ids=name_of)
async def test_a_form_without_the_sessions_own_token_changes_nothing_and_is_shown_again(
    api: Api, path: str, route: APIRoute
) -> None:
    browser, other = Browser(api), Browser(api)
    person = await api.person(role=Role.ADMIN)
    for each in (browser, other):
        await each.sign_in(person)
        await each.get("/console")
    token, url = browser.form("/console/sign-out")["csrf_token"], url_of(path)
    events = select(func.count()).select_from(audit_event)
    before = await api.rows.fetch_value(events)
    stale = other.form("/console/sign-out")["csrf_token"]
    for fields in (
        {"csrf_token": stale, "name": HOSTILE, "new_password": "kept nowhere"},
        {"name": HOSTILE},
        {"name": HOSTILE, "csrf_token": token},
        {"csrf_token": "", "name": HOSTILE},
        {"token": token, "name": HOSTILE},
    ):
        answer = await browser.post(url, fields)
        assert answer.status_code == 403, fields
        assert "kept nowhere" not in answer.text
        again = browser.form(url)
        assert again["name"] == HOSTILE
        assert again["csrf_token"] == token
    for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "", "Origin": "https://evil.example"}):
        answer = await browser.post(url, {"csrf_token": token}, **headers)
        assert answer.status_code == 403
    assert await api.rows.fetch_value(events) == before
    assert (await browser.get("/console")).status_code == 200


@pytest.mark.parametrize(("path", "route"), FORMS, ids=name_of)
async def test_only_readable_forms_of_pages_are_read(api: Api, path: str, route: APIRoute) -> None:
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    headers = {"Cookie": browser.cookie, **SAME_ORIGIN}
    limit = (route.openapi_extra or {}).get("x-max-body-bytes", 65_536)
    for body, content_type, status in (
        (b"{}", "application/json", 415),
        (b"a=%ff", "application/x-www-form-urlencoded", 422),
        (b"a\xff=b", "application/x-www-form-urlencoded", 422),
        (b"&".join([b"a=b"] * 101), "application/x-www-form-urlencoded", 422),
        (b"a=" + b"b" * limit, "application/x-www-form-urlencoded", 413),
    ):
        sent = {**headers, "Content-Type": content_type}
        answer = await api.client.post(url_of(path), content=body, headers=sent)
        assert answer.status_code == status, (body[:20], answer.text)


def assert_harmless(page: str) -> None:
    """Nothing but our own modules is a script, and what was escaped is not escaped twice."""
    for tag, attributes in tags_of(page):
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        source = attributes.get("src", "/static/console/")
        assert source.startswith(("/static/console/", "https://pictures.test/i/")), (tag, attributes)
        assert tag != "script" or attributes["type"] == "module"
    # Elements to copy are text, whose attributes were escaped before.
    assert "&amp;lt;" not in re.sub(r"<pre class=\"commands\" data-copy>[^<]*</pre>", "", page)


async def hostile_image(api: Api, by: UserWithKey) -> str:
    """The id of an image with hostile text in all of its fields."""
    image_id = str((await api.upload(by))["id"])
    await api.set_row(
        UUID(image_id), filename=HOSTILE, description=HOSTILE, alt_text=HOSTILE, alt_text_language="en", tags=[HOSTILE],
        metadata=orjson.dumps({HOSTILE: HOSTILE}).decode(), failure_message=HOSTILE, failure_code="image-truncated",
        facts=orjson.dumps({"exif": {HOSTILE: HOSTILE}, "colors": [{"hex": HOSTILE, "share": 1}]}).decode(),
    )  # fmt: skip
    return image_id


async def hostile_key(api: Api, by: UserWithKey) -> dict[str, str]:
    """Where the pages of a key with a hostile name and user agent are."""
    columns = {"name": HOSTILE, "last_used_at": func.now(), "last_used_address": HOSTILE, "last_used_agent": HOSTILE}
    await api.rows.execute(update(credential).where(credential.c.id == by.credential_id).values(columns))
    return {"user_id": str(by.user_id), "credential_id": str(by.credential_id)}


async def hostile_team(api: Api) -> tuple[UUID, dict[str, str]]:
    """A team, and where the pages of its things are, which have hostile names."""
    team_id = await api.team(HOSTILE)
    body = {"add": 1, "reason": HOSTILE}
    refill = f"/api/v1/teams/{team_id}/credits/refill"
    assert (await api.client.post(refill, headers=api.admin.headers, json=body)).status_code == 200
    named = update(delivery_key).where(delivery_key.c.team_id == team_id).values(name=HOSTILE)
    key_id = await api.rows.fetch_value(named.returning(delivery_key.c.id))
    values = {"id": uuid4(), "team_id": team_id, "email": HOSTILE, "role": "member", "token_hash": b"0" * 32}
    values |= {"expires_at": func.now() + timedelta(days=1), "invited_by": api.admin.user_id}
    await api.rows.execute(insert(invitation).values(values))
    owner = await api.user(team_id)
    image_id = await hostile_image(api, owner)
    catalogue = await add_catalogue(api, owner, image_id, HOSTILE)
    first, second = [await testing.add_image(api.rows, team_id, filename=HOSTILE) for _ in range(2)]
    await testing.add_near_duplicate(api.rows, team_id, (first, second))
    return team_id, {"image_id": image_id, "delivery_key_id": str(key_id), **catalogue}


async def test_hostile_text_is_text_on_every_page(api: Api) -> None:
    team_id, of_team = await hostile_team(api)
    for role in (Role.ADMIN, Role.MEMBER):
        browser = Browser(api, headers={"User-Agent": HOSTILE})
        person = await api.person(name=HOSTILE, role=role, team_id=team_id if role is Role.MEMBER else None)
        await browser.sign_in(person)
        ids = await hostile_key(api, person) | of_team
        seen = {}
        for path, _ in PAGES:
            answer = await browser.get(url_of(path, ids))
            if answer.status_code == 200:
                assert_harmless(answer.text)
                seen[path] = answer.text.count("&lt;img src=x onerror=alert(1)&gt;")
        assert min(seen[f"/console{name}"] for name in ("", "/images", "/keys", "/sessions", "/usage")) > 2
        assert seen["/console/images/{image_id}"] > 10
        assert seen["/console/collections/{collection_id}"] > 2
        assert (
            min(
                seen["/console/links"],
                seen["/console/links/{link_id}/change"],
                seen["/console/trash"],
                seen["/console/duplicates"] if role is Role.MEMBER else 1,
                seen["/console/searches"],
            )
            > 0
        )
        assert seen["/console/users/{user_id}/keys/{credential_id}/rotate"] > 1
        if role is Role.ADMIN:
            of_the_team = await browser.get(f"/console/invitations?team_id={team_id}")
            assert_harmless(of_the_team.text)
            assert of_the_team.text.count("&lt;img src=x onerror=alert(1)&gt;") > 4
            assert min(seen["/console/people/{user_id}/remove"], seen["/console/teams"]) > 2
        # Members have no delivery keys and no webhooks by default.
        assert role is Role.MEMBER or seen["/console/webhook-deliveries/{delivery_id}"] > 0
        assert role is Role.MEMBER or seen["/console/webhooks/{webhook_id}"] > 0
        assert role is Role.MEMBER or seen["/console/delivery-keys/{delivery_key_id}/retire"] > 2


WITH_IDS = [each for each in PAGES + FORMS if "_id}" in each[0]]
# Valid for every form, so that none is refused before its thing is looked for.
FILLED_IN = {
    "name": "x", "title": "x", "version": "1", "filename": "x.png", "role": "viewer", "download": "none",
    "scopes": "images:read",
}  # fmt: skip


async def test_another_teams_thing_is_answered_like_what_is_not_there(api: Api) -> None:
    team_id, of_team = await hostile_team(api)
    owner = await api.person(team_id=team_id)
    theirs = {**of_team, "user_id": str(owner.user_id), "credential_id": str((await api.user(team_id)).credential_id)}
    person = await api.person(role=Role.MEMBER)
    await api.rows.execute(update(user).where(user.c.id == person.user_id).values(scopes=list(Scope)))
    browser = Browser(api)
    await browser.sign_in(person)
    await browser.get("/console")
    fields = {"csrf_token": browser.form("/console/sign-out")["csrf_token"], **FILLED_IN}
    for path, route in WITH_IDS:
        shown = []
        for ids in (theirs, {}):
            url = url_of(path, ids)
            answer = await (browser.get(url) if "GET" in (route.methods or ()) else browser.post(url, fields))
            kept = answer.text.replace(answer.headers["x-request-id"], "")
            shown.append((answer.status_code, re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", kept)))
        assert shown[0] == shown[1], path
        needs_the_role = path.startswith(("/console/people/", "/console/invitations/", "/console/dead-letters/"))
        assert shown[0][0] == (403 if needs_the_role else 404), path


async def test_what_is_sent_back_to_the_sign_in_page_is_text(api: Api) -> None:
    browser = Browser(api)
    await browser.get(f"/console/sign-in?next=/console/{HOSTILE.replace('#', '')}")
    assert_harmless(browser.page)
    await browser.submit("/console/sign-in", email=HOSTILE, password="x")
    assert_harmless(browser.page)
    assert browser.form("/console/sign-in")["email"] == HOSTILE


async def test_some_pages_exist_on_the_local_cloud_only(api: Api, make_api: MakeApi) -> None:
    assert "Buttons" in (await Browser(api).get("/console/_components")).text
    async with make_api() as in_the_cloud:
        browser = Browser(in_the_cloud)
        for path in ("/console/_components", "/console/sign-in/link"):
            assert (await browser.get(path)).status_code == 404
        assert (await browser.post("/console/sign-in/link", {"token": "x"})).status_code == 404
        issued = await in_the_cloud.client.post(ISSUE, headers=in_the_cloud.admin.headers)
        assert issued.status_code == 404


def test_a_form_that_nobody_reads_is_no_route() -> None:
    async def change() -> None:
        """Would never compare the CSRF token."""

    with pytest.raises(TypeError, match="FormDep"):
        PageRoute("/console/change", change, methods=["POST"])

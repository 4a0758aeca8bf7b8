"""What each role may open and send in the console, and that its pages offer nothing else."""

import re
from urllib.parse import urlsplit

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match

from image_api.actor import DEFAULT_SCOPES, Role
from image_api.openapi.operations import scope_alternatives
from image_core import testing

from ..conftest import Api
from .browser import Browser, tags_of
from .catalogue import add_catalogue
from .test_every_page import FORMS, OPEN, PAGES, ROUTES, url_of

# They end the session that the test goes on with.
ENDING = {"/console/sign-out", "/console/sessions", "/console/password"}
# What an operation refuses by role, whatever the scopes.
OF_ADMINS = re.compile(r"/console/(people/|invitations|teams)")


@pytest.fixture
async def api(local_api: Api) -> Api:
    return local_api


async def of_a_role(api: Api, role: Role) -> tuple[Browser, dict[str, str]]:
    """A browser that has signed in, and where the pages of its team's things are."""
    team_id = await api.team()
    owner = await api.user(team_id)
    image_id = str((await api.upload(owner))["id"])
    ids = {"image_id": image_id, **await add_catalogue(api, owner, image_id, "Fjord")}
    twins = [await testing.add_image(api.rows, team_id) for _ in range(2)]
    await testing.add_near_duplicate(api.rows, team_id, (twins[0], twins[1]))
    person = await api.person(role=role, team_id=None if role is Role.ADMIN else team_id)
    browser = Browser(api)
    await browser.sign_in(person)
    return browser, ids | {"user_id": str(person.user_id), "credential_id": str(person.credential_id)}


def route_of(path: str, method: str) -> APIRoute | None:
    scope = {"type": "http", "path": path, "method": method}
    return next((route for _, route in ROUTES if route.matches(scope)[0] is Match.FULL), None)


def may(route: APIRoute, role: Role) -> bool:
    return any(set(each) <= set(DEFAULT_SCOPES[role]) for each in scope_alternatives(route) or [[]])


def offered(page: str) -> tuple[set[str], set[str]]:
    """The addresses of the links of a page, and those of its forms that post."""
    links, forms = set(), set()
    for tag, attributes in tags_of(page):
        if tag == "a":
            links.add(attributes.get("href", ""))
        elif tag == "form" and attributes.get("method") == "post":
            forms.add(attributes["action"])
    return {each for each in links if each.startswith("/console")}, forms


@pytest.mark.parametrize("role", list(Role))
async def test_pages_offer_only_what_their_reader_may_do(api: Api, role: Role) -> None:
    browser, _ = await of_a_role(api, role)
    waiting, opened, forms = ["/console"], set[tuple[str, ...]](), set[str]()
    while waiting:
        url = waiting.pop()
        parts = urlsplit(url)
        route = route_of(parts.path, "GET")
        assert route, url
        # One address of each kind is enough.
        kind = (route.path, *sorted(re.findall(r"(?:^|&)([^=]+)=", parts.query)))
        if kind in opened:
            continue
        opened.add(kind)
        answer = await browser.get(url)
        assert answer.status_code in (200, 303), (url, answer.text)
        links, posts = offered(answer.text) if answer.status_code == 200 else ({answer.headers["location"]}, set())
        waiting += links
        forms |= {urlsplit(each).path for each in posts}
    assert len(opened) > 15
    assert len(forms) > 3 or role is Role.VIEWER
    for path in forms:
        route = route_of(path, "POST")
        assert route, path
        assert may(route, role), path


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_is_refused_exactly_what_it_may_not_do(api: Api, role: Role) -> None:
    browser, ids = await of_a_role(api, role)
    await browser.get("/console")
    token = browser.form("/console/sign-out")["csrf_token"]
    for path, route in PAGES:
        refused = not may(route, role) or (role is not Role.ADMIN and OF_ADMINS.match(path))
        answer = await browser.get(url_of(path, ids))
        assert (answer.status_code == 403) == bool(refused), (path, answer.status_code)
    for path, route in FORMS:
        if path in OPEN or any(path.startswith(each) for each in ENDING):
            continue
        refused = not may(route, role) or (role is not Role.ADMIN and OF_ADMINS.match(path))
        # Things that do not exist: a form that may be sent is sent without changing anything for the next one.
        answer = await browser.post(url_of(path), {"csrf_token": token})
        assert (answer.status_code == 403) == bool(refused), (path, answer.status_code)

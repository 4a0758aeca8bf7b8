"""Teams and their users on the console's pages, without script."""

import re

import pytest
from sqlalchemy import select

from image_api.actor import Role
from image_core.models import team, user

from ..conftest import Api
from .browser import Browser

TEAMS, PEOPLE = "/console/teams", "/console/people"


@pytest.fixture
async def admin(api: Api) -> Browser:
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    return browser


async def test_a_team_is_made_once_and_leads_to_its_people(api: Api, admin: Browser) -> None:
    await admin.get(f"{TEAMS}/new")
    form = admin.form(TEAMS) | {"name": "North"}
    places = [(await admin.post(TEAMS, form)).headers["location"] for _ in range(2)]
    (row,) = await api.rows.fetch(select(team).where(team.c.name == "North"))
    assert places == [f"{PEOPLE}?team_id={row['id']}"] * 2
    assert "Nobody belongs to the team yet" in (await admin.get(places[0])).text
    assert f"/console/images?team_id={row['id']}" in (await admin.get(TEAMS)).text


async def test_a_name_that_is_taken_is_refused_with_what_was_typed(api: Api, admin: Browser) -> None:
    await api.team("North")
    await admin.get(f"{TEAMS}/new")
    answer = await admin.submit(TEAMS, name="North")
    assert answer.status_code == 409
    assert "team-name-taken" in answer.text
    assert admin.form(TEAMS)["name"] == "North"


async def test_a_user_for_a_program_gets_a_key_that_is_shown_once(api: Api, admin: Browser) -> None:
    team_id = await api.team("North")
    address = f"{PEOPLE}?team_id={team_id}"
    await admin.get(f"{PEOPLE}/new?team_id={team_id}")
    form = admin.form(address) | {"name": "website", "role": "viewer", "email": "web@example.org"}
    form |= {"scopes": ["images:read", "usage:read"]}
    answer = await admin.post(address, form)
    (secret,) = re.findall(r'id="secret"[^>]*>(im_[^<]+)<', answer.text)
    who = (await api.client.get("/api/v1/whoami", headers={"X-API-KEY": secret})).json()
    assert (who["user_name"], who["role"], who["team_id"]) == ("website", "viewer", str(team_id))
    assert who["scopes"] == ["images:read", "usage:read"]
    assert secret not in (await admin.post(address, form)).text
    assert len(await api.rows.fetch(select(user.c.id).where(user.c.team_id == team_id))) == 1


async def test_members_make_neither(api: Api) -> None:
    browser, ada = Browser(api), await api.person()
    await browser.sign_in(ada)
    assert TEAMS not in (await browser.get("/console")).text
    token = browser.form("/console/sign-out")["csrf_token"]
    for path in (TEAMS, f"{TEAMS}/new", f"{PEOPLE}/new"):
        assert (await browser.get(path)).status_code == 403
    for path in (TEAMS, PEOPLE):
        assert (await browser.post(path, {"csrf_token": token, "name": "x"})).status_code == 403

"""Pages that a browser loads ahead: nobody has seen them, so that loading them changes nothing."""

import pytest
from sqlalchemy import text

from image_api.actor import Role
from image_core.models import metadata

from ..conftest import Api
from .browser import Browser
from .test_every_page import PAGES, hostile_team, url_of

AHEAD = {"Sec_Purpose": "prefetch", "Sec_Fetch_Site": "same-origin"}


@pytest.fixture
async def api(local_api: Api) -> Api:
    return local_api


async def everything(api: Api) -> dict[str, object]:
    """What stands in each table, as a number for each."""
    hashed = "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM \"{}\" t"
    return {name: await api.rows.fetch_value(text(hashed.format(name))) for name in metadata.tables}


async def test_no_page_of_the_console_changes_anything(api: Api) -> None:
    team_id, ids = await hostile_team(api)
    browser = Browser(api)
    person = await api.person(role=Role.ADMIN)
    await browser.sign_in(person)
    ids |= {"user_id": str(person.user_id), "credential_id": str(person.credential_id)}
    before = await everything(api)
    answers = {path: (await browser.get(f"{url_of(path, ids)}", **AHEAD)).status_code for path, _ in PAGES}
    assert list(answers.values()).count(200) > len(PAGES) * 0.6
    assert await everything(api) == before
    assert (await browser.get(f"/console/images?team_id={team_id}", **AHEAD)).status_code == 200
    assert await everything(api) == before


async def test_only_pages_of_somebody_who_has_signed_in_name_what_to_load_ahead(api: Api) -> None:
    browser = Browser(api)
    assert "speculation-rules" not in (await browser.get("/console/sign-in")).headers
    await browser.sign_in(await api.person(role=Role.ADMIN))
    address = (await browser.get("/console/images")).headers["speculation-rules"].strip('"')
    rules = await api.client.get(address)
    assert rules.headers["content-type"] == "application/speculationrules+json"
    assert [each["eagerness"] for each in rules.json()["prefetch"]] == ["moderate"]

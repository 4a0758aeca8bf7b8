"""What `/console/find` finds: pages, teams and images by name or id, within what the caller may see."""

import pytest

from image_api.actor import Role
from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api
from .browser import Browser, tags_of
from .test_every_page import HOSTILE, assert_harmless
from .test_images import signed_in, upload_some

FIND = "/console/find"


def found(page: str) -> dict[str, list[str]]:
    """Where what was found is, by kind."""
    links = [each for tag, each in tags_of(page) if tag == "a" and "data-found" in each]
    kinds = dict.fromkeys(each["data-found"] for each in links)
    return {kind: [each["href"] for each in links if each["data-found"] == kind] for kind in kinds}


async def find(browser: Browser, q: str) -> dict[str, list[str]]:
    return found((await browser.get(f"{FIND}?q={q}")).text)


async def test_images_are_found_by_name_and_id_in_the_callers_team_only(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    (_, own), (other,) = await upload_some(api, member, 2), await upload_some(api, stranger, 1)
    browser = await signed_in(api, member)
    assert await find(browser, "000") == {"image": [f"/console/images/{own}"]}
    assert await find(browser, own) == {"image": [f"/console/images/{own}"]}
    assert await find(browser, other) == {}
    narrow = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["keys:self"])
    assert await find(await signed_in(api, narrow), "000") == {}


@pytest.mark.parametrize("by", ["name", "id"])
async def test_teams_are_found_by_admins_only(api: Api, by: str) -> None:
    team_id = await api.team("100% Fjord")
    await api.team("1000 Fjords")
    q = "100%25 FJORD" if by == "name" else str(team_id)
    expected = {"team": [f"/console/images?team_id={team_id}"]}
    for role in Role:
        browser = Browser(api)
        await browser.sign_in(await api.person(role=role, team_id=None if role is Role.ADMIN else team_id))
        assert await find(browser, q) == (expected if role is Role.ADMIN else {})


async def test_pages_are_found_by_name_and_all_of_them_without_one(api: Api, member: UserWithKey) -> None:
    browser = await signed_in(api, member)
    assert await find(browser, "TRASH") == {"page": ["/console/trash"]}
    everything = found((await browser.get(FIND)).text)
    assert len(everything["page"]) > 5
    # Sessions are for people who signed in with a password.
    assert "/console/sessions" not in everything["page"]


async def test_what_was_looked_for_is_text(api: Api, member: UserWithKey) -> None:
    browser = await signed_in(api, member)
    for path in (f"{FIND}?q={HOSTILE.replace('#', '')}", f"{FIND}?q=%00"):
        assert_harmless((await browser.get(path)).text)

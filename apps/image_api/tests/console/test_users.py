"""Users of all teams, and the totals of teams, for admins."""

import re

from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api
from .catalogue import call
from .test_images import link, signed_in

USERS = "/console/users"


def names(page: str) -> list[str]:
    return re.findall(r'data-name="Name"><div>([^<]+?)\s*<', page)


async def test_admins_find_users_of_all_teams(api: Api, member: UserWithKey) -> None:
    teams = [await api.team(name) for name in ("North", "South")]
    for team_id, name in zip(teams, ("100% Ada", "Ada_b"), strict=True):
        await call(api, api.admin, "POST", f"/teams/{team_id}/users", name=name, role="member")
    browser = await signed_in(api, api.admin)
    assert (await browser.get("/console/people")).headers["location"] == USERS
    assert names((await browser.get(f"{USERS}?q=aDA")).text) == ["Ada_b", "100% Ada"]
    assert ">South</a>" in browser.page
    # No wildcards.
    assert names((await browser.get(f"{USERS}?q=%25+A")).text) == ["100% Ada"]
    assert names((await browser.get(f"{USERS}?q=a_b")).text) == ["Ada_b"]
    assert names((await browser.get(f"{USERS}?q={member.user_id}")).text) == ["Somebody"]
    assert "Nobody matches" in (await browser.get(f"{USERS}?q=nobody")).text
    page = await call(api, api.admin, "GET", "/users?q=ada&limit=1")
    assert [each["name"] for each in page["items"]] == ["Ada_b"]
    rest = await call(api, api.admin, "GET", f"/users?q=ada&limit=1&cursor={page['next_cursor']}")
    assert ([each["name"] for each in rest["items"]], rest["next_cursor"]) == (["100% Ada"], None)


async def test_pages_of_users_lead_on(api: Api) -> None:
    team_id = await api.team("North")
    for _ in range(51):
        await api.user(team_id)
    browser = await signed_in(api, api.admin)
    assert len(names((await browser.get(f"{USERS}?q=somebody")).text)) == 50
    assert names((await browser.get(link(browser.page, "next"))).text) == ["Somebody"]


async def test_only_admins_see_users_of_other_teams(api: Api, member: UserWithKey) -> None:
    browser = await signed_in(api, member)
    assert (await browser.get(USERS)).status_code == 403
    assert (await api.client.get("/api/v1/users", headers=member.headers)).status_code == 403


async def test_teams_show_what_they_store_their_users_and_credits(api: Api) -> None:
    team_id = await api.team("North")
    await api.user(team_id)
    await testing.add_image(api.rows, team_id)
    await call(api, api.admin, "PATCH", f"/teams/{team_id}", quota_images=40)
    browser = await signed_in(api, api.admin)
    row = (await browser.get("/console/teams")).text.partition("North")[2].partition("</tr>")[0]
    shown = " ".join(re.sub(r"<[^>]+>", " ", row).split())
    assert shown.startswith("1 of 40")
    assert re.search(r" B .*\b1 1,000 ", shown), shown

"""A team's settings, its removal and its credits on the console's pages, without script."""

from typing import Any

import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role, Scope
from image_core.billing import credits
from image_core.models import credit_entry, team, user
from image_core.testing import UserWithKey

from ..conftest import Api, Person
from .browser import Browser
from .catalogue import add_catalogue, call

SETTINGS, USAGE = "/console/settings", "/console/usage"
FORMS = (f"{SETTINGS}/change", f"{SETTINGS}/remove", f"{USAGE}/refill", f"{USAGE}/schedule")


@pytest.fixture
async def admin(api: Api) -> Browser:
    browser = Browser(api)
    await browser.sign_in(await api.person(role=Role.ADMIN))
    return browser


async def team_of(api: Api, by: UserWithKey) -> dict[str, Any]:
    return dict((await api.rows.fetch(select(team).where(team.c.id == by.team_id)))[0])


async def opened(browser: Browser, path: str) -> dict[str, str]:
    """The fields of the form on a page, which has no box ticked yet."""
    await browser.get(path)
    boxes = ("keep_location", "analyze_on_arrival")
    return {name: value for name, value in browser.form(path).items() if name not in boxes}


async def test_settings_are_changed_and_a_conflict_shows_both(api: Api, member: UserWithKey, admin: Browser) -> None:
    path = f"{FORMS[0]}?team_id={member.team_id}"
    form = await opened(admin, path)
    wanted = {"name": "North", "label_source": "own", "default_visibility": "public", "quota_bytes": "1.5 GiB"}
    sent = form | wanted | {"quota_images": "2,000", "analyze_on_arrival": "colors"}
    assert (await admin.post(path, sent)).headers["location"] == f"{SETTINGS}?team_id={member.team_id}&done=changed"
    row = await team_of(api, member)
    assert {name: row[name] for name in wanted} == wanted | {"quota_bytes": 3 * 2**29}
    assert (row["quota_images"], row["keep_location"], row["analyze_on_arrival"]) == (2000, False, ["colors"])
    refused = await admin.post(path, sent | {"name": "South", "quota_bytes": ""})
    assert refused.status_code == 412
    assert "North" in refused.text
    assert admin.form(path)["name"] == "South"
    assert (await admin.post(path, sent | admin.form(path) | {"quota_images": ""})).status_code == 303
    row = await team_of(api, member)
    assert [row[name] for name in ("name", "quota_bytes", "quota_images")] == ["South", None, None]


async def test_what_is_no_setting_is_said_beside_its_field(api: Api, member: UserWithKey, admin: Browser) -> None:
    path, before = f"{FORMS[0]}?team_id={member.team_id}", await team_of(api, member)
    sent = await opened(admin, path) | {"label_source": "own", "default_visibility": "private"}
    answer = await admin.post(path, sent | {"quota_bytes": "50 GB", "quota_images": "many", "name": " "})
    assert answer.status_code == 422
    for name in ("quota_bytes", "quota_images", "name"):
        assert f'id="{name}-mistake"' in answer.text
    assert admin.form(path)["quota_bytes"] == "50 GB"
    assert await team_of(api, member) == before


async def test_an_empty_team_is_removed_at_once(api: Api, admin: Browser) -> None:
    team_id = await api.team("Empty")
    path = f"{FORMS[1]}?team_id={team_id}"
    assert "neither users nor images" in (await admin.get(path)).text
    assert (await admin.submit(path)).headers["location"] == "/console/teams?done=removed"
    assert not await api.rows.fetch(select(team).where(team.c.id == team_id))


async def test_a_team_is_removed_with_what_it_has_only_by_its_name(
    api: Api, member: UserWithKey, admin: Browser
) -> None:
    image_id = str((await api.upload(member))["id"])
    await add_catalogue(api, member, image_id, "Fjord")
    await api.upload(await api.user())
    path, row = f"{FORMS[1]}?team_id={member.team_id}", await team_of(api, member)
    page = (await admin.get(path)).text
    assert all(each in page for each in ("2 images", "1 user and 1 usable key", "1 open share link"))
    for name, status, text in (("", 409, "team-not-empty"), (f"{row['name']}x", 422, "not the name")):
        refused = await admin.submit(path, name=name)
        assert refused.status_code == status
        assert text in refused.text
    changed = update(team).where(team.c.id == member.team_id).values(revision=team.c.revision + 1)
    await api.rows.execute(changed)
    assert (await admin.submit(path, name=row["name"])).status_code == 412
    assert (await team_of(api, member))["deleting_at"] is None
    location = (await admin.submit(path, name=row["name"])).headers["location"]
    assert location.startswith("/console/operations/")
    assert "Removal of a team" in (await admin.get(location)).text
    assert (await team_of(api, member))["deleting_at"] is not None
    assert (await api.client.get("/api/v1/images", headers=member.headers)).status_code == 401
    assert FORMS[0] not in (await admin.get(f"{SETTINGS}?team_id={member.team_id}")).text


async def balance_of(api: Api, by: UserWithKey) -> int:
    assert by.team_id is not None
    account = await credits.find_account(api.rows, by.team_id)
    assert account is not None
    return int(account["balance"])


async def test_credits_change_once_however_often_the_form_arrives(
    api: Api, member: UserWithKey, admin: Browser
) -> None:
    path, before = f"{FORMS[2]}?team_id={member.team_id}", await balance_of(api, member)
    await admin.get(path)
    sent = admin.form(path) | {"kind": "add", "amount": "1,500", "reason": "April"}
    for _ in range(2):
        assert (await admin.post(path, sent)).status_code == 303
    assert await balance_of(api, member) == before + 1500
    assert await api.rows.fetch_value(select(func.count()).where(credit_entry.c.reason == "April")) == 1
    for kind, amount, status in (("subtract", before + 1501, 409), ("add", "-1", 422), ("spend", "1", 422)):
        await admin.get(path)
        assert (await admin.submit(path, kind=kind, amount=str(amount))).status_code == status
    await admin.get(path)
    assert (await admin.submit(path, kind="set", amount="7")).status_code == 303
    assert await balance_of(api, member) == 7


async def test_a_refill_is_scheduled_and_stopped(api: Api, member: UserWithKey, admin: Browser) -> None:
    path = f"{FORMS[3]}?team_id={member.team_id}"
    await admin.get(path)
    refused = await admin.submit(path, period="month", mode="add", amount="")
    assert 'id="amount-mistake"' in refused.text
    await admin.submit(path, period="month", mode="add", amount="500", low_threshold="20")
    account = await call(api, member, "GET", "/credits")
    assert account["schedule"].items() >= {"amount": 500, "mode": "add", "period": "month"}.items()
    assert account["low_threshold"] == 20
    await admin.get(path)
    assert admin.form(path)["amount"] == "500"
    await admin.submit(path, period="", mode="set", low_threshold="")
    account = await call(api, member, "GET", "/credits")
    assert (account["schedule"], account["low_threshold"]) == (None, None)


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
async def test_others_read_their_own_teams_settings_and_change_none(api: Api, role: Role) -> None:
    ada, browser = await api.person(role=role), Browser(api)
    await browser.sign_in(ada)
    page = (await browser.get(SETTINGS)).text
    assert "Only admins change them" in page
    other = await api.team()
    assert (await browser.get(f"{SETTINGS}?team_id={other}")).status_code == 404
    assert not [path for path in FORMS if path in page + (await browser.get(USAGE)).text]
    # Nor with the scope, which is worth nothing without the role.
    for scopes in (None, list(Scope)):
        if scopes:
            await api.rows.execute(update(user).where(user.c.id == ada.user_id).values(scopes=scopes))
            api.forget_keys()
        before = await team_of(api, ada), await balance_of(api, ada)
        fields = {"csrf_token": browser.form("/console/sign-out")["csrf_token"], "name": before[0]["name"]}
        for path in FORMS:
            for team_id in (ada.team_id, other):
                assert (await browser.get(f"{path}?team_id={team_id}")).status_code == 403
                answer = await browser.post(f"{path}?team_id={team_id}", fields | {"kind": "set", "amount": "9"})
                assert answer.status_code == 403
        assert (await team_of(api, ada), await balance_of(api, ada)) == before


async def test_an_admin_names_the_team(api: Api, admin: Browser) -> None:
    team_id = await api.team("North")
    assert f'href="{SETTINGS}?team_id={team_id}"' in (await admin.get(SETTINGS)).text
    for path in FORMS:
        assert "Choose a team" in (await admin.get(path)).text


async def test_a_platform_admins_team_is_not_removed(api: Api, admin: Browser) -> None:
    owner: Person = await api.person(role=Role.ADMIN, team_id=await api.team("Platform"))
    path = f"{FORMS[1]}?team_id={owner.team_id}"
    await admin.get(path)
    refused = await admin.submit(path, name="Platform")
    assert refused.status_code == 409
    assert "platform admin belongs" in refused.text

"""Sessions, passwords, joining and resetting on the console's pages, without script."""

import pytest
from sqlalchemy import func, select

from image_api.actor import Role
from image_core.models import session, user
from image_core.testing import UserWithKey

from ..conftest import PASSWORD, Api, MakeApi, Person
from .browser import Browser

NEW = "another battery staple"


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person(name="Ada")


async def signed_in(api: Api, person: Person, password: str = PASSWORD) -> Browser:
    browser = Browser(api)
    assert (await browser.sign_in(person, password)).status_code == 303
    return browser


async def is_in(browser: Browser) -> bool:
    return (await browser.get("/console")).status_code == 200


class TestSessions:
    async def test_a_person_sees_its_sessions_and_ends_another_one(self, api: Api, ada: Person) -> None:
        here, there = await signed_in(api, ada), await signed_in(api, ada)
        await (by_key := Browser(api)).sign_in_by_key(ada.api_key)
        there_id = there.cookie.partition("=")[2].partition(".")[0]
        page = (await here.get("/console/sessions")).text
        assert page.count("this session") == 1
        assert ada.api_key.rpartition("_")[0] in page
        answer = await here.submit(f"/console/sessions/{there_id}/end")
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sessions")
        assert [await is_in(each) for each in (here, there, by_key)] == [True, False, True]

    async def test_nobody_ends_a_session_of_somebody_else(self, api: Api, ada: Person) -> None:
        here, other = await signed_in(api, ada), await signed_in(api, await api.person(role=Role.ADMIN))
        foreign_id = here.cookie.partition("=")[2].partition(".")[0]
        await other.get("/console")
        token = other.form("/console/sign-out")["csrf_token"]
        answer = await other.post(f"/console/sessions/{foreign_id}/end", {"csrf_token": token})
        assert answer.status_code == 404
        assert await is_in(here)

    async def test_a_person_signs_out_everywhere(self, api: Api, ada: Person) -> None:
        here, there = await signed_in(api, ada), await signed_in(api, ada)
        await here.get("/console/sessions")
        answer = await here.submit("/console/sessions/end-all")
        assert (answer.headers["location"], here.cookie) == ("/console/sign-in", "")
        assert not await is_in(there)

    async def test_a_session_by_key_has_neither_page(self, api: Api, member: UserWithKey) -> None:
        browser = Browser(api)
        await browser.sign_in_by_key(member.api_key)
        home = (await browser.get("/console")).text
        for path in ("/console/sessions", "/console/password"):
            assert path not in home
            assert (await browser.get(path)).status_code == 403
        token = browser.form("/console/sign-out")["csrf_token"]
        for path in ("/console/sessions/end-all", "/console/password"):
            assert (await browser.post(path, {"csrf_token": token})).status_code == 403


class TestPassword:
    async def test_a_new_one_ends_the_other_sessions(self, api: Api, ada: Person) -> None:
        here, there = await signed_in(api, ada), await signed_in(api, ada)
        await here.get("/console/password")
        answer = await here.submit("/console/password", current_password=PASSWORD, password=NEW)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/password?changed=1")
        assert "The password is changed" in (await here.get("/console/password?changed=1")).text
        assert not await is_in(there)
        assert await is_in(await signed_in(api, ada, NEW))

    @pytest.mark.parametrize(
        ("current", "new", "status", "said"),
        [("not the password", NEW, 401, "sign-in-failed"), (PASSWORD, "short", 422, 'aria-invalid="true"')],
    )
    async def test_what_is_refused_says_why_and_repeats_no_password(
        self, api: Api, ada: Person, current: str, new: str, status: int, said: str
    ) -> None:
        here = await signed_in(api, ada)
        await here.get("/console/password")
        answer = await here.submit("/console/password", current_password=current, password=new)
        assert answer.status_code == status
        assert said in answer.text
        form = here.form("/console/password")
        assert (form["current_password"], form["password"]) == ("", "")
        assert await is_in(await signed_in(api, ada))


class TestJoin:
    async def invited(self, api: Api, email: str) -> str:
        path = f"/api/v1/teams/{await api.team('North')}/invitations"
        answer = await api.client.post(path, headers=api.admin.headers, json={"email": email})
        return str(answer.json()["token"])

    async def test_an_invitation_makes_an_account_and_signs_it_in(self, api: Api) -> None:
        token, browser = await self.invited(api, "bea@example.org"), Browser(api)
        await browser.get("/console/join")
        fields = {"token": f" {token} ", "email": "bea@example.org", "name": "Bea", "password": PASSWORD}
        answer = await browser.submit("/console/join", **fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
        page = (await browser.get("/console")).text
        assert "Bea" in page
        assert "North" in page
        again = Browser(api)
        await again.get("/console/join")
        answer = await again.submit("/console/join", **fields)
        assert answer.status_code == 404
        assert "invitation-not-found" in answer.text
        kept = {name: value for name, value in again.form("/console/join").items() if name != "password"}
        assert kept == {name: value for name, value in fields.items() if name != "password"}
        assert again.form("/console/join")["password"] == ""

    async def test_without_an_invitation_nobody_joins(self, api: Api) -> None:
        browser = Browser(api)
        before = await api.rows.fetch_value(select(func.count()).select_from(user))
        await browser.get("/console/join")
        answer = await browser.submit("/console/join", email="bea@example.org", name="Bea", password=PASSWORD)
        assert answer.status_code == 403
        assert await api.rows.fetch_value(select(func.count()).select_from(user)) == before

    async def test_where_registration_is_open_it_does_not_take_over_an_account(
        self, make_api: MakeApi, api: Api, ada: Person
    ) -> None:
        async with make_api(open_registration_team_id=await api.team()) as opened:
            browser = Browser(opened)
            await browser.get("/console/join")
            answer = await browser.submit("/console/join", email=ada.email, name="Eve", password=NEW)
            assert (answer.headers["location"], browser.cookie) == ("/console/sign-in", "")
            answer = await browser.submit("/console/join", email="eve@example.org", name="Eve", password=NEW)
            assert answer.headers["location"] == "/console"
            assert "Eve" in (await browser.get("/console")).text


async def test_a_reset_sets_the_password_and_ends_all_sessions(api: Api, ada: Person) -> None:
    here, browser = await signed_in(api, ada), Browser(api)
    issued = await api.client.post(f"/api/v1/users/{ada.user_id}/password-reset", headers=api.admin.headers)
    await browser.get("/console/reset")
    answer = await browser.submit("/console/reset", token=issued.json()["token"], password="short")
    assert answer.status_code == 422
    answer = await browser.submit("/console/reset", password=NEW)
    assert answer.headers["location"] == "/console/sign-in?password=set"
    assert "The password is set" in (await browser.get("/console/sign-in?password=set")).text
    assert not await is_in(here)
    assert await is_in(await signed_in(api, ada, NEW))
    await browser.get("/console/reset")
    answer = await browser.submit("/console/reset", token=issued.json()["token"], password=NEW)
    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/console/join", "/console/reset"])
async def test_another_site_posts_neither(api: Api, path: str) -> None:
    answer = await Browser(api).post(path, {"token": "x"}, Sec_Fetch_Site="same-site")
    assert answer.status_code == 403
    assert "cross-site-request" in answer.text
    assert await api.rows.fetch_value(select(func.count()).select_from(session)) == 0

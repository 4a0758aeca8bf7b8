"""Signing in and out on the console's pages, without script."""

from typing import Any

import pytest
from sqlalchemy import select

from image_api.console.places import local_path, named_host
from image_core.models import session
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi, Person
from .browser import Browser


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api)


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person(name="Ada")


async def test_a_person_signs_in_sees_who_it_is_and_signs_out(browser: Browser, ada: Person) -> None:
    answer = await browser.sign_in(ada)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    home = await browser.get("/console")
    assert home.status_code == 200
    assert "Ada" in home.text
    assert str(ada.user_id) in home.text
    cookie = browser.cookie
    out = await browser.submit("/console/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, "/console/sign-in")
    assert out.headers["clear-site-data"] == '"cache", "storage", "prefetchCache", "prerenderCache"'
    browser.cookie = cookie
    assert (await browser.get("/console")).headers["location"] == "/console/sign-in"


async def test_a_key_signs_in_for_a_session_that_says_so(browser: Browser, member: UserWithKey) -> None:
    assert (await browser.sign_in_by_key(f" {member.api_key} ")).status_code == 303
    home = await browser.get("/console")
    assert member.api_key.rpartition("_")[0] in home.text
    assert member.api_key not in home.text


@pytest.mark.parametrize("way", ["person", "key"])
async def test_who_is_refused_learns_why_and_loses_no_input(browser: Browser, ada: Person, way: str) -> None:
    if way == "person":
        answer = await browser.sign_in(ada, "not the password")
        assert browser.form("/console/sign-in") == {"next": "/console", "email": ada.email, "password": ""}
        assert "sign-in-failed" in answer.text
    else:
        answer = await browser.sign_in_by_key("im_00000000_nonsense")
        assert browser.form("/console/sign-in/key") == {"next": "/console", "api_key": ""}
        assert "api-key-invalid" in answer.text
        assert "nonsense" not in answer.text
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_attempts_count_against_the_limits_of_the_api(make_api: MakeApi) -> None:
    async with make_api(sign_in_limit_per_minute=2, bad_key_limit_per_minute=30) as api:
        browser = Browser(api)
        answers = [await browser.sign_in_by_key("im_00000000_nonsense") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert int(answers[-1].headers["retry-after"]) > 0


async def test_wrong_keys_count_as_such(make_api: MakeApi) -> None:
    async with make_api(bad_key_limit_per_minute=2) as api:
        browser = Browser(api)
        for _ in range(3):
            answer = await browser.sign_in_by_key("im_00000000_nonsense")
        assert answer.status_code == 429


async def test_a_session_that_the_browser_already_had_is_not_taken_over(
    api: Api, browser: Browser, ada: Person, member: UserWithKey
) -> None:
    await browser.sign_in_by_key(member.api_key)
    planted = browser.cookie
    await browser.sign_in(ada)
    assert browser.cookie != planted
    assert "Ada" in (await browser.get("/console")).text
    rows = await api.rows.fetch(select(session.c.user_id))
    assert {row["user_id"] for row in rows} == {ada.user_id, member.user_id}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "", "Origin": "null"},
        {"Sec_Fetch_Site": "", "Origin": ""},
    ],
)
@pytest.mark.parametrize("path", ["/console/sign-in", "/console/sign-in/key"])
async def test_only_our_own_page_signs_in(browser: Browser, ada: Person, path: str, headers: dict[str, str]) -> None:
    fields = {"email": ada.email, "password": "correct horse battery", "api_key": ada.api_key}
    answer = await browser.post(path, fields, **headers)
    assert answer.status_code == 403
    assert "cross-site-request" in answer.text
    assert "set-cookie" not in answer.headers
    older = {"Sec_Fetch_Site": "", "Origin": "http://api"}
    assert (await browser.post(path, fields, **older)).status_code == 303


class TestWayBack:
    async def test_signing_in_leads_back_to_the_page_that_was_asked_for(self, api: Api, browser: Browser) -> None:
        asked = f"/console?team_id={await api.team()}"
        answer = await browser.get(asked)
        assert answer.status_code == 303
        await browser.get(answer.headers["location"])
        back = await browser.submit("/console/sign-in/key", api_key=api.admin.api_key)
        assert back.headers["location"] == asked

    @pytest.mark.parametrize(
        "address",
        [
            "https://evil.example/console", "//evil.example/console", "/\\evil.example", "/console/../../evil",
            "/console/..//evil.example", "javascript:alert(1)", "/console\n//evil.example", "/consoles", "/docs",
            "/console/%2e%2e/evil", "http://[", "/console//evil.example", "\t//evil.example", "/console@evil.example",
        ],
    )  # fmt: skip
    async def test_it_leads_nowhere_else(self, browser: Browser, member: UserWithKey, address: str) -> None:
        assert local_path(address) == "/console"
        await browser.get("/console/sign-in")
        answer = await browser.submit("/console/sign-in/key", api_key=member.api_key, next=address)
        assert answer.headers["location"] == "/console"

    def test_a_query_is_built_anew(self) -> None:
        assert local_path("/console?a=1&b=%0d%0ax#there") == "/console?a=1&b=%0D%0Ax"

    async def test_a_navigation_from_another_site_is_repeated_once_before_it_asks_to_sign_in(
        self, browser: Browser, ada: Person
    ) -> None:
        await browser.sign_in(ada)
        cookie, browser.cookie = browser.cookie, ""
        first = await browser.get("/console?cursor=x", Sec_Fetch_Site="cross-site")
        assert first.status_code == 200
        assert 'content="0; url=/console?cursor=x&amp;again=1"' in first.text
        again = await browser.get("/console?cursor=x&again=1", Sec_Fetch_Site="cross-site")
        assert (again.status_code, again.headers["location"]) == (
            303, "/console/sign-in?next=%2Fconsole%3Fcursor%3Dx"
        )  # fmt: skip
        browser.cookie = cookie
        assert (await browser.get("/console?again=1", Sec_Fetch_Site="same-origin")).status_code == 200
        # Another port of the same host is the same site, so its links bring the cookie.
        from_port = await browser.get("/console", Sec_Fetch_Site="same-site")
        assert "again=1" in from_port.text
        assert "Ada" not in from_port.text

    @pytest.mark.parametrize(
        ("host", "base_url", "expected"),
        [
            ("localhost:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", None),
            ("localhost:9090", "http://127.0.0.1:8080", None),
            ("evil.example:8080", "http://127.0.0.1:8080", None),
            ("localhost", "https://images.example", None),
            ("localhost:x", "http://127.0.0.1:8080", None),
            ("localhost", "", None),
        ],
    )
    def test_other_names_of_this_machine_lead_to_the_one_with_the_cookie(
        self, host: str, base_url: str, expected: str | None
    ) -> None:
        assert named_host(host, base_url) == expected

    async def test_a_browser_at_another_name_of_this_machine_is_sent_on(self, make_api: MakeApi) -> None:
        async with make_api(public_base_url="http://127.0.0.1:8080") as api:
            answer = await Browser(api).get("/console/sign-in?next=/console", Host="localhost:8080")
            assert answer.status_code == 307
            assert answer.headers["location"] == "http://127.0.0.1:8080/console/sign-in?next=/console"

    async def test_browsers_come_from_the_root_and_from_admin(self, browser: Browser) -> None:
        for path, place in (("/", "/console"), ("/admin", "/console/submissions")):
            answer = await browser.get(path)
            assert answer.headers["location"] == place
        assert (await browser.get("/", Accept="application/json")).json()["service"] == "image-manager"


async def test_admins_choose_a_team_that_stays_in_the_addresses(api: Api, browser: Browser) -> None:
    north = await api.team("North")
    await api.team("South")
    await browser.sign_in_by_key(api.admin.api_key)
    home: Any = await browser.get("/console")
    assert "North" in home.text
    assert "South" in home.text
    chosen = await browser.get(f"/console?team_id={north}")
    assert "<h1>North</h1>" in chosen.text
    assert f'href="/console?team_id={north}" aria-current="page"' in chosen.text


async def test_members_see_no_other_team(api: Api, browser: Browser, ada: Person) -> None:
    other = await api.team("Other")
    await browser.sign_in(ada)
    assert "Other" not in (await browser.get("/console")).text
    answer = await browser.get(f"/console?team_id={other}")
    assert answer.status_code == 404
    assert "Other" not in answer.text

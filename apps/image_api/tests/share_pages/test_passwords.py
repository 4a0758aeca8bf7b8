"""Passwords of share links: what is hidden behind them, the cookie that opens, and guesses."""

from collections.abc import AsyncIterator
from datetime import timedelta
from http.cookies import SimpleCookie

import httpx2
import pytest
from sqlalchemy import select, update

from image_api.share_pages import cookies
from image_core.delivery.encoding import image_text
from image_core.keys import master_secrets
from image_core.models import sign_in_delay
from image_core.testing import UserWithKey

from ..conftest import DELIVERY, Api, MakeApi
from .conftest import PASSWORD, Link, Page, add_images, add_link

WRONG = "the boat is blue"
NAME = "__Secure-im_link"
MASTER = master_secrets.from_text(DELIVERY["delivery_master"])


@pytest.fixture
async def behind_proxy(make_api: MakeApi, api: Api) -> AsyncIterator[Api]:
    """Visitors come from many addresses here."""
    async with make_api(trusted_proxy_depth=1) as made:
        yield made


@pytest.fixture
async def locked(behind_proxy: Api) -> Link:
    member = await behind_proxy.user()
    ids = await add_images(behind_proxy, member, 2)
    return await add_link(behind_proxy, member, ids, title="Sommer", password=PASSWORD)


def cookie_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 303, answer.text
    return f"{NAME}={SimpleCookie(answer.headers['set-cookie'])[NAME].value}"


async def test_without_the_password_nothing_of_the_link_is_shown(locked: Link) -> None:
    for path in ("", f"/{image_text(locked.image_ids[0])}", "/x"):
        answer = await locked.get(path)
        page = Page(answer)
        assert answer.status_code == 200
        assert page.all("input", name="password")
        assert page.all("form")[0]["action"] == locked.path
        assert (page.og, page.all("img"), "Sommer" in answer.text, "2" in page.text) == ({}, [], False, False)
        assert "pictures.test" not in answer.text
        assert "form-action 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


async def test_the_password_opens_this_link_for_an_hour(locked: Link) -> None:
    answer = await locked.enter(PASSWORD, origin="https://elsewhere.example")
    assert (answer.headers["location"], answer.headers["cache-control"]) == (locked.path, "no-store")
    morsel = SimpleCookie(answer.headers["set-cookie"])[NAME]
    assert (morsel["path"], morsel["max-age"], morsel["samesite"]) == (locked.path, "3600", "lax")
    assert morsel["httponly"]
    assert morsel["secure"]
    cookie = cookie_of(answer)
    for path in ("", f"/{image_text(locked.image_ids[0])}"):
        assert Page(await locked.get(path, cookie=cookie)).pictures


async def test_over_plain_http_the_cookie_is_not_marked_as_secure(make_api: MakeApi, api: Api) -> None:
    async with make_api(public_base_url="http://laptop:8080") as made:
        link = await add_link(made, await made.user(), [], password=PASSWORD)
        morsel = SimpleCookie((await link.enter(PASSWORD)).headers["set-cookie"])["im_link"]
        assert not morsel["secure"]
        assert "no pictures here" in Page(await link.get(cookie=f"im_link={morsel.value}")).text


async def test_a_cookie_ends_with_its_hour_its_password_and_its_link(locked: Link) -> None:
    api, row = locked.api, await locked.row()
    valid = cookie_of(await locked.enter(PASSWORD))
    value = valid.partition("=")[2]
    expiry, signature = value.split(".")
    other = await add_link(api, await api.user(), [], password_hash=row["password_hash"])
    forged = [
        f"{int(expiry) + 1}.{signature}", f"{expiry}.{signature[::-1]}", f"{expiry}.", "", "x",
        cookies.issue(MASTER, row, int(expiry) - 2 * cookies.LIFE_SECONDS),
        cookies.issue(bytes(32), row, int(expiry)),
        cookies.issue(MASTER, await other.row(), int(expiry)),
    ]  # fmt: skip
    for each in forged:
        assert Page(await locked.get(cookie=f"{NAME}={each}")).all("form"), each
    assert not Page(await locked.get(cookie=valid)).all("form")
    assert Page(await other.get(cookie=valid)).all("form")
    await locked.change(password_hash=await api.services.passwords.hash(PASSWORD))
    assert Page(await locked.get(cookie=valid)).all("form")


async def test_a_wrong_password_asks_again(locked: Link) -> None:
    answer = await locked.enter(WRONG)
    page = Page(answer)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "This is not the password." in page.text
    assert page.all("input", name="password")[0]["aria-invalid"] == "true"
    assert "Sommer" not in answer.text


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"\xff\x00=&&&", "application/x-www-form-urlencoded"),
        (b"a=1&" * 100, "application/x-www-form-urlencoded"),
        (b'{"password": "the boat is red"}', "application/json"),
    ],
)
async def test_other_forms_hold_no_password(locked: Link, content: bytes, content_type: str) -> None:
    answer = await locked.api.client.post(locked.path, content=content, headers={"content-type": content_type})
    assert answer.status_code == 403


async def test_forms_are_small(locked: Link) -> None:
    assert (await locked.enter("x" * 5000)).status_code == 413


async def test_a_link_without_a_password_shows_itself(link: Link) -> None:
    answer = await link.enter("whatever")
    assert (answer.status_code, answer.headers["location"]) == (303, link.path)
    assert "set-cookie" not in answer.headers


class TestGuesses:
    async def test_from_one_address_five_are_free(self, locked: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [(await locked.enter(WRONG)).status_code for _ in range(6)] == [403] * 5 + [429]
        monkeypatch.setattr(locked.api.services.passwords, "_verify", None)
        answer = await locked.enter(PASSWORD)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert "Too many wrong passwords. Try again in 1 second." in Page(answer).text

    async def test_whoever_is_in_stays_in(self, locked: Link) -> None:
        cookie = cookie_of(await locked.enter(PASSWORD))
        for _ in range(6):
            await locked.enter(WRONG)
        assert Page(await locked.get(cookie=cookie)).pictures
        assert (await locked.enter(WRONG, cookie=cookie)).status_code == 303

    async def test_from_everywhere_twenty_are_free_and_the_wait_is_a_minute_at_most(self, locked: Link) -> None:
        addresses = [f"198.51.100.{n}" for n in range(30)]
        answers = [await locked.enter(WRONG, address) for address in addresses[:21]]
        assert [answer.status_code for answer in answers] == [403] * 20 + [429]
        waits = []
        for address in addresses[21:]:
            step = timedelta(seconds=61)
            await locked.api.rows.execute(
                update(sign_in_delay).values(blocked_until=sign_in_delay.c.blocked_until - step)
            )
            assert (await locked.enter(WRONG, address)).status_code == 403
            waits.append(int((await locked.enter(WRONG, "203.0.113.1")).headers["retry-after"]))
        assert waits[0] < waits[-1] == 60

    async def test_one_address_has_twenty_for_all_links(self, locked: Link) -> None:
        api = locked.api
        owner = await api.user()
        links = [await add_link(api, owner, [], password=PASSWORD) for _ in range(5)]
        answers = [await each.enter(WRONG) for each in links for _ in range(4)]
        assert {answer.status_code for answer in answers} == {403}
        assert (await locked.enter(PASSWORD)).status_code == 429
        assert (await locked.enter(PASSWORD, "203.0.113.1")).status_code == 303

    async def test_the_right_password_is_no_failure(self, locked: Link) -> None:
        for _ in range(4):
            await locked.enter(WRONG)
        for _ in range(3):
            assert (await locked.enter(PASSWORD)).status_code == 303
        failures = await locked.api.rows.fetch(select(sign_in_delay.c.failures))
        # Those of the address, and of the link from everywhere; those of both together are forgotten.
        assert [row["failures"] for row in failures] == [4, 4]

    async def test_more_than_two_at_once_are_sent_away_uncounted(self, locked: Link) -> None:
        passwords = locked.api.services.passwords
        with passwords.place_of_visitor(), passwords.place_of_visitor():
            answer = await locked.enter(PASSWORD)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert Page(answer).all("form")
        assert await locked.api.rows.fetch(select(sign_in_delay)) == []
        assert (await locked.enter(PASSWORD)).status_code == 303

    async def test_while_too_many_sign_in_visitors_are_sent_away_uncounted(
        self, locked: Link, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locked.api.services.passwords, "_waiting", 32)
        assert (await locked.enter(PASSWORD)).status_code == 503
        assert await locked.api.rows.fetch(select(sign_in_delay)) == []

    async def test_a_visitor_does_not_delay_somebody_who_signs_in(self, locked: Link) -> None:
        person = await locked.api.person()
        for _ in range(6):
            await locked.enter(WRONG)
        assert (await locked.api.login(person.email, address="192.0.2.1")).status_code == 200


async def test_the_member_is_no_visitor(api: Api, member: UserWithKey) -> None:
    """A key opens the API, not the link."""
    link = await add_link(api, member, [], password=PASSWORD)
    answer = await api.client.get(link.path, headers=member.headers)
    assert Page(answer).all("form")

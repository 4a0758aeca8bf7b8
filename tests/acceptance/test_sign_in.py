"""A person of the running system: invited, signed in by token and by cookie, and out again."""

import asyncio
import time

import httpx2

from .conftest import PASSWORD, Client
from .test_life_of_an_image import photo

NEW_PASSWORD = "staple battery horse"


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def bearer(browser: httpx2.AsyncClient, email: str, password: str = PASSWORD) -> dict[str, str]:
    answer = await browser.post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def wait_until_over(browser: httpx2.AsyncClient, token: dict[str, str]) -> None:
    """Other instances of a deployment know that a session has ended within five seconds."""
    deadline = time.monotonic() + 10
    while (answer := await browser.get("/whoami", headers=token)).status_code == 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert code_of(answer) == (401, "session-ended")


async def test_a_token_opens_the_team_until_its_session_ends(
    member: Client, browser: httpx2.AsyncClient, email: str
) -> None:
    token = await bearer(browser, email)
    uploaded = await browser.post("/images", headers=token, files={"file": ("a.jpg", photo(), "image/jpeg")})
    assert uploaded.status_code == 201, uploaded.text
    await member.ask("GET", f"/images/{uploaded.json()['id']}", 200)

    renewed = (await browser.post("/auth/refresh", headers=token)).json()["access_token"]
    assert (await browser.post("/auth/logout", headers={"Authorization": f"Bearer {renewed}"})).status_code == 204
    await wait_until_over(browser, token)


async def test_a_cookie_opens_the_team_and_changes_nothing_without_its_csrf_token(
    browser: httpx2.AsyncClient, email: str
) -> None:
    signed_in = await browser.post("/auth/login", json={"email": email, "password": PASSWORD, "mode": "cookie"})
    csrf = {"X-CSRF-Token": signed_in.json()["csrf_token"]}
    assert (await browser.get("/whoami")).json()["user_name"] == "Ada"
    assert code_of(await browser.post("/auth/logout")) == (403, "csrf-token-invalid")
    assert (await browser.post("/auth/logout", headers=csrf)).status_code == 204
    assert not browser.cookies
    assert (await browser.get("/whoami")).status_code == 401


async def test_a_new_password_ends_the_sessions_elsewhere(browser: httpx2.AsyncClient, email: str) -> None:
    elsewhere, here = await bearer(browser, email), await bearer(browser, email)
    change = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert (await browser.post("/auth/password", headers=here, json=change)).status_code == 204
    await wait_until_over(browser, elsewhere)
    assert (await browser.get("/whoami", headers=here)).status_code == 200
    refused = await browser.post("/auth/login", json={"email": email, "password": PASSWORD})
    assert code_of(refused) == (401, "sign-in-failed")
    await bearer(browser, email, NEW_PASSWORD)

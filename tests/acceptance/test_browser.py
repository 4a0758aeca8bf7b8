"""The pages, and a session's cookie, in a real browser: what it shows, what it keeps, and what other sites get."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .conftest import PASSWORD, Client, RunningSystem, served

pytestmark = pytest.mark.chromium

ASK = """async ([method, path, body, headers]) => {
  const answer = await fetch("/api/v1" + path, {method, body: body && JSON.stringify(body),
    headers: {...(body && {"Content-Type": "application/json"}), ...headers}});
  const text = await answer.text();
  return [answer.status, text && JSON.parse(text)];
}"""


class Page:
    """A page with cookies of its own, and whatever went wrong on it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.on(
            "console", lambda line: self.complaints.append(line.text) if line.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._note)

    def _hear(self, line: Any) -> None:
        if line.type in ("error", "warning"):
            self.complaints.append(line.text)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.foreign.append(request.url)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """What a script of this page gets from the API."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, answer = await self.page.evaluate(ASK, [method, path, body, named])
        return status, answer

    async def sign_in(self, email: str) -> str:
        """Signs in by cookie on a page of the service, and gives the CSRF token."""
        await self.page.goto(f"{self.url}/docs")
        wish = {"email": email, "password": PASSWORD, "mode": "cookie"}
        status, session = await self.ask("POST", "/auth/login", wish)
        assert status == 200, session
        return str(session["csrf_token"])


@pytest.fixture
async def page(chromium: Any, system: RunningSystem) -> AsyncIterator[Page]:
    context = await chromium.new_context()
    yield Page(await context.new_page(), system.url)
    await context.close()


@pytest.mark.timeout(300)
async def test_the_docs_show_every_operation_and_try_one(page: Page, member: Client) -> None:
    shown = page.page
    await shown.goto(f"{page.url}/docs")
    operations = await shown.evaluate(
        "fetch('/openapi.json').then(a => a.json()).then(d => Object.values(d.paths).flatMap(Object.keys).length)"
    )
    await shown.locator(".opblock").first.wait_for()
    # The page holds only what is near the part that is shown: look at all of it, a screen at a time.
    seen: set[str] = set()
    while len(seen) < operations:
        seen |= set(await shown.evaluate("[...document.querySelectorAll('.opblock')].map(each => each.id)"))
        await shown.mouse.wheel(0, 500)
        await asyncio.sleep(0.05)
    assert len(seen) == operations

    await shown.locator("button.authorize").first.click()
    scheme = shown.locator(".auth-container", has_text="X-API-KEY")
    await scheme.locator("input").fill(member.api_key)
    await scheme.locator("button.authorize").click()
    await shown.locator(".btn-done").first.click()
    operation = shown.locator(".opblock", has=shown.locator('[data-path="/api/v1/whoami"]'))
    while not await operation.count():
        await shown.mouse.wheel(0, 500)
        await asyncio.sleep(0.05)
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response").first
    await answer.wait_for()
    assert await answer.locator(".response-col_status").inner_text() == "200"
    assert member.team_id in await answer.inner_text()
    assert (page.complaints, page.foreign) == ([], [])


async def test_an_error_leads_to_a_page_that_explains_it(page: Page) -> None:
    error = httpx2.get(f"{page.url}/api/v1/whoami", trust_env=False).json()
    await page.page.goto(page.url + error["type"])
    assert await page.page.locator("h1").inner_text() == error["code"] == "api-key-missing"
    assert await page.page.locator("p").count() >= 1
    assert (page.complaints, page.foreign) == ([], [])


async def test_a_session_works_on_our_pages_and_no_script_sees_its_cookie(page: Page, email: str) -> None:
    token = await page.sign_in(email)
    assert await page.page.evaluate("document.cookie") == ""
    (cookie,) = await page.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")

    status, person = await page.ask("GET", "/whoami")
    assert (status, person["role"]) == (200, "member")
    wish = {"name": "by a page"}
    path = f"/users/{person['user_id']}/credentials"
    status, refused = await page.ask("POST", path, wish)
    assert (status, refused["code"]) == (403, "csrf-token-invalid")
    status, _ = await page.ask("POST", path, wish, X_CSRF_Token=token)
    assert status == 201

    assert (await page.ask("POST", "/auth/logout", X_CSRF_Token=token))[0] == 204
    assert await page.page.context.cookies() == []
    assert (await page.ask("GET", "/whoami"))[0] == 401


@pytest.mark.parametrize(("host", "code"), [("127.0.0.1", "cross-site-request"), ("localhost", "api-key-missing")])
async def test_another_sites_page_cannot_use_the_session(
    page: Page, member: Client, email: str, host: str, code: str
) -> None:
    """Beside us on the same host it sends the cookie and is refused; from another site it has no cookie to send."""
    await page.sign_in(email)
    image = await member.upload(picture_with_a_script())
    of_image = f"{page.url}/api/v1/images/{image['id']}"
    html = f"""<img src="{of_image}/content"><form method="post" action="{page.url}/api/v1/auth/logout?all=true"></form>
        <script>
          window.done = (async () => {{
            await fetch("{of_image}", {{credentials: "include", mode: "no-cors"}}).catch(() => 0);
            try {{ return (await fetch("{page.url}/api/v1/whoami", {{credentials: "include"}})).status }}
            catch {{ return "not shown" }}
          }})();
        </script>"""
    with served(html.encode(), "text/html", host) as address:
        await page.page.goto(address)
        assert await page.page.evaluate("window.done") == "not shown"
        assert await page.page.evaluate("document.images[0].naturalWidth") == 0
        async with page.page.expect_navigation() as answered:
            await page.page.evaluate("document.forms[0].submit()")
    assert (await (await answered.value).json())["code"] == code
    await page.page.goto(f"{page.url}/docs")
    assert (await page.ask("GET", "/whoami"))[0] == 200


async def test_an_upload_is_shown_as_a_picture_whatever_it_says(page: Page, member: Client, email: str) -> None:
    image = await member.upload(picture_with_a_script(), name="page.html")
    await page.sign_in(email)
    for part in ("content", "derivatives/thumb"):
        answer = await page.page.goto(f"{page.url}/api/v1/images/{image['id']}/{part}")
        assert answer.status == 200
        assert (await page.page.evaluate("document.contentType")).startswith("image/")
        assert await page.page.evaluate("document.images[0].naturalWidth") > 0
        assert await page.page.evaluate("window.stolen") is None


def picture_with_a_script() -> bytes:
    made, text = BytesIO(), PngInfo()
    text.add_text("comment", "<html><script>window.stolen = 1</script></html>")
    Image.effect_noise((64, 48), 90).save(made, "PNG", pnginfo=text)
    return made.getvalue()

"""The console in a real browser: with and without script, by keyboard alone, on a phone and a desk, light and dark."""

import os
import subprocess
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from PIL import Image

from .chromium_page import sign_in, wait_until_true
from .conftest import PASSWORD, Client, RunningSystem
from .up_process import COMMAND

pytestmark = pytest.mark.chromium


class Visitor:
    """A page with cookies of its own, and whatever went wrong on it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, line: Any) -> None:
        if line.type in ("error", "warning"):
            self.complaints.append(line.text)

    async def type_into(self, name: str, text: str) -> None:
        """Go to a field by the Tab key, and type."""
        for _ in range(20):
            if await self.page.evaluate("document.activeElement?.name") == name:
                await self.page.keyboard.type(text)
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not reach {name}")

    async def press_button(self, text: str) -> None:
        for _ in range(20):
            await self.page.keyboard.press("Tab")
            if await self.page.evaluate("document.activeElement?.textContent?.trim()") == text:
                async with self.page.expect_navigation():
                    await self.page.keyboard.press("Enter")
                return
        raise AssertionError(f"the Tab key does not reach {text}")


@pytest.fixture(params=[True, False], ids=["with script", "without script"])
async def visitor(request: Any, chromium: Any, system: RunningSystem) -> AsyncIterator[Visitor]:
    # A transition that the next page interrupts would be a complaint.
    context = await chromium.new_context(java_script_enabled=request.param, reduced_motion="reduce")
    yield Visitor(await context.new_page(), system.url)
    await context.close()


async def test_by_keyboard_alone_somebody_signs_in_sees_home_and_signs_out(visitor: Visitor, email: str) -> None:
    page = visitor.page
    await page.goto(f"{visitor.url}/")
    assert page.url == f"{visitor.url}/console/sign-in"
    await visitor.type_into("email", email)
    await visitor.type_into("password", PASSWORD)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert page.url == f"{visitor.url}/console"
    assert await page.get_by_role("heading", name="Who am I").is_visible()
    assert await page.locator(".account .name").text_content() == "Ada"
    await visitor.press_button("Sign out")
    assert page.url == f"{visitor.url}/console/sign-in"
    await page.goto(f"{visitor.url}/console")
    assert page.url == f"{visitor.url}/console/sign-in"
    assert visitor.complaints == []


async def test_a_key_is_created_shown_once_and_revoked(visitor: Visitor, email: str) -> None:
    page = visitor.page
    await page.goto(f"{visitor.url}/console/sign-in?next=/console/keys")
    await visitor.type_into("email", email)
    await visitor.type_into("password", PASSWORD)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    assert await page.get_by_text("There is no active key").is_visible()
    await page.get_by_role("link", name="New key").click()
    await page.get_by_label("Name").fill("import")
    await page.get_by_label("images:read").check()
    await page.get_by_role("button", name="Create the key").click()
    secret = str(await page.get_by_role("group", name="API key").text_content())
    async with httpx2.AsyncClient(base_url=visitor.url, headers={"X-API-KEY": secret}) as program:
        assert (await program.get("/api/v1/whoami")).json()["scopes"] == ["images:read"]
    await page.reload()
    await page.get_by_role("heading", name="shown before").wait_for()
    assert secret not in await page.content()
    await page.get_by_role("link", name="Back to the list").click()
    await page.get_by_role("link", name="Revoke import").click()
    await page.get_by_role("button", name="Revoke the key").click()
    # A click does not wait for the page that it leads to.
    await page.get_by_text("There is no active key").wait_for()
    assert visitor.complaints == []


PAGES = (
    "",
    "/images",
    "/images/upload",
    "/collections",
    "/searches",
    "/links",
    "/trash",
    "/presets",
    "/new-preset",
    "/keys",
    "/people",
    "/usage",
    "/sessions",
    "/password",
    "/join",
    "/reset",
    "/sign-in",
    "/sign-in/link",
    "/_components",
    "/nowhere",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
async def test_pages_fit_the_screen_and_break_no_policy(
    chromium: Any, system: RunningSystem, email: str, scheme: str, width: int
) -> None:
    context = await chromium.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    visitor = Visitor(await context.new_page(), system.url)
    page = visitor.page
    await page.goto(f"{system.url}/console/sign-in")
    await page.get_by_role("textbox", name="E-mail address").fill(email)
    await page.get_by_role("textbox", name="Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{system.url}/console")
    for path in PAGES:
        await page.goto(f"{system.url}/console{path}")
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(wide), path
    assert [line for line in visitor.complaints if "404 (Not Found)" not in line] == []
    await context.close()


async def test_a_picture_is_found_and_opened(chromium: Any, system: RunningSystem, member: Client) -> None:
    content = BytesIO()
    Image.effect_noise((640, 480), 50).save(content, "JPEG")
    name = f"fjord {uuid4()}.jpg"
    await member.upload(content.getvalue(), name)
    context = await chromium.new_context(reduced_motion="reduce")
    visitor = Visitor(await context.new_page(), system.url)
    page = visitor.page
    await sign_in(page, system.url, member.api_key)
    await page.get_by_role("searchbox", name="Names, texts and tags").fill("fjord")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{system.url}/console/images?q=fjord")
    is_shown = (
        "(name) => { const found = document.querySelector(`img[alt='${name}']`); return found?.naturalWidth > 0 }"
    )
    await wait_until_true(page, is_shown, name)
    await page.get_by_role("link", name=name).click()
    await page.get_by_role("heading", name=name).wait_for()
    await wait_until_true(page, is_shown, name)
    assert visitor.complaints == []
    await context.close()


async def test_an_invitation_is_read_from_the_fragment_of_its_address(
    chromium: Any, system: RunningSystem, admin: Client, member: Client
) -> None:
    email = f"bea-{uuid4()}@example.org"
    invitation = await admin.ask("POST", f"/teams/{member.team_id}/invitations", 201, json={"email": email})
    context = await chromium.new_context(reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{system.url}/console/join#{invitation['token']}")
    await page.get_by_label("E-mail address").fill(email)
    assert page.url == f"{system.url}/console/join"
    await page.get_by_label("Your name").fill("Bea")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{system.url}/console")
    assert await page.locator(".account .name").text_content() == "Bea"
    await context.close()


async def test_a_link_on_another_site_leads_to_the_page_and_not_to_signing_in(
    chromium: Any, system: RunningSystem, member: Client
) -> None:
    context = await chromium.new_context()
    page = await context.new_page()
    await sign_in(page, system.url, member.api_key, "/console")
    # A page of another site: the browser sends no cookie of ours with its links.
    await page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(content_type="text/html", body=f'<a href="{system.url}/console">there</a>'),
    )
    await page.goto("http://elsewhere.example/")
    await page.get_by_text("there").click()
    await page.get_by_role("heading", name="Who am I").wait_for()
    await context.close()


def printed_link(data_dir: Path) -> str:
    """What the command prints last. The browser that it opens does nothing."""
    done = subprocess.run(
        [COMMAND, "open", "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "BROWSER": "true"},
    )
    return done.stdout.split()[-1]


async def test_the_command_open_prints_a_link_that_signs_in_once(chromium: Any, system: RunningSystem) -> None:
    if system.data_dir is None:
        pytest.skip("a deployment has no such links")
    link = printed_link(system.data_dir)
    assert link.startswith(f"{system.url}/console/sign-in/link#")
    context = await chromium.new_context(reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(link)
    await page.wait_for_url(f"{system.url}/console")
    assert await page.get_by_role("heading", name="All teams").is_visible()
    second = await (await chromium.new_context(reduced_motion="reduce")).new_page()
    await second.goto(link)
    await second.get_by_role("alert").wait_for()
    assert "image-manager open" in await second.get_by_role("alert").text_content()
    # The token is not in the address, where a photograph of the screen would show it.
    assert "#" not in second.url
    await second.context.close()
    await context.close()

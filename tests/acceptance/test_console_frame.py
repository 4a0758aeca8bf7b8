"""What the frame of the console adds by script: the palette, the keys, and what becomes of pages that wait."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from .conftest import Client, RunningSystem

pytestmark = pytest.mark.chromium

FOCUSED = "document.activeElement.getAttribute('name')"


def picture(color: str) -> bytes:
    content = BytesIO()
    Image.new("RGB", (40, 30), color).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
async def image(member: Client) -> dict[str, Any]:
    return await member.upload(picture("teal"), "quay.png")


@pytest.fixture
async def page(chromium: Any, system: RunningSystem, member: Client) -> AsyncIterator[Any]:
    """The list of the member's images."""
    context = await chromium.new_context(reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{system.url}/console/sign-in?next=/console/images")
    await page.get_by_label("API key", exact=True).fill(member.api_key)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{system.url}/console/images")
    yield page
    await context.close()


async def faults(page: Any) -> list[str]:
    from axe_playwright_python.base import AXE_SCRIPT

    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")
    return [f"{each['id']} at {[node['target'] for node in each['nodes']]}" for each in found["violations"]]


@pytest.mark.parametrize("way", ["Control+k", "Meta+k", "button"])
async def test_the_palette_opens_what_it_finds_by_keyboard_alone(
    page: Any, system: RunningSystem, image: dict[str, Any], way: str
) -> None:
    await (page.locator("[data-palette]").click() if way == "button" else page.keyboard.press(way))
    palette = page.get_by_role("dialog", name="Find")
    options = palette.get_by_role("option")
    await palette.get_by_role("option", name="Collections").wait_for()
    await page.keyboard.type("quay")
    await palette.get_by_role("option", name="quay.png").wait_for()
    assert await options.count() == 1
    assert await faults(page) == []
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{system.url}/console/images/{image['id']}")


async def test_the_palette_moves_by_arrows_and_closes_by_escape(page: Any) -> None:
    await page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Find")
    chosen = palette.get_by_role("option", selected=True)
    await chosen.wait_for()
    first = await chosen.text_content()
    await page.keyboard.press("ArrowDown")
    assert await chosen.text_content() != first
    named = await palette.get_by_role("combobox").get_attribute("aria-activedescendant")
    assert named == await chosen.get_attribute("id")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowUp")
    assert await chosen.text_content() == await palette.get_by_role("option").last.text_content()
    await page.keyboard.press("Escape")
    assert await palette.is_hidden()


async def test_single_keys_act_in_the_grid_only_and_can_be_switched_off(page: Any, image: dict[str, Any]) -> None:
    await page.reload()
    # As its script does, which is to have the focus in it.
    await page.evaluate("document.querySelector('ul.grid').dataset.imageGrid = ''")
    await page.evaluate("heard = []; addEventListener('keydown', event => heard.push(event.key))")
    link, keys = page.get_by_role("link", name="quay.png"), page.get_by_role("dialog", name="Keyboard")
    await page.get_by_role("link", name="Upload").focus()
    await page.keyboard.press("?")
    assert await keys.is_hidden()
    await link.focus()
    await page.keyboard.press("Alt+/")
    assert await page.evaluate(FOCUSED) is None
    await page.keyboard.press("/")
    assert await page.evaluate(FOCUSED) == "q"
    await page.keyboard.type("/?")
    assert await page.locator("#q").input_value() == "/?"

    await link.focus()
    await page.keyboard.press("?")
    await keys.wait_for()
    assert await faults(page) == []
    await keys.get_by_label("Single keys act").uncheck()
    await keys.get_by_role("button", name="Close").click()
    await link.focus()
    await page.evaluate("heard = []")
    await page.keyboard.press("?")
    await page.keyboard.press("j")
    await page.keyboard.press("ArrowDown")
    assert await page.evaluate("heard") == ["ArrowDown"]
    assert await keys.is_hidden()
    # The browser remembers it, and the page of keys shows it.
    await page.goto(page.url.replace("/images", "/keyboard"))
    assert not await page.get_by_label("Single keys act").is_checked()

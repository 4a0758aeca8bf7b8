"""What the frame of the console adds by script: the palette, the keys, and what becomes of pages that wait."""

import re
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from .chromium_page import new_signed_in_page, wait_until_true
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
    page = await new_signed_in_page(chromium, system.url, member.api_key)
    yield page
    await page.context.close()


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


async def test_the_page_of_an_image_is_fetched_when_somebody_points_at_it(page: Any, image: dict[str, Any]) -> None:
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    await page.reload()
    await page.wait_for_load_state("networkidle")
    async with page.context.expect_event("request", lambda request: request.url.endswith(image["id"])) as asked:
        await page.get_by_role("link", name="quay.png").hover()
    assert (await (await asked.value).all_headers())["sec-purpose"] == "prefetch"
    await page.get_by_role("link", name="quay.png").click()
    await page.get_by_role("heading", name="quay.png").wait_for()
    used = "performance.getEntriesByType('navigation')[0].deliveryType"
    assert await page.evaluate(used) == "navigational-prefetch"
    assert complaints == []


@pytest.mark.parametrize("view", ["list", "image"])
async def test_what_is_pending_becomes_final_in_place(
    page: Any, system: RunningSystem, member: Client, view: str
) -> None:
    content = picture("maroon")
    wish = {"content_type": "image/png", "size_bytes": len(content), "filename": "wharf.png"}
    opened = await member.ask("POST", "/uploads", 201, json=wish)
    upload_id = opened["upload_id"]
    await page.add_init_script("addEventListener('image-final', event => { final = event.detail.status })")
    await page.goto(f"{system.url}/console/images{f'/{upload_id}' if view == 'image' else ''}?")
    watched = page.locator(f"[data-live-image='{upload_id}']")
    assert await watched.locator(".badge").text_content() == "pending"
    assert await watched.locator("img").count() == 0
    await member.http.put(opened["url"], content=content, headers={"X-API-KEY": ""})
    shown = page.locator("main img[alt='wharf.png']")
    await shown.wait_for(timeout=60_000)
    assert await page.evaluate("final") == "ready"
    assert await page.get_by_role("status").filter(has_text="wharf.png is ready.").count() == 1
    if view == "image":
        assert await page.locator("main .badge[data-status]").first.text_content() == "ready"
    assert await watched.count() == 0
    await wait_until_true(page, "document.querySelector('main img').naturalWidth > 0")
    assert await page.get_by_role("link", name="Show all of the image").is_visible() == (view == "image")


async def test_one_notice_names_the_delivery_service_that_cannot_be_reached(
    page: Any, system: RunningSystem, member: Client, image: dict[str, Any]
) -> None:
    await member.upload(picture("navy"), "pier.png")
    await page.route(
        f"{system.delivery_url}/**",
        lambda route: route.fulfill(status=404, headers={"Access-Control-Allow-Origin": "*"}),
    )
    async with page.expect_response(lambda answer: answer.request.method == "HEAD"):
        await page.reload()
    notice = page.get_by_role("alert")
    assert await notice.count() == 0
    await page.unroute_all()
    await page.route(f"{system.delivery_url}/**", lambda route: route.abort())
    await page.reload()
    await notice.wait_for()
    assert await notice.count() == 1
    assert system.delivery_url in await notice.text_content()
    assert await page.locator("[data-image-grid] img").count() == 2


@pytest.mark.parametrize("has_ended", [False, True])
async def test_a_page_that_the_browser_kept_is_emptied_once_its_session_has_ended(page: Any, has_ended: bool) -> None:
    if has_ended:
        await page.context.clear_cookies()
    async with page.expect_response("**/api/v1/auth/session"):
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    if has_ended:
        await page.wait_for_url("**/console/sign-in?next=*")
    else:
        assert await page.get_by_role("heading", name="Images").is_visible()


async def test_the_playground_of_a_preset_says_size_and_time(
    page: Any, system: RunningSystem, member: Client, image: dict[str, Any]
) -> None:
    await member.ask("PUT", "/presets/card", 200, json={"width": 20, "formats": ["webp", "png"]})
    await page.goto(f"{system.url}/console/presets/card/try?image_id={image['id']}")
    for name in ("webp", "png"):
        card = page.get_by_role("region", name=name)
        delivered = await member.http.get(await card.locator("img").get_attribute("src"), headers={"X-API-KEY": ""})
        await card.get_by_text(f"({len(delivered.content)} bytes)").wait_for()
        assert re.search(r"\d ms, (made for this page|it was there)", await card.inner_text())
    assert await faults(page) == []

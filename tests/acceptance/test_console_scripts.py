"""What scripts add to the pages of the console: times as the viewer reads them, and the focus after going back."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from .chromium_page import new_signed_in_page
from .conftest import Client, RunningSystem

pytestmark = pytest.mark.chromium

ZONE = "Asia/Tokyo"


@pytest.fixture
async def image(member: Client) -> dict[str, Any]:
    content = BytesIO()
    Image.new("RGB", (40, 30), "teal").save(content, "PNG")
    return await member.upload(content.getvalue(), "quay.png")


@pytest.fixture
async def page(chromium: Any, system: RunningSystem, member: Client) -> AsyncIterator[Any]:
    """The list of images, of somebody in Tokyo."""
    page = await new_signed_in_page(chromium, system.url, member.api_key, timezone_id=ZONE)
    yield page
    await page.context.close()


async def test_a_time_is_shown_in_the_zone_of_the_viewer_before_the_first_paint(
    page: Any, system: RunningSystem, image: dict[str, Any]
) -> None:
    # Asked first, as the clock that stands still replaces this part of the page, too.
    blocking = "performance.getEntriesByType('resource').find(each => /times/.test(each.name)).renderBlockingStatus"
    assert await page.evaluate(blocking) == "blocking"
    created_at = datetime.fromisoformat(image["created_at"])
    there = created_at.astimezone(ZoneInfo(ZONE))
    time = page.locator(f"time[datetime='{image['created_at'][:19]}Z']").first
    for later, text in (
        (timedelta(hours=3, minutes=1), "3 hours ago"),
        (timedelta(days=6, hours=1), "6 days ago"),
        (timedelta(days=7, hours=1), f"{there.day} {there:%b %Y, %H:%M}"),
    ):
        await page.clock.set_fixed_time(created_at + later)
        await page.goto(f"{system.url}/console/images/{image['id']}")
        assert await time.text_content() == text
        assert f"{there:%H:%M:%S}" in await time.get_attribute("title")


async def test_going_back_puts_the_focus_on_the_link_that_was_followed(
    page: Any, system: RunningSystem, image: dict[str, Any]
) -> None:
    await page.reload()
    link = page.get_by_role("link", name="quay.png").first
    await link.press("Enter")
    await page.get_by_role("heading", name="quay.png").wait_for()
    await page.go_back()
    await page.wait_for_url(f"{system.url}/console/images?at={image['id']}")
    await page.locator(":focus").and_(page.locator("main a")).wait_for()
    focused = await page.evaluate("document.activeElement.getAttribute('href')")
    assert focused == await link.get_attribute("href")


async def test_the_exact_time_is_shown_on_focus_and_tap(
    page: Any, system: RunningSystem, image: dict[str, Any]
) -> None:
    await page.goto(f"{system.url}/console/images/{image['id']}")
    time, tip = page.locator("main time[title]").first, page.locator(".tip")
    exact = await time.get_attribute("title")
    assert await tip.is_hidden()
    # By keyboard: after a click, the browser shows no focus.
    await page.keyboard.press("Tab")
    assert await time.get_attribute("tabindex") == "0"
    await time.focus()
    assert await tip.is_visible()
    assert await tip.text_content() == exact
    await page.keyboard.press("Escape")
    assert await tip.is_hidden()
    await page.keyboard.press("Tab")
    await time.evaluate("each => each.dispatchEvent(new PointerEvent('click', {bubbles: true, pointerType: 'touch'}))")
    assert await tip.is_visible()


async def test_the_tab_key_stops_at_one_time_of_a_table_and_arrows_lead_on(
    page: Any, system: RunningSystem, member: Client
) -> None:
    for color in ("navy", "maroon"):
        content = BytesIO()
        Image.new("RGB", (40, 30), color).save(content, "PNG")
        image = await member.upload(content.getvalue(), f"{color}.png")
        await member.ask("DELETE", f"/images/{image['id']}", 204)
    await page.goto(f"{system.url}/console/trash")
    times = page.locator("main table time")
    assert await times.count() > 1
    assert await page.locator("main table time[tabindex='0']").count() == 1
    await times.first.focus()
    await page.keyboard.press("ArrowDown")
    assert await page.evaluate("document.activeElement === document.querySelectorAll('main table time')[1]")
    assert await page.locator(".tip").text_content() == await times.nth(1).get_attribute("title")
    assert await page.locator("main table time[tabindex='0']").count() == 1

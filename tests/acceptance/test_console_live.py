"""What a page of the console shows by itself: uploads appear in the grid, and lines say what became of them."""

import asyncio
import os
import re
from typing import Any

import pytest

from .chromium_page import listen_for_errors, new_signed_in_page, wait_until_true
from .conftest import Client, RunningSystem
from .test_console_upload import drop, photo

pytestmark = pytest.mark.chromium
EVENTS = re.compile("/api/v1/events")


async def wait_until(condition: Any) -> None:
    async with asyncio.timeout(40):
        while not condition():
            await asyncio.sleep(0.05)


def streams_of(page: Any) -> tuple[list[str], list[str]]:
    """The streams that the page has opened, and those that are over."""
    opened: list[str] = []
    over: list[str] = []
    page.on("request", lambda request: opened.append(request.url) if EVENTS.search(request.url) else None)
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: over.append(request.url) if EVENTS.search(request.url) else None)
    return opened, over


async def test_uploads_appear_in_the_grid_and_become_ready_without_a_reload(
    chromium: Any, system: RunningSystem, member: Client
) -> None:
    first = await member.upload(photo())
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images")
    await page.locator("[data-image-grid].virtual .cell").wait_for()
    complaints = listen_for_errors(page)
    opened, over = streams_of(page)
    await page.evaluate("window.isSame = true")
    link = page.locator(f".cell a[href*='{first['id']}']")
    await link.focus()
    await drop(page, {f"new {number}.jpg": photo() for number in range(3)})
    await page.locator("[data-image-grid] .cell").nth(3).wait_for(timeout=30_000)
    # Of images and of lines.
    await wait_until_true(page, "!document.querySelector('[data-live-image]')")
    badges = page.locator("[data-files] .badge")
    assert await badges.all_inner_texts() == ["ready"] * 3
    await wait_until_true(page, "document.querySelectorAll('[data-image-grid] .cell img').length === 4")
    assert await page.evaluate("window.isSame")
    assert await link.evaluate("(element) => element === document.activeElement")
    assert opened
    await wait_until(lambda: len(over) == len(opened))
    assert complaints == []
    if shots := os.environ.get("SHOTS"):
        await page.screenshot(path=f"{shots}/live.png")
    await page.context.close()


async def test_a_page_that_may_not_stream_asks(chromium: Any, system: RunningSystem, member: Client) -> None:
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console/images/upload")
    await page.route(EVENTS, lambda route: route.fulfill(status=503, headers={"Retry-After": "5"}, body=""))
    await drop(page, {"new.jpg": photo()})
    await page.locator("[data-files] .badge", has_text="ready").wait_for(timeout=30_000)
    await page.context.close()

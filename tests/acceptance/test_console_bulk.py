"""Many images on the console's list, in a browser with script and in one without it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from .chromium_page import new_signed_in_page
from .conftest import Client, RunningSystem

pytestmark = pytest.mark.chromium

ABSENT = "0199c0de-0000-7000-8000-000000000004"
TELL = """([name, detail]) => document.querySelector("[data-image-grid]")
  .dispatchEvent(new CustomEvent(name, {bubbles: true, detail}))"""
REPLACE = "id => { document.querySelectorAll('[name=image_id]')[1].value = id }"
COLORS = ("teal", "maroon", "navy", "olive")


@pytest.fixture
async def ids(member: Client) -> list[str]:
    """Of four images, the newest first."""
    uploaded = []
    for color in COLORS:
        content = BytesIO()
        Image.new("RGB", (40, 30), color).save(content, "PNG")
        uploaded.append((await member.upload(content.getvalue(), f"{color}.png"))["id"])
    return uploaded[::-1]


@asynccontextmanager
async def opened(chromium: Any, system: RunningSystem, member: Client, **options: Any) -> AsyncIterator[Any]:
    """The list of images."""
    page = await new_signed_in_page(chromium, system.url, member.api_key, **options)
    yield page
    await page.context.close()


async def choose_two(page: Any) -> None:
    """Tick the boxes of the first two images."""
    for at in (0, 1):
        await page.locator("[data-image-grid]").get_by_role("checkbox").nth(at).check()


async def status_of(member: Client, ids: list[str]) -> list[bool]:
    """Whether each image is in the trash."""
    found = await member.ask("POST", "/images/batch-get", 200, json={"ids": ids})
    return [each["deleted_at"] is not None for each in found["items"]]


async def test_a_range_is_moved_to_the_trash_and_back(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    async with opened(chromium, system, member) as page:
        # In an order without a grid, oldest first.
        await page.goto(f"{system.url}/console/images?order_by=created_at")
        ids.reverse()
        boxes, tiles, trash = (
            page.locator("[name=image_id]"),
            page.locator(".tile:visible"),
            page.get_by_role("button", name="Move to the trash"),
        )
        assert not await trash.is_visible()
        await boxes.nth(0).check()
        await boxes.nth(2).click(modifiers=["Shift"])
        await page.get_by_text("3 images chosen").wait_for()
        # As if the second one had been purged meanwhile.
        await page.evaluate(REPLACE, ABSENT)
        await boxes.nth(0).uncheck()
        await boxes.nth(0).check()
        await trash.focus()
        await page.keyboard.press("Enter")
        await page.get_by_text("2 images are in the trash").wait_for()
        await page.get_by_text("1 image could not be changed").wait_for()
        assert await page.locator(f"a[href$='{ABSENT}']").is_visible()
        assert await page.get_by_role("link", name="image-not-found").is_visible()
        assert (await status_of(member, ids), await tiles.count()) == ([True, False, True, False], 2)
        assert await page.evaluate("document.activeElement.textContent") == "Undo"
        await page.keyboard.press("Enter")
        await page.get_by_text("2 images are restored").wait_for()
        assert (await status_of(member, ids), await tiles.count()) == ([False] * 4, 4)


async def test_the_last_image_of_a_view_is_moved_to_the_trash_and_back(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    async with opened(chromium, system, member) as page:
        cells, nothing = page.locator(".cell:visible"), page.get_by_text("No image is left here")
        await cells.nth(3).wait_for()
        for each in await page.locator("[data-image-grid]").get_by_role("checkbox").all():
            await each.check()
        await page.get_by_role("button", name="Move to the trash").click()
        await page.get_by_text("4 images are in the trash").wait_for()
        await nothing.wait_for()
        assert await status_of(member, ids) == [True] * 4
        # The page takes in what was uploaded meanwhile.
        await page.evaluate("document.dispatchEvent(new CustomEvent('images-added', { detail: { count: 0 } }))")
        await page.get_by_role("button", name="Undo").click()
        await cells.nth(3).wait_for()
        assert await status_of(member, ids) == [False] * 4
        await nothing.wait_for(state="hidden")


async def test_a_busy_server_is_asked_again_and_the_grid_is_obeyed(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    answers = [{"status": 503, "headers": {"Retry-After": "1"}, "json": {"code": "database-unavailable", "detail": ""}}]

    async def answer(route: Any) -> None:
        await (route.fulfill(**answers.pop()) if answers else route.continue_())

    async with opened(chromium, system, member) as page:
        await page.route("**/images/batch", answer)
        chosen = {"ids": ids[:1] * 1000, "total": 4321}
        await page.evaluate(TELL, ["selection-change", chosen])
        await page.get_by_text("4,321 images chosen").wait_for()
        assert await page.get_by_role("checkbox", name="All that match").is_checked()
        await page.evaluate("addEventListener('images-removed', event => { window.removed = event.detail.ids })")
        await page.evaluate(TELL, ["selection-action", {"action": "trash", "ids": ids[:1]}])
        await page.get_by_text("Trying again in 1 s").wait_for()
        await page.get_by_text("1 image is in the trash").wait_for()
        assert await page.evaluate("window.removed") == ids[:1]
        assert answers == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "without"])
async def test_all_that_match_are_changed_by_an_operation_whose_page_follows_it(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str], script: bool
) -> None:
    async with opened(chromium, system, member, java_script_enabled=script) as page:
        await page.locator("[data-image-grid]").get_by_role("checkbox").first.check()
        await page.get_by_role("checkbox", name="All that match").check()
        await page.get_by_role("button", name="Add tags").click()
        await page.get_by_label("Tags").fill("sea")
        await page.get_by_role("button", name="Show what this does").click()
        await page.get_by_text("4 images match now").wait_for()
        await page.get_by_role("button", name="Add tags to all of them").click()
        await page.get_by_role("heading", name="Progress").wait_for()
        async with asyncio.timeout(60):
            while not await page.get_by_text("succeeded").is_visible():
                await page.wait_for_timeout(500)
                if not script:
                    await page.get_by_role("link", name="Refresh").click()
        assert len((await member.ask("GET", "/images?tag=sea", 200))["items"]) == len(ids)


@pytest.mark.parametrize("script", [True, False], ids=["script", "without"])
async def test_tags_are_added_on_a_page_that_says_what_it_does(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str], script: bool
) -> None:
    async with opened(chromium, system, member, java_script_enabled=script) as page:
        await choose_two(page)
        await page.get_by_role("button", name="Add tags").click()
        await page.get_by_role("heading", name="Add tags to 2 images").wait_for()
        await page.get_by_label("Tags").fill("sea")
        await page.get_by_role("button", name="Show what this does").click()
        await page.get_by_text("2 images will be tagged").wait_for()
        await page.get_by_role("button", name=re.compile("Add tags to")).click()
        await page.get_by_text("2 images are tagged").wait_for()
        assert (await member.ask("GET", "/images?tag=sea", 200))["items"][0]["id"] == ids[0]
        await page.get_by_role("button", name="Undo").click()
        await page.get_by_text("2 images are untagged").wait_for()
        assert (await member.ask("GET", "/images?tag=sea", 200))["items"] == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "without"])
async def test_chosen_images_are_exported(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str], script: bool
) -> None:
    async with opened(chromium, system, member, java_script_enabled=script) as page:
        await choose_two(page)
        await page.get_by_role("button", name="More").click()
        await page.get_by_role("button", name="Export", exact=True).click()
        await page.get_by_role("heading", name="Export 2 images").wait_for()
        await page.get_by_role("button", name="Export them").click()
        await page.get_by_role("heading", name="Export: 2 items").wait_for()


async def test_values_are_counted_when_their_part_is_opened_and_a_choice_sends_the_form(
    chromium: Any, system: RunningSystem, admin: Client, member: Client, ids: list[str]
) -> None:
    fields = [{"name": "country", "type": "string"}]
    await admin.ask("PUT", f"/metadata-schema?team_id={member.team_id}", 200, json={"fields": fields})
    for image_id, country in zip(ids, ("Norge", "Norge", "Sverige"), strict=False):
        await member.ask("PATCH", f"/images/{image_id}", 200, json={"metadata": {"country": country}})
    async with opened(chromium, system, member) as page:
        await page.goto(f"{system.url}/console/images?view=table")
        await page.get_by_text("Country", exact=True).click()
        await page.get_by_role("link", name="Norge 2").click()
        await page.wait_for_url("**/images?view=table&meta.country=Norge")
        assert await page.locator("tr[data-image]").count() == 2
        await page.get_by_text("Country", exact=True).click()
        await page.get_by_role("link", name="Sverige 1").wait_for()
        await page.get_by_role("link", name="Norge 2").click()
        await page.wait_for_url("**/images?view=table")
        await page.get_by_label("Status").select_option("trashed")
        await page.wait_for_url("**/images?view=table&status=trashed")
        await page.get_by_text("No image matches").wait_for()

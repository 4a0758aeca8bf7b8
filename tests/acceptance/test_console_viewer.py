"""The picture of an image's page in a real browser: full view, keys, and the focal point by a click."""

import re
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from .chromium_page import sign_in, wait_until_true
from .conftest import Client, RunningSystem

pytestmark = pytest.mark.chromium

NAMES = ("quay.png", "ridge.png", "fjord.png")
TRANSFORM = "new DOMMatrix(document.querySelector('dialog[data-viewer] img').style.transform).toFloat64Array().join()"


@pytest.fixture
async def images(member: Client) -> dict[str, str]:
    """The ids of three images by name; the list has the last one first."""
    found = {}
    for number, name in enumerate(NAMES):
        content = BytesIO()
        Image.new("RGB", (400, 300 + number), "teal").save(content, "PNG")
        found[name] = (await member.upload(content.getvalue(), name))["id"]
    return found


@pytest.fixture
async def page(chromium: Any, system: RunningSystem, member: Client, images: dict[str, str]) -> AsyncIterator[Any]:
    """The list of images."""
    context = await chromium.new_context(reduced_motion="reduce")
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    await sign_in(page, system.url, member.api_key)
    yield page
    assert complaints == []
    await context.close()


async def zoomed(page: Any) -> tuple[float, float]:
    """How much the picture is enlarged, and how far it was moved to the right, in pixels."""
    matrix = [float(each) for each in (await page.evaluate(TRANSFORM)).split(",")]
    return matrix[0], matrix[12]


async def at(page: Any, name: str) -> None:
    await page.get_by_role("heading", name=name, exact=True).wait_for()


async def test_by_keyboard_alone_a_picture_is_enlarged_and_the_list_is_walked(
    page: Any, system: RunningSystem, images: dict[str, str]
) -> None:
    press, url = page.keyboard.press, f"{system.url}/console/images"
    await page.get_by_role("link", name="fjord.png").first.press("Enter")
    await at(page, "fjord.png")
    # The focus is on the picture.
    await wait_until_true(page, "() => document.activeElement.closest('figure[data-viewer]')")
    await press("Control+j")
    await press("Enter")
    dialog = page.get_by_role("dialog", name="fjord.png")
    await dialog.wait_for()
    assert await zoomed(page) == (1, 0)
    await press("+")
    await press("+")
    assert await zoomed(page) == (2.25, 0)
    # What is loaded then is the file itself.
    await wait_until_true(page, "() => document.querySelector('dialog img').currentSrc.endsWith('/content')")
    await press("ArrowLeft")
    assert await zoomed(page) == (2.25, 80)
    await press("0")
    assert await zoomed(page) == (1, 0)
    await press("j")
    await at(page, "ridge.png")
    await page.get_by_role("dialog", name="ridge.png").wait_for()
    await press("Escape")
    await page.get_by_role("dialog").wait_for(state="hidden")
    await press("ArrowRight")
    await at(page, "quay.png")
    await wait_until_true(page, "() => document.activeElement.closest('figure[data-viewer]')")
    await press("k")
    await at(page, "ridge.png")
    # Outside of the viewer, letters do nothing.
    await page.get_by_role("link", name="Edit").focus()
    await press("j")
    await page.locator("figure[data-viewer] a").focus()
    await press("Escape")
    # The list shows and focuses the picture that was seen last, and those between are not in the history.
    await page.wait_for_url(f"{url}?at={images['ridge.png']}")
    focused = "(id) => document.activeElement.closest(`a[href*='${id}'], :has(> a[href*='${id}'])`)"
    await wait_until_true(page, focused, images["ridge.png"])
    assert await page.evaluate("navigation.entries().length") == 3


async def test_escape_goes_back_to_the_entry_of_the_list(page: Any, system: RunningSystem) -> None:
    await page.get_by_role("link", name="fjord.png").first.press("Enter")
    await wait_until_true(page, "() => document.activeElement.closest('figure[data-viewer]')")
    await page.keyboard.press("Escape")
    await page.wait_for_url(re.compile("/console/images([?]at=[^&]+)?$"))
    assert await page.evaluate("navigation.currentEntry.index") == 1


async def test_a_picture_is_enlarged_by_mouse_where_it_is_clicked(page: Any) -> None:
    await page.get_by_role("link", name="fjord.png").first.click()
    await at(page, "fjord.png")
    await page.locator("figure[data-viewer] img").click()
    stage = page.locator("dialog [data-stage]")
    box = await stage.bounding_box()
    await page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    await page.mouse.wheel(0, -100)
    assert await zoomed(page) == (1, 0)
    await page.keyboard.down("Control")
    await page.mouse.wheel(0, -200)
    await page.keyboard.up("Control")
    await wait_until_true(page, f"() => {TRANSFORM}.startsWith('2,')")
    # The point under the mouse stays: a quarter of the width from the middle.
    assert await zoomed(page) == (2, box["width"] / 4)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] / 4 - 60, box["y"] + box["height"] / 2, steps=3)
    await page.mouse.up()
    assert await zoomed(page) == (2, box["width"] / 4 - 60)
    await stage.click()
    assert await zoomed(page) == (1, 0)


async def test_the_focal_point_is_where_the_picture_is_clicked(
    page: Any, system: RunningSystem, member: Client, images: dict[str, str]
) -> None:
    image_id = images["quay.png"]
    await page.goto(f"{system.url}/console/images/{image_id}/edit")
    surface = page.get_by_role("application", name="Focal point")
    assert await page.locator("circle:visible").count() == 0
    await wait_until_true(page, "() => document.querySelector('[data-focal] img').naturalWidth > 0")
    box = await surface.bounding_box()
    await surface.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
    fields = [page.get_by_label("From the left"), page.get_by_label("From the top")]
    assert [round(float(await field.input_value())) for field in fields] == [25, 50]
    await fields[0].fill("30")
    await surface.press("ArrowRight")
    await surface.press("Shift+ArrowUp")
    assert [round(float(await field.input_value())) for field in fields] == [31, 40]
    assert await page.locator("circle:visible").first.get_attribute("cx") == "31%"
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("The image is saved").wait_for()
    focal_point = (await member.ask("GET", f"/images/{image_id}", 200))["focal_point"]
    assert (focal_point["x"], round(focal_point["y"], 1)) == (0.31, 0.4)


async def test_without_script_the_picture_is_a_link_to_itself(
    chromium: Any, system: RunningSystem, member: Client, images: dict[str, str]
) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{system.url}/console/sign-in?next=/console/images/{images['fjord.png']}")
    await page.get_by_label("API key", exact=True).fill(member.api_key)
    await page.keyboard.press("Enter")
    await at(page, "fjord.png")
    assert not await page.locator("dialog").first.is_visible()
    await page.get_by_role("link", name="Next").click()
    await at(page, "ridge.png")
    await page.locator("figure a").click()
    await page.wait_for_url("**/i/**")
    await context.close()

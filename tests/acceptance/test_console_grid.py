"""The virtual grid of images: what is in the page, keys, selection, and coming back to a picture."""

import asyncio
import re
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from .chromium_page import new_signed_in_page, wait_until_true
from .conftest import Client, RunningSystem

pytestmark = pytest.mark.chromium
TAKEN = ("2026:03:15 12:00:00", "2026:03:14 12:00:00", "2025:07:01 12:00:00", "2025:06:01 12:00:00")
EXIF_IFD, DATE_TIME_ORIGINAL = 0x8769, 0x9003
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
FOCUSED = "() => document.activeElement.getAttribute('href')?.split('/').at(-1).split('?')[0]"
IS_FOCUSED = "id => document.activeElement.getAttribute('href')?.startsWith(`/console/images/${id}`)"
ROWS = """async () => {
  const { justify } = await import("/static/console/justified-layout.js");
  const ratios = Array.from({ length: 1000 }, (_, at) => 0.4 + ((at * 7919) % 260) / 100);
  const shape = { width: 1152, target: 190, gap: 6 };
  const { starts, heights } = justify(ratios, shape, true);
  const [some, all] = [justify(ratios.slice(0, 500), shape, false), { starts: [...starts] }];
  const inRow = (row) => ratios.slice(starts[row], starts[row + 1]);
  const width = (row) => inRow(row).reduce((sum, each) => sum + each * heights[row] + 6, -6);
  return {
    widths: [...heights.keys()].map(width), heights: [...heights], last: starts.at(-1),
    isStable: [...some.starts].every((each, at) => each === all.starts[at]),
  };
}"""


def photo(taken: str, shade: int) -> bytes:
    content = BytesIO()
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] = taken
    Image.new("RGB", (60, 40), (shade, 90, 120)).save(content, "JPEG", exif=exif)
    return content.getvalue()


@pytest.fixture
async def ids(member: Client) -> list[str]:
    """The images, latest photograph first: three of each time in `TAKEN`."""
    contents = [photo(taken, 20 * number) for number, taken in enumerate(sorted(TAKEN * 3, reverse=True))]
    images = await asyncio.gather(*(member.upload(content) for content in contents))
    by_time = sorted(images, key=lambda image: (image["taken_local"], image["id"]), reverse=True)
    return [image["id"] for image in by_time]


async def opened(
    chromium: Any, system: RunningSystem, member: Client, query: str = "?order_by=taken_at+desc", **options: Any
) -> Any:
    """The page of images with its grid."""
    page = await new_signed_in_page(chromium, system.url, member.api_key, "/console", **options)
    await page.goto(f"{system.url}/console/images{query}")
    await page.get_by_role("gridcell").first.wait_for()
    return page


async def answer_with_a_million(page: Any) -> None:
    """Let the API's answers be those of a hundred months with ten thousand narrow pictures each."""
    months = [f"{2026 - at // 12}-{12 - at % 12:02}" for at in range(100)]

    async def answer(route: Any) -> None:
        address = urlsplit(route.request.url)
        month = address.path.rpartition("/")[2]
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if month == "timeline":
            await route.fulfill(
                json={"months": [{"month": each, "count": 10_000} for each in months], "next_before": None}
            )
            return
        start = int(query.get("after", 0))
        end = min(10_000, start + int(query["limit"]))
        numbers = range(start, end)
        await route.fulfill(
            json={
                "id": [f"{month}-{number}" for number in numbers], "ratio": [0.4] * len(numbers),
                "placeholder": [None] * len(numbers), "status": ["ready"] * len(numbers),
                "next_after": None if end == 10_000 else str(end),
            }
        )  # fmt: skip

    async def deliver(route: Any) -> None:
        shown = {"presets": {"thumb": {"url": PIXEL, "srcset": None, "width": 1, "height": 1}}, "expires_at": None}
        fields = {"alt_text": None, "description": None, "filename": "x.jpg", "delivery": shown}
        await route.fulfill(
            json={"items": [{"id": each, **fields} for each in route.request.post_data_json["ids"]], "not_found": []}
        )

    await page.route(re.compile("/api/v1/images/timeline"), answer)
    await page.route("**/api/v1/images/batch-get", deliver)


async def test_a_million_pictures_are_within_reach_with_few_in_the_page(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    page = await opened(chromium, system, member, viewport={"width": 1920, "height": 2000})
    await answer_with_a_million(page)
    await page.reload()
    await page.locator(".cell a").first.focus()
    for keys, shown in (("Control+End", "2018-09-9999"), ("ArrowLeft", "2018-09-9998"), ("Control+Home", "2026-12-0")):
        await page.keyboard.press(keys)
        await wait_until_true(page, IS_FOCUSED, shown)
        await page.locator(f".cell a[href*='{shown}'] img").wait_for()
        assert 100 < await page.evaluate("document.images.length") <= 200
    # Browsers cut off what is higher than 17 million pixels.
    assert 7_900_000 < await page.evaluate("document.documentElement.scrollHeight") < 8_100_000
    await page.get_by_role("slider", name="Month").focus()
    await page.keyboard.press("End")
    await page.get_by_role("rowheader", name="September 2018").wait_for()
    await page.keyboard.press("PageUp")
    await page.get_by_role("rowheader", name="September 2019").wait_for()
    await page.context.close()


async def test_rows_fill_the_width_and_stay_when_pictures_are_added(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    page = await opened(chromium, system, member)
    rows = await page.evaluate(ROWS)
    assert all(abs(width - 1152) < 0.5 for width in rows["widths"][:-1])
    assert rows["widths"][-1] <= 1152.5
    assert all(120 < height < 300 for height in rows["heights"])
    assert (rows["last"], rows["isStable"]) == (1000, True)
    await page.context.close()


async def test_keys_move_select_and_open_and_going_back_returns_to_the_picture(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    page = await opened(chromium, system, member, viewport={"width": 560, "height": 400})
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if "Policy" in line.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # Their number is known once all are arranged.
    await page.locator("[role=grid][aria-rowcount]:not([aria-rowcount='-1'])").wait_for()
    assert await page.locator(".cell a[tabindex='0']").count() == 1

    async def press(keys: str, at: int) -> None:
        await page.keyboard.press(keys)
        await wait_until_true(page, IS_FOCUSED, ids[at])

    await page.locator(".cell a[tabindex='0']").focus()
    for keys, at in (
        ("j", 1),
        ("ArrowRight", 2),
        ("k", 1),
        ("Control+End", 11),
        ("Home", 9),
        ("ArrowUp", 6),
        ("End", 8),
    ):
        await press(keys, at)
    # A letter with another key is the browser's, and one in the search box is text.
    await page.keyboard.press("Alt+j")
    assert await page.evaluate(FOCUSED) == ids[8]
    await page.keyboard.press("x")
    await page.get_by_text("1 image chosen").wait_for()
    await press("Control+Home", 0)
    await page.keyboard.press("Shift+X")
    await page.get_by_text("9 images chosen").wait_for()
    assert await page.locator(".cell[aria-selected='true']").count() >= 3
    await page.keyboard.press("Control+a")
    await page.get_by_text("12 images chosen").wait_for()
    await page.keyboard.press("Escape")
    await page.locator("[data-bulk]").wait_for(state="hidden")
    await press("Control+End", 11)
    await page.keyboard.press("x")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{system.url}/console/images/{ids[11]}?order_by=taken_at+desc")
    await page.go_back()
    await wait_until_true(page, IS_FOCUSED, ids[11])
    assert f"at={ids[11]}" in page.url
    assert await page.evaluate("document.activeElement.getBoundingClientRect().bottom <= innerHeight")
    await page.get_by_text("1 image chosen").wait_for()
    assert await page.locator(".cell[aria-selected='true']").count() == 1
    # The address alone leads there too, for whoever has it.
    await page.goto(f"{system.url}/console/images?at={ids[5]}&order_by=taken_at+desc")
    await wait_until_true(page, IS_FOCUSED, ids[5])
    assert complaints == []
    await page.context.close()


async def test_what_is_trashed_leaves_the_grid_and_comes_back(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    page = await opened(chromium, system, member, viewport={"width": 500, "height": 800})
    await page.locator(f".cell a[href*='{ids[1]}']").focus()
    await page.keyboard.press("#")
    await page.get_by_text("1 image is in the trash").wait_for()
    await wait_until_true(page, IS_FOCUSED, ids[2])
    assert await page.locator(f".cell a[href*='{ids[1]}']").count() == 0
    await page.get_by_role("button", name="Undo").click()
    await page.locator(f".cell a[href*='{ids[1]}']").wait_for()
    await page.context.close()


async def test_the_servers_list_stays_where_no_timeline_has_its_order_or_answers(
    chromium: Any, system: RunningSystem, member: Client, ids: list[str]
) -> None:
    page = await opened(chromium, system, member)
    await page.goto(f"{system.url}/console/images?order_by=filename")
    assert (await page.locator(".tile").count(), await page.get_by_role("grid").count()) == (12, 0)
    await page.route(re.compile("/api/v1/images/timeline"), lambda route: route.abort())
    await page.goto(f"{system.url}/console/images")
    await page.locator(".tile").nth(11).wait_for()
    assert await page.get_by_role("grid").count() == 0
    await page.context.close()

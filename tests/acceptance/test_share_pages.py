"""Share links as visitors meet them in a real browser: on phones and desks, with and without script."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from .conftest import Client

pytestmark = pytest.mark.chromium

PASSWORD = "the boat is red"
SIZES = [(1200, 800), (800, 1200), (900, 900)]


def photograph(number: int) -> bytes:
    made = BytesIO()
    size = SIZES[number % len(SIZES)]
    noise = Image.effect_noise((size[0] // 8, size[1] // 8), 60 + number).resize(size)
    Image.merge("RGB", (noise, noise.rotate(180), noise)).save(made, "JPEG", quality=80)
    return made.getvalue()


@pytest.fixture
async def url(member: Client) -> str:
    """A link to three pictures, behind a password, with downloads."""
    ids = [(await member.upload(photograph(number)))["id"] for number in range(len(SIZES))]
    await member.ask("PATCH", f"/images/{ids[0]}", 200, json={"alt_text": {"text": "En båt", "language": "nb"}})
    wish = {"image_ids": ids, "title": "Sommer i fjorden", "password": PASSWORD, "download": "stripped"}
    made = await member.ask("POST", "/links", 201, json=wish)
    return str(made["url"])


@dataclass
class Visitor:
    """A page, what it got from image-delivery, and what went wrong on it."""

    page: Any
    pictures: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("response", lambda got: self.pictures.append(got.status) if "/i/" in got.url else None)
        self.page.on("console", self._hear)

    def _hear(self, line: Any) -> None:
        # A wrong password is answered with 403, which the browser notes.
        if line.type in ("error", "warning") and "403" not in line.text:
            self.complaints.append(line.text)


@pytest.fixture(params=[(390, True), (390, False), (1440, True), (1440, False)], ids=str)
async def visitor(request: Any, chromium: Any) -> AsyncIterator[Visitor]:
    width, has_script = request.param
    context = await chromium.new_context(viewport={"width": width, "height": 800}, java_script_enabled=has_script)
    yield Visitor(await context.new_page())
    await context.close()


async def test_a_visitor_enters_the_password_and_looks_at_every_picture(visitor: Visitor, url: str) -> None:
    page = visitor.page
    await page.goto(url)
    assert "fjord" not in await page.content()
    for password, heading in (("not this one", "Password needed"), (PASSWORD, "Sommer i fjorden")):
        await page.get_by_label("Password").fill(password)
        await page.get_by_role("button").click()
        await page.get_by_role("heading", name=heading).wait_for()
    await page.get_by_role("img", name="En båt").wait_for()
    await page.wait_for_load_state("networkidle")
    assert visitor.pictures == [200, 200, 200]

    # From here on by keyboard alone.
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{url}/*")
    await page.get_by_text("1 of 3").wait_for()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download").press("Enter")
    assert (await downloading.value).suggested_filename == "Sommer i fjorden-1.jpeg"
    for place in ("2 of 3", "3 of 3"):
        await page.get_by_role("link", name="Next").press("Enter")
        await page.get_by_text(place).wait_for()
    assert await page.get_by_role("link", name="Next").count() == 0
    box = await page.get_by_role("img", name="Picture 3").bounding_box()
    viewport = page.viewport_size
    assert 0 <= box["x"] < box["x"] + box["width"] <= viewport["width"]
    assert 0 <= box["y"] < box["y"] + box["height"] <= viewport["height"]
    await page.get_by_role("link", name="All pictures").click()
    await page.wait_for_url(f"{url}#picture-3")
    assert set(visitor.pictures) == {200}
    assert visitor.complaints == []

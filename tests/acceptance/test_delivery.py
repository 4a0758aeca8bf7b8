"""Delivery addresses as pages use them: in a real browser, from files and sites that are not ours."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from .conftest import Client, RunningSystem, served

WIDTH_PX, HEIGHT_PX = 320, 200


@pytest.fixture
async def picture(member: Client) -> str:
    """The delivery address of a picture's preset `thumb`, as the API gives it."""
    made = BytesIO()
    Image.effect_noise((WIDTH_PX, HEIGHT_PX), 90).save(made, "PNG")
    image = await member.upload(made.getvalue())
    assert "delivery" not in await member.ask("GET", f"/images/{image['id']}", 200)
    image = await member.ask("GET", f"/images/{image['id']}", 200, params={"include": "delivery"})
    address: str = image["delivery"]["presets"]["thumb"]["url"]
    return address


@pytest.fixture
async def shown(chromium: Any) -> AsyncIterator[Any]:
    context = await chromium.new_context()
    yield await context.new_page()
    await context.close()


async def width_of_the_picture(page: Any, address: str) -> int:
    """Opens a page that holds one picture, and says how wide the browser found it: 0 where it shows nothing."""
    await page.goto(address)
    await page.wait_for_function("document.images[0].complete")
    width: int = await page.evaluate("document.images[0].naturalWidth")
    return width


def page_with(picture: str) -> bytes:
    return f'<!doctype html><title>somebody\'s page</title><img src="{picture}" alt="a picture">'.encode()


@pytest.mark.chromium
async def test_a_plain_html_file_shows_a_picture_and_not_one_that_is_for_its_own_site(
    shown: Any, picture: str, tmp_path: Path
) -> None:
    answer = httpx2.get(picture, headers={"accept": "image/webp"}, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    with ExitStack() as servers:
        # The same bytes from another server: only its header differs between what is shown and what is not.
        def again(policy: str) -> str:
            headers = {"Cross_Origin_Resource_Policy": policy}
            return servers.enter_context(served(answer.content, "image/webp", **headers))

        pictures = {picture: 256, again("cross-origin"): 256, again("same-origin"): 0, f"{picture}x": 0}
        file = tmp_path / "page.html"
        for address, width in pictures.items():
            file.write_bytes(page_with(address))
            site = servers.enter_context(served(page_with(address), "text/html", "localhost"))
            for page in (file.as_uri(), site):
                assert (await width_of_the_picture(shown, page), page) == (width, page), address


@pytest.mark.chromium
async def test_a_script_may_read_a_picture_and_is_told_how_it_came(shown: Any, picture: str) -> None:
    with served(b"<!doctype html><title>a page</title>", "text/html", "localhost") as site:
        await shown.goto(site)
        found = await shown.evaluate(
            """async address => {
              const answer = await fetch(address, {headers: {Accept: "image/webp"}});
              const bytes = await answer.arrayBuffer();
              return [answer.status, bytes.byteLength > 0, answer.headers.get("X-Derivative"),
                answer.headers.get("Server-Timing") !== null, answer.headers.get("ETag") !== null];
            }""",
            picture,
        )
    assert found == [200, True, "hit", True, True]


async def test_the_host_of_pictures_serves_nothing_else(system: RunningSystem) -> None:
    if not system.delivery_url:
        pytest.skip("where a deployment delivers is not known here")
    for path in ("/", "/docs", "/openapi.json", "/api/v1/images", "/i/", "/i/public/x"):
        answer = httpx2.get(system.delivery_url + path, trust_env=False)
        assert (answer.status_code, "set-cookie" in answer.headers) == (404, False)

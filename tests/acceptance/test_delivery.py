"""Delivery addresses as pages use them: in a real browser, from files and sites that are not ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from .chromium_page import wait_until_true
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
    await wait_until_true(page, "document.images[0].complete")
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


async def test_avif_of_a_preset_comes_after_webp(system: RunningSystem, member: Client) -> None:
    if not system.delivery_url:
        pytest.skip("where a deployment delivers is not known here")
    recipe = {"width": 96, "formats": ["webp", "avif"], "open": True}
    await member.ask("PUT", "/presets/small-card", 200, json=recipe)
    made = BytesIO()
    Image.effect_noise((WIDTH_PX, HEIGHT_PX), 90).convert("RGB").save(made, "PNG")
    image = await member.upload(made.getvalue())
    image = await member.ask("GET", f"/images/{image['id']}", 200, params={"include": "delivery"})
    address = image["delivery"]["presets"]["small-card"]["url"]

    async def content_type(accept: str) -> str:
        answer = await asyncio.to_thread(httpx2.get, address, headers={"accept": accept}, trust_env=False)
        assert answer.status_code == 200
        found: str = answer.headers["content-type"]
        return found

    assert await content_type("image/avif,image/webp") == "image/webp"
    async with asyncio.timeout(60):
        while await content_type("image/avif,image/webp") != "image/avif":
            await asyncio.sleep(0.5)
    assert [await content_type(accept) for accept in ("image/webp", "*/*")] == ["image/webp", "image/jpeg"]


async def test_a_whole_picture_of_another_format_is_made_in_the_background(
    system: RunningSystem, member: Client
) -> None:
    if not system.delivery_url:
        pytest.skip("where a deployment delivers is not known here")
    made = BytesIO()
    Image.effect_noise((WIDTH_PX, HEIGHT_PX), 90).convert("RGB").save(made, "TIFF")
    image = await member.upload(made.getvalue())
    signed = {"items": [{"image_id": image["id"], "spec": "full", "format": "file"}]}
    address = (await member.ask("POST", "/delivery/sign", 200, json=signed))["items"][0]["url"]
    answer = await asyncio.to_thread(httpx2.get, address, trust_env=False)
    assert (answer.status_code, answer.headers["cache-control"]) == (202, "no-store")
    async with asyncio.timeout(60):
        while answer.status_code == 202:
            await asyncio.sleep(float(answer.headers["retry-after"]) / 10)
            answer = await asyncio.to_thread(httpx2.get, address, trust_env=False)
    with Image.open(BytesIO(answer.content)) as found:
        assert (answer.status_code, found.format, found.size) == (200, "JPEG", (WIDTH_PX, HEIGHT_PX))


async def test_pictures_of_a_very_large_original_are_made_once_its_source_is_there(
    system: RunningSystem, member: Client
) -> None:
    if not system.delivery_url:
        pytest.skip("where a deployment delivers is not known here")
    made = BytesIO()
    # More than 24 million pixels, in a format that cannot be decoded at a reduced size.
    Image.linear_gradient("L").resize((6000, 4010)).save(made, "PNG")
    image = await member.upload(made.getvalue())
    signed = {"items": [{"image_id": image["id"], "spec": "t-w96", "format": "png"}]}
    address = (await member.ask("POST", "/delivery/sign", 200, json=signed))["items"][0]["url"]
    async with asyncio.timeout(60):
        while (answer := await asyncio.to_thread(httpx2.get, address, trust_env=False)).status_code == 503:
            await asyncio.sleep(float(answer.headers["retry-after"]) / 10)
    with Image.open(BytesIO(answer.content)) as found:
        assert (answer.status_code, found.format, found.size) == (200, "PNG", (96, 64))
        assert found.convert("L").getextrema()[1] > 200
    shown = await member.ask("GET", f"/images/{image['id']}", 200)
    assert "source" not in [each["preset"] for each in shown["derivatives"]]

"""A share link from its creation to its end: made by a member, seen and downloaded by people who have its address."""

import asyncio
import html
import re
from io import BytesIO
from typing import Any

import httpx2
from PIL import Image

from .conftest import Client


def noise() -> bytes:
    made = BytesIO()
    Image.effect_noise((1200, 800), 90).save(made, "JPEG")
    return made.getvalue()


async def addresses_on(visitor: httpx2.AsyncClient, url: str) -> list[str]:
    """The pictures that a page shows, and the files that it offers."""
    answer = await visitor.get(url)
    assert answer.status_code == 200, answer.text
    return [
        html.unescape(each)
        for each in re.findall(r'(?:class="shown" src|class="step" href)="(http[^"]+)"', answer.text)
    ]


async def status_becomes(visitor: httpx2.AsyncClient, url: str, status: int) -> None:
    async with asyncio.timeout(20):
        while (await visitor.get(url)).status_code != status:
            await asyncio.sleep(0.2)


async def test_whoever_has_the_link_sees_its_pictures_until_it_ends(
    member: Client, stranger: Client, browser: httpx2.AsyncClient
) -> None:
    images = [await member.upload(noise(), f"{name}.jpg") for name in ("first", "second")]
    collection = await member.ask("POST", "/collections", 201, json={"name": "Norway"})
    path = f"/collections/{collection['id']}"
    await member.ask("POST", f"{path}/images", 200, json={"image_ids": [images[0]["id"]]})
    made = await member.ask(
        "POST", "/links", 201,
        json={"collection_id": collection["id"], "title": "Norway 2026", "download": "stripped"},
    )  # fmt: skip
    link = f"/links/{made['id']}"
    await stranger.ask("GET", link, 404)

    assert len(await addresses_on(browser, made["url"])) == 1
    grown = await member.ask("POST", f"{path}/images", 200, json={"image_ids": [images[1]["id"]]})
    assert grown["open_links"] == 1
    shown = await addresses_on(browser, made["url"])
    assert len(shown) == 2
    for address in shown:
        answer = await browser.get(address, headers={"accept": "image/webp"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert Image.open(BytesIO(answer.content)).width in (256, 1024, 1200)
    seen = await member.ask("GET", link, 200)
    assert (seen["image_count"], seen["state"]) == (2, "open")

    # A password ends what was handed out, and asks.
    await member.ask("PATCH", link, 200, json={"password": "fjords and trolls"})
    await status_becomes(browser, shown[0], 410)
    assert await addresses_on(browser, made["url"]) == []
    await browser.post(made["url"], data={"password": "fjords and trolls"}, follow_redirects=True)
    shown = await addresses_on(browser, made["url"])
    assert (await browser.get(shown[0])).status_code == 200

    rotated: dict[str, Any] = await member.ask("POST", f"{link}/rotate", 200)
    assert (await browser.get(made["url"])).status_code == 404
    assert (await browser.get(rotated["url"])).status_code == 200
    await member.ask("DELETE", path, 204)
    assert (await browser.get(rotated["url"])).status_code == 404
    await member.ask("GET", link, 404)
    await status_becomes(browser, shown[0], 410)

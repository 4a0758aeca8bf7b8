"""A file on its way from a client or a page straight to storage, until it is an image or was refused."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from image_core.storage.protocol import SESSION_UNIT_BYTES

from .conftest import Client, served
from .test_life_of_an_image import picture

ROOT = Path(__file__).resolve().parents[2]
SIZE = 600_000
CALL = """async ([code, encoded, upload]) => {
  const sendFile = new Function(`${code}; return sendFile;`)();
  const file = new Blob([Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))]);
  await sendFile(file, upload, upload.chunk_multiple);
}"""


def large_picture() -> bytes:
    small = picture()
    return small + bytes(SIZE - len(small))


async def open_upload(member: Client, content: bytes, **fields: Any) -> Any:
    declared = {"content_type": "image/jpeg", "size_bytes": len(content)} | fields
    return await member.ask("POST", "/uploads", 201, json=declared)


async def ended(member: Client, upload_id: str) -> Any:
    """The upload, once the processor has seen it."""
    async with asyncio.timeout(90):
        while (found := await member.ask("GET", f"/uploads/{upload_id}", 200))["status"] in ("pending", "stored"):
            await asyncio.sleep(0.2)
    return found


async def test_what_was_declared_becomes_an_image_and_nothing_else_does(admin: Client, member: Client) -> None:
    content = large_picture()
    lies = {"sha256": "0" * 64}, {"content_type": "image/png"}, {}
    states = []
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        for lie in lies:
            opened = await open_upload(member, content, **lie)
            assert (await client.put(opened["url"], content=content)).status_code == 200
            # A finished session takes nothing more.
            assert (await client.put(opened["url"], content=content)).status_code < 500
            found = await ended(member, opened["upload_id"])
            states.append((found["state"], (found["failure"] or {"code": None})["code"]))
    assert states == [("refused", "upload-hash-mismatch"), ("refused", "upload-type-mismatch"), ("received", None)]
    image = await member.ask("GET", f"/images/{found['image_id']}", 200)
    assert (image["sha256"], image["size_bytes"]) == (hashlib.sha256(content).hexdigest(), SIZE)
    usage = await admin.ask("GET", f"/usage/storage?team_id={member.team_id}", 200)
    assert (usage["used_bytes"], usage["used_images"]) == (SIZE, 1)


@pytest.fixture
async def page(chromium: Any) -> AsyncIterator[Any]:
    context = await chromium.new_context()
    yield await context.new_page()
    await context.close()


@pytest.mark.chromium
async def test_a_page_of_another_origin_sends_a_file_with_the_code_of_the_docs(page: Any, member: Client) -> None:
    (code,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "direct-uploads.md").read_text(), re.DOTALL)
    content = large_picture()
    assert len(content) > 2 * SESSION_UNIT_BYTES
    with served(b"<title>Gallery</title>", "text/html") as address:
        await page.goto(address)
        parts = urlsplit(address)
        opened = await open_upload(member, content, origin=f"{parts.scheme}://{parts.netloc}")
        await page.evaluate(CALL, [code, base64.b64encode(content).decode(), opened])
    found = await ended(member, opened["upload_id"])
    assert (found["state"], found["size_bytes"], found["failure"]) == ("received", SIZE, None)

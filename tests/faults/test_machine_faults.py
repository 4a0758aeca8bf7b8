"""Callers and pictures that want more of the machine than it has."""

import asyncio
import io
import zlib
from typing import Any

import pytest
from PIL import Image

from .conftest import Scene
from .journal import Answered
from .pictures import picture
from .system import MemoryWatch

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MEBIBYTE = 1024 * 1024


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png_bomb(side_px: int, bits: int = 16) -> bytes:
    """A PNG in colours with alpha that is all zeros: small to send, large to decode."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side_px * bits // 8 * 4)
    data = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()
    size = side_px.to_bytes(4, "big")
    header = png_chunk(b"IHDR", size + size + bytes([bits, 6, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def progressive_bomb() -> bytes:
    """A progressive JPEG of 49 megapixels, which a decoder has to hold whole."""
    target = io.BytesIO()
    Image.new("RGB", (7000, 7000), (7, 8, 9)).save(target, "JPEG", progressive=True, quality=1)
    return target.getvalue()


def animation_bomb() -> bytes:
    """A GIF of 200 frames of two megapixels each."""
    frames = [Image.new("P", (1600, 1250), number % 2) for number in range(200)]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:], duration=20, optimize=False)
    return target.getvalue()


async def test_bombs_stay_within_the_memory_limit_and_harm_no_neighbour(scene: Scene) -> None:
    bombs = [png_bomb(7000), png_bomb(5500), png_bomb(7000, bits=8), progressive_bomb(), animation_bomb()]
    with MemoryWatch(scene.processor.pid).watching() as watch:
        sent = []
        for bomb in bombs:
            answer = await scene.caller.upload(bomb)
            assert answer is not None
            if answer.status_code == 201:
                sent.append(answer.json()["id"])
        neighbours = [await scene.caller.uploaded(picture()) for _ in range(5)]
        for image in neighbours:
            await scene.until(image["id"], "ready")
        ended = [await until_final(scene, image_id) for image_id in sent]
    assert len(ended) >= 3
    for image in ended:
        if image["status"] == "failed":
            assert image["failure"]["message"]
    assert MEBIBYTE < watch.peak_bytes < 512 * MEBIBYTE


async def until_final(scene: Scene, image_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (image := await scene.caller.image(image_id))["status"] not in {"ready", "failed"}:
            await asyncio.sleep(0.2)
    return image


async def test_two_hundred_slow_sockets_keep_nobody_else_waiting(scene: Scene) -> None:
    head = f"POST /api/v1/images HTTP/1.1\r\nHost: here\r\nX-API-KEY: {scene.caller.api_key}\r\n".encode()
    body = b"Content-Type: image/jpeg\r\nContent-Length: 900000\r\n\r\n" + picture()[:50]
    slow = [await asyncio.open_connection("127.0.0.1", scene.system.layout.api_port) for _ in range(200)]
    try:
        for number, (_, writer) in enumerate(slow):
            # Half of them stop in the middle of a header, the others in the middle of a picture.
            writer.write(head if number % 2 else head + body)
            await writer.drain()
        for _ in range(5):
            image = await scene.caller.uploaded(picture(), wait=20)
            assert image["status"] == "ready"
        assert max(answer.seconds for answer in scene.journal.answers) < 10
    finally:
        for _, writer in slow:
            writer.transport.abort()


@pytest.mark.parametrize("lines", [1, 1000], ids=["one line", "many lines"])
async def test_64_kib_of_headers_are_answered(scene: Scene, lines: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.system.layout.api_port)
    line = "x" * (65_536 // lines)
    headers = "".join(f"X-Junk-{number}: {line}\r\n" for number in range(lines))
    writer.write(f"GET /api/v1/whoami HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())
    await writer.drain()
    answer = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    scene.journal.answers.append(Answered("GET", "/whoami", int(answer.split(b" ")[1]), None, 0, ""))
    assert answer.split(b" ")[1].startswith(b"4")
    assert (await scene.caller.get("/whoami")).status_code == 200

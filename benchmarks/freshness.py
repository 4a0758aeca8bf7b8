"""Upload to `ready`: median and 99th percentile, one at a time and eight at once, through the whole local cloud.

    uv run --frozen python -m benchmarks.freshness [PICTURE.jpg] [--count 40]

Without a picture one of 12 megapixels is made. Every upload gets other bytes behind the end of its JPEG, so that none
is a duplicate and all cost the same.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import orjson

from benchmarks.machine import describe
from benchmarks.parts import connected, new_member, running_system


def _made_picture() -> bytes:
    import pyvips

    noise = pyvips.Image.gaussnoise(4000, 3000, sigma=30, mean=128).gaussblur(2)
    waves = (pyvips.Image.xyz(4000, 3000)[0] / 90).sin() * 60 + 128
    picture = ((noise + waves) / 2).bandjoin([noise, waves]).cast("uchar").copy(interpretation="srgb")
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        picture.jpegsave(file.name, Q=85)
        return Path(file.name).read_bytes()


async def _upload(url: str, key: str, picture: bytes) -> float:
    body = picture + os.urandom(16)
    head = f"POST /api/v1/images?wait=25 HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
    async with connected(url) as client:
        started = time.perf_counter()
        status, answer = await client.send([head.encode(), body])
        took = time.perf_counter() - started
    if status != 201 or orjson.loads(answer)["status"] != "ready":
        raise SystemExit(f"{status}: {answer[:300]!r}")
    return took


async def _series(url: str, key: str, picture: bytes, count: int, at_once: int) -> list[float]:
    pending = iter(range(count))
    times: list[float] = []

    async def worker() -> None:
        for _ in pending:
            times.append(await _upload(url, key, picture))

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return times


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    print(describe("pyvips-binary", "fastapi"))
    picture = options.picture.read_bytes() if options.picture else _made_picture()
    print(f"{len(picture) / 1e6:.1f} MB")
    with running_system() as system:
        _, key = new_member(system, "Freshness")
        asyncio.run(_series(system["url"], key, picture, 4, 2))
        for at_once in (1, 8):
            times = sorted(asyncio.run(_series(system["url"], key, picture, options.count, at_once)))
            high = times[min(len(times) - 1, round(len(times) * 0.99))]
            rate = f"{at_once} at once: median {statistics.median(times):.2f} s, 99th percentile {high:.2f} s"
            print(f"{rate}, of {len(times)} uploads")


if __name__ == "__main__":
    main()

"""Copying objects in beside uploading as many through the API, each until the images are ready, on the local cloud.

    uv run --frozen python -m benchmarks.imports [--objects 300]

The objects are different PNGs of 1 megapixel. Both take turns with half of them, so that both see the same machine.
"""

import argparse
import asyncio
import os
import time
from typing import Any

import httpx2

from benchmarks.machine import describe
from benchmarks.parts import new_member, running_system

_UPLOADS_AT_ONCE = 8
_API = "/api/v1"


def _pictures(count: int) -> list[bytes]:
    """Return PNGs of 1 megapixel, whose bytes differ behind their end."""
    import pyvips

    noise = pyvips.Image.gaussnoise(1250, 800, sigma=40, mean=128).gaussblur(3)
    whole: bytes = noise.bandjoin([noise.rot180(), noise.fliphor()]).cast("uchar").write_to_buffer(".png")
    return [whole + os.urandom(16) for _ in range(count)]


async def _fill(client: Any, storage: str, bucket: str, pictures: list[bytes]) -> None:
    (await client.post(f"{storage}/storage/v1/b", json={"name": bucket})).raise_for_status()
    for number, content in enumerate(pictures):
        parameters = {"uploadType": "media", "name": f"{number:05}.png"}
        address = f"{storage}/upload/storage/v1/b/{bucket}/o"
        (await client.post(address, params=parameters, content=content)).raise_for_status()


async def _import(client: Any, source: str) -> float:
    """Return the seconds until an operation that copies a source has ended."""
    began = time.perf_counter()
    answer = (await client.post(f"{_API}/imports", json={"source": source})).raise_for_status()
    path = f"{_API}/operations/{answer.json()['operation_id']}"
    while not (operation := (await client.get(path)).json())["finished_at"]:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    if operation["failed"]:
        raise SystemExit(f"The import has failures: {operation}.")
    return time.perf_counter() - began


async def _upload(client: Any, pictures: list[bytes]) -> float:
    """Return the seconds until all of these are uploaded and ready."""
    began, pending = time.perf_counter(), iter(pictures)

    async def worker() -> None:
        for content in pending:
            answer = await client.post(f"{_API}/images?wait=25", content=content, headers={"Content-Type": "image/png"})
            if answer.status_code != 201 or answer.json()["status"] != "ready":
                raise SystemExit(f"{answer.status_code}: {answer.text[:300]}")

    await asyncio.gather(*(worker() for _ in range(_UPLOADS_AT_ONCE)))
    return time.perf_counter() - began


async def _measure(system: dict[str, Any], objects: int) -> tuple[float, float]:
    team_id, key = new_member(system, "imports")
    storage, half = system["storage_emulator_host"], objects // 2
    imported = uploaded = 0.0
    options: dict[str, Any] = {"trust_env": False, "timeout": 60, "base_url": system["url"]}
    async with httpx2.AsyncClient(**options, headers={"X-API-KEY": key}) as client:
        for turn in ("first", "second"):
            bucket = f"old-site-{turn}"
            await _fill(client, storage, bucket, _pictures(half))
            granted = {"team_id": team_id, "name": turn, "bucket": bucket}
            headers = {"X-API-KEY": system["admin_api_key"]}
            (await client.post(f"{_API}/import-sources", json=granted, headers=headers)).raise_for_status()
            imported += await _import(client, turn)
            uploaded += await _upload(client, _pictures(half))
    return imported, uploaded


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=300)
    options = parser.parse_args()
    print(describe("pyvips"))
    with running_system() as system:
        imported, uploaded = asyncio.run(_measure(system, options.objects))
    rate = options.objects / imported
    print(f"{options.objects} objects: copied in {imported:.1f} s ({rate:.1f}/s), uploaded in {uploaded:.1f} s")
    print(f"copying takes {imported / uploaded:.2f} of the time")


if __name__ == "__main__":
    main()

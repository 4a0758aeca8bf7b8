"""Changes of images at 16 clients, audited, beside the same changes by an API that writes no audit event.

    uv run --frozen python -m benchmarks.audit [--requests 2000] [--rounds 5]

Both are the same program on the same database; the rounds alternate between them and the best of each counts.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.machine import cpu_seconds, describe
from benchmarks.parts import new_member, repeat, running_system, wait_for_port
from benchmarks.reads import _fill

UNAUDITED = """
import runpy
from image_core import audit

async def nothing(transaction, event):
    pass

audit.write = nothing
runpy.run_module("image_api", run_name="__main__")
"""


def _change(image_id: UUID, key: str, name: str) -> Sequence[bytes]:
    body = b'{"filename": "%s.jpg"}' % name.encode()
    head = f"PATCH /api/v1/images/{image_id} HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return [head.encode() + body]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(describe("fastapi", "asyncpg", "orjson", "uvicorn"))
    with running_system() as system:
        team, key = new_member(system, "Audit")
        image_ids = asyncio.run(_fill(system["database_url"], team))
        audited = system["pids"]["image_api"]
        port = "18998"
        # The same settings as the running API's, whatever they are.
        told = Path(f"/proc/{audited}/environ").read_bytes().decode().split("\0")
        environment = dict(line.split("=", 1) for line in told if line) | {"PORT": port}
        unaudited = subprocess.Popen([sys.executable, "-c", UNAUDITED], env=environment, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for_port(url)
            sides = {"audited": (system["url"], audited), "unaudited": (url, unaudited.pid)}
            _measure(
                sides, [_change(each, key, os.urandom(4).hex()) for each in image_ids[: options.requests]], options
            )
        finally:
            unaudited.terminate()


def _measure(sides: dict[str, tuple[str, int]], requests: list[Any], rounds: int) -> None:
    rate, cpu = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, float("inf"))
    for _ in range(rounds + 1):  # the first round warms up; it is never the best
        for name, (url, process_id) in sides.items():
            before, started = cpu_seconds(process_id), time.perf_counter()
            asyncio.run(repeat(url, requests, 16))
            rate[name] = max(rate[name], len(requests) / (time.perf_counter() - started))
            cpu[name] = min(cpu[name], (cpu_seconds(process_id) - before) / len(requests))
    for name in sides:
        print(f"{name:12} {rate[name]:8.0f} changes per second, {cpu[name] * 1e6:6.0f} µs of the API's CPU each")
    print(f"audited beside unaudited: {rate['audited'] / rate['unaudited']:.2f} of the rate,")
    print(f"{(cpu['audited'] - cpu['unaudited']) * 1e6:.0f} µs of the API's CPU for the audit event")


if __name__ == "__main__":
    main()

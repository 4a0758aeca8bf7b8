"""What guarding costs: authentication with rate limit on a read, and the audit event on a write.

    uv run --frozen python -m benchmarks.guards [--requests 2000] [--rounds 5]

Each is measured beside the same API without it, on the same database: one that believes every caller, one that
writes no audit event. The rounds alternate between the two sides and the best of each counts.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from benchmarks.machine import cpu_seconds, describe
from benchmarks.parts import new_member, repeat, running_system, wait_for_port
from benchmarks.reads import _fill

_CLIENTS = 16
_UNAUDITED = """
import runpy
from image_core.audit import events as audit

async def nothing(transaction, event):
    pass

audit.write = nothing
runpy.run_module("image_api", run_name="__main__")
"""
_UNGUARDED = """
import os, runpy, uuid
from image_api import auth
from image_api.actor import DEFAULT_SCOPES, Actor, Role

somebody = Actor(
    uuid.uuid4(), "somebody", uuid.UUID(os.environ["TEAM"]), Role.MEMBER, frozenset(DEFAULT_SCOPES[Role.MEMBER]),
    uuid.uuid4(), "im_somebody", None, is_default_key=False,
)

async def believe(request):
    return somebody

auth.authenticate = believe
runpy.run_module("image_api", run_name="__main__")
"""


class Side(NamedTuple):
    """A running API."""

    url: str
    process_id: int


@contextmanager
def _beside(process_id: int, program: str, port: int, team: str) -> Iterator[Side]:
    """The same API with the same settings, changed by a few lines of program."""
    told = Path(f"/proc/{process_id}/environ").read_bytes().decode().split("\0")
    environment = dict(line.split("=", 1) for line in told if line) | {"PORT": str(port), "TEAM": team}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_port(url)
        yield Side(url, process.pid)
    finally:
        process.terminate()
        process.wait()


def _get(image_id: UUID, key: str) -> Sequence[bytes]:
    return [f"GET /api/v1/images/{image_id} HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\n\r\n".encode()]


def _change(image_id: UUID, key: str) -> Sequence[bytes]:
    body = b'{"filename": "%s.jpg"}' % os.urandom(4).hex().encode()
    head = f"PATCH /api/v1/images/{image_id} HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return [head.encode() + body]


def _measure(sides: dict[str, Side], requests: list[Any], rounds: int) -> None:
    rate, cpu = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, float("inf"))
    for _ in range(rounds + 1):  # the first round warms up; it is never the best
        for name, side in sides.items():
            before, started = cpu_seconds(side.process_id), time.perf_counter()
            asyncio.run(repeat(side.url, requests, _CLIENTS))
            rate[name] = max(rate[name], len(requests) / (time.perf_counter() - started))
            cpu[name] = min(cpu[name], (cpu_seconds(side.process_id) - before) / len(requests))
    for name in sides:
        print(f"  {name:12} {rate[name]:6.0f} requests per second, {cpu[name] * 1e6:5.0f} µs of the API's CPU each")
    with_it, without = sides
    print(f"  rate {rate[with_it] / rate[without]:.2f}, {(cpu[with_it] - cpu[without]) * 1e6:.0f} µs of CPU more")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(describe("fastapi", "asyncpg", "orjson", "uvicorn"))
    with running_system() as system:
        team, key = new_member(system, "Guards")
        image_ids = asyncio.run(_fill(system["database_url"], team))[: options.requests]
        real = Side(system["url"], system["pids"]["image_api"])
        with _beside(real.process_id, _UNGUARDED, 18997, team) as unguarded:
            print("Get one image, with authentication and rate limit and without:")
            _measure({"guarded": real, "unguarded": unguarded}, [_get(each, key) for each in image_ids], options.rounds)
        with _beside(real.process_id, _UNAUDITED, 18998, team) as unaudited:
            print(f"Change an image at {_CLIENTS} clients, audited and not:")
            requests = [_change(each, key) for each in image_ids]
            _measure({"audited": real, "unaudited": unaudited}, requests, options.rounds)


if __name__ == "__main__":
    main()

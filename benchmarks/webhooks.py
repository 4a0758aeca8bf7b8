"""Webhooks on the local cloud: from an event to its first attempt, alone and beside endpoints that hang; and a burst.

    uv run --frozen python -m benchmarks.webhooks [--events 100] [--burst 2000]

Events are share links that are created one after the other. The time of one begins where its row is made and ends where
its receiver, in this process, has read the request.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson

from benchmarks.machine import describe
from benchmarks.parts import running_system

_HANGING = 19
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """Answers at once, or never; notes how old each event was on its arrival."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs, self._stay = hangs, asyncio.Event()
        self.ages: list[float] = []
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = orjson.loads(await reader.readexactly(length))
        self.ages.append(time.time() - datetime.fromisoformat(body["timestamp"]).timestamp())
        if self._hangs:
            # Until the benchmark ends.
            with contextlib.suppress(asyncio.CancelledError):
                await self._stay.wait()
            return
        writer.write(_ANSWER)
        await writer.drain()
        writer.close()

    async def await_number(self, number: int) -> None:
        """Wait until so many events have arrived."""
        while len(self.ages) < number:  # noqa: ASYNC110 (what is polled is a list)
            await asyncio.sleep(0.02)


async def _measure(url: str, key: str, events: int, burst: int, tasks_pid: int) -> None:
    headers = {"X-API-KEY": key}
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=30, trust_env=False) as client:
        good, hanging = Receiver(), Receiver(hangs=True)
        await good.start()
        await hanging.start()
        team = (await _call(client, "POST", "/teams", {"name": "benchmark"}))["id"]
        named = {"team_id": team}
        collection = (await _call(client, "POST", "/collections", {"name": "any"}, named))["id"]
        webhook = (await _call(client, "POST", "/webhooks", {"url": good.url}, named))["id"]
        await _make_events(client, named, collection, 5)
        await good.await_number(5)
        await _tell("alone", client, named, collection, good, events)
        for _ in range(_HANGING):
            await _call(client, "POST", "/webhooks", {"url": hanging.url}, named)
        await _tell(f"beside {_HANGING} that hang", client, named, collection, good, events)
        await _call(client, "POST", f"/webhooks/{webhook}/replay", {"since": "2020-01-01T00:00:00Z"})
        await _burst(client, good, webhook, burst, tasks_pid)


async def _call(client: httpx2.AsyncClient, method: str, path: str, body: Any, params: Any = None) -> Any:
    answer = await client.request(method, path, json=body, params=params)
    answer.raise_for_status()
    return answer.json()


async def _make_events(client: httpx2.AsyncClient, named: Any, collection: str, number: int) -> None:
    for _ in range(number):
        await _call(client, "POST", "/links", {"collection_id": collection}, named)
        await asyncio.sleep(0.05)


async def _tell(
    what: str, client: httpx2.AsyncClient, named: Any, collection: str, good: Receiver, events: int
) -> None:
    good.ages.clear()
    await _make_events(client, named, collection, events)
    await good.await_number(events)
    ages = sorted(good.ages)
    median, late = statistics.median(ages) * 1000, ages[int(len(ages) * 0.99) - 1] * 1000
    print(f"{what}: event to first attempt {median:.0f} ms at the median, {late:.0f} ms at the 99th percentile")


async def _burst(client: httpx2.AsyncClient, good: Receiver, webhook: str, burst: int, tasks_pid: int) -> None:
    """Replay everything until so many deliveries are made, and say how fast they were."""
    good.ages.clear()
    queued, began_at, cpu_before = 0, time.monotonic(), _cpu_seconds(tasks_pid)
    while queued < burst:
        answer = await client.post(f"/webhooks/{webhook}/replay", json={"since": "2020-01-01T00:00:00Z"})
        if answer.status_code != 202:
            break
        queued += answer.json()["count"]
    await good.await_number(queued)
    seconds, cpu_seconds = time.monotonic() - began_at, _cpu_seconds(tasks_pid) - cpu_before
    print(
        f"burst: {queued} deliveries in {seconds:.1f} s, {queued / seconds:.0f} a second, beside {_HANGING} that hang;"
        f" {queued / cpu_seconds:.0f} for each second of image-tasks' CPU"
    )


def _cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pid_at(port: int) -> int:
    """Return the process that is to listen on a port."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            settings = (process / "environ").read_bytes().split(b"\0")
            if f"PORT={port}".encode() in settings and b"tasks_app" in (process / "cmdline").read_bytes():
                return int(process.name)
    raise SystemExit("image-tasks does not run.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--burst", type=int, default=2000)
    given = parser.parse_args()
    print(describe())
    allowed = {"WEBHOOK_ALLOW_ADDRESSES": '["127.0.0.1/32"]', "WEBHOOK_ALLOW_HTTP": "true"}
    with running_system(**allowed) as system:
        tasks_pid = _pid_at(urlsplit(system["tasks_url"]).port or 0)
        asyncio.run(_measure(system["url"], system["admin_api_key"], given.events, given.burst, tasks_pid))


if __name__ == "__main__":
    main()

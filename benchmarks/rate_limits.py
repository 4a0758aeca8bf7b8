"""CPU that a rate limit adds to a request, in memory and in Redis, beside the whole of a bare request.

    uv run --frozen python -m benchmarks.rate_limits [--requests 5000] [--rounds 5]

The bare request is an endpoint of the framework, called without a network. The rounds alternate, and the best of each
counts. Redis is a server of its own (`redis-server`), whose CPU does not count; without one, memory alone is measured.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from fastapi import FastAPI

from benchmarks.machine import describe
from image_api.limits import redis_buckets
from image_api.limits.rate_limits import RateLimits
from image_api.settings import ApiSettings
from local_cloud.ports import free_port

_NEEDED: dict[str, Any] = {
    "google_cloud_project": "bench",
    "image_upload_bucket_name": "o",
    "image_derivatives_bucket_name": "d",
    "image_scratch_bucket_name": "s",
    "database_url": "postgresql://nobody@127.0.0.1:9/none",
    "rate_limit_per_second": 500_000,
    "upload_rate_limit_per_second": 500_000,
}


@contextmanager
def _redis_server() -> Iterator[str | None]:
    if shutil.which("redis-server") is None:
        yield None
        return
    port = free_port()
    process = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            for _ in range(100):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait(10)


def _bare() -> Callable[[], Awaitable[Any]]:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/images/{image_id}")
    async def get(image_id: str) -> dict[str, str]:
        return {"id": image_id}

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/images/1", "raw_path": b"/images/1",
             "query_string": b"", "headers": [], "server": ("a", 80), "client": ("b", 1), "scheme": "http"}  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None: ...

    return lambda: app(dict(scope), receive, send)


async def _microseconds(call: Callable[[], Awaitable[Any]], requests: int) -> float:
    await call()
    started = time.process_time()
    for _ in range(requests):
        await call()
    return (time.process_time() - started) / requests * 1e6


def _fallen_back() -> None:
    sys.exit("Redis did not answer in time; measure again.")


async def _measure(url: str | None, requests: int, rounds: int) -> None:
    # A busy machine is not to look like a Redis that is away.
    redis_buckets.ANSWER_SECONDS = 5.0
    calls = {"bare request": _bare()}
    opened = []
    for name, setting in (("memory", None), *([("Redis", url)] if url else [])):
        limits = RateLimits(ApiSettings(**_NEEDED, rate_limit_url=setting), _fallen_back)
        await limits.open()
        opened.append(limits)
        calls[f"{name}, a request"] = lambda limits=limits: limits.count_request("im_bench")
        calls[f"{name}, an upload"] = lambda limits=limits: limits.count_upload("im_bench")
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            best[name] = min(best[name], await _microseconds(call, requests))
    for name, microseconds in best.items():
        print(f"{name:20} {microseconds:8.1f} us of CPU {microseconds / best['bare request']:6.2f} of a bare request")
    for limits in opened:
        await limits.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(describe("redis"))
    with _redis_server() as url:
        asyncio.run(_measure(url, arguments.requests, arguments.rounds))


if __name__ == "__main__":
    main()

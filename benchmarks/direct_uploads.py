"""Opening a direct upload: CPU of the API's process, beside an upload of 1 MB through it.

    uv run --frozen python -m benchmarks.direct_uploads [--rounds 3]

The declared sizes differ, because opening must cost the same whatever will be sent.
"""

import argparse
import asyncio
import json
from collections.abc import Callable

from benchmarks.machine import cpu_seconds, describe
from benchmarks.parts import new_member, repeat, running_system
from benchmarks.uploads import upload_requests

_COUNT = 60
_SIZES_MB = (1, 150)

Requests = Callable[[], list[list[bytes]]]


def _openings(key: str, size_mb: int) -> list[list[bytes]]:
    body = json.dumps({"content_type": "image/jpeg", "size_bytes": size_mb * 1_000_000, "tags": ["bench"]}).encode()
    head = f"POST /api/v1/uploads HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\nContent-Type: application/json\r\n"
    return [[f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body]] * _COUNT


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(describe("fastapi", "aiohttp", "uvicorn"))
    with running_system(DIRECT_UPLOADS_PER_TEAM="1000000") as system:
        _, key = new_member(system, "Direct uploads")
        sides: dict[str, Requests] = {
            f"open {size_mb} MB": lambda size_mb=size_mb: _openings(key, size_mb) for size_mb in _SIZES_MB
        }
        sides["upload 1 MB"] = lambda: upload_requests("/api/v1/images", key, 1, _COUNT)
        best = _measure(system["url"], system["pids"]["image_api"], sides, options.rounds)
    for name, milliseconds in best.items():
        print(f"{name:12} {milliseconds:6.2f} ms of CPU   ratio {milliseconds / best['upload 1 MB']:.2f}")


def _measure(url: str, process_id: int, sides: dict[str, Requests], rounds: int) -> dict[str, float]:
    """Return the least CPU time of one request of each side, in milliseconds."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds + 1):  # the first round warms up
        for name, make in sides.items():
            requests = make()
            before = cpu_seconds(process_id)
            asyncio.run(repeat(url, requests, 1))
            best[name] = min(best[name], (cpu_seconds(process_id) - before) / len(requests) * 1000)
    return best


if __name__ == "__main__":
    main()

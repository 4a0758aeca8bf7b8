"""A repeated request of a rendition of about 10 KB: CPU beside nginx with the same bytes in a file.

    uv run --frozen python -m benchmarks.delivery.repeated_request [--rounds 6] [--requests 6000]

Both sides get the same requests over the same number of connections, one side after the other within each round, and
the fastest round counts. nginx runs one worker, serves from the page cache and writes no log. CPU time is that of the
serving process; the requests that a second of it would answer are what one core can do.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyvips

from benchmarks.machine import cpu_seconds, describe
from benchmarks.parts import call, connected, new_member, repeat, running_system, upload, wait_for_port
from local_cloud.ports import free_port

CLIENTS = 32
MAKES = 12
NGINX = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off;
  types {{ image/webp webp; }}
  sendfile on;
  keepalive_requests 1000000;
  open_file_cache max=100;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder};
    add_header Cache-Control "public, max-age=86400, s-maxage=600";
    add_header Cross-Origin-Resource-Policy cross-origin;
    add_header Access-Control-Allow-Origin "*";
  }}
}}
"""


def _photograph() -> bytes:
    """A JPEG of 12 megapixels with so much noise that 192 pixels of it take about 10 KB."""
    noise = pyvips.Image.gaussnoise(500, 375, mean=128, sigma=40).resize(8).cast("uchar")
    content: bytes = noise.bandjoin([noise.rot180(), noise]).copy(interpretation="srgb").jpegsave_buffer(Q=85)
    return content


@contextmanager
def _nginx(body: bytes) -> Iterator[tuple[str, int]]:
    """The URL of a file with these bytes, and the process that serves it."""
    command = shutil.which("nginx") or "/usr/sbin/nginx"
    with tempfile.TemporaryDirectory(prefix="image-manager-bench-") as folder:
        Path(folder).chmod(0o755)
        port = free_port()
        Path(folder, "picture.webp").write_bytes(body)
        Path(folder, "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        master = subprocess.Popen([command, "-c", f"{folder}/nginx.conf"])
        try:
            wait_for_port(f"http://127.0.0.1:{port}")
            children = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
            yield f"http://127.0.0.1:{port}/picture.webp", int(children[0])
        finally:
            master.terminate()
            master.wait(10)


def _sign(system: dict[str, Any], key: str, image_id: str, *specs: str) -> list[str]:
    items = [{"image_id": image_id, "spec": spec, "format": "webp"} for spec in specs]
    answers = call(f"{system['url']}/api/v1/delivery/sign", key, {"items": items})["items"]
    return [answer["url"] for answer in answers]


def _request(url: str) -> list[bytes]:
    path = urlsplit(url).path
    # What browsers send with a picture.
    return [
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0\r\n"
        "Accept: image/avif,image/webp,image/apng,*/*;q=0.8\r\nAccept-Language: en\r\n"
        "Accept-Encoding: gzip, deflate, br\r\nReferer: https://example.org/\r\nSec-Fetch-Dest: image\r\n"
        "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: cross-site\r\n\r\n".encode()
    ]


async def _body_of(url: str) -> bytes:
    async with connected(url) as client:
        status, body = await client.send(_request(url))
    if status != 200:
        raise SystemExit(f"{status}: {body[:300]!r}")
    return body


def _make_cpu(system: dict[str, Any], url: str, urls: list[str]) -> float:
    """CPU seconds of the service and its worker for the first request of one rendition."""
    service = int(system["pids"]["image_delivery"])
    workers = [int(each) for each in Path(f"/proc/{service}/task/{service}/children").read_text().split()]
    processes = [service, *workers]
    asyncio.run(_body_of(urls[0]))
    before = sum(cpu_seconds(each) for each in processes)
    asyncio.run(repeat(url, [_request(each) for each in urls[1:]], 1))
    return (sum(cpu_seconds(each) for each in processes) - before) / len(urls[1:])


def _measure(system: dict[str, Any], rounds: int, count: int) -> None:
    _, key = new_member(system, "Delivery")
    image = upload(f"{system['url']}/api/v1/images?wait=25", key, _photograph())
    ours, *others = _sign(system, key, image["id"], "t-w192", *(f"t-w640-h{480 - n}" for n in range(MAKES)))
    body, make = asyncio.run(_body_of(ours)), _make_cpu(system, ours, others)
    with _nginx(body) as (theirs, nginx_process):
        sides = {
            "image-delivery": (ours, int(system["pids"]["image_delivery"])),
            "nginx": (theirs, nginx_process),
        }
        best = dict.fromkeys(sides, float("inf"))
        for _ in range(rounds + 1):  # the first round warms up
            for side, (url, process_id) in sides.items():
                before = cpu_seconds(process_id)
                asyncio.run(repeat(url, [_request(url)] * count, CLIENTS))
                best[side] = min(best[side], (cpu_seconds(process_id) - before) / count)
    mine, nginx = best["image-delivery"], best["nginx"]
    print(f"{len(body)} bytes, {CLIENTS} clients, {count} requests a round")
    for side, seconds in best.items():
        print(f"{side:15} {seconds * 1e6:6.0f} µs of CPU a request   {1 / seconds:7.0f} requests a second of CPU")
    print(f"beside nginx {mine / nginx:.1f} (goal: 8); beside making 640 pixels {mine / make:.4f} (goal: 0.05)")
    print(f"requests a second of CPU: {1 / mine:.0f} (goal: 2,200)")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=6000)
    options = parser.parse_args()
    print(describe("uvicorn", "httptools", "starlette"))
    if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        sys.exit("nginx is not installed.")
    with running_system() as system:
        _measure(system, options.rounds, options.requests)


if __name__ == "__main__":
    main()

"""The console's grid of 100,000 images in Chromium: first paint, longest task, memory and number of pictures.

    uv run --frozen --group browser python -m benchmarks.image_grid [--images 100000] [--loads 5]

The images are rows of 120 months. Their pictures are delivered by this script, in place of image-delivery: each address
is one of a few JPEGs.
"""

import argparse
import asyncio
import io
import json
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from benchmarks.machine import describe
from benchmarks.parts import new_member, running_system

_SIDES = ((320, 240), (240, 320), (320, 180), (256, 256), (320, 213))
_FILL = """
INSERT INTO image (id, team_id, status, content_type, format, object_name, generation, size_bytes, sha256, width,
                   height, frames, ready_at, facts, filename, created_at, taken_at_source)
SELECT ('0199' || lpad(to_hex(n), 28, '0'))::uuid, $1, 'ready', 'image/jpeg', 'jpeg', 'originals/grid/' || n, n,
  1000 + n, sha256(n::text::bytea), (ARRAY[4000, 3000, 4000, 3000, 4000])[1 + n % 5],
  (ARRAY[3000, 4000, 2250, 3000, 2667])[1 + n % 5], 1, now(),
  '{"blurhash": "LKO2?U%2Tw=w]~RBVZRi};RPxuwH"}', 'IMG_' || n || '.jpg',
  -- Months differ: some have a few images, some thousands.
  now() - (n::float / $2) ^ 1.5 * interval '3650 days', 'unknown'
FROM generate_series(1, $2::int) n
"""
_WATCH = """
window.seen = { images: 0, painted: 0 };
const look = () => {
  window.seen.images = Math.max(window.seen.images, document.images.length);
  if (!window.seen.painted && document.querySelector(".cell")) {
    window.seen.painted = -1;
    // After the frame in which it is there.
    requestAnimationFrame(() => setTimeout(() => { window.seen.painted = performance.now(); }));
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""


async def _fill(database_url: str, team: str, images: int) -> None:
    connection = await asyncpg.connect(database_url)
    # The words of so many filenames would take minutes, and nobody searches here.
    await connection.execute("ALTER TABLE image DISABLE TRIGGER USER")
    await connection.execute(_FILL, UUID(team), images)
    await connection.execute("ALTER TABLE image ENABLE TRIGGER USER")
    await connection.execute("ANALYZE")
    await connection.close()


def _jpegs() -> list[bytes]:
    from PIL import Image

    contents = []
    for number in range(20):
        content = io.BytesIO()
        Image.effect_noise(_SIDES[number % len(_SIDES)], 40 + number).convert("RGB").save(content, "JPEG", quality=60)
        contents.append(content.getvalue())
    return contents


@contextmanager
def _delivery() -> Iterator[int]:
    """Answer every address with a picture; yields the port."""
    pictures = _jpegs()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = pictures[hash(self.path) % len(pictures)]
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Cache-Control", "max-age=3600")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Says nothing: what scrolls by is not loaded to its end."""

    with Server(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _resident_mb(process_id: int) -> float:
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


async def _renderer(browser: Any) -> int:
    """Return the process of the tab, the renderer that has most memory."""
    session = await browser.new_browser_cdp_session()
    found = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    return max((each["id"] for each in found if each["type"] == "renderer"), key=_resident_mb)


async def _seen(page: Any) -> dict[str, Any]:
    seen: dict[str, Any] = await page.evaluate("window.seen")
    return seen


def _tasks(trace: bytes) -> list[tuple[float, float]]:
    """Return how long each task of the page's main thread took, and its CPU time, in milliseconds."""
    events = json.loads(trace)["traceEvents"]
    main = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    return [
        (each["dur"] / 1000, each.get("tdur", 0) / 1000)
        for each in events
        if each["name"].endswith("RunTask") and "dur" in each and (each["pid"], each["tid"]) in main
    ]


async def _scroll(page: Any) -> None:
    """Scroll down with the wheel, then jump about with the slider, then up."""
    await page.mouse.move(600, 500)
    for _ in range(120):
        await page.mouse.wheel(0, 700)
        await page.wait_for_timeout(40)
    slider = page.get_by_role("slider", name="Month")
    await slider.focus()
    for keys in ("End", "Home", *["PageDown"] * 12):
        await page.keyboard.press(keys)
        await page.wait_for_timeout(250)
    for _ in range(60):
        await page.mouse.wheel(0, -700)
        await page.wait_for_timeout(40)


async def _open_oldest(page: Any, images: int) -> float:
    """Return the seconds for three actions: a click on the slider, a key, and a click on the last picture."""
    started = time.perf_counter()
    await page.get_by_role("slider", name="Month").click()
    await page.keyboard.press("End")
    await page.locator(f".cell img[alt='IMG_{images}.jpg']").click()
    await page.get_by_role("heading", name=f"IMG_{images}.jpg").wait_for()
    return time.perf_counter() - started


async def _measure(system: dict[str, Any], key: str, port: int, options: argparse.Namespace) -> None:
    from playwright.async_api import async_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    delivery = urlsplit(system["delivery_url"]).netloc
    arguments = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {delivery} 127.0.0.1:{port}"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=arguments)
        print(f"Chromium {browser.version}")
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.goto(f"{system['url']}/console/sign-in?next=/console")
        await page.get_by_label("API key", exact=True).fill(key)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{system['url']}/console")
        await page.add_init_script(_WATCH)
        painted = []
        for _ in range(options.loads):
            await page.goto(f"{system['url']}/console/images")
            # Playwright's `wait_for_function` evaluates text within the page, which the console's policy forbids.
            while not await page.evaluate("window.seen.painted > 0 && document.querySelector('.cell img')?.complete"):
                await page.wait_for_timeout(5)
            painted.append((await _seen(page))["painted"])
        print(f"first paint of the grid: median {statistics.median(painted):.0f} ms, highest {max(painted):.0f} ms")
        await _scroll(page)
        renderer = await _renderer(browser)
        print(f"memory of the renderer after scrolling: {_resident_mb(renderer):.0f} MB (PSS)")
        session = await page.context.new_cdp_session(page)
        await session.send("HeapProfiler.collectGarbage")
        await session.send("Memory.simulatePressureNotification", {"level": "critical"})
        await page.wait_for_timeout(1000)
        print(f"the same after what a browser does when memory is short: {_resident_mb(renderer):.0f} MB")
        await browser.start_tracing(page=page, categories=["toplevel"])
        await _scroll(page)
        tasks = _tasks(await browser.stop_tracing())
        print(f"longest task while scrolling: {max(cpu for _, cpu in tasks):.0f} ms of CPU, {max(tasks)[0]:.0f} ms")
        print(f"most <img> in the document: {(await _seen(page))['images']}")
        print(f"height of the document: {await page.evaluate('document.documentElement.scrollHeight'):,} px")
        print(f"oldest picture by three actions: {await _open_oldest(page, options.images):.1f} s")
        await browser.close()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--loads", type=int, default=5)
    options = parser.parse_args()
    print(describe("playwright", "fastapi"), flush=True)
    with running_system() as system, _delivery() as port:
        team, key = new_member(system, "Grid")
        asyncio.run(_fill(system["database_url"], team, options.images))
        asyncio.run(_measure(system, key, port, options))


if __name__ == "__main__":
    main()

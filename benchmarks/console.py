"""What each page of the console costs the API: its CPU for a load, and bytes without pictures.

    uv run --frozen python -m benchmarks.console [--loads 100]

A member of a team of 20,000 images signs in with a key and loads each page that needs no more than that over one
connection. Scripts and the style sheet, which browsers keep, are counted once, compressed.
"""

import argparse
import asyncio
import gzip
import http.client
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import image_api.console
from benchmarks.machine import cpu_seconds, describe
from benchmarks.parts import new_member, repeat, running_system
from benchmarks.reads import fill_team
from image_api.app import ROUTERS
from image_api.console.policy import is_console
from image_api.openapi.operations import api_routes

_STATIC = Path(image_api.console.__file__).parent / "static"


def _ask(
    url: str, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def _sign_in(url: str, key: str) -> str:
    """Return the cookie of a new session."""
    form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": url, "Sec_Fetch_Site": "same-origin"}
    status, headers, content = _ask(url, "POST", "/console/sign-in/key", urlencode({"api_key": key}), **form)
    if status != 303:
        raise SystemExit(f"{status}: {content[:300]!r}")
    return headers["set-cookie"].partition(";")[0]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loads", type=int, default=100)
    loads = parser.parse_args().loads
    print(describe("fastapi", "jinja2", "uvicorn"))
    paths = sorted({path for path, route in api_routes(ROUTERS) if is_console(path) and "GET" in (route.methods or ())})
    with running_system() as system:
        team, key = new_member(system, "Console")
        image_id = asyncio.run(fill_team(system["database_url"], team))[0]
        cookie, process_id = _sign_in(system["url"], key), system["pids"]["image_api"]
        for path in [*(each.replace("{image_id}", str(image_id)) for each in paths), "/console/images?limit=200"]:
            status, _, page = _ask(system["url"], "GET", path, Cookie=cookie, Accept="text/html")
            if status != 200:
                continue
            host = urlsplit(system["url"]).netloc
            request = [f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nCookie: {cookie}\r\n\r\n".encode()]
            asyncio.run(repeat(system["url"], [request] * 10, 1))  # warms up
            before = cpu_seconds(process_id)
            asyncio.run(repeat(system["url"], [request] * loads, 1))
            each_ms = (cpu_seconds(process_id) - before) / loads * 1000
            print(f"{path.replace(str(image_id), '…'):45} {each_ms:6.1f} ms {len(page):8,} bytes")
    files = sum(len(gzip.compress(path.read_bytes())) for path in _STATIC.iterdir())
    print(f"all scripts and the style sheet, compressed: {files:,} bytes")


if __name__ == "__main__":
    main()

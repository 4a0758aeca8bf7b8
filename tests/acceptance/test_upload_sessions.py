"""Upload sessions of the local store in a real browser: preflights, pieces, and pages of other origins."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from .conftest import RunningSystem, served

pytestmark = pytest.mark.chromium

# Sends a file in two pieces, as a page does that reads in between how much has arrived.
SEND = """async ([url, size, first]) => {
  const content = new Uint8Array(size);
  const put = (body, range) => fetch(url, {method: "PUT", body, headers: {"Content-Range": `bytes ${range}/${size}`}});
  try {
    const part = await put(content.slice(0, first), `0-${first - 1}`);
    if (part.status !== 308) return [part.status, null, null];
    const asked = await put(null, "*");
    const arrived = Number(asked.headers.get("Range").split("-")[1]) + 1;
    const done = await put(content.slice(arrived), `${arrived}-${size - 1}`);
    return [done.status, arrived, (await done.json()).size];
  } catch (error) { return ["not shown", null, null]; }
}"""


@pytest.fixture
async def page(chromium: Any) -> AsyncIterator[Any]:
    context = await chromium.new_context()
    yield await context.new_page()
    await context.close()


def open_session(system: RunningSystem, origin: str | None, size_bytes: int) -> str:
    """Opens a session as a server does for a page."""
    assert system.data_dir is not None, "only the local store can be asked"
    store = json.loads((system.data_dir / "system.json").read_text())["emulators_url"]
    headers = {"X-Upload-Content-Length": str(size_bytes), **({"Origin": origin} if origin else {})}
    name = f"sessions/{uuid4()}"
    path = f"{store}/upload/storage/v1/b/image-manager-local-derivatives/o?uploadType=resumable&name={name}"
    answer = httpx2.post(path, json={}, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["location"])


def origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


async def test_a_page_of_another_origin_sends_a_file_in_pieces(page: Any, system: RunningSystem) -> None:
    with served(b"<title>Gallery</title>", "text/html") as address:
        await page.goto(address)
        session = open_session(system, origin_of(address), 600_000)
        assert await page.evaluate(SEND, [session, 600_000, 262_144]) == [200, 262_144, "600000"]


async def test_a_piece_of_another_size_is_refused_and_the_page_can_read_why(page: Any, system: RunningSystem) -> None:
    with served(b"<title>Gallery</title>", "text/html") as address:
        await page.goto(address)
        session = open_session(system, origin_of(address), 600_000)
        assert await page.evaluate(SEND, [session, 600_000, 100_000]) == [400, None, None]


@pytest.mark.parametrize("opened_for", [None, "https://gallery.example"])
async def test_a_page_of_any_other_origin_sends_nothing(
    page: Any, system: RunningSystem, opened_for: str | None
) -> None:
    with served(b"<title>Gallery</title>", "text/html") as address:
        await page.goto(address)
        session = open_session(system, opened_for, 600_000)
        assert await page.evaluate(SEND, [session, 600_000, 262_144]) == ["not shown", None, None]
    query = httpx2.put(session, headers={"Content-Range": "bytes */600000"}, trust_env=False)
    assert (query.status_code, "range" in query.headers) == (308, False)

"""Downloads that their reader closes, with further requests behind them on the same connection."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from image_core.storage.protocol import READ_CHUNK_BYTES
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import large_picture
from ..server.test_http_protocol import PATIENCE_SECONDS, serve  # noqa: F401 (a fixture)
from ..uploading import IMAGES

CHUNKS = 18


@pytest.mark.parametrize("behind", [0, 1, 3])
async def test_a_closed_download_ends_and_is_no_unexpected_error(
    api: Api,
    member: UserWithKey,
    serve: Callable[[Api], Awaitable[int]],  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    behind: int,
) -> None:
    image_id = (await api.upload(member, large_picture(CHUNKS * READ_CHUNK_BYTES)))["id"]
    really, reads, ended = api.services.originals.read, 0, asyncio.Event()

    async def read(*arguments: Any) -> bytes:
        nonlocal reads
        reads += 1
        return await really(*arguments)

    class Ended(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() in ("request", "unexpected_error"):
                ended.set()

    monkeypatch.setattr(api.services.originals, "read", read)
    port, handler = await serve(api), Ended()
    caplog.set_level("INFO")
    logging.getLogger("image_manager").addHandler(handler)
    request = f"GET {IMAGES}/{image_id}/content HTTP/1.1\r\nHost: x\r\nX-API-KEY: {member.api_key}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request * (1 + behind))
    await reader.readexactly(100_000)
    writer.transport.abort()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ended.wait()
    logging.getLogger("image_manager").removeHandler(handler)
    assert reads < CHUNKS
    # Nothing was written to what is closed, for which the faster loop of deployments raises an error.
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]

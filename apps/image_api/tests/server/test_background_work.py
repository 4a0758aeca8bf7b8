import asyncio

import pytest

from image_api import app as api_app
from image_api.proofs.key_cache import KeyCache
from image_core import background

from ..conftest import MakeApi


async def test_uses_of_keys_are_written_after_an_error_that_nobody_expected(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, again = 0, asyncio.Event()

    async def flush(_cache: KeyCache) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError
        again.set()

    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(api_app, "LAST_USED_SECONDS", 0.0)
    monkeypatch.setattr(KeyCache, "flush", flush)
    async with make_api():
        await asyncio.wait_for(again.wait(), 10)

"""The page of dead letters: for admins, with what to do about each."""

from typing import Any

import pytest

from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api
from .catalogue import call
from .test_images import signed_in

PAGE = "/console/dead-letters"


async def test_open_ones_are_published_again_or_discarded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    published = []

    async def publish(topic: str, messages: list[Any], _seconds: float) -> None:
        published.append((topic, messages[0].data))

    monkeypatch.setattr(api.services.publisher, "publish", publish)
    first, second, large = [await testing.add_dead_letter(api.rows, None, **each) for each in ({}, {}, {"data": None})]
    browser = await signed_in(api, api.admin)
    page = (await browser.get(PAGE)).text
    assert f"{PAGE}/{first}/redrive" in page
    assert f"{PAGE}/{large}/redrive" not in page
    await browser.submit(f"{PAGE}/{first}/redrive")
    assert published == [("uploads", b"{}")]
    await browser.submit(f"{PAGE}/{second}/discard")
    await browser.submit(f"{PAGE}/{large}/discard")
    assert "No dead letter is open" in (await browser.get(PAGE)).text
    items = (await call(api, api.admin, "GET", "/admin/dead-letters"))["items"]
    assert [each["status"] for each in items] == ["discarded", "discarded", "redriven"]


async def test_members_have_no_such_page(api: Api, member: UserWithKey) -> None:
    assert (await (await signed_in(api, member)).get(PAGE)).status_code == 403

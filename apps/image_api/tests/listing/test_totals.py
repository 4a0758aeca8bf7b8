"""Totals: exact while they are small, and else as many as there are at least."""

from typing import Any

import pytest

from image_api.listing import totals
from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api

MADE_WITH = {"exif": {"camera_model": "X100"}}


async def total(api: Api, by: UserWithKey, **params: Any) -> tuple[int, bool]:
    params = {"include_total": "true", "limit": 1, **params}
    answer = await api.client.get("/api/v1/images", headers=by.headers, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["total"], answer.json().get("at_least", False)


async def test_totals_are_exact_to_a_bound(
    api: Api, member: UserWithKey, stranger: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert member.team_id is not None
    assert stranger.team_id is not None
    for facts in (MADE_WITH, {}, {}, {}):
        await testing.add_image(api.rows, member.team_id, tags=["a"], facts=facts)
    await testing.add_image(api.rows, stranger.team_id, tags=["a"], facts=MADE_WITH)
    monkeypatch.setattr(totals, "MAX_TOTAL", 4)
    for filters in ({}, {"tag": "a"}, {"tag": "a", "order_by": "filename"}):
        assert await total(api, member, **filters) == (4, False)
    assert await total(api, member, camera="X100") == (1, False)
    assert await total(api, member, camera="X100", tag="a") == (1, False)
    # One more than the bound, whichever way it is counted.
    await testing.add_image(api.rows, member.team_id, tags=["a"], facts={})
    for filters in ({}, {"tag": "a"}):
        assert await total(api, member, **filters) == (4, True)
    assert await total(api, member, camera="X100", tag="a") == (1, False)
    # Filters that no index answers are tried on the newest images.
    monkeypatch.setattr(totals, "COUNTED_IMAGES", 3)
    assert await total(api, member, camera="X100") == (0, True)
    assert await total(api, member, camera="X100", tag="a") == (0, True)

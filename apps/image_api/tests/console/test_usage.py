"""The page of usage and credits: sums of one team, charts without inline style."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert

from image_core.models import request_usage
from image_core.testing import UserWithKey

from ..conftest import Api, Person
from .browser import Browser, tags_of

USAGE = "/console/usage"
TODAY = datetime.now(UTC).date()


@pytest.fixture
async def ada(api: Api) -> Person:
    return await api.person(name="Ada")


async def count(api: Api, by: UserWithKey, days_ago: int, requests: int, failed: int = 0) -> None:
    values = {"day": TODAY - timedelta(days=days_ago), "team_id": by.team_id, "credential_id": by.credential_id}
    values |= {"operation": "GET /api/v1/images", "requests": requests, "failed": failed}
    await api.rows.execute(insert(request_usage).values(values))


async def test_requests_are_added_up_by_day_and_operation(api: Api, ada: Person, stranger: UserWithKey) -> None:
    await count(api, ada, 1, 4000, failed=1000)
    await count(api, ada, 2, 2000)
    await count(api, ada, 40, 77777)
    await count(api, stranger, 1, 88888)
    browser = Browser(api)
    await browser.sign_in(ada)
    page = (await browser.get(USAGE)).text
    assert "6,000 in all, at most 4,000 a day" in page
    assert ">6,000<" in page
    assert "77,777" not in page
    assert "88,888" not in page
    bars = [attributes for tag, attributes in tags_of(page) if tag == "rect"]
    # Newest at the right, as high as the highest; a quarter of it failed.
    assert [bar["height"] for bar in bars] == ["50.0", "100.0", "25.0"]
    assert int(bars[0]["x"]) < int(bars[1]["x"])
    longer = f"{USAGE}?first_day={TODAY - timedelta(days=50)}&last_day={TODAY}"
    assert "83,777 in all" in (await browser.get(longer)).text


async def test_a_period_that_is_too_long_is_refused(api: Api, ada: Person) -> None:
    browser = Browser(api)
    await browser.sign_in(ada)
    assert (await browser.get(f"{USAGE}?first_day=2020-01-01&last_day=2026-01-01")).status_code == 422


async def test_changes_of_the_balance_are_listed_and_paged(api: Api, ada: Person) -> None:
    for number in range(25):
        body = {"add": 1000 + number, "reason": f"refill {number}"}
        path = f"/api/v1/teams/{ada.team_id}/credits/refill"
        assert (await api.client.post(path, headers=api.admin.headers, json=body)).status_code == 200
    browser = Browser(api)
    await browser.sign_in(ada)
    first = (await browser.get(USAGE)).text
    assert "+1,024" in first
    assert "refill 0" not in first
    (older,) = [attributes["href"] for _, attributes in tags_of(first) if attributes.get("rel") == "next"]
    assert "refill 0" in (await browser.get(older.partition("#")[0])).text


async def test_another_teams_usage_is_not_found(api: Api, ada: Person) -> None:
    other: UUID = await api.team()
    browser = Browser(api)
    await browser.sign_in(ada)
    assert (await browser.get(f"{USAGE}?team_id={other}")).status_code == 404

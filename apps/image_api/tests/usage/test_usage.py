"""Usage by day, and limits: what is counted, for whom, and what survives an outage."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, insert, select

from image_api.request_counts import RequestCounts
from image_api.tasks.runner import Budget
from image_api.usage import tasks as housekeeping
from image_core import errors, testing
from image_core.billing import credits
from image_core.db import Database
from image_core.models import delivery_usage, request_usage
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..housekeeping import Tasks

TODAY, PAST = datetime.now(UTC).date(), date(2026, 3, 10)
LIST, READ = "GET /api/v1/images", "GET /api/v1/images/{image_id}"


async def usage(api: Api, by: UserWithKey, status: int = 200, **params: Any) -> Any:
    answer = await api.client.get("/api/v1/usage", headers=by.headers, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def flush(api: Api) -> None:
    await api.app.state.request_counts.flush(api.services.database)


def told(found: Any, name: str = "operation") -> dict[Any, tuple[int, int]]:
    return {item[name]: (item["requests"], item["failed"]) for item in found["requests"]}


async def add_counts(rows: Database, team_id: UUID | None, day: date, requests: int) -> None:
    values = {"team_id": team_id, "day": day, "operation": LIST, "requests": requests}
    await rows.execute(insert(request_usage).values(**values))


async def test_requests_are_counted_by_operation_and_key(
    api: Api, member: UserWithKey, colleague: UserWithKey, stranger: UserWithKey
) -> None:
    bearer = await api.bearer(member)
    for headers in (member.headers, member.headers, colleague.headers, stranger.headers, bearer, {}):
        await api.client.get("/api/v1/images", headers=headers)
    await flush(api)
    await api.client.get(f"/api/v1/images/{uuid4()}", headers=member.headers)
    await api.client.get("/api/v1/images", headers=member.headers)
    await flush(api)
    assert told(await usage(api, member)) == {LIST: (5, 0), READ: (1, 1)}
    by_key = told(await usage(api, member, group_by="key"), "credential_id")
    assert by_key == {str(member.credential_id): (4, 1), str(colleague.credential_id): (1, 0), None: (1, 0)}
    assert told(await usage(api, member, credential_id=str(colleague.credential_id))) == {LIST: (1, 0)}
    found = await usage(api, api.admin, team_id=str(stranger.team_id))
    assert told(found) == {LIST: (1, 0)}
    assert {item["day"] for item in found["requests"]} == {TODAY.isoformat()}


async def test_a_period_has_its_first_and_last_day_and_no_others(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    assert member.team_id is not None
    days = [PAST + timedelta(days=n) for n in range(4)]
    for number, day in enumerate(days, start=1):
        await add_counts(api.rows, member.team_id, day, number)
        for team_id in (member.team_id, stranger.team_id):
            made = {"requests": number, "bytes": 10 * number, "exact_makes": 2, "open_makes": 1}
            await api.rows.execute(insert(delivery_usage).values(team_id=team_id, day=day, **made))
    found = await usage(api, member, first_day=days[1].isoformat(), last_day=days[2].isoformat())
    assert [(item["day"], item["requests"]) for item in found["requests"]] == [
        (days[2].isoformat(), 3), (days[1].isoformat(), 2),
    ]  # fmt: skip
    assert found["delivery"] == [
        {"day": days[number - 1].isoformat(), "requests": number, "bytes": 10 * number, "pictures_made": 3}
        for number in (3, 2)
    ]
    until = {"last_day": days[3].isoformat()}
    assert (await usage(api, member, **until))["first_day"] == (days[3] - timedelta(days=29)).isoformat()
    await usage(api, member, 422, first_day=(days[3] + timedelta(days=1)).isoformat(), **until)
    await usage(api, member, 422, first_day=(days[3] - timedelta(days=92)).isoformat(), **until)
    await usage(api, member, first_day=(days[3] - timedelta(days=91)).isoformat(), **until)


async def test_credits_are_those_that_stay_spent(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    for team_id in (member.team_id, stranger.team_id):
        assert team_id is not None
        async with api.rows.transaction() as transaction:
            await credits.reserve(transaction, team_id, 3, "analyze:quality")
            for operation in ("analyze:quality", "analyze:colors"):
                reservation_id = await credits.reserve(transaction, team_id, 1, operation)
                await credits.refund(transaction, reservation_id)
    expected = {"day": TODAY.isoformat(), "operation": "analyze:quality", "credits": 3}
    assert (await usage(api, member))["credits"] == [expected]
    yesterday = (TODAY - timedelta(days=1)).isoformat()
    assert (await usage(api, member, last_day=yesterday))["credits"] == []


async def test_what_cannot_be_written_is_kept_and_a_removed_team_is_left_out(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: RequestCounts = api.app.state.request_counts
    await api.client.get(f"/api/v1/images/{uuid4()}", headers=member.headers)
    with monkeypatch.context() as broken:
        broken.setattr(api.services.database, "execute", _unavailable)
        await flush(api)
    await api.client.get(f"/api/v1/images/{uuid4()}", headers=member.headers)
    gone = await api.user()
    (key,) = counts._requests
    counts._requests[key._replace(team_id=uuid4())] = 5
    await flush(api)
    assert told(await usage(api, member)) == {READ: (2, 2)}
    assert await usage(api, gone) | {"requests": []} == await usage(api, gone)


async def _unavailable(*_: Any, **__: Any) -> int:
    raise errors.DatabaseUnavailable


async def test_days_long_ago_are_forgotten(tasks: Tasks) -> None:
    team_id = await testing.add_team(tasks.rows)
    for age in (399, 402):
        await add_counts(tasks.rows, team_id, TODAY - timedelta(days=age), age)
    assert await housekeeping.remove_old_counts(tasks.parts, Budget("old", 30)) == 1
    assert await tasks.rows.fetch_value(select(func.sum(request_usage.c.requests))) == 399


async def test_limits_are_those_of_the_settings_and_of_the_team(make_api: MakeApi) -> None:
    async with make_api(rate_limit_per_second=700, images_per_collection=9, collections_per_team=4) as api:
        member, stranger = await api.user(), await api.user()
        assert member.team_id is not None
        assert stranger.team_id is not None
        await testing.add_image(api.rows, member.team_id)
        for team_id in (member.team_id, stranger.team_id, stranger.team_id):
            await testing.add_collection(api.rows, team_id)
            await testing.add_saved_search(api.rows, team_id)
            await testing.add_share_link(api.rows, team_id)
        for name, width in (("card", 640), ("thumb", 200)):
            await api.client.put(f"/api/v1/presets/{name}", headers=member.headers, json={"width": width})
        found = (await api.client.get("/api/v1/limits", headers=member.headers)).json()
        assert found["rate_limits"][0] == {"policy": "requests", "requests": 1400, "window_seconds": 2}
        assert (found["team_id"], found["images_per_collection"]) == (str(member.team_id), 9)
        assert found["quotas"] == {
            "storage_bytes": {"used": 1000, "limit": None},
            "images": {"used": 1, "limit": None},
            "presets": {"used": 1, "limit": 32},
            "collections": {"used": 1, "limit": 4},
            "saved_searches": {"used": 1, "limit": 200},
            "share_links": {"used": 1, "limit": 1000},
        }

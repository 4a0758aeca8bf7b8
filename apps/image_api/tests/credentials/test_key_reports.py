"""A leaked key is reported by somebody who need not say who they are."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from image_api.limits import rate_limits
from image_core import testing
from image_core.keys import api_keys
from image_core.models import audit_event, credential, event
from image_core.testing import UserWithKey

from ..conftest import Api

REPORT = "/api/v1/credentials/report"
RECEIVED = {"status": "received"}


async def report(api: Api, key: str) -> httpx2.Response:
    return await api.client.post(REPORT, json={"key": key})


async def works(api: Api, api_key: str) -> bool:
    return (await api.client.get("/api/v1/whoami", headers={"X-API-KEY": api_key})).status_code == 200


async def count(api: Api, table: Any) -> int:
    return int(await api.rows.fetch_value(select(func.count()).select_from(table)))


async def test_a_reported_key_ends_at_once_and_its_team_is_told(api: Api, member: UserWithKey) -> None:
    assert await works(api, member.api_key)
    assert (await report(api, member.api_key)).json() == RECEIVED
    assert not await works(api, member.api_key)
    row = await api.rows.fetch_one(select(credential).where(credential.c.id == member.credential_id))
    assert row is not None
    assert row["revoked_reason"] == "reported"
    told = await api.rows.fetch_one(select(event).where(event.c.type == "credential.leaked"))
    assert told is not None
    assert told["team_id"] == member.team_id
    assert told["published_at"] is not None
    assert str(member.user_id) in told["payload"]
    audited = await api.rows.fetch_one(select(audit_event))
    assert audited is not None
    assert (audited["action"], audited["target_id"]) == ("credential.reported", member.credential_id)
    assert (audited["actor_user_id"], audited["address"]) == (None, "127.0.0.1")
    assert member.api_key not in f"{told['payload']}{audited['before']}{audited['after']}"


@pytest.mark.parametrize("leaked", ["current", "previous"])
async def test_with_either_key_of_a_rotation_both_end(api: Api, member: UserWithKey, leaked: str) -> None:
    rotate = f"/api/v1/user/{member.user_id}/credentials/rotate"
    new = (await api.client.post(rotate, headers=member.headers)).json()["api_key"]
    assert await works(api, member.api_key)
    assert await works(api, new)
    await report(api, new if leaked == "current" else member.api_key)
    assert not await works(api, member.api_key)
    assert not await works(api, new)


async def test_the_answer_is_the_same_for_every_key(api: Api, member: UserWithKey) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    expired = await testing.add_key(api.rows, member.user_id, member.team_id, expires_at=over)
    body = f"im_{api_keys.public_id_of(member.api_key)}_{'A' * 28}"
    forged = body + api_keys._checksum(body)
    answers = [
        await report(api, key)
        for key in (api_keys.generate().api_key, "nonsense", forged, expired.api_key, member.api_key, member.api_key)
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, RECEIVED)] * 6
    assert len({tuple(name for name in answer.headers if name != "x-request-id") for answer in answers}) == 1
    # Only the live key was ended, and only once.
    assert await count(api, audit_event) == await count(api, event) == 1
    revoked = select(credential.c.id).where(credential.c.revoked_at.is_not(None))
    assert [row["id"] for row in await api.rows.fetch(revoked)] == [member.credential_id]


async def test_a_key_that_was_rotated_away_does_not_end_the_one_after_it(api: Api, member: UserWithKey) -> None:
    rotate = f"/api/v1/user/{member.user_id}/credentials/rotate"
    new = (await api.client.post(rotate, headers=member.headers)).json()["api_key"]
    over = datetime.now(UTC) - timedelta(seconds=1)
    await api.rows.execute(
        update(credential).where(credential.c.id == member.credential_id).values(previous_expires_at=over)
    )
    await report(api, member.api_key)
    assert await works(api, new)


async def test_the_same_report_many_times_at_once_tells_once(api: Api, member: UserWithKey) -> None:
    answers = await asyncio.gather(*(report(api, member.api_key) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert await count(api, event) == 1


async def test_the_last_admin_key_ends_too(api: Api) -> None:
    await api.rows.execute(
        update(credential).where(credential.c.id != api.admin.credential_id).values(revoked_at=func.now())
    )
    await report(api, api.admin.api_key)
    assert not await works(api, api.admin.api_key)


async def test_the_default_key_which_everybody_knows_is_not_ended_by_a_report(api: Api) -> None:
    await api.rows.execute(
        update(credential).where(credential.c.public_id == api_keys.DEFAULT_PUBLIC_ID).values(is_default=True)
    )
    assert (await report(api, api_keys.DEFAULT_KEY)).json() == RECEIVED
    assert await works(api, api_keys.DEFAULT_KEY)


async def test_reports_of_one_address_are_limited(api: Api) -> None:
    answers = [await report(api, "nonsense") for _ in range(rate_limits._REPORTS_PER_MINUTE + 1)]
    assert [answer.status_code for answer in answers[-2:]] == [200, 429]
    assert answers[-1].json()["code"] == "rate-limited"
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize("body", [{}, {"key": ""}, {"key": "x" * 201}, {"key": 1}, {"key": "x", "user_id": "y"}])
async def test_a_body_that_makes_no_sense_is_refused_without_repeating_the_key(api: Api, body: dict[str, Any]) -> None:
    answer = await api.client.post(REPORT, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
    assert "xxx" not in answer.text

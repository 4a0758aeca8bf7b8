"""A team's credits over HTTP: who sees them, who changes them, and what an answer says."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from image_api.actor import Role
from image_core.billing import credits
from image_core.models import audit_event, credit_account, credit_entry
from image_core.testing import UserWithKey

from ..conftest import Api
from ..http.test_problems import is_problem

CREDITS = "/api/v1/credits"


def refill_of(team_id: UUID | None) -> str:
    return f"/api/v1/teams/{team_id}/credits/refill"


def credits_of(team_id: UUID | None) -> str:
    return f"/api/v1/teams/{team_id}/credits"


async def refill(api: Api, team_id: UUID | None, **body: Any) -> Any:
    return await api.client.post(refill_of(team_id), headers=api.admin.headers, json=body)


async def balance_seen_by(api: Api, user: UserWithKey) -> int:
    answer = await api.client.get(CREDITS, headers=user.headers)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["balance"])


class TestReading:
    async def test_a_member_sees_its_teams_balance_and_what_is_reserved(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        async with api.rows.transaction() as transaction:
            await credits.reserve(transaction, member.team_id, 10, "analyze skin")
        answer = await api.client.get(CREDITS, headers=member.headers)
        assert answer.json() == {
            "team_id": str(member.team_id), "balance": 990, "reserved": 10, "low_threshold": None, "schedule": None,
        }  # fmt: skip

    async def test_whoami_says_what_is_left(self, api: Api, member: UserWithKey) -> None:
        await refill(api, member.team_id, set=12)
        told = (await api.client.get("/api/v1/whoami", headers=member.headers)).json()
        assert told["credits_left"] == 12
        told = (await api.client.get("/api/v1/whoami", headers=api.admin.headers)).json()
        assert told["credits_left"] is None

    async def test_another_teams_credits_are_not_there(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        for path in (CREDITS, f"{CREDITS}/ledger"):
            answer = await api.client.get(path, headers=member.headers, params={"team_id": str(stranger.team_id)})
            is_problem(answer, 404, "team-not-found")

    async def test_an_admin_names_the_team(self, api: Api, member: UserWithKey) -> None:
        params = {"team_id": str(member.team_id)}
        for path in (CREDITS, f"{CREDITS}/ledger"):
            assert (await api.client.get(path, headers=api.admin.headers, params=params)).status_code == 200
            is_problem(await api.client.get(path, headers=api.admin.headers), 422, "team-required")

    async def test_a_viewer_does_not_see_them(self, api: Api) -> None:
        viewer = await api.user(role=Role.VIEWER)
        answer = await api.client.get(CREDITS, headers=viewer.headers)
        assert answer.json()["missing_scopes"] == ["usage:read"]

    async def test_the_ledger_is_paged_newest_first_and_adds_up(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        for amount in (1, 2, 3, 4):
            await refill(api, member.team_id, add=amount)
        await refill(api, stranger.team_id, add=9)
        seen: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await api.client.get(f"{CREDITS}/ledger", headers=member.headers, params={"limit": 2, **cursor})
            seen += page.json()["items"]
            if page.json()["next_cursor"] is None:
                break
            cursor = {"cursor": page.json()["next_cursor"]}
        assert [entry["amount"] for entry in seen] == [4, 3, 2, 1, 1000]
        assert sum(entry["amount"] for entry in seen) == seen[0]["balance_after"] == 1010


class TestRefilling:
    async def test_an_admin_sets_adds_and_subtracts(self, api: Api, member: UserWithKey) -> None:
        for body, balance, amount in [({"set": 5}, 5, -995), ({"add": 7}, 12, 7), ({"subtract": 12}, 0, -12)]:
            answer = await refill(api, member.team_id, **body, reason="April")
            assert answer.status_code == 200
            assert answer.json()["balance"] == balance == await balance_seen_by(api, member)
            entry = answer.json()["entry"]
            assert (entry["amount"], entry["reason"]) == (amount, "April")
            assert entry["actor_user_id"] == str(api.admin.user_id)
        actions = await api.rows.fetch(select(audit_event.c.action))
        assert [row["action"] for row in actions] == ["credits.refilled"] * 3

    async def test_more_than_there_is_cannot_be_subtracted(self, api: Api, member: UserWithKey) -> None:
        answer = await refill(api, member.team_id, subtract=1001)
        is_problem(answer, 409, "balance-too-low")
        assert answer.json()["balance"] == 1000 == await balance_seen_by(api, member)
        assert len(await api.rows.fetch(select(credit_entry))) == 1

    @pytest.mark.parametrize(
        "body",
        [
            {}, {"set": 1, "add": 1}, {"add": None}, {"add": -1}, {"add": 1.5}, {"set": 10**13},
            {"add": 1, "kind": "set"}, {"add": 1, "balance": 5}, {"reason": "only"}, {"add": 1, "reason": ""},
        ],
    )  # fmt: skip
    async def test_what_is_not_one_change_is_refused(self, api: Api, member: UserWithKey, body: dict[str, Any]) -> None:
        is_problem(await refill(api, member.team_id, **body), 422, "request-invalid")
        assert await balance_seen_by(api, member) == 1000

    async def test_a_member_refills_nothing_not_even_its_own_with_the_scope(self, api: Api) -> None:
        deputy = await api.user(scopes=("usage:read", "admin"))
        for method, path in (("POST", refill_of(deputy.team_id)), ("PATCH", credits_of(deputy.team_id))):
            answer = await api.client.request(
                method, path, headers=deputy.headers, json={"set": 5} if method == "POST" else {}
            )
            is_problem(answer, 403, "role-missing")
        assert await balance_seen_by(api, deputy) == 1000

    async def test_a_team_that_is_not_there_is_told(self, api: Api, member: UserWithKey) -> None:
        is_problem(await refill(api, member.user_id, add=1), 404, "team-not-found")
        answer = await api.client.patch(credits_of(member.user_id), headers=api.admin.headers, json={})
        is_problem(answer, 404, "team-not-found")


class TestSchedule:
    async def test_it_is_set_shown_and_ended(self, api: Api, member: UserWithKey) -> None:
        schedule = {"amount": 1000, "mode": "set", "period": "month"}
        path, headers = credits_of(member.team_id), api.admin.headers
        answer = await api.client.patch(path, headers=headers, json={"low_threshold": 100, "schedule": schedule})
        shown = answer.json()["schedule"]
        next_refill_at = datetime.fromisoformat(shown.pop("next_refill_at"))
        assert shown == schedule
        assert (next_refill_at.day, next_refill_at > datetime.now(UTC)) == (1, True)
        answer = await api.client.patch(path, headers=headers, json={"schedule": None})
        assert (answer.json()["schedule"], answer.json()["low_threshold"]) == (None, 100)
        audited = await api.rows.fetch(select(audit_event.c.action))
        assert [row["action"] for row in audited] == ["credits.changed"] * 2

    async def test_another_teams_account_is_left_alone(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        await api.client.patch(credits_of(member.team_id), headers=api.admin.headers, json={"low_threshold": 100})
        thresholds = await api.rows.fetch(select(credit_account.c.team_id, credit_account.c.low_threshold))
        assert dict(map(tuple, thresholds)) == {member.team_id: 100, stranger.team_id: None}

    @pytest.mark.parametrize(
        "body",
        [
            {"balance": 5}, {"schedule": {"amount": 5}}, {"schedule": {"amount": 5, "mode": "set", "period": "year"}},
            {"low_threshold": -1}, {"next_refill_at": "2026-01-01T00:00:00Z"},
            {"schedule": {"amount": 5, "mode": "set", "period": "day", "next_refill_at": "2026-01-01T00:00:00Z"}},
        ],
    )  # fmt: skip
    async def test_nothing_else_is_changed_that_way(self, api: Api, member: UserWithKey, body: dict[str, Any]) -> None:
        answer = await api.client.patch(credits_of(member.team_id), headers=api.admin.headers, json=body)
        is_problem(answer, 422, "request-invalid")
        account = await api.rows.fetch_one(select(credit_account).where(credit_account.c.team_id == member.team_id))
        assert account is not None
        assert (account["balance"], account["next_refill_at"]) == (1000, None)


async def test_an_empty_balance_stops_neither_uploads_nor_reads_nor_removal(api: Api, member: UserWithKey) -> None:
    await refill(api, member.team_id, set=0)
    uploaded = await api.upload(member)
    assert (await api.client.get(f"/api/v1/images/{uploaded['id']}", headers=member.headers)).status_code == 200
    rotated = await api.client.post(
        f"/api/v1/user/{member.user_id}/credentials/rotate", headers=member.headers, json={}
    )
    assert rotated.status_code == 200
    deleter = await api.user(member.team_id, scopes=("images:delete",))
    removed = await api.client.delete(f"/api/v1/images/{uploaded['id']}", headers=deleter.headers)
    assert removed.status_code == 204


async def test_a_team_is_removed_with_its_account(api: Api) -> None:
    team_id = await api.team()
    await refill(api, team_id, add=5)
    answer = await api.client.delete(f"/api/v1/teams/{team_id}", headers=api.admin.headers)
    assert answer.status_code == 204
    assert await api.rows.fetch(select(credit_entry)) == []

"""Several keys a user: making, showing, changing and ending them, and what nobody may do with them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role
from image_api.credentials.service import MAX_LIVE_CREDENTIALS
from image_core import testing
from image_core.admin import ADMIN_USER_ID
from image_core.keys import api_keys
from image_core.models import audit_event, credential, event, user
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi

SOON = timedelta(days=2)


def path_of(of: UserWithKey | UUID, credential_id: UUID | str | None = None) -> str:
    user_id = of if isinstance(of, UUID) else of.user_id
    return f"/api/v1/users/{user_id}/credentials" + (f"/{credential_id}" if credential_id else "")


async def create(
    api: Api, of: UserWithKey, by: UserWithKey | None = None, expected: int = 201, **wish: Any
) -> dict[str, Any]:
    answer = await api.client.post(path_of(of), headers=(by or of).headers, json={"name": "second", **wish})
    assert answer.status_code == expected, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def patch(
    api: Api, of: UserWithKey, credential_id: UUID | str, by: UserWithKey, expected: int = 200, **wish: Any
) -> dict[str, Any]:
    answer = await api.client.patch(path_of(of, credential_id), headers=by.headers, json=wish)
    assert answer.status_code == expected, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def revoke(api: Api, of: UserWithKey, credential_id: UUID | str, by: UserWithKey) -> httpx2.Response:
    return await api.client.delete(path_of(of, credential_id), headers=by.headers)


async def who(api: Api, api_key: str) -> httpx2.Response:
    return await api.client.get("/api/v1/whoami", headers={"X-API-KEY": api_key})


def in_time(delta: timedelta) -> str:
    return (datetime.now(UTC) + delta).isoformat()


class TestMaking:
    async def test_a_new_key_works_with_its_own_scopes_and_is_shown_once(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member, name="import", scopes=["images:read"], expires_at=in_time(SOON))
        told = (await who(api, made["api_key"])).json()
        assert (told["scopes"], told["credential_id"]) == (["images:read"], made["id"])
        listed = await api.client.get(path_of(member), headers=member.headers)
        assert made["api_key"] not in listed.text
        assert listed.json()["items"][0]["name"] == "import"

    async def test_the_answer_with_the_key_is_not_to_be_kept(self, api: Api, member: UserWithKey) -> None:
        answer = await api.client.post(path_of(member), headers=member.headers, json={"name": "x"})
        assert answer.headers["cache-control"] == "no-store"

    async def test_without_scopes_a_key_may_what_its_maker_may(self, api: Api, member: UserWithKey) -> None:
        narrow = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["keys:self", "images:read"])
        made = await create(api, narrow)
        assert made["scopes"] == ["images:read", "keys:self"]
        assert (await create(api, member))["scopes"] is None

    async def test_an_admin_makes_a_key_within_the_users_scopes(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member, by=api.admin, scopes=["images:read"])
        assert (await who(api, made["api_key"])).json()["user_id"] == str(member.user_id)
        refused = await create(api, member, by=api.admin, expected=422, scopes=["images:delete", "admin"])
        assert [error["field"] for error in refused["errors"]] == ["scopes"]

    async def test_for_a_user_who_is_not_there_nothing_is_made(self, api: Api) -> None:
        answer = await api.client.post(path_of(uuid4()), headers=api.admin.headers, json={"name": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, "user-not-found")

    async def test_ranges_are_kept_as_networks(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member, address_ranges=["192.0.2.7", "2001:DB8::/32", "10.0.0.0/255.0.0.0"])
        assert made["address_ranges"] == ["192.0.2.7/32", "2001:db8::/32", "10.0.0.0/8"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "x" * 121),
            ("scopes", ["images:burn"]),
            ("expires_at", "2001-01-01T00:00:00Z"),
            ("expires_at", "2099-01-01T00:00:00"),
            ("address_ranges", []),
            ("address_ranges", ["192.0.2.0/24"] * 21),
            ("address_ranges", ["192.0.2.1/24"]),
            ("address_ranges", ["everywhere"]),
            ("address_ranges", [1]),
        ],
    )
    async def test_what_makes_no_sense_is_refused_by_field(
        self, api: Api, member: UserWithKey, field: str, value: Any
    ) -> None:
        for body in (
            await create(api, member, expected=422, **{field: value}),
            await patch(api, member, member.credential_id, member, expected=422, **{field: value}),
        ):
            assert {error["field"].split(".")[0] for error in body["errors"]} == {field}

    async def test_a_user_has_at_most_so_many_live_keys_also_when_asked_at_once(
        self, api: Api, member: UserWithKey
    ) -> None:
        over = datetime.now(UTC) - timedelta(seconds=1)
        for ended in ({"revoked_at": over}, {"expires_at": over}):
            await testing.add_key(api.rows, member.user_id, member.team_id, **ended)
        for _ in range(MAX_LIVE_CREDENTIALS - 3):
            await testing.add_key(api.rows, member.user_id, member.team_id)
        answers = await asyncio.gather(
            *(api.client.post(path_of(member), headers=member.headers, json={"name": "x"}) for _ in range(6))
        )
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert codes == {"too-many-credentials"}

    async def test_only_hashes_are_stored_and_audited(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member)
        secret = made["api_key"].rpartition("_")[2]
        rows = await api.rows.fetch(select(credential))
        written = await api.rows.fetch(select(audit_event))
        assert secret not in repr([dict(row) for row in rows]) + repr([dict(row) for row in written])
        (row,) = written
        assert (row["action"], row["target_id"]) == ("credential.created", UUID(made["id"]))


class TestShowing:
    async def test_the_list_is_paged_newest_first(self, api: Api, member: UserWithKey) -> None:
        made = [(await create(api, member))["id"] for _ in range(3)]
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await api.client.get(path_of(member), headers=member.headers, params={"limit": "2", **cursor})
            seen += [item["id"] for item in page.json()["items"]]
            if page.json()["next_cursor"] is None:
                break
            cursor = {"cursor": page.json()["next_cursor"]}
        assert seen == [*reversed(made), str(member.credential_id)]

    async def test_the_last_use_tells_time_address_and_agent(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member)
        assert made["last_use"] is None
        agent = "importer/1.0 " + "x" * 300
        await api.client.get("/api/v1/whoami", headers={"X-API-KEY": made["api_key"], "user-agent": agent})
        shown = (await api.client.get(path_of(member, made["id"]), headers=member.headers)).json()
        assert shown["last_use"]["address"] == "127.0.0.1"
        assert shown["last_use"]["user_agent"] == agent[:200]

    async def test_after_a_rotation_each_key_has_its_own_last_use(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member)
        old = {"X-API-KEY": made["api_key"], "user-agent": "old"}
        await api.client.get("/api/v1/whoami", headers=old)
        rotate = f"/api/v1/user/{member.user_id}/credentials/rotate"
        new = await api.client.post(rotate, headers=member.headers, json={"credential_id": made["id"]})
        shown = (await api.client.get(path_of(member, made["id"]), headers=member.headers)).json()
        assert shown["last_use"] is None
        assert shown["previous"]["key_prefix"] == made["key_prefix"]
        assert shown["previous"]["last_use"]["user_agent"] == "old"
        assert shown["key_prefix"] == new.json()["key_prefix"]
        for of in ("", "previous_"):
            long_ago = datetime.now(UTC) - timedelta(hours=1)
            await api.rows.execute(
                update(credential)
                .where(credential.c.id == UUID(made["id"]))
                .values({f"{of}last_used_at": long_ago, f"{of}last_used_agent": None})
            )
        api.forget_keys()
        await api.client.get("/api/v1/whoami", headers=old)
        await api.client.get("/api/v1/whoami", headers={"X-API-KEY": new.json()["api_key"], "user-agent": "new"})
        await api.app.state.key_cache.flush()
        shown = (await api.client.get(path_of(member, made["id"]), headers=member.headers)).json()
        assert shown["last_use"]["user_agent"] == "new"
        assert shown["previous"]["last_use"]["user_agent"] == "old"

    async def test_events_tell_of_its_life_by_its_prefix(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member, name="of Ada")
        rotate = f"/api/v1/user/{member.user_id}/credentials/rotate"
        wish = {"credential_id": made["id"], "grace_period_seconds": 60}
        new = (await api.client.post(rotate, headers=member.headers, json=wish)).json()
        for _ in range(2):
            await api.client.delete(path_of(member, made["id"]), headers=member.headers)
        told = await api.rows.fetch(select(event.c.type, event.c.team_id, event.c.payload).order_by(event.c.created_at))
        assert {row["team_id"] for row in told} == {member.team_id}
        prefixes = made["key_prefix"], new["key_prefix"], new["key_prefix"]
        about = [{"credential_id": made["id"], "user_id": str(member.user_id), "key_prefix": each} for each in prefixes]
        ends_at = new["previous"]["expires_at"]
        assert [(row["type"], orjson.loads(row["payload"])) for row in told] == [
            ("credential.created", {**about[0], "expires_at": None}),
            ("credential.rotated", {**about[1], "previous_expires_at": ends_at}),
            ("credential.revoked", about[2]),
        ]


class TestChanging:
    async def test_a_patch_changes_what_it_names_at_once(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member, scopes=["images:read"], expires_at=in_time(SOON))
        assert (await who(api, made["api_key"])).status_code == 200
        changed = await patch(api, member, made["id"], member, name="renamed", scopes=["usage:read"])
        assert (changed["name"], changed["expires_at"]) == ("renamed", made["expires_at"])
        assert (await who(api, made["api_key"])).json()["scopes"] == ["usage:read"]
        assert (await patch(api, member, made["id"], member, expires_at=None))["expires_at"] is None

    async def test_an_old_etag_changes_and_revokes_nothing(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member)
        path = path_of(member, made["id"])
        tag = (await api.client.get(path, headers=member.headers)).headers["etag"]
        headers = {**member.headers, "if-match": tag}
        assert (await api.client.patch(path, headers=headers, json={"name": "x"})).status_code == 200
        assert (await api.client.patch(path, headers=headers, json={"name": "y"})).status_code == 412
        assert (await api.client.delete(path, headers=headers)).status_code == 412

    async def test_another_expiry_is_warned_of_anew(self, api: Api, member: UserWithKey) -> None:
        made = await create(api, member, expires_at=in_time(SOON))
        warned = select(credential.c.expiry_warnings).where(credential.c.id == UUID(made["id"]))
        # Less than a week to live: only the warning of the last day is left.
        assert await api.rows.fetch_value(warned) == 1
        await patch(api, member, made["id"], member, expires_at=in_time(timedelta(days=30)))
        assert await api.rows.fetch_value(warned) == 0
        await api.rows.execute(update(credential).values(expiry_warnings=2))
        rotate = f"/api/v1/user/{member.user_id}/credentials/rotate"
        wish = {"credential_id": made["id"]}
        await api.client.post(rotate, headers=member.headers, json=wish)
        assert await api.rows.fetch_value(warned) == 2
        wish |= {"expires_at": in_time(timedelta(days=60))}
        await api.client.post(rotate, headers=member.headers, json=wish)
        assert await api.rows.fetch_value(warned) == 0


class TestRevoking:
    async def test_a_revoked_key_ends_with_its_previous_one_and_once_more_changes_nothing(
        self, api: Api, member: UserWithKey
    ) -> None:
        made = await create(api, member)
        rotate = f"/api/v1/user/{member.user_id}/credentials/rotate"
        new = await api.client.post(rotate, headers=member.headers, json={"credential_id": made["id"]})
        both = [made["api_key"], new.json()["api_key"]]
        assert [(await who(api, each)).status_code for each in both] == [200, 200]
        assert (await revoke(api, member, made["id"], member)).status_code == 204
        answers = [await who(api, each) for each in both]
        assert [(each.status_code, each.json()["code"]) for each in answers] == [(401, "api-key-invalid")] * 2
        assert (await revoke(api, member, made["id"], member)).status_code == 204
        shown = (await api.client.get(path_of(member, made["id"]), headers=member.headers)).json()
        assert shown["revoked_reason"] == "revoked"
        events = select(func.count()).where(audit_event.c.action == "credential.revoked")
        assert await api.rows.fetch_value(events.select_from(audit_event)) == 1
        await patch(api, member, made["id"], member, expected=404, expires_at=None)

    async def test_another_instance_refuses_a_revoked_key_after_five_seconds_at_the_latest(
        self, api: Api, member: UserWithKey, make_api: MakeApi
    ) -> None:
        made = await create(api, member)
        async with make_api() as other:
            now = 1000.0
            other.app.state.key_cache.rows.clock = lambda: now
            assert (await who(other, made["api_key"])).status_code == 200
            await revoke(api, member, made["id"], member)
            assert (await who(api, made["api_key"])).status_code == 401
            now += 4.9
            assert (await who(other, made["api_key"])).status_code == 200
            now += 0.1
            assert (await who(other, made["api_key"])).status_code == 401

    async def test_an_answer_that_was_long_on_its_way_is_no_younger_for_it(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now, database = 1000.0, api.services.database
        really = database.fetch_one

        async def slow(*arguments: Any, **values: Any) -> Any:
            nonlocal now
            row = await really(*arguments, **values)
            now += 3
            return row

        rows = api.app.state.key_cache.rows
        monkeypatch.setattr(rows, "clock", lambda: now)
        monkeypatch.setattr(database, "fetch_one", slow)
        public_id = str(api_keys.public_id_of(member.api_key))
        await rows.get(public_id)
        now = 1004.9
        assert rows.peek(public_id) is not None
        now = 1005.1
        assert rows.peek(public_id) is None


async def test_of_a_user_who_is_being_removed_no_key_is_shown(api: Api, member: UserWithKey) -> None:
    await api.rows.execute(update(user).where(user.c.id == member.user_id).values(deleting_at=func.now()))
    answer = await api.client.get(path_of(member, member.credential_id), headers=api.admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "credential-not-found")


class TestTheLastAdminKey:
    """Nobody locks the platform out."""

    @pytest.fixture
    async def only(self, api: Api) -> UserWithKey:
        await api.rows.execute(
            update(credential).where(credential.c.id != api.admin.credential_id).values(revoked_at=func.now())
        )
        return api.admin

    @pytest.mark.parametrize(
        "wish",
        [
            {"scopes": ["images:read"]},
            {"expires_at": (datetime.now(UTC) + SOON).isoformat()},
            {"address_ranges": ["192.0.2.0/24"]},
        ],
    )
    async def test_it_cannot_be_restricted(self, api: Api, only: UserWithKey, wish: dict[str, Any]) -> None:
        body = await patch(api, only, only.credential_id, only, expected=409, **wish)
        assert body["code"] == "last-admin-key"

    async def test_it_cannot_be_revoked_nor_rotated_to_end_soon(self, api: Api, only: UserWithKey) -> None:
        assert (await revoke(api, only, only.credential_id, only)).json()["code"] == "last-admin-key"
        rotate = f"/api/v1/user/{only.user_id}/credentials/rotate"
        answer = await api.client.post(rotate, headers=only.headers, json={"expires_at": in_time(SOON)})
        assert (answer.status_code, answer.json()["code"]) == (409, "last-admin-key")
        assert (await who(api, only.api_key)).status_code == 200

    async def test_it_may_end_in_the_far_future(self, api: Api, only: UserWithKey) -> None:
        await patch(api, only, only.credential_id, only, expires_at=in_time(timedelta(days=90)))

    async def test_a_key_that_ends_soon_or_is_bound_to_a_place_does_not_replace_it(
        self, api: Api, only: UserWithKey
    ) -> None:
        await create(api, only, expires_at=in_time(SOON))
        await create(api, only, address_ranges=["192.0.2.0/24"])
        await create(api, only, scopes=["images:read"])
        assert (await revoke(api, only, only.credential_id, only)).status_code == 409
        second = await create(api, only)
        assert (await revoke(api, only, only.credential_id, only)).status_code == 204
        assert (await who(api, second["api_key"])).status_code == 200

    async def test_the_last_one_that_is_about_to_end_stays_until_there_is_another(
        self, api: Api, only: UserWithKey
    ) -> None:
        await api.rows.execute(
            update(credential)
            .where(credential.c.id == only.credential_id)
            .values(expires_at=datetime.now(UTC) + timedelta(days=1))
        )
        api.forget_keys()
        assert (await revoke(api, only, only.credential_id, only)).status_code == 409
        await testing.add_key(api.rows, only.user_id, only.team_id, expires_at=datetime.now(UTC) + SOON)
        assert (await revoke(api, only, only.credential_id, only)).status_code == 204

    @pytest.mark.parametrize(
        ("owner", "key"),
        [
            ({}, {"expires_at": datetime(2001, 1, 1, tzinfo=UTC)}),
            ({"role": Role.MEMBER, "scopes": ("admin",)}, {}),
            ({"scopes": ("images:read",)}, {}),
            ({"disabled_at": datetime(2001, 1, 1, tzinfo=UTC)}, {}),
        ],
        ids=["expired", "member", "without the scope", "disabled"],
    )
    async def test_what_cannot_administrate_does_not_replace_it(
        self, api: Api, only: UserWithKey, owner: dict[str, Any], key: dict[str, Any]
    ) -> None:
        other = await api.user(**{"role": Role.ADMIN, **owner})
        is_only = credential.c.id == only.credential_id
        await api.rows.execute(update(credential).where(is_only).values(expires_at=datetime.now(UTC) + SOON))
        if key:
            await api.rows.execute(update(credential).where(credential.c.id == other.credential_id).values(**key))
        api.forget_keys()
        assert (await revoke(api, only, only.credential_id, only)).json()["code"] == "last-admin-key"

    async def test_of_two_admin_keys_revoked_at_once_one_stays(self, api: Api, only: UserWithKey) -> None:
        second = await api.user(role=Role.ADMIN)
        answers = await asyncio.gather(
            revoke(api, only, only.credential_id, only), revoke(api, second, second.credential_id, second)
        )
        assert sorted(answer.status_code for answer in answers) == [204, 409]

    async def test_an_admin_without_a_live_key_does_not_count_when_another_is_demoted(
        self, api: Api, only: UserWithKey
    ) -> None:
        await api.user(role=Role.ADMIN, scopes=("admin",))
        await api.rows.execute(
            update(credential).where(credential.c.id != only.credential_id).values(revoked_at=func.now())
        )
        answer = await api.client.patch(f"/api/v1/users/{ADMIN_USER_ID}", headers=only.headers, json={"disabled": True})
        assert (answer.status_code, answer.json()["code"]) == (409, "last-admin")

    async def test_a_members_last_key_may_go(self, api: Api, only: UserWithKey, member: UserWithKey) -> None:
        assert (await revoke(api, member, member.credential_id, member)).status_code == 204

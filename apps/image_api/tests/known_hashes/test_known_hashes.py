"""Which files a team has or had: states, tenancy, bounds, and what is remembered of purged files."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update

from image_core import errors, testing
from image_core.db import Database
from image_core.images.removal import purged_hashes
from image_core.keys import master_secrets
from image_core.keys.master_secrets import MasterSecret
from image_core.models import purged_hash
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..housekeeping import PURGED_HASH_MASTER, Tasks

PAST = datetime(2020, 1, 1, tzinfo=UTC)
MASTER = master_secrets.from_text(PURGED_HASH_MASTER)
FILE = testing.a_sha256("file")


async def check(api: Api, by: UserWithKey, *digests: bytes, **parameters: Any) -> list[dict[str, Any]]:
    body = {"sha256": [digest.hex() for digest in digests]}
    answer = await api.client.post("/api/v1/images/check-hashes", json=body, headers=by.headers, params=parameters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def state(api: Api, by: UserWithKey, digest: bytes = FILE) -> str:
    (item,) = await check(api, by, digest)
    found: str = item["state"]
    return found


async def add(api: Api, by: UserWithKey, digest: bytes = FILE, **columns: Any) -> UUID:
    assert by.team_id is not None
    return await testing.add_image(api.rows, by.team_id, sha256=digest, **columns)


async def remember(rows: Database, team_id: UUID | None, digest: bytes = FILE) -> None:
    assert team_id is not None
    async with rows.transaction() as transaction:
        await purged_hashes.remember(transaction, MASTER, team_id, digest)


class TestStates:
    async def test_a_file_is_absent_present_trashed_or_purged(self, api: Api, member: UserWithKey) -> None:
        digests = [testing.a_sha256(name) for name in ("absent", "present", "failed", "trashed", "purged")]
        present = await add(api, member, digests[1])
        failed = await add(api, member, digests[2], status="failed")
        trashed = await add(api, member, digests[3], deleted_at=PAST)
        await remember(api.rows, member.team_id, digests[4])
        items = await check(api, member, *digests, digests[0])
        assert [item["sha256"] for item in items] == [digest.hex() for digest in digests]
        assert [(item["state"], item["image_id"], item["status"]) for item in items] == [
            ("absent", None, None),
            ("present", str(present), "ready"),
            ("present", str(failed), "failed"),
            ("trashed", str(trashed), "ready"),
            ("purged", None, None),
        ]
        assert [item["purged_at"] is not None for item in items] == [False] * 4 + [True]

    async def test_an_upload_in_progress_or_given_up_is_absent(self, api: Api, member: UserWithKey) -> None:
        await add(api, member, status="pending")
        await add(api, member, status="expired")
        assert await state(api, member) == "absent"

    async def test_what_is_about_to_be_purged_is_purged(self, api: Api, member: UserWithKey) -> None:
        await add(api, member, deleted_at=PAST, purge_marked_at=PAST)
        (item,) = await check(api, member, FILE)
        assert (item["state"], item["image_id"], item["purged_at"][:4]) == ("purged", None, "2020")

    async def test_of_several_images_the_best_one_counts(self, api: Api, member: UserWithKey) -> None:
        await add(api, member, deleted_at=PAST, purge_marked_at=PAST)
        older, newer = await add(api, member, deleted_at=PAST), await add(api, member, deleted_at=PAST)
        assert older < newer
        assert (await check(api, member, FILE))[0]["image_id"] == str(newer)
        live = await add(api, member)
        await add(api, member, deleted_at=PAST)
        (item,) = await check(api, member, FILE)
        assert (item["state"], item["image_id"]) == ("present", str(live))

    async def test_a_file_that_came_back_is_present(self, api: Api, member: UserWithKey) -> None:
        await remember(api.rows, member.team_id)
        assert await state(api, member) == "purged"
        await add(api, member)
        assert await state(api, member) == "present"

    async def test_digits_of_either_case_are_one_file(self, api: Api, member: UserWithKey) -> None:
        await add(api, member)
        body = {"sha256": [FILE.hex().upper(), FILE.hex()]}
        answer = await api.client.post("/api/v1/images/check-hashes", json=body, headers=member.headers)
        assert [(item["sha256"], item["state"]) for item in answer.json()["items"]] == [(FILE.hex(), "present")]


class TestTenancy:
    async def test_another_teams_files_are_absent(self, api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
        other = testing.a_sha256("other")
        await add(api, stranger)
        await remember(api.rows, stranger.team_id, other)
        assert [item["state"] for item in await check(api, member, FILE, other)] == ["absent", "absent"]
        assert [item["state"] for item in await check(api, stranger, FILE, other)] == ["present", "purged"]

    async def test_an_admin_names_the_team(self, api: Api, member: UserWithKey) -> None:
        await add(api, member)
        items = await check(api, api.admin, FILE, team_id=str(member.team_id))
        assert items[0]["state"] == "present"
        body = {"sha256": [FILE.hex()]}
        answer = await api.client.post("/api/v1/images/check-hashes", json=body, headers=api.admin.headers)
        assert answer.json()["code"] == "team-required"

    async def test_rows_show_neither_the_file_nor_that_two_teams_had_it(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        for by in (member, stranger):
            await remember(api.rows, by.team_id)
        hashes = [row["keyed_hash"] for row in await api.rows.fetch(select(purged_hash.c.keyed_hash))]
        assert len(set(hashes)) == 2
        assert FILE not in hashes
        assert sha256(FILE).digest() not in hashes


@pytest.mark.parametrize("hashes", [[], ["x"], [FILE.hex()[:-1]], [FILE.hex() + "0"], [FILE.hex()] * 1001, [1]])
async def test_what_is_no_list_of_hashes_is_refused(api: Api, member: UserWithKey, hashes: list[Any]) -> None:
    answer = await api.client.post("/api/v1/images/check-hashes", json={"sha256": hashes}, headers=member.headers)
    assert answer.status_code == 422


async def test_a_thousand_files_are_checked_at_once(api: Api, member: UserWithKey) -> None:
    digests = [testing.a_sha256(number) for number in range(1000)]
    await add(api, member, digests[7])
    await remember(api.rows, member.team_id, digests[8])
    states = [item["state"] for item in await check(api, member, *digests)]
    assert states == ["absent"] * 7 + ["present", "purged"] + ["absent"] * 991


class TestMemory:
    async def test_a_purge_remembers_the_file(self, api: Api, tasks: Tasks, member: UserWithKey) -> None:
        row, _ = await tasks.image("ready", team_id=member.team_id, deleted_at=PAST)
        assert await state(api, member, row["sha256"]) == "trashed"
        assert (await tasks.sweep())["purged"] == 1
        (item,) = await check(api, member, row["sha256"])
        assert item["state"] == "purged"
        assert datetime.now(UTC) - datetime.fromisoformat(item["purged_at"]) < timedelta(minutes=5)

    async def test_a_second_purge_is_remembered_from_then_on(self, api: Api, tasks: Tasks, member: UserWithKey) -> None:
        await remember(api.rows, member.team_id)
        await api.rows.execute(update(purged_hash).values(purged_at=PAST))
        assert await state(api, member) == "absent"
        await remember(tasks.parts.database, member.team_id)
        assert await state(api, member) == "purged"

    async def test_an_upload_that_never_arrived_is_not_remembered(self, tasks: Tasks, member: UserWithKey) -> None:
        assert member.team_id is not None
        await testing.add_image(tasks.rows, member.team_id, "expired", deleted_at=PAST)
        assert (await tasks.sweep())["purged"] == 1
        assert await tasks.count(purged_hash) == 0

    async def test_nothing_is_purged_that_cannot_be_remembered(
        self, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, _ = await tasks.image("ready", deleted_at=PAST)

        def unreadable() -> str:
            raise errors.MasterSecretUnavailable("The secret has no version yet.")

        secret = tasks.parts.purged_hash_master
        object.__setattr__(tasks.parts, "purged_hash_master", MasterSecret(unreadable))
        assert (await tasks.sweep())["purged"] == -1
        assert await tasks.originals_of(row["team_id"]) == [row["object_name"]]
        object.__setattr__(tasks.parts, "purged_hash_master", secret)
        await tasks.set_row(row["id"], deadline_at=PAST)
        assert (await tasks.sweep())["purged"] == 1

    async def test_hashes_are_forgotten_after_90_days(self, tasks: Tasks, member: UserWithKey) -> None:
        assert member.team_id is not None
        for name, days in (("kept", 89), ("old", 91)):
            values = {"team_id": member.team_id, "keyed_hash": testing.a_sha256(name)}
            await tasks.rows.execute(
                insert(purged_hash).values(**values, purged_at=datetime.now(UTC) - timedelta(days=days))
            )
        assert (await tasks.sweep())["old_hashes"] == 1
        kept = await tasks.rows.fetch(select(purged_hash.c.keyed_hash))
        assert [row["keyed_hash"] for row in kept] == [testing.a_sha256("kept")]

    async def test_what_a_removed_team_has_purged_stays_until_its_time(self, api: Api, member: UserWithKey) -> None:
        team_id = await api.team()
        await remember(api.rows, team_id)
        answer = await api.client.delete(f"/api/v1/teams/{team_id}", headers=api.admin.headers)
        assert answer.status_code < 300, answer.text
        assert len(await api.rows.fetch(select(purged_hash))) == 1

    async def test_without_a_secret_purged_files_are_absent(self, make_api: MakeApi, rows: Database) -> None:
        async with make_api(purged_hash_master=None) as api:
            member = await api.user()
            await remember(rows, member.team_id)
            assert await state(api, member) == "absent"

    async def test_a_secret_that_cannot_be_read_is_503(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreadable() -> str:
            raise errors.MasterSecretUnavailable("Secret Manager did not respond.")

        known = api.services.purged_hash_master
        object.__setattr__(api.services, "purged_hash_master", MasterSecret(unreadable))
        body = {"sha256": [FILE.hex()]}
        answer = await api.client.post("/api/v1/images/check-hashes", json=body, headers=member.headers)
        object.__setattr__(api.services, "purged_hash_master", known)
        assert (answer.status_code, answer.json()["code"]) == (503, "master-secret-unavailable")

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import func, select, text, update

from image_api.delivery_keys import queries
from image_api.delivery_keys.service import MAX_LIVE_KEYS
from image_core import testing
from image_core.delivery.encoding import to_text
from image_core.delivery.grant import key_bytes
from image_core.keys import master_secrets
from image_core.models import audit_event, delivery_key
from image_core.models.delivery import RANDOM_NUMBER
from image_core.testing import UserWithKey

from ..conftest import DELIVERY, Api, MakeApi

KEYS = "/api/v1/delivery-keys"
SCOPES = ("images:read", "delivery:keys")


@pytest.fixture
async def keeper(api: Api) -> UserWithKey:
    return await api.user(scopes=SCOPES)


async def post(api: Api, by: UserWithKey, path: str = "", expected: int = 201, **body: Any) -> dict[str, Any]:
    json = body if not path else None
    answer = await api.client.post(f"{KEYS}{path}", headers=by.headers, json=json)
    assert answer.status_code == expected, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rotated(api: Api, by: UserWithKey, key_id: str, **columns: Any) -> dict[str, Any]:
    """Rotate a key, as if that were some time ago."""
    made = await post(api, by, f"/{key_id}/rotate")
    ago = func.now() - timedelta(minutes=1)
    await api.rows.execute(update(delivery_key).where(delivery_key.c.id == UUID(key_id)).values(verifying_at=ago))
    return made


async def test_every_team_has_a_key_from_the_start(api: Api, keeper: UserWithKey) -> None:
    page = (await api.client.get(KEYS, headers=keeper.headers)).json()
    assert [key["state"] for key in page["items"]] == ["active"]
    assert page["items"][0]["team_id"] == str(keeper.team_id)
    assert "key" not in page["items"][0]


async def test_the_bytes_of_a_new_key_are_shown_once_and_follow_from_its_number(api: Api, keeper: UserWithKey) -> None:
    answer = await api.client.post(KEYS, headers=keeper.headers, json={"name": "shop"})
    created = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (created["name"], created["state"]) == ("shop", "active")
    master = master_secrets.from_text(DELIVERY["delivery_master"])
    assert created["key"] == to_text(key_bytes(master, created["number"]))
    read = (await api.client.get(f"{KEYS}/{created['id']}", headers=keeper.headers)).json()
    assert read == {name: value for name, value in created.items() if name != "key"}


async def test_the_bytes_are_stored_nowhere(api: Api, keeper: UserWithKey) -> None:
    headers = {**keeper.headers, "Idempotency-Key": "k"}
    created = (await api.client.post(KEYS, headers=headers, json={})).json()
    again = (await api.client.post(KEYS, headers=headers, json={})).json()
    assert again == {**created, "key": None}
    for table in (delivery_key, audit_event):
        assert created["key"] not in repr([list(row) for row in await api.rows.fetch(select(table))])


async def test_a_rotated_key_verifies_and_a_retired_one_does_not(api: Api, keeper: UserWithKey) -> None:
    old = await post(api, keeper, name="shop")
    new = await rotated(api, keeper, old["id"])
    assert (new["name"], new["state"]) == ("shop", "active")
    assert new["number"] != old["number"]
    assert new["key"] != old["key"]
    read = (await api.client.get(f"{KEYS}/{old['id']}", headers=keeper.headers)).json()
    assert (read["state"], read["retired_at"]) == ("verifying", None)
    retired = await post(api, keeper, f"/{old['id']}/retire", expected=200)
    assert retired["state"] == "retired"
    assert await post(api, keeper, f"/{old['id']}/retire", expected=200) == retired


async def test_a_key_that_signs_or_did_a_moment_ago_is_not_retired(api: Api, keeper: UserWithKey) -> None:
    old = await post(api, keeper)
    assert (await post(api, keeper, f"/{old['id']}/retire", expected=409))["code"] == "delivery-key-active"
    await post(api, keeper, f"/{old['id']}/rotate")
    refused = await post(api, keeper, f"/{old['id']}/retire", expected=409)
    assert (refused["code"], "20 seconds" in refused["detail"]) == ("delivery-key-active", True)


async def test_a_key_is_rotated_once(api: Api, keeper: UserWithKey) -> None:
    old = await post(api, keeper)
    path = f"{KEYS}/{old['id']}/rotate"
    answers = await asyncio.gather(*(api.client.post(path, headers=keeper.headers) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "delivery-key-not-active"}


async def test_a_team_has_no_more_live_keys_than_the_limit(api: Api, keeper: UserWithKey) -> None:
    assert keeper.team_id is not None
    await testing.add_delivery_key(api.rows, keeper.team_id, "retired")
    for _ in range(MAX_LIVE_KEYS - 2):
        await testing.add_delivery_key(api.rows, keeper.team_id)
    answers = await asyncio.gather(*(api.client.post(KEYS, headers=keeper.headers, json={}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    (key_id, *_) = [each["id"] for each in (await api.client.get(KEYS, headers=keeper.headers)).json()["items"]]
    assert (await post(api, keeper, f"/{key_id}/rotate", expected=409))["code"] == "too-many-delivery-keys"
    # What was refused left the key as it was.
    assert (await api.client.get(f"{KEYS}/{key_id}", headers=keeper.headers)).json()["state"] == "active"


async def test_numbers_that_are_taken_are_drawn_again(api: Api, keeper: UserWithKey) -> None:
    assert keeper.team_id is not None
    async with api.rows.transaction() as transaction:
        await testing.add_delivery_key(transaction, keeper.team_id, number=7)
        await transaction.fetch(_always("7"))
        assert await queries.add(transaction, uuid4(), keeper.team_id, None) is None
        await transaction.fetch(_always("8"))
        added = await queries.add(transaction, uuid4(), keeper.team_id, None)
        assert added is not None
        assert added["number"] == 8
        await transaction.fetch(_always(RANDOM_NUMBER))


def _always(number: str) -> Any:
    return text(f"ALTER TABLE delivery_key ALTER number SET DEFAULT {number}")


async def test_another_teams_keys_are_not_there(api: Api, keeper: UserWithKey) -> None:
    stranger = await api.user(scopes=SCOPES)
    theirs = await post(api, stranger)
    for method, path in (("GET", ""), ("POST", "/rotate"), ("POST", "/retire")):
        answer = await api.client.request(method, f"{KEYS}/{theirs['id']}{path}", headers=keeper.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "delivery-key-not-found")
    listed = (await api.client.get(KEYS, headers=keeper.headers)).json()["items"]
    assert {key["team_id"] for key in listed} == {str(keeper.team_id)}
    named = await api.client.get(KEYS, headers=keeper.headers, params={"team_id": str(stranger.team_id)})
    assert named.status_code == 404
    as_admin = await api.client.get(KEYS, headers=api.admin.headers, params={"team_id": str(stranger.team_id)})
    assert theirs["id"] in [key["id"] for key in as_admin.json()["items"]]


async def test_keys_are_not_for_members_by_default(api: Api, member: UserWithKey) -> None:
    answer = await api.client.get(KEYS, headers=member.headers)
    assert (answer.status_code, answer.json()["missing_scopes"]) == (403, ["delivery:keys"])


async def test_every_change_is_audited(api: Api, keeper: UserWithKey) -> None:
    old = await post(api, keeper, name="shop")
    new = await rotated(api, keeper, old["id"])
    await post(api, keeper, f"/{old['id']}/retire", expected=200)
    rows = await api.rows.fetch(
        select(audit_event).where(audit_event.c.action.like("delivery_key.%")).order_by(audit_event.c.position)
    )
    assert [(row["action"], str(row["target_id"])) for row in rows] == [
        ("delivery_key.created", old["id"]),
        ("delivery_key.rotated", old["id"]),
        ("delivery_key.retired", old["id"]),
    ]
    assert orjson.loads(rows[1]["before"]) == {"number": old["number"]}
    assert orjson.loads(rows[1]["after"]) == {"number": new["number"]}
    assert {row["team_id"] for row in rows} == {keeper.team_id}


async def test_a_deployment_without_a_master_secret_makes_no_keys(make_api: MakeApi) -> None:
    async with make_api(delivery_url=None, delivery_master=None) as api:
        keeper = await api.user(scopes=SCOPES)
        assert (await post(api, keeper, expected=404))["code"] == "delivery-not-configured"


async def test_a_master_secret_without_a_version_is_503(make_api: MakeApi, secret_manager: Any) -> None:
    secret = "projects/p/secrets/delivery-master"
    secret_manager.versions[secret] = []
    async with make_api(delivery_master=None, delivery_master_secret=secret) as api:
        keeper = await api.user(scopes=SCOPES)
        answer = await api.client.post(KEYS, headers=keeper.headers, json={})
        assert (answer.status_code, answer.json()["code"]) == (503, "master-secret-unavailable")
        assert int(answer.headers["retry-after"]) > 0


class TestSigningKey:
    async def number(self, api: Api, team_id: UUID) -> int:
        api.services.team_delivery.known.clear()
        return (await api.services.team_delivery.get(team_id)).key_number

    async def test_the_newest_active_key_signs_once_everybody_knows_it(self, api: Api) -> None:
        team_id, now = await api.team(), datetime.now(UTC)
        await api.rows.execute(update(delivery_key).values(created_at=now - timedelta(days=1)))
        await testing.add_delivery_key(api.rows, team_id, number=1, created_at=now - timedelta(hours=2))
        await testing.add_delivery_key(api.rows, team_id, number=2, created_at=now - timedelta(seconds=30))
        await testing.add_delivery_key(api.rows, team_id, number=3, created_at=now - timedelta(seconds=5))
        assert await self.number(api, team_id) == 2

    async def test_a_key_that_was_just_replaced_signs_for_a_moment(self, api: Api) -> None:
        team_id, now = await api.team(), datetime.now(UTC)
        await api.rows.execute(delivery_key.delete())
        await testing.add_delivery_key(api.rows, team_id, "verifying", number=1, created_at=now - timedelta(hours=1))
        await testing.add_delivery_key(api.rows, team_id, number=2, created_at=now)
        assert await self.number(api, team_id) == 1
        await api.rows.execute(
            update(delivery_key).where(delivery_key.c.number == 2).values(created_at=now - timedelta(seconds=11))
        )
        assert await self.number(api, team_id) == 2

    async def test_a_retired_key_never_signs_and_the_first_one_signs_at_once(self, api: Api) -> None:
        team_id, now = await api.team(), datetime.now(UTC)
        await api.rows.execute(delivery_key.delete())
        await testing.add_delivery_key(api.rows, team_id, "retired", number=1)
        await testing.add_delivery_key(api.rows, team_id, number=2, created_at=now)
        assert await self.number(api, team_id) == 2

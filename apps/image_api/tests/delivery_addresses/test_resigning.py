import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, select, update

from image_api.delivery_addresses import resigning
from image_api.delivery_addresses.service import tag_of
from image_core import errors, testing
from image_core.admin import AdminSettings
from image_core.delivery import grant
from image_core.delivery.encoding import to_text
from image_core.images.presets import BUILT_IN
from image_core.keys import master_secrets, rotations
from image_core.models import delivery_key, preset
from image_core.testing import UserWithKey

from ..conftest import DELIVERY, Api, MakeApi

RESIGN = "/api/v1/delivery/resign"
BASE = DELIVERY["delivery_url"]
MASTER = master_secrets.from_text(DELIVERY["delivery_master"])
THUMB = BUILT_IN["thumb"].spec


async def add(api: Api, owner: UserWithKey, status: str = "ready", **columns: Any) -> UUID:
    assert owner.team_id is not None
    return await testing.add_image(api.rows, owner.team_id, status, **columns)


async def number_of(api: Api, by: UserWithKey) -> int:
    query = select(delivery_key.c.number).where(delivery_key.c.team_id == by.team_id, delivery_key.c.state == "active")
    found: int = await api.rows.fetch_value(query)
    return found


async def address(
    api: Api,
    number: int,
    image_id: UUID,
    file: str,
    *,
    scope: str = "e",
    expiry: int = 1,
    master: bytes = MASTER,
    tag: str | None = None,
) -> str:
    tag = tag or tag_of(await api.row(image_id)) or ""
    signed = grant.sign(
        number, grant.key_bytes(master, number), image_id, tag, file=file if scope == "e" else None,
        expiry_minutes=expiry, scope=scope,
    )  # fmt: skip
    return f"{BASE}/i/{signed}/{file}"


async def resign(api: Api, by: UserWithKey, urls: Sequence[str]) -> list[dict[str, Any]]:
    content = b"\n".join(orjson.dumps({"url": url}) for url in urls)
    answer = await api.client.post(RESIGN, headers=by.headers, content=content)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    found = [orjson.loads(line) for line in answer.content.splitlines()]
    assert [each["url"] for each in found] == list(urls)
    return found


def read(url: str) -> grant.Address:
    found = grant.parse(urlsplit(url).path)
    assert found is not None
    assert found.grant is not None
    assert grant.is_signed_by(grant.key_bytes(MASTER, found.grant.key_number), found)
    return found


@pytest.mark.parametrize("state", ["active", "verifying", "retired"])
@pytest.mark.parametrize("scope", ["e", "p"])
async def test_expired_addresses_of_any_key_are_renewed(api: Api, member: UserWithKey, state: str, scope: str) -> None:
    assert member.team_id is not None
    image_id = await add(api, member)
    # The team's own key is known everywhere, so it signs.
    await api.rows.execute(update(delivery_key).values(created_at=delivery_key.c.created_at - timedelta(hours=1)))
    await testing.add_delivery_key(api.rows, member.team_id, state, number=4_000_000_000)
    old = await address(api, 4_000_000_000, image_id, f"{THUMB}.webp", scope=scope)
    (item,) = await resign(api, member, [old])
    new = read(item["new_url"])
    assert new.grant is not None
    assert (new.image_id, new.file, new.grant.scope) == (image_id, f"{THUMB}.webp", scope)
    assert new.grant.expiry_minutes * 60 > time.time() + 7 * 86_400
    assert state == "active" or new.grant.key_number == await number_of(api, member)


async def test_an_address_that_never_expires_is_renewed_as_one(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member)
    old = await address(api, await number_of(api, member), image_id, "original.file", expiry=0)
    (item,) = await resign(api, member, [old])
    found = read(item["new_url"]).grant
    assert found is not None
    assert found.expiry_minutes == 0


async def test_a_changed_preset_is_renewed_with_its_present_hash(api: Api, member: UserWithKey) -> None:
    image_id, number = await add(api, member), await number_of(api, member)
    olds = [
        await address(api, number, image_id, "thumb@0000.auto", scope="p"),
        await address(api, number, image_id, "thumb@0000.webp"),
        await address(api, number, image_id, "t-w640.webp"),
        await address(api, number, image_id, "gone@1234.webp"),
    ]
    found = await resign(api, member, olds)
    assert [read(each["new_url"]).file for each in found[:3]] == [f"{THUMB}.auto", f"{THUMB}.webp", "t-w640.webp"]
    assert found[3]["error"]["code"] == "preset-not-found"


async def test_what_we_did_not_sign_is_never_renewed(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    assert member.team_id is not None
    image_id, number = await add(api, member), await number_of(api, member)
    genuine = await address(api, number, image_id, f"{THUMB}.webp")
    link = "c" + to_text(bytes(16)) + ".0"
    forged = {
        "another file": genuine.replace("thumb", "large"),
        "another master": await address(api, number, image_id, f"{THUMB}.webp", master=bytes(32)),
        "no key of that number": await address(api, 4_000_000_001, image_id, f"{THUMB}.webp"),
        "a key of another team": await address(api, await number_of(api, stranger), image_id, f"{THUMB}.webp"),
        "public": f"{BASE}/i/public/" + genuine.rsplit("/", 2)[1] + f"/{THUMB}.webp",
        "a share link": await address(api, number, image_id, f"{THUMB}.webp", scope=link),
        "not an address": "https://example.org/cat.png",
        "not a URL": "http://[",
    }
    for what, item in zip(forged, await resign(api, member, list(forged.values())), strict=True):
        assert item.get("error", {}).get("code") == "delivery-address-invalid", what
    assert "new_url" in (await resign(api, member, [genuine + "?utm=1"]))[0]


async def test_addresses_of_the_master_before_the_last_rotation_are_renewed(
    make_api: MakeApi, secret_manager: Any, urls: Any
) -> None:
    secret = "projects/p/secrets/delivery-master"
    settings = AdminSettings(database_url=urls.owner, delivery_master_secret=secret)
    secret_manager.versions[secret] = [DELIVERY["delivery_master"]]
    async with make_api(delivery_master=None, delivery_master_secret=secret) as api:
        member = await api.user()
        image_id, number = await add(api, member), await number_of(api, member)
        file = f"{THUMB}.webp"
        oldest = old = await address(api, number, image_id, file)
        for _ in range(2):
            rotations.rotate_delivery_master(settings.engine(), settings.delivery_master_secret, force=True)
            api.services.delivery_master.__dict__.update(_attempted_at=float("-inf"), _masters=None)
            (item,) = await resign(api, member, [old])
            found = grant.parse(urlsplit(item["new_url"]).path)
            assert found is not None
            current = master_secrets.masters_from_text(secret_manager.versions[secret][-1]).current
            assert grant.is_signed_by(grant.key_bytes(current, number), found)
            old = item["new_url"]
        (item,) = await resign(api, member, [oldest])
        assert item["error"]["code"] == "delivery-address-invalid"


async def test_foreign_images_are_as_absent_ones_whoever_signed(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    theirs, gone = await add(api, stranger), await add(api, member)
    number = await number_of(api, member)
    urls = [await address(api, number, each, f"{THUMB}.webp") for each in (theirs, gone)]
    await api.rows.execute(testing.models.image.delete().where(testing.models.image.c.id == gone))
    first, second = await resign(api, member, urls)
    assert first["error"] == second["error"]
    assert first["error"]["code"] == "image-not-found"
    # An admin sees both teams, but the key of one opens nothing of the other.
    (item,) = await resign(api, api.admin, urls[:1])
    assert item["error"]["code"] == "image-not-found"


async def test_revoked_addresses_stay_revoked(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member)
    old = await address(api, await number_of(api, member), image_id, f"{THUMB}.webp")
    await api.client.post(f"/api/v1/images/{image_id}/revoke-addresses", headers=member.headers)
    (item,) = await resign(api, member, [old])
    assert item["error"]["code"] == "delivery-revoked"


async def test_many_lines_are_renewed_in_order_and_in_batches(api: Api, member: UserWithKey) -> None:
    number = await number_of(api, member)
    images = [await add(api, member) for _ in range(3)]
    urls = [await address(api, number, images[at % 3], f"{THUMB}.webp") for at in range(2 * resigning.BATCH + 1)]
    found = await resign(api, member, urls)
    assert [read(each["new_url"]).image_id for each in found] == [images[at % 3] for at in range(len(urls))]


async def test_a_fault_amid_the_lines_is_the_error_of_those_lines(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id, number = await add(api, member), await number_of(api, member)
    urls = [await address(api, number, image_id, f"{THUMB}.webp")] * (resigning.BATCH + 1)
    original, calls = resigning.queries.find_images, 0

    async def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise errors.DatabaseUnavailable("The database does not respond. Try again.")
        return await original(*arguments)

    monkeypatch.setattr(resigning.queries, "find_images", failing)
    found = await resign(api, member, urls)
    assert all("new_url" in each for each in found[:-1])
    assert found[-1]["error"]["code"] == "database-unavailable"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Send 1 to 10000 lines."),
        (b'{"url": "x"}\n' * 10_001, "Send 1 to 10000 lines."),
        (b'{"url": "x"}\nnonsense', "line 2: Send an object"),
        (b'{"url": 1}', "line 1: Send an object"),
        (b'{"url": "x", "more": 1}', "line 1: Send an object"),
        (b'{"url": "' + b"x" * 1025 + b'"}', "line 1: Address too long"),
    ],
)
async def test_lines_that_are_not_addresses_are_refused_before_the_first_answer(
    api: Api, member: UserWithKey, content: bytes, message: str
) -> None:
    answer = await api.client.post(RESIGN, headers=member.headers, content=content)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
    assert message in answer.json()["detail"]


async def test_a_preset_of_the_team_is_renewed_too(api: Api, member: UserWithKey) -> None:
    await api.rows.execute(insert(preset).values(team_id=member.team_id, name="card", width=640))
    image_id = await add(api, member)
    (item,) = await resign(api, member, [await address(api, await number_of(api, member), image_id, "card.webp")])
    assert read(item["new_url"]).spec.startswith("card@")

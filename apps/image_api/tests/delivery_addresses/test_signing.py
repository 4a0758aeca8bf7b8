from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select

from image_api.delivery_addresses import service
from image_api.delivery_addresses.service import Item
from image_core import testing
from image_core.delivery import grant
from image_core.delivery.grant import Address, ScopeKind
from image_core.images.presets import BUILT_IN
from image_core.keys import master_secrets
from image_core.models import delivery_key, preset
from image_core.testing import UserWithKey

from ..conftest import DELIVERY, Api, MakeApi

SIGN = "/api/v1/delivery/sign"
MASTER = master_secrets.from_text(DELIVERY["delivery_master"])
THUMB = BUILT_IN["thumb"].spec
DAY = 86_400


async def add(api: Api, owner: UserWithKey, status: str = "ready", **columns: Any) -> UUID:
    assert owner.team_id is not None
    return await testing.add_image(api.rows, owner.team_id, status, **columns)


async def sign(api: Api, by: UserWithKey, *items: tuple[UUID, str, str], **body: Any) -> list[dict[str, Any]]:
    named = [{"image_id": str(image_id), "spec": spec, "format": kind} for image_id, spec, kind in items]
    answer = await api.client.post(SIGN, headers=by.headers, json={"items": named, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def signed_part(url: str) -> Address:
    assert url.startswith(DELIVERY["delivery_url"] + "/i/")
    address = grant.parse(urlsplit(url).path)
    assert address is not None
    assert address.grant is not None
    assert grant.is_signed_by(grant.key_bytes(MASTER, address.grant.key_number), address)
    return address


@pytest.mark.parametrize(
    ("spec", "kind", "file"),
    [
        ("thumb", "auto", f"{THUMB}.auto"),
        (THUMB, "webp", f"{THUMB}.webp"),
        ("thumb", "avif", f"{THUMB}.avif"),
        ("t-w640-h480-cover", "png", "t-w640-h480-cover.png"),
        ("original", "file", "original.file"),
        ("full", "file", "full.file"),
    ],
)
async def test_an_address_opens_exactly_what_was_asked_for(
    api: Api, member: UserWithKey, spec: str, kind: str, file: str
) -> None:
    image_id = await add(api, member)
    (item,) = await sign(api, member, (image_id, spec, kind))
    address = signed_part(item["url"])
    assert address.grant is not None
    assert (address.image_id, address.file, address.grant.kind) == (image_id, file, ScopeKind.EXACT)
    row = await api.row(image_id)
    assert address.tag == service.tag_of(row)


@pytest.mark.parametrize(
    ("spec", "kind", "code", "canonical", "nearest"),
    [
        ("thumbs", "webp", "preset-not-found", None, "thumb"),
        ("sunset", "webp", "preset-not-found", None, None),
        ("source", "webp", "preset-not-found", None, None),
        ("thumb@0000", "webp", "delivery-spec-invalid", THUMB, None),
        ("t-h480-w640", "webp", "delivery-spec-invalid", "t-w640-h480", None),
        ("t-w641", "webp", "delivery-spec-invalid", None, None),
        ("original", "webp", "delivery-spec-invalid", None, None),
        ("thumb", "file", "delivery-spec-invalid", None, None),
        ("original@1234", "file", "delivery-spec-invalid", None, None),
    ],
)
async def test_what_cannot_be_signed_says_why_in_its_place(
    api: Api, member: UserWithKey, spec: str, kind: str, code: str, canonical: str | None, nearest: str | None
) -> None:
    image_id = await add(api, member)
    first, item, last = await sign(
        api, member, (image_id, "thumb", "auto"), (image_id, spec, kind), (image_id, "large", "auto")
    )
    assert "url" not in item
    error = item["error"]
    assert (error["code"], error["canonical"], error["nearest"]) == (code, canonical, nearest)
    assert error["detail"]
    assert signed_part(first["url"]).spec == THUMB
    assert signed_part(last["url"]).spec == BUILT_IN["large"].spec


async def test_foreign_trashed_and_absent_images_are_alike(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    trashed = await add(api, member, deleted_at=datetime(2026, 1, 1, tzinfo=UTC))
    ids = (await add(api, stranger), trashed, uuid4())
    items = await sign(api, member, *((image_id, "thumb", "auto") for image_id in ids))
    assert items[0] == items[1] == items[2]
    assert items[0]["error"]["code"] == "image-not-found"
    (pending,) = await sign(api, member, (await add(api, member, "pending"), "thumb", "auto"))
    assert pending["error"]["code"] == "image-not-stored"


async def test_each_team_signs_with_its_own_key_and_its_own_presets(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    await api.rows.execute(insert(preset).values(team_id=member.team_id, name="card", width=640))
    own, theirs = await add(api, member), await add(api, stranger)
    items = await sign(api, api.admin, (own, "card", "webp"), (theirs, "card", "webp"), (theirs, "thumb", "webp"))
    assert items[1]["error"]["code"] == "preset-not-found"
    numbers = {row["team_id"]: row["number"] for row in await api.rows.fetch(select(delivery_key))}
    for item, owner in ((items[0], member), (items[2], stranger)):
        address = signed_part(item["url"])
        assert address.grant is not None
        assert address.grant.key_number == numbers[owner.team_id]


@pytest.mark.parametrize(
    ("expires_in", "least", "most"), [(60, 60, 120), (3600, 3600, 3600 + 8 * 60), (7 * DAY, 7 * DAY, 8 * DAY)]
)
async def test_expiries_are_rounded_up_to_a_window(
    api: Api, member: UserWithKey, expires_in: int, least: int, most: int
) -> None:
    image_id = await add(api, member)
    for now in (1_790_000_000.0, 1_790_000_059.9, 1_790_123_456.7):
        (address,) = await service.sign(
            api.services,
            await actor_of(api, member),
            [Item(image_id, "thumb", "webp")],
            expires_in,
            lambda now=now: now,
        )
        assert isinstance(address, service.Address)
        assert address.expires_at is not None
        assert least <= address.expires_at.timestamp() - now <= most
        assert address.expires_at.timestamp() == signed_expiry(address.url) * 60


async def actor_of(api: Api, by: UserWithKey) -> Any:
    from image_api.actor import Actor, Role

    return Actor(by.user_id, "Ada", by.team_id, Role.MEMBER, frozenset(), None, None, None, is_default_key=False)


def signed_expiry(url: str) -> int:
    address = signed_part(url)
    assert address.grant is not None
    return address.grant.expiry_minutes


async def test_callers_of_one_window_share_an_address(api: Api, member: UserWithKey) -> None:
    image_id, actor = await add(api, member), await actor_of(api, member)
    found = []
    for now in (1_790_000_000.0, 1_790_000_100.0):
        found += await service.sign(
            api.services, actor, [Item(image_id, "thumb", "webp")], 7 * DAY, lambda now=now: now
        )
    assert found[0] == found[1]


async def test_null_never_expires_and_a_week_is_the_default(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member)
    (never,) = await sign(api, member, (image_id, "thumb", "auto"), expires_in=None)
    assert never["expires_at"] is None
    assert signed_expiry(never["url"]) == 0
    (week,) = await sign(api, member, (image_id, "thumb", "auto"))
    assert 7 * DAY <= datetime.fromisoformat(week["expires_at"]).timestamp() - datetime.now(UTC).timestamp() <= 8 * DAY


@pytest.mark.parametrize(
    "body",
    [
        {"items": []},
        {"items": [{"image_id": str(uuid4()), "spec": "thumb", "format": "auto"}] * 1001},
        {"items": [{"image_id": str(uuid4()), "spec": "thumb", "format": "gif"}]},
        {"items": [{"image_id": str(uuid4()), "spec": "a/b", "format": "webp"}]},
        {"items": [{"image_id": str(uuid4()), "spec": "thumb", "format": "auto"}], "expires_in": 59},
        {"items": [{"image_id": str(uuid4()), "spec": "thumb", "format": "auto"}], "expires_in": 7 * DAY + 1},
    ],
)
async def test_requests_out_of_bounds_are_refused(api: Api, member: UserWithKey, body: dict[str, Any]) -> None:
    answer = await api.client.post(SIGN, headers=member.headers, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")


async def test_a_thousand_items_are_one_request(api: Api, member: UserWithKey) -> None:
    image_id = await add(api, member)
    items = await sign(api, member, *[(image_id, "t-w640-h480-cover-x300y500-q75-bg00ff00-blur10", "webp")] * 1000)
    assert len(items) == 1000
    assert len({item["url"] for item in items}) == 1


async def test_signing_needs_its_scope_and_a_deployment_with_delivery(
    api: Api, member: UserWithKey, make_api: MakeApi
) -> None:
    reader = await api.user(member.team_id, scopes=("images:read", "images:write"))
    body = {"items": [{"image_id": str(uuid4()), "spec": "thumb", "format": "auto"}]}
    answer = await api.client.post(SIGN, headers=reader.headers, json=body)
    assert (answer.status_code, answer.json()["missing_scopes"]) == (403, ["delivery:manage"])
    async with make_api(delivery_url=None, delivery_master=None) as without:
        other = await without.user()
        answer = await without.client.post(SIGN, headers=other.headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "delivery-not-configured")


class TestPreview:
    async def test_transforms_get_an_address_for_an_hour_in_each_format(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, width=1000, height=500)
        body = {"image_id": str(image_id), "spec": "t-w640-h640-cover"}
        answer = await api.client.post("/api/v1/delivery/preview", headers=member.headers, json=body)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        found = answer.json()
        assert (found["spec"], found["width"], found["height"]) == ("t-w640-h640-cover", 500, 500)
        assert {kind: signed_part(url).file for kind, url in found["urls"].items()} == {
            kind: f"t-w640-h640-cover.{kind}" for kind in ("webp", "avif", "jpeg", "png")
        }
        left = datetime.fromisoformat(found["expires_at"]).timestamp() - datetime.now(UTC).timestamp()
        assert 3600 - 5 <= left <= 3600 + 8 * 60

    @pytest.mark.parametrize(("spec", "canonical"), [("t-h640-w640", "t-w640-h640"), ("t-w1", None), ("thumb", None)])
    async def test_what_is_no_transforms_is_400_with_the_right_spelling(
        self, api: Api, member: UserWithKey, spec: str, canonical: str | None
    ) -> None:
        body = {"image_id": str(await add(api, member)), "spec": spec}
        answer = await api.client.post("/api/v1/delivery/preview", headers=member.headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "delivery-spec-invalid")
        assert answer.json().get("canonical") == canonical

    async def test_another_teams_image_is_not_there(self, api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
        for image_id in (await add(api, stranger), uuid4()):
            body = {"image_id": str(image_id), "spec": "t-w640"}
            answer = await api.client.post("/api/v1/delivery/preview", headers=member.headers, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")

"""The delivery addresses in an image's body, and who may make an image public or revoke its addresses."""

import base64
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import insert, select, update

from image_api.actor import Role
from image_api.images.placeholder import MOST_LENGTH, data_uri
from image_core import testing
from image_core.delivery import grant
from image_core.delivery.grant import ScopeKind
from image_core.delivery.tag import delivery_tag
from image_core.images.presets import BUILT_IN
from image_core.keys import master_secrets
from image_core.models import audit_event, delivery_key, preset, team
from image_core.testing import GENERATION, UserWithKey

from ..conftest import DELIVERY, Api, MakeApi

MASTER = master_secrets.from_text(DELIVERY["delivery_master"])
BLURHASH = "LEHV6nWB2yk8pyo0adR*.7kCMdnj"
FACTS = {"blurhash": BLURHASH, "has_alpha": False}


async def add(api: Api, owner: UserWithKey, status: str = "ready", **columns: Any) -> UUID:
    assert owner.team_id is not None
    size = {"width": 4000, "height": 3000} if status == "ready" else {}
    return await testing.add_image(api.rows, owner.team_id, status, **{"facts": FACTS, **size, **columns})


async def shown(api: Api, by: UserWithKey, image_id: UUID, include: str | None = "delivery") -> dict[str, Any]:
    parameters = {} if include is None else {"include": include}
    answer = await api.client.get(f"/api/v1/images/{image_id}", headers=by.headers, params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def number_of(api: Api, by: UserWithKey) -> int:
    found: int = await api.rows.fetch_value(select(delivery_key.c.number).where(delivery_key.c.team_id == by.team_id))
    return found


async def change(api: Api, by: UserWithKey, image_id: UUID, expected: int = 200, **patch: Any) -> dict[str, Any]:
    answer = await api.client.patch(f"/api/v1/images/{image_id}", headers=by.headers, json=patch)
    assert answer.status_code == expected, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestAddresses:
    async def test_private_images_have_signed_addresses_on_request(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        assert "delivery" not in await shown(api, member, image_id, include=None)
        answer = await api.client.get(
            f"/api/v1/images/{image_id}", headers=member.headers, params={"include": "delivery"}
        )
        assert answer.headers["cache-control"] == "no-store"
        delivery = answer.json()["delivery"]
        url = delivery["presets"]["preview"]["url"]
        assert url.startswith("https://pictures.test/i/k")
        address = grant.parse(urlsplit(url).path)
        assert address is not None
        assert address.grant is not None
        assert (address.image_id, address.tag, address.extension) == (image_id, answer.json()["delivery_tag"], "auto")
        assert (address.grant.key_number, address.grant.kind) == (await number_of(api, member), ScopeKind.PRESETS)
        assert grant.is_signed_by(grant.key_bytes(MASTER, address.grant.key_number), address)
        expires = datetime.fromisoformat(delivery["expires_at"])
        assert expires.timestamp() == address.grant.expiry_minutes * 60
        assert timedelta(days=7) <= expires - datetime.now(UTC) <= timedelta(days=8)

    async def test_sizes_and_srcset_are_those_that_come_out(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, width=1500, height=750)
        presets = (await shown(api, member, image_id))["delivery"]["presets"]
        assert {name: (each["width"], each["height"]) for name, each in presets.items()} == {
            "thumb": (256, 128),
            "preview": (1024, 512),
            "large": (1500, 750),
        }
        assert presets["thumb"]["srcset"] == presets["large"]["srcset"]
        candidates = [each.split(" ") for each in presets["thumb"]["srcset"].split(", ")]
        assert [width for _, width in candidates] == ["256w", "1024w", "1500w"]
        assert [url for url, _ in candidates] == [presets[name]["url"] for name in ("thumb", "preview", "large")]

    async def test_only_presets_that_show_the_same_share_a_srcset(self, api: Api, member: UserWithKey) -> None:
        for name, columns in {
            "card": {"width": 640, "height": 480, "fit": "cover"},
            "card-small": {"width": 320, "height": 240, "fit": "cover"},
            "banner": {"width": 640, "height": 160, "fit": "cover"},
            "closed": {"width": 100, "open": False},
        }.items():
            values = {"team_id": member.team_id, "name": name, "open": True, **columns}
            await api.rows.execute(insert(preset).values(**values))
        image_id = await add(api, member, frames=12)
        presets = (await shown(api, member, image_id))["delivery"]["presets"]

        def widths(name: str) -> list[str]:
            return [each.split(" ")[1] for each in presets[name]["srcset"].split(", ")]

        assert "closed" not in presets
        assert widths("card") == widths("card-small") == ["320w", "640w"]
        assert widths("banner") == ["640w"]
        # `large` holds the first frame alone.
        assert widths("thumb") == ["256w", "1024w"]
        assert widths("large") == ["2048w"]

    async def test_the_template_becomes_the_address_of_a_preset(self, api: Api, member: UserWithKey) -> None:
        delivery = (await shown(api, member, await add(api, member)))["delivery"]
        path = urlsplit(delivery["template"].replace("{spec}", "thumb").replace("{ext}", "webp")).path
        address = grant.parse(path)
        assert address is not None
        assert address.grant is not None
        assert grant.is_signed_by(grant.key_bytes(MASTER, address.grant.key_number), address)

    async def test_an_image_that_is_not_processed_has_addresses_without_sizes(
        self, api: Api, member: UserWithKey
    ) -> None:
        delivery = (await shown(api, member, await add(api, member, "stored")))["delivery"]
        assert delivery["presets"]["thumb"]["url"]
        assert {each["width"] for each in delivery["presets"].values()} == {None}
        assert {each["srcset"] for each in delivery["presets"].values()} == {None}
        assert delivery["placeholder"] is None

    @pytest.mark.parametrize(
        ("status", "columns"),
        [("pending", {}), ("failed", {}), ("expired", {}), ("ready", {"deleted_at": datetime(2026, 1, 1, tzinfo=UTC)})],
    )
    async def test_what_cannot_be_delivered_has_none(
        self, api: Api, member: UserWithKey, status: str, columns: dict[str, Any]
    ) -> None:
        assert (await shown(api, member, await add(api, member, status, **columns)))["delivery"] is None

    async def test_a_deployment_without_delivery_has_none(self, make_api: MakeApi) -> None:
        async with make_api(delivery_url=None, delivery_master=None) as api:
            member = await api.user()
            image_id = await add(api, member, visibility="public")
            assert (await shown(api, member, image_id))["delivery"] is None
            assert "delivery" not in await shown(api, member, image_id, include=None)

    async def test_both_inclusions_fit_in_one_request(self, api: Api, member: UserWithKey) -> None:
        found = await shown(api, member, await add(api, member), include="analyses,delivery")
        assert found["analyses"] == []
        assert found["delivery"]["presets"]

    async def test_an_admin_gets_addresses_signed_by_the_images_team(self, api: Api, member: UserWithKey) -> None:
        found = await shown(api, api.admin, await add(api, member))
        assert f"/i/k{await number_of(api, member)}-" in found["delivery"]["template"]


class TestVisibility:
    async def test_public_images_always_have_addresses_that_need_no_signature(
        self, api: Api, member: UserWithKey
    ) -> None:
        image_id = await add(api, member, visibility="public")
        answer = await api.client.get(f"/api/v1/images/{image_id}", headers=member.headers)
        assert "no-store" not in answer.headers.get("cache-control", "")
        delivery = answer.json()["delivery"]
        assert delivery["expires_at"] is None
        address = grant.parse(urlsplit(delivery["presets"]["thumb"]["url"]).path)
        assert address is not None
        assert (address.grant, address.image_id, address.tag) == (None, image_id, answer.json()["delivery_tag"])

    async def test_images_without_a_visibility_follow_their_team(self, api: Api, member: UserWithKey) -> None:
        follows, private = await add(api, member), await add(api, member, visibility="private")
        path = f"/api/v1/teams/{member.team_id}"
        changed = await api.client.patch(path, headers=api.admin.headers, json={"default_visibility": "public"})
        assert changed.json()["default_visibility"] == "public"
        assert "/i/public/" in (await shown(api, member, follows, include=None))["delivery"]["template"]
        assert "delivery" not in await shown(api, member, private, include=None)
        refused = await api.client.patch(path, headers=member.headers, json={"default_visibility": "private"})
        assert refused.status_code == 403

    async def test_a_change_of_visibility_needs_its_scope_and_is_audited(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        writer = await api.user(member.team_id, scopes=("images:read", "images:write"))
        refused = await change(api, writer, image_id, expected=403, visibility="public")
        assert refused["missing_scopes"] == ["delivery:manage"]
        assert (await change(api, writer, image_id, filename="a.png"))["visibility"] is None
        assert (await change(api, member, image_id, visibility="public"))["visibility"] == "public"
        assert (await change(api, member, image_id, visibility=None))["visibility"] is None
        await change(api, member, image_id, expected=422, visibility="hidden")
        rows = await api.rows.fetch(
            select(audit_event).where(audit_event.c.action == "image.changed").order_by(audit_event.c.position)
        )
        assert [orjson.loads(row["after"]).get("visibility", "absent") for row in rows] == ["absent", "public", None]
        assert orjson.loads(rows[2]["before"]) == {"visibility": "public"}

    async def test_another_teams_image_stays_private(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        image_id = await add(api, stranger)
        await change(api, member, image_id, expected=404, visibility="public")
        assert (await api.row(image_id))["visibility"] is None


async def test_public_images_do_not_depend_on_the_master_secret(make_api: MakeApi, secret_manager: Any) -> None:
    secret = "projects/p/secrets/delivery-master"
    secret_manager.versions[secret] = []
    async with make_api(delivery_master=None, delivery_master_secret=secret) as api:
        member = await api.user()
        public, private = await add(api, member, visibility="public"), await add(api, member)
        assert "/i/public/" in (await shown(api, member, public, include=None))["delivery"]["template"]
        await shown(api, member, private, include=None)
        answer = await api.client.get(f"/api/v1/images/{private}?include=delivery", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "master-secret-unavailable")


async def test_derivatives_show_the_preset_that_they_were_made_by(api: Api, member: UserWithKey) -> None:
    image_id, digest = await add(api, member), BUILT_IN["thumb"].recipe.hash()
    await testing.add_derivative(api.rows, image_id, "new", "thumb", spec_hash=digest, width=1)
    await testing.add_derivative(api.rows, image_id, "old", "large", width=2)
    derivatives = (await shown(api, member, image_id, include=None))["derivatives"]
    assert [each["spec_hash"] for each in derivatives] == [digest.hex(), None]
    assert BUILT_IN["thumb"].spec == f"thumb@{derivatives[0]['spec_hash'][:4]}"


class TestRevocation:
    async def test_revoking_changes_the_tag_and_the_entity_tag(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        before = await shown(api, member, image_id)
        assert before["delivery_tag"] == delivery_tag(GENERATION, 0)
        answer = await api.client.post(f"/api/v1/images/{image_id}/revoke-addresses", headers=member.headers)
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
        assert answer.json()["delivery_tag"] == delivery_tag(GENERATION, 1) != before["delivery_tag"]
        after = await shown(api, member, image_id)
        assert after["delivery"]["template"] != before["delivery"]["template"]
        assert (
            await api.rows.fetch_value(
                select(audit_event.c.target_id).where(audit_event.c.action == "image.addresses_revoked")
            )
            == image_id
        )

    async def test_revoking_needs_its_scope_and_an_image_of_the_team(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        image_id = await add(api, member)
        path = f"/api/v1/images/{image_id}/revoke-addresses"
        viewer = await api.user(member.team_id, Role.VIEWER)
        assert (await api.client.post(path, headers=viewer.headers)).status_code == 403
        assert (await api.client.post(path, headers=stranger.headers)).status_code == 404
        assert (await api.row(image_id))["delivery_epoch"] == 0

    async def test_lists_show_tag_and_addresses_if_requested(self, api: Api, member: UserWithKey) -> None:
        ready, pending = await add(api, member), await add(api, member, "pending")
        path = "/api/v1/images?include=delivery"
        items = {
            UUID(item["id"]): item for item in (await api.client.get(path, headers=member.headers)).json()["items"]
        }
        assert {image_id: item["delivery_tag"] for image_id, item in items.items()} == {
            ready: delivery_tag(GENERATION, 0), pending: None
        }  # fmt: skip
        assert items[ready]["delivery"] == (await shown(api, member, ready))["delivery"]
        assert items[pending]["delivery"] is None

    async def test_a_list_with_signed_addresses_is_not_stored_by_caches(self, api: Api, member: UserWithKey) -> None:
        await add(api, member, visibility="public")
        path = "/api/v1/images?include=delivery"
        assert "cache-control" not in (await api.client.get(path, headers=member.headers)).headers
        await add(api, member)
        assert (await api.client.get(path, headers=member.headers)).headers["cache-control"] == "no-store"


def pixels_of(uri: str) -> Image.Image:
    picture = Image.open(BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    picture.load()
    return picture.convert("RGB")


class TestPlaceholder:
    @given(st.integers(1, 20_000), st.integers(1, 20_000))
    def test_it_has_the_pictures_ratio_and_is_short(self, width: int, height: int) -> None:
        uri = data_uri(BLURHASH, width, height)
        assert uri is not None
        assert len(uri) <= MOST_LENGTH
        picture = pixels_of(uri)
        assert 1 <= picture.width <= 16
        assert 1 <= picture.height <= 16
        if 1 / 3 <= width / height <= 3:
            assert 0.6 <= (picture.width / picture.height) / (width / height) <= 1.67

    def test_its_colours_are_those_of_the_picture(self) -> None:
        import numpy as np

        from image_engine.picture.blurhash import blurhash

        square = np.zeros((32, 32, 3), np.uint8)
        square[:, :16] = (200, 40, 40)
        square[:, 16:] = (30, 60, 220)
        uri = data_uri(blurhash(square, 640, 640), 640, 640)
        assert uri is not None
        picture = pixels_of(uri)
        left, right = picture.getpixel((0, 3)), picture.getpixel((picture.width - 1, 3))
        assert np.allclose(left, (200, 40, 40), atol=60), left
        assert np.allclose(right, (30, 60, 220), atol=60), right

    @pytest.mark.parametrize("broken", ["", "L", "LEHV6nWB2yk8pyo0adR*.7kCMdn", BLURHASH + "aa", "ééééééé"])
    def test_a_hash_that_is_not_valid_gives_none(self, broken: str) -> None:
        assert data_uri(broken, 4, 3) is None

    async def test_pictures_with_transparency_have_none(self, api: Api, member: UserWithKey) -> None:
        opaque = await add(api, member)
        clear = await add(api, member, facts={**FACTS, "has_alpha": True})
        assert (await shown(api, member, opaque))["delivery"]["placeholder"].startswith("data:image/png;base64,")
        assert (await shown(api, member, clear))["delivery"]["placeholder"] is None


async def test_a_change_made_elsewhere_is_seen_within_seconds(api: Api, member: UserWithKey) -> None:
    image_id, clock = await add(api, member), [0.0]
    known = api.services.team_delivery.known
    original = known.clock
    known.clock = lambda: clock[0]
    try:
        await shown(api, member, image_id)
        await api.rows.execute(update(team).where(team.c.id == member.team_id).values(default_visibility="public"))
        clock[0] = 4.9
        assert "delivery" not in await shown(api, member, image_id, include=None)
        clock[0] = 5.0
        assert "/i/public/" in (await shown(api, member, image_id, include=None))["delivery"]["template"]
    finally:
        known.clock = original

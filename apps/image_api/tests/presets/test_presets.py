import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from image_api.settings import ApiSettings
from image_core import testing
from image_core.events import EventType
from image_core.images.presets import BUILT_IN, NEWEST_ID, presets_of_team, share_presets
from image_core.models import audit_event, event, preset
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi

PRESETS = "/api/v1/presets"
CARD = {"width": 640, "height": 480, "fit": "cover", "gravity": "at", "quality": 70, "formats": ["webp", "avif"]}


async def put(
    api: Api, by: UserWithKey, name: str, expected: int = 200, headers: dict[str, str] | None = None, **body: Any
) -> dict[str, Any]:
    answer = await api.client.put(f"{PRESETS}/{name}", headers={**by.headers, **(headers or {})}, json=body)
    assert answer.status_code == expected, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def get(api: Api, by: UserWithKey, name: str, expected: int = 200) -> dict[str, Any]:
    answer = await api.client.get(f"{PRESETS}/{name}", headers=by.headers)
    assert answer.status_code == expected, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def remake_before(api: Api, name: str) -> Any:
    return await api.rows.fetch_value(select(preset.c.remake_before).where(preset.c.name == name))


class TestReading:
    async def test_every_team_has_the_built_in_presets(self, api: Api, member: UserWithKey) -> None:
        items = (await api.client.get(PRESETS, headers=member.headers)).json()["items"]
        assert [(item["name"], item["width"], item["height"], item["animated"]) for item in items] == [
            ("thumb", 256, 256, True), ("preview", 1024, 1024, True), ("large", 2048, 2048, False),
        ]  # fmt: skip
        assert {(item["built_in"], item["open"], item["eager"], item["updated_at"]) for item in items} == {
            (True, True, True, None)
        }
        assert items[0]["spec"] == BUILT_IN["thumb"].spec
        assert items[0] == await get(api, member, "thumb")

    async def test_an_unknown_preset_is_404_with_the_nearest_name(self, api: Api, member: UserWithKey) -> None:
        await put(api, member, "card", **CARD)
        assert (await get(api, member, "cards", expected=404))["nearest"] == "card"
        found = await get(api, member, "sunset", expected=404)
        assert (found["code"], found["nearest"]) == ("preset-not-found", None)

    async def test_another_teams_presets_are_not_there(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        await put(api, stranger, "card", **CARD)
        await put(api, stranger, "thumb", width=100)
        assert (await get(api, member, "card", expected=404))["nearest"] is None
        assert (await get(api, member, "thumb"))["width"] == 256
        removed = await api.client.delete(f"{PRESETS}/card", headers=member.headers)
        assert removed.status_code == 404
        assert (await get(api, stranger, "card"))["width"] == 640
        for method, body in (("GET", None), ("PUT", {"width": 1}), ("DELETE", None)):
            parameters = {"team_id": str(stranger.team_id)}
            answer = await api.client.request(
                method, f"{PRESETS}/card", headers=member.headers, params=parameters, json=body
            )
            assert (answer.status_code, answer.json()["code"]) == (404, "team-not-found")

    async def test_an_admin_names_the_team(self, api: Api, member: UserWithKey) -> None:
        url, parameters = f"{PRESETS}/card", {"team_id": str(member.team_id)}
        answer = await api.client.put(url, headers=api.admin.headers, params=parameters, json=CARD)
        assert answer.status_code == 200, answer.text
        assert (await get(api, member, "card"))["width"] == 640
        assert (await api.client.get(url, headers=api.admin.headers)).json()["code"] == "team-required"


class TestChanging:
    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    async def test_a_change_waits_for_pictures_that_are_being_stored(
        self, api: Api, member: UserWithKey, method: str
    ) -> None:
        assert member.team_id is not None
        await put(api, member, "card", **CARD)
        async with api.rows.transaction() as transaction:
            assert (await share_presets(transaction, member.team_id))["card"].recipe.width_px == 640
            body = {"width": 320} if method == "PUT" else None
            request = api.client.request(method, f"{PRESETS}/card", headers=member.headers, json=body)
            changing = asyncio.create_task(request)
            await testing.until_advisory_lock_is_awaited(api.rows)
        assert (await changing).is_success

    async def test_a_preset_is_created_and_replaced_as_a_whole(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        made = await put(api, member, "card", **CARD, open=True, metadata="copyright", background="00ff00")
        assert made["built_in"] is False
        assert made["spec"] == (await presets_of_team(api.rows, member.team_id))["card"].spec
        read = await get(api, member, "card")
        assert read == {name: value for name, value in made.items() if name != "public_images"}
        replaced = await put(api, member, "card", height=100)
        assert (replaced["width"], replaced["height"], replaced["fit"], replaced["open"]) == (
            None,
            100,
            "inside",
            False,
        )
        assert (replaced["quality"], replaced["formats"], replaced["background"]) == (80, ["webp"], None)
        assert replaced["spec"] != made["spec"]

    async def test_a_built_in_preset_is_changed_but_not_removed(self, api: Api, member: UserWithKey) -> None:
        assert (await put(api, member, "thumb", width=100, open=True))["built_in"] is True
        names = [item["name"] for item in (await api.client.get(PRESETS, headers=member.headers)).json()["items"]]
        assert names == ["thumb", "preview", "large"]
        answer = await api.client.delete(f"{PRESETS}/thumb", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "preset-built-in")
        assert (await get(api, member, "thumb"))["width"] == 100

    async def test_a_removed_preset_is_gone(self, api: Api, member: UserWithKey) -> None:
        await put(api, member, "card", **CARD)
        assert (await api.client.delete(f"{PRESETS}/card", headers=member.headers)).status_code == 204
        await get(api, member, "card", expected=404)
        (asked,) = await api.rows.fetch(select(event).where(event.c.type == EventType.DISCARD_PRESET))
        payload = orjson.loads(asked["payload"])
        assert (asked["topic"], asked["team_id"]) == ("renditions", member.team_id)
        assert (payload["preset"], payload["before"]) == ("card", str(NEWEST_ID))
        assert datetime.fromisoformat(payload["removed_at"]) > datetime.now(UTC) - timedelta(minutes=1)
        assert (await api.client.delete(f"{PRESETS}/card", headers=member.headers)).status_code == 404

    @pytest.mark.parametrize(
        "name", ["t-w640", "original", "full", "source", "public", "Card", "card-", "1card", "a--b", "a" * 33, "a_b"]
    )
    async def test_names_that_addresses_cannot_spell_are_refused(
        self, api: Api, member: UserWithKey, name: str
    ) -> None:
        assert (await put(api, member, name, expected=422, width=1))["errors"][0]["code"] == "preset-name"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"fit": "cover", "width": 640},
            {"fit": "pad", "height": 640},
            {"width": 640, "gravity": "at"},
            {"width": 0},
            {"width": 4097},
            {"width": 640, "quality": 0},
            {"width": 640, "quality": 101},
            {"width": 640, "formats": []},
            {"width": 640, "formats": ["webp", "webp"]},
            {"width": 640, "formats": ["gif"]},
            {"width": 640, "background": "FFFFFF"},
            {"width": 640, "height": 480, "fit": "cover", "gravity": "x1001y0"},
            {"width": 640, "height": 480, "fit": "cover", "gravity": "x01y0"},
            {"width": 640, "metadata": "all"},
            {"width": 640, "blur": 3},
            {"width": 640, "open": 1},
        ],
    )
    async def test_what_cannot_be_made_is_refused(self, api: Api, member: UserWithKey, body: dict[str, Any]) -> None:
        assert (await put(api, member, "card", expected=422, **body))["code"] == "request-invalid"

    async def test_changes_need_their_scope(self, api: Api, member: UserWithKey) -> None:
        writer = await api.user(member.team_id, scopes=("images:read", "images:write"))
        assert (await put(api, writer, "card", expected=403, **CARD))["missing_scopes"] == ["delivery:manage"]
        answer = await api.client.delete(f"{PRESETS}/thumb", headers=writer.headers)
        assert answer.json()["missing_scopes"] == ["delivery:manage"]
        assert (await get(api, writer, "thumb"))["width"] == 256

    async def test_entity_tags_guard_against_lost_changes(self, api: Api, member: UserWithKey) -> None:
        url = f"{PRESETS}/thumb"
        first = (await api.client.get(url, headers=member.headers)).headers["etag"]
        await put(api, member, "thumb", headers={"If-Match": first}, width=100)
        await put(api, member, "thumb", expected=412, headers={"If-Match": first}, width=200)
        second = (await api.client.get(url, headers=member.headers)).headers["etag"]
        await put(api, member, "thumb", headers={"If-Match": second}, width=300)
        await put(api, member, "card", **CARD)
        stale = await api.client.delete(f"{PRESETS}/card", headers={**member.headers, "If-Match": '"9"'})
        assert stale.status_code == 412

    async def test_a_team_has_no_more_presets_than_the_limit(self, make_api: MakeApi) -> None:
        async with make_api(presets_per_team=2) as api:
            member = await api.user()
            await put(api, member, "thumb", width=100)
            answers = await asyncio.gather(
                *(api.client.put(f"{PRESETS}/p{n}", headers=member.headers, json={"width": 9}) for n in range(4))
            )
            assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
            refused = next(answer.json() for answer in answers if answer.status_code == 409)
            assert (refused["code"], refused["limit"]) == ("too-many-presets", 2)
            await put(api, member, "large", width=99)

    async def test_null_sets_no_limit(self, base_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        assert ApiSettings(**base_settings).presets_per_team == 32
        monkeypatch.setenv("PRESETS_PER_TEAM", "null")
        assert ApiSettings(**base_settings).presets_per_team is None


class TestConsequences:
    async def test_addresses_follow_a_change_at_once(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id)
        url = f"/api/v1/images/{image_id}?include=delivery"

        async def specs() -> dict[str, str]:
            presets = (await api.client.get(url, headers=member.headers)).json()["delivery"]["presets"]
            return {name: each["url"].rpartition("/")[2] for name, each in presets.items()}

        before = await specs()
        made = await put(api, member, "card", **CARD, open=True)
        await put(api, member, "thumb", width=100)
        after = await specs()
        assert after["card"] == f"{made['spec']}.auto"
        # It was closed by the change.
        assert before.keys() - after.keys() == {"thumb"}
        await api.client.delete(f"{PRESETS}/card", headers=member.headers)
        assert "card" not in await specs()

    async def test_opening_a_preset_says_how_many_public_images_it_concerns(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        assert member.team_id is not None
        assert stranger.team_id is not None
        for team_id, visibility in (
            (member.team_id, "public"), (member.team_id, "public"), (member.team_id, None), (member.team_id, "private"),
            (stranger.team_id, "public"),
        ):  # fmt: skip
            await testing.add_image(api.rows, team_id, visibility=visibility)
        assert (await put(api, member, "card", **CARD))["public_images"] is None
        assert (await put(api, member, "card", **CARD, open=True))["public_images"] == 2
        assert (await put(api, member, "card", **CARD, open=True))["public_images"] is None
        assert (await put(api, member, "card", **{**CARD, "quality": 71}, open=True))["public_images"] == 2
        path = f"/api/v1/teams/{member.team_id}"
        await api.client.patch(path, headers=api.admin.headers, json={"default_visibility": "public"})
        assert (await put(api, member, "thumb", width=100, open=True))["public_images"] == 3

    async def test_changes_are_audited(self, api: Api, member: UserWithKey) -> None:
        await put(api, member, "card", **CARD)
        made = await put(api, member, "card", **CARD, open=True)
        await api.client.delete(f"{PRESETS}/card", headers=member.headers)
        rows = await api.rows.fetch(
            select(audit_event).where(audit_event.c.action.like("preset.%")).order_by(audit_event.c.position)
        )
        assert [(row["action"], row["target_id"]) for row in rows] == [
            ("preset.changed", member.team_id), ("preset.changed", member.team_id), ("preset.removed", member.team_id),
        ]  # fmt: skip
        assert rows[0]["before"] is None
        opened = [orjson.loads(rows[1][side]) for side in ("before", "after")]
        assert [each["open"] for each in opened] == [False, True]
        assert opened[1] == {
            "name": "card", "spec": made["spec"], "formats": ["webp", "avif"], "open": True, "eager": False,
        }  # fmt: skip

    async def test_pictures_of_an_eager_preset_are_to_be_made_again_when_they_change(
        self, api: Api, member: UserWithKey
    ) -> None:
        await put(api, member, "card", **CARD)
        assert await remake_before(api, "card") is None
        await put(api, member, "card", **CARD, eager=True)
        assert await remake_before(api, "card") == NEWEST_ID
        await api.rows.execute(preset.update().values(remake_before=None))
        await put(api, member, "card", **CARD, eager=True, open=True)
        assert await remake_before(api, "card") is None
        await put(api, member, "card", **{**CARD, "quality": 71}, eager=True)
        assert await remake_before(api, "card") == NEWEST_ID
        await api.rows.execute(preset.update().values(remake_before=None))
        await put(api, member, "card", **{**CARD, "quality": 71, "formats": ["webp"]}, eager=True)
        assert await remake_before(api, "card") == NEWEST_ID

    async def test_a_change_of_a_built_in_preset_to_what_it_is_makes_nothing_again(
        self, api: Api, member: UserWithKey
    ) -> None:
        await put(api, member, "thumb", width=256, height=256, eager=True, open=True)
        assert await remake_before(api, "thumb") is None
        await put(api, member, "preview", width=1024, height=1024, eager=True, open=True, animated=False)
        assert await remake_before(api, "preview") == NEWEST_ID

    async def test_a_change_after_the_remaking_began_begins_it_again(self, api: Api, member: UserWithKey) -> None:
        await put(api, member, "card", **CARD, eager=True)
        await api.rows.execute(preset.update().values(remake_before=testing.new_id()))
        await put(api, member, "card", **CARD, eager=True)
        assert await remake_before(api, "card") != NEWEST_ID
        await put(api, member, "card", width=1, eager=True)
        assert await remake_before(api, "card") == NEWEST_ID

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import func, insert, select

from image_api.actor import Role
from image_api.listing import queries
from image_core import testing
from image_core.models import audit_event, event, preset
from image_core.states import ImageStatus
from image_core.testing import UserWithKey

from ..conftest import Api

IMAGES = "/api/v1/images"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def add(api: Api, owner: UserWithKey, status: str = "ready", **columns: Any) -> str:
    assert owner.team_id is not None
    return str(await testing.add_image(api.rows, owner.team_id, status, **columns))


async def listed(api: Api, by: UserWithKey, **filters: Any) -> list[str]:
    answer = await api.client.get(IMAGES, headers=by.headers, params=filters)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


class TestList:
    async def test_members_see_each_others_images_newest_first(
        self, api: Api, member: UserWithKey, colleague: UserWithKey, stranger: UserWithKey
    ) -> None:
        first = await add(api, member, uploaded_by=member.user_id, created_at=LONG_AGO)
        second = await add(api, member, uploaded_by=colleague.user_id)
        await add(api, stranger)
        assert await listed(api, colleague) == [second, first]

    async def test_an_admin_sees_every_team_or_the_one_it_names(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        own, other = await add(api, member), await add(api, stranger)
        assert set(await listed(api, api.admin)) == {own, other}
        assert await listed(api, api.admin, team_id=stranger.team_id) == [other]
        assert await listed(api, api.admin, team_id=uuid4()) == []

    async def test_another_team_looks_empty_in_items_and_total(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        await add(api, member)
        await add(api, stranger)
        for team_id in (stranger.team_id, uuid4()):
            answer = await api.client.get(
                IMAGES, headers=member.headers, params={"team_id": str(team_id), "include_total": "true"}
            )
            assert answer.json() == {"items": [], "next_cursor": None, "total": 0}

    async def test_lists_leave_out_what_expired_and_what_is_in_the_trash(self, api: Api, member: UserWithKey) -> None:
        living = {await add(api, member, status) for status in ImageStatus if status is not ImageStatus.EXPIRED}
        expired = await add(api, member, "expired")
        trashed = await add(api, member, deleted_at=LONG_AGO)
        assert set(await listed(api, member)) == living
        assert await listed(api, member, status="trashed") == [trashed]
        assert await listed(api, member, status="expired") == [expired]
        assert len(await listed(api, member, status="ready")) == 1

    @pytest.mark.parametrize(
        ("column", "filters", "expected"),
        [
            ({"content_type": "image/webp"}, {"content_type": "image/webp"}, True),
            ({"content_type": "image/webp"}, {"content_type": "image/png"}, False),
            ({"created_at": LONG_AGO}, {"created_after": "2020-01-01T00:00:00Z"}, True),
            ({"created_at": LONG_AGO}, {"created_after": "2020-01-01T01:00:00+02:00"}, True),
            ({"created_at": LONG_AGO}, {"created_after": "2020-01-01T00:00:00.000001Z"}, False),
            ({"created_at": LONG_AGO}, {"created_before": "2020-01-01T00:00:00Z"}, False),
            ({"created_at": LONG_AGO}, {"created_before": "2020-01-01T00:00:01Z"}, True),
            ({"size_bytes": 10}, {"min_size": 10, "max_size": 10}, True),
            ({"size_bytes": 10}, {"min_size": 11}, False),
            ({"size_bytes": 10}, {"max_size": 9}, False),
            ({"width": 50, "height": 60}, {"min_width": 50, "max_height": 60}, True),
            ({"width": 50, "height": 60}, {"min_width": 51}, False),
            ({"width": 50, "height": 60}, {"max_width": 49}, False),
            ({"width": 50, "height": 60}, {"min_height": 61}, False),
            ({"width": 50, "height": 60}, {"max_height": 59}, False),
            ({"rating": 3}, {"min_rating": 3, "max_rating": 3}, True),
            ({"rating": 3}, {"min_rating": 4}, False),
            ({"rating": 3}, {"max_rating": 2}, False),
            ({}, {"max_rating": 5}, False),
            ({"description": "x"}, {"has": "description"}, True),
            ({}, {"has": "description"}, False),
            ({"alt_text": "x", "alt_text_language": "en"}, {"has": ["alt_text", "taken_at"]}, False),
            ({"alt_text": "x", "alt_text_language": "en"}, {"has": "alt_text"}, True),
            ({"description": "x"}, {"has": "alt_text"}, False),
            ({"tags": ["a", "b"]}, {"tag": ["a", "b"]}, True),
            ({"tags": ["a"]}, {"tag": ["a", "b"]}, False),
            ({"filename": "Oslo 100%_a.jpg"}, {"q": "oslo"}, True),
            ({"filename": "Oslo 100%_a.jpg"}, {"q": "0%_A"}, True),
            ({"filename": "Oslo 100.jpg"}, {"q": "0%j"}, False),
            ({"filename": "Oslo.jpg"}, {"q": "O_lo"}, False),
            ({"filename": "a\\b.jpg"}, {"q": "a\\b"}, True),
        ],
    )
    async def test_each_filter_narrows_the_list(
        self, api: Api, member: UserWithKey, column: dict[str, Any], filters: dict[str, Any], expected: bool
    ) -> None:
        image_id = await add(api, member, **column)
        assert await listed(api, member, **filters) == ([image_id] if expected else [])

    async def test_the_uploader_narrows_the_list(self, api: Api, member: UserWithKey, colleague: UserWithKey) -> None:
        await add(api, member, uploaded_by=colleague.user_id)
        own = await add(api, member, uploaded_by=member.user_id)
        assert await listed(api, member, uploaded_by=str(member.user_id)) == [own]

    @pytest.mark.parametrize(
        ("name", "nearest"), [("contenttype", "content_type"), ("tags", "tag"), ("xyzzy", None), ("Limit", "limit")]
    )
    async def test_a_filter_that_is_not_declared_names_the_nearest(
        self, api: Api, member: UserWithKey, name: str, nearest: str | None
    ) -> None:
        answer = await api.client.get(IMAGES, headers=member.headers, params={name: "1"})
        body = answer.json()
        assert (answer.status_code, body["code"], body["field"]) == (400, "filter-unknown", name)
        assert body["nearest"] == nearest

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("limit", "0"),
            ("limit", "201"),
            ("limit", "many"),
            ("status", "gone"),
            ("uploaded_by", "me"),
            ("created_after", "yesterday"),
            ("created_after", "2020-01-01T00:00:00"),
            ("created_after", "0001-01-01T00:00:00+14:00"),
            ("created_before", "9999-12-31T23:59:59-12:00"),
            ("min_size", "-1"),
            ("max_size", str(2**64)),
            ("min_width", str(2**31)),
            ("content_type", "image/\x00png"),
            ("q", ""),
            ("q", "\x00"),
            ("tag", ""),
            ("cursor", "x" * 1501),
            ("include_total", "perhaps"),
        ],
    )
    async def test_a_value_that_makes_no_sense_is_refused_by_field(
        self, api: Api, member: UserWithKey, name: str, value: str
    ) -> None:
        answer = await api.client.get(IMAGES, headers=member.headers, params={name: value})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"].split(".")[0] == name

    async def test_a_total_is_given_only_when_asked_for(self, api: Api, member: UserWithKey) -> None:
        for _ in range(3):
            await add(api, member)
        plain = await api.client.get(IMAGES, headers=member.headers, params={"limit": 2})
        counted = await api.client.get(IMAGES, headers=member.headers, params={"limit": 2, "include_total": "true"})
        assert "total" not in plain.json()
        assert counted.json()["total"] == 3

    async def test_pages_cover_everything_once_while_rows_are_added(self, api: Api, member: UserWithKey) -> None:
        # Two of them share their time: the id decides.
        before = {await add(api, member, created_at=LONG_AGO + timedelta(seconds=n // 2)) for n in range(7)}
        seen: list[str] = []
        cursor: str | None = None
        while True:
            parameters = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await api.client.get(IMAGES, headers=member.headers, params=parameters)).json()
            seen += [each["id"] for each in page["items"]]
            cursor = page["next_cursor"]
            await add(api, member)
            if cursor is None:
                break
        assert len(seen) == 7
        assert set(seen) == before


class TestOne:
    async def test_an_image_is_shown_with_its_derivatives_and_facts(self, make_api: Any) -> None:
        async with make_api(public_base_url="https://images.example/") as api:
            member = await api.user()
            image_id = await add(api, member, facts={"blurhash": "x"}, metadata={"a": 1}, size_bytes=1520435)
            await testing.add_derivative(api.rows, UUID(image_id), "b", "preview", width=1024)
            await testing.add_derivative(api.rows, UUID(image_id), "a", "thumb", width=256)
            answer = await api.client.get(f"{IMAGES}/{image_id}", headers=member.headers)
            listed = await api.client.get(f"{IMAGES}/{image_id}/derivatives", headers=member.headers)
        body = answer.json()
        assert (body["size"], body["facts"], body["metadata"]) == ("1.45 MiB", {"blurhash": "x"}, {"a": 1})
        assert [each["preset"] for each in body["derivatives"]] == ["thumb", "preview"]
        expected = f"https://images.example/api/v1/images/{image_id}/derivatives/thumb"
        assert body["derivatives"][0]["url"] == expected
        assert listed.json() == {"items": body["derivatives"]}

    async def test_an_image_in_the_trash_can_still_be_shown(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, deleted_at=LONG_AGO)
        answer = await api.client.get(f"{IMAGES}/{image_id}", headers=member.headers)
        assert answer.json()["deleted_at"] is not None

    async def test_what_is_not_an_id_is_refused(self, api: Api, member: UserWithKey) -> None:
        answer = await api.client.get(f"{IMAGES}/photo.jpg", headers=member.headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "image_id")


class TestPatch:
    async def change(
        self, api: Api, by: UserWithKey, image_id: str, expected: int = 200, **patch: Any
    ) -> dict[str, Any]:
        answer = await api.client.patch(f"{IMAGES}/{image_id}", headers=by.headers, json=patch)
        assert answer.status_code == expected, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def test_what_is_absent_stays_and_what_is_null_goes(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, filename="a.png", tags=["x"], metadata={"keep": 1, "drop": 2})
        body = await self.change(api, member, image_id, metadata={"drop": None, "new": "é"})
        assert (body["filename"], body["tags"]) == ("a.png", ["x"])
        assert body["metadata"] == {"keep": 1, "new": "é"}
        assert (await self.change(api, member, image_id, filename=None))["filename"] is None
        assert (await self.change(api, member, image_id, tags=["b", " a ", "b"]))["tags"] == ["b", "a"]

    @pytest.mark.parametrize(
        "patch",
        [
            {"tags": None},
            {"tags": [""]},
            {"tags": ["x"] * 51},
            {"metadata": None},
            {"metadata": {"a b": 1}},
            {"metadata": {"a": [1]}},
            {"metadata": {"a": "x" * 513}},
            {"metadata": {"a": 2**60}},
            {"metadata": {f"k{n}": 1 for n in range(51)}},
            {"filename": ""},
            {"filename": "../"},
            {"filename": ["a.png"]},
            {"description": " "},
            {"description": "x" * 2001},
            {"alt_text": "x"},
            {"alt_text": {"text": "x"}},
            {"alt_text": {"text": "x", "language": "en_GB"}},
            {"alt_text": {"text": "x" * 2001, "language": "en"}},
            {"alt_text": {"text": "x", "language": "en", "title": "x"}},
            {"rating": 6},
            {"rating": -1},
            {"rating": 4.5},
            {"focal_point": {"x": 0.5}},
            {"focal_point": {"x": 0.5, "y": None}},
            {"focal_point": {"x": 0.5, "y": 1.001}},
            {"focal_point": {"x": -0.1, "y": 0}},
            {"focal_point": {"x": "0.5", "y": 0}},
            {"status": "ready"},
        ],
    )
    async def test_what_cannot_be_is_refused_by_field(
        self, api: Api, member: UserWithKey, patch: dict[str, Any]
    ) -> None:
        image_id = await add(api, member)
        body = await self.change(api, member, image_id, expected=422, **patch)
        assert body["errors"][0]["field"].split(".")[0] == next(iter(patch))
        assert (await api.row(image_id))["revision"] == 1

    @pytest.mark.parametrize("text", ['{"filename": "\\ud800"}', '{"tags": ["\\ud800"]}', '{"metadata": {"a": 1e400}}'])
    async def test_what_json_can_say_but_no_column_can_hold_is_refused(
        self, api: Api, member: UserWithKey, text: str
    ) -> None:
        image_id = await add(api, member)
        headers = {**member.headers, "content-type": "application/json"}
        answer = await api.client.patch(f"{IMAGES}/{image_id}", headers=headers, content=text)
        assert answer.status_code == 422

    async def test_descriptions_rating_and_focal_point_are_shown_alone_and_in_lists(
        self, api: Api, member: UserWithKey
    ) -> None:
        image_id = await add(api, member)
        said = {
            "description": "A fjord,\nat dawn.", "alt_text": {"text": "A fjord", "language": "en-GB"}, "rating": 0,
            "focal_point": {"x": 0.333, "y": 1},
        }  # fmt: skip
        patch = {
            **said, "alt_text": {"text": " A fjord ", "language": "EN-gb"}, "focal_point": {"x": 0.33333, "y": 1},
        }  # fmt: skip
        body = await self.change(api, member, image_id, **patch)
        assert body == body | said
        answer = await api.client.get(IMAGES, headers=member.headers)
        assert answer.json()["items"][0] == answer.json()["items"][0] | said

    async def test_a_part_keeps_its_other_members_and_null_removes_it(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, alt_text="A fjord", alt_text_language="en", focal_x=100, focal_y=200)
        body = await self.change(api, member, image_id, alt_text={"text": "Fjord"}, focal_point={"y": 0})
        assert (body["alt_text"], body["focal_point"]) == (
            {"text": "Fjord", "language": "en"}, {"x": 0.1, "y": 0},
        )  # fmt: skip
        body = await self.change(api, member, image_id, alt_text=None, focal_point=None, description=None, rating=None)
        assert (body["alt_text"], body["focal_point"], body["description"], body["rating"]) == (None,) * 4

    async def test_a_moved_focal_point_has_the_early_pictures_that_show_it_made_again(
        self, api: Api, member: UserWithKey
    ) -> None:
        focal = {"width": 64, "height": 64, "fit": "cover", "gravity": "fo", "eager": True}
        for name, columns in {
            "card": focal | {"formats": ["avif", "webp"]},
            "later": focal | {"eager": False},
            "whole": focal | {"fit": "inside"},
            "middle": focal | {"gravity": "ce"},
        }.items():
            values = {"team_id": member.team_id, "name": name} | columns
            await api.rows.execute(insert(preset).values(**values))

        async def requested() -> list[tuple[Any, ...]]:
            rows = await api.rows.fetch(
                select(event.c.image_id, event.c.payload).where(event.c.type == "rendition.requested")
            )
            payloads = [(row["image_id"], orjson.loads(row["payload"])) for row in rows]
            return sorted((image_id, each["spec"], each["format"], each["generation"]) for image_id, each in payloads)

        image_id = await add(api, member, focal_x=500, focal_y=500)
        for untouched in (await add(api, member, "pending"), await add(api, member, deleted_at=LONG_AGO)):
            await self.change(api, member, untouched, focal_point={"x": 0, "y": 0})
        await self.change(api, member, image_id, focal_point={"x": 0.5}, rating=1)
        assert await requested() == []
        await self.change(api, member, image_id, focal_point={"y": 0.501})
        generation = str(testing.GENERATION)
        made = [(UUID(image_id), "card", each, generation) for each in ("avif", "webp")]
        assert await requested() == made
        await self.change(api, member, image_id, focal_point=None)
        assert await requested() == sorted(2 * made)

    async def test_metadata_has_its_limit_also_in_pieces(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, metadata={f"k{n}": 1 for n in range(50)})
        await self.change(api, member, image_id, expected=422, metadata={"one_more": 1})
        await self.change(api, member, image_id, metadata={"one_more": 1, "k0": None})

    async def test_a_change_against_an_old_copy_is_refused(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        shown = await api.client.get(f"{IMAGES}/{image_id}", headers=member.headers)
        first = await api.client.patch(
            f"{IMAGES}/{image_id}",
            headers={**member.headers, "if-match": shown.headers["etag"]},
            json={"filename": "a.png"},
        )
        assert first.status_code == 200
        assert first.headers["etag"] != shown.headers["etag"]
        for method in ("PATCH", "DELETE"):
            answer = await api.client.request(
                method,
                f"{IMAGES}/{image_id}",
                headers={**member.headers, "if-match": shown.headers["etag"], "x-scope": "any"},
                json={"filename": "b.png"} if method == "PATCH" else None,
            )
            assert answer.status_code in (403, 412)
        assert (await api.row(image_id))["filename"] == "a.png"

    async def test_of_two_changes_at_once_against_one_copy_one_wins(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        headers = {**member.headers, "if-match": '"1"'}
        answers = await asyncio.gather(
            *(
                api.client.patch(f"{IMAGES}/{image_id}", headers=headers, json={"filename": f"{n}.png"})
                for n in range(4)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]

    async def test_a_patch_of_nothing_changes_nothing(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        before = await api.row(image_id)
        assert (await self.change(api, member, image_id))["id"] == image_id
        assert await api.row(image_id) == before
        assert await api.rows.fetch_one(select(audit_event)) is None

    async def test_a_change_is_audited_by_the_names_of_its_fields(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        await self.change(api, member, image_id, filename="personal.png", metadata={"who": "Ada"})
        row = await api.rows.fetch_one(select(audit_event))
        assert row is not None
        assert orjson.loads(row["after"]) == {
            "fields": ["filename", "metadata"],
            "metadata_keys": ["who"],
        }

    async def test_a_change_is_told_by_the_names_of_its_fields(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        await self.change(api, member, image_id, filename="personal.png", rating=4)
        # Nobody has been told of a pending one yet: its creation will be its first event.
        await self.change(api, member, await add(api, member, status="pending"), rating=4)
        (told,) = await api.rows.fetch(select(event.c.type, event.c.image_id, event.c.payload))
        assert (told["type"], str(told["image_id"])) == ("image.changed", image_id)
        changed = {"changed": ["filename", "rating"], "status": "ready", "revision": 2}
        assert orjson.loads(told["payload"]) == changed


class TestTrash:
    @pytest.fixture
    async def deleter(self, api: Api, member: UserWithKey) -> UserWithKey:
        return await api.user(member.team_id, scopes=("images:read", "images:delete"))

    async def test_trash_and_back(self, api: Api, deleter: UserWithKey) -> None:
        image_id = await add(api, deleter)
        assert (await api.client.delete(f"{IMAGES}/{image_id}", headers=deleter.headers)).status_code == 204
        assert await listed(api, deleter) == []
        restored = await api.client.post(f"{IMAGES}/{image_id}/restore", headers=deleter.headers)
        assert (restored.status_code, restored.json()["deleted_at"]) == (200, None)
        assert await listed(api, deleter) == [image_id]
        told = await api.rows.fetch(select(event.c.type, event.c.published_at).order_by(event.c.created_at))
        assert [row[0] for row in told] == ["image.trashed", "image.restored"]
        assert all(row[1] is not None for row in told)
        actions = await api.rows.fetch(select(audit_event.c.action).order_by(audit_event.c.created_at))
        assert [row[0] for row in actions] == ["image.trashed", "image.restored"]

    async def test_twice_into_the_trash_and_twice_out_changes_nothing_more(
        self, api: Api, deleter: UserWithKey
    ) -> None:
        image_id = await add(api, deleter)
        for _ in range(2):
            assert (await api.client.delete(f"{IMAGES}/{image_id}", headers=deleter.headers)).status_code == 204
        for _ in range(2):
            answer = await api.client.post(f"{IMAGES}/{image_id}/restore", headers=deleter.headers)
            assert answer.status_code == 200
        assert await api.rows.fetch_value(select(func.count()).select_from(event)) == 2

    async def test_a_restored_image_that_was_waiting_is_asked_for_again(self, api: Api, deleter: UserWithKey) -> None:
        image_id = await add(api, deleter, "stored", deleted_at=LONG_AGO)
        await api.client.post(f"{IMAGES}/{image_id}/restore", headers=deleter.headers)
        asked = await api.rows.fetch_one(select(event).where(event.c.type == "image.process"))
        assert asked is not None
        payload = orjson.loads(asked["payload"])
        assert payload["name"] == (await api.row(image_id))["object_name"]
        assert payload["generation"] == str(testing.GENERATION)

    async def test_what_is_being_purged_cannot_come_back(self, api: Api, deleter: UserWithKey) -> None:
        image_id = await add(api, deleter, deleted_at=LONG_AGO, purge_marked_at=LONG_AGO)
        answer = await api.client.post(f"{IMAGES}/{image_id}/restore", headers=deleter.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "image-purged")

    async def test_beside_a_living_twin_nothing_is_restored(self, api: Api, deleter: UserWithKey) -> None:
        sha256 = testing.a_sha256("twin")
        await add(api, deleter, sha256=sha256)
        trashed = await add(api, deleter, sha256=sha256, deleted_at=LONG_AGO)
        answer = await api.client.post(f"{IMAGES}/{trashed}/restore", headers=deleter.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "duplicate-exists")
        assert (await api.row(trashed))["deleted_at"] is not None
        assert await api.rows.fetch_value(select(func.count()).select_from(event)) == 0

    async def test_a_delete_against_an_old_copy_is_refused(self, api: Api, deleter: UserWithKey) -> None:
        image_id = await add(api, deleter, revision=3)
        stale = {**deleter.headers, "if-match": '"2"'}
        answer = await api.client.delete(f"{IMAGES}/{image_id}", headers=stale)
        assert (answer.status_code, answer.json()["etag"]) == (412, '"3"')

    async def test_a_member_without_the_scope_deletes_nothing(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        for answer in (
            await api.client.delete(f"{IMAGES}/{image_id}", headers=member.headers),
            await api.client.post(f"{IMAGES}/{image_id}/restore", headers=member.headers),
        ):
            assert (answer.status_code, answer.json()["missing_scopes"]) == (403, ["images:delete"])

    async def test_an_admin_trashes_any_teams_image(self, api: Api, member: UserWithKey) -> None:
        admin = await api.user(role=Role.ADMIN)
        image_id = await add(api, member)
        assert (await api.client.delete(f"{IMAGES}/{image_id}", headers=admin.headers)).status_code == 204


def test_no_more_statements_are_kept_than_a_bound() -> None:
    """Whoever lists chooses the conditions, of which there are millions of combinations."""
    names = ("tag", "content_type", "uploaded_by", "created_after", "created_before", "terms_q", "min_size", "max_size",
             "min_width", "max_width")  # fmt: skip
    for number in range(2 ** len(names)):
        queries.page_statement(frozenset(name for bit, name in enumerate(names) if number >> bit & 1))
    assert queries._page_query.cache_info().currsize < 2 ** len(names)

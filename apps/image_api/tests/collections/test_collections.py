"""Collections: what they show, in which order, for whom, and what happens at the same time."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select, update

from image_core import testing
from image_core.db import Database, ForeignKeyViolation
from image_core.models import audit_event, collection, collection_member, image
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi

PAST = datetime(2020, 1, 1, tzinfo=UTC)
COLLECTIONS = "/api/v1/collections"


async def ask(
    api: Api, by: UserWithKey, method: str, path: str = "", status: int = 200, headers: Any = None, **request: Any
) -> Any:
    answer = await api.client.request(method, COLLECTIONS + path, headers={**by.headers, **(headers or {})}, **request)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def add_to(
    api: Api, by: UserWithKey, collection_id: UUID | str, image_ids: Sequence[UUID], status: int = 200, **fields: Any
) -> Any:
    body = {"image_ids": [str(each) for each in image_ids], **fields}
    return await ask(api, by, "POST", f"/{collection_id}/images", status, json=body)


async def shown(api: Api, by: UserWithKey, collection_id: UUID | str, **parameters: Any) -> list[UUID]:
    """The images of a collection, page by page."""
    found, cursor = [], None
    while True:
        params = parameters | ({"cursor": cursor} if cursor else {})
        page = await ask(api, by, "GET", f"/{collection_id}/images", params=params)
        found += [UUID(item["id"]) for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            return found


async def images(api: Api, by: UserWithKey, number: int, **columns: Any) -> list[UUID]:
    assert by.team_id is not None
    return [await testing.add_image(api.rows, by.team_id, uploaded_by=by.user_id, **columns) for _ in range(number)]


@pytest.fixture
async def six(api: Api, member: UserWithKey) -> list[UUID]:
    return await images(api, member, 6)


@pytest.fixture
async def album(api: Api, member: UserWithKey, six: list[UUID]) -> UUID:
    """A collection of the first four of six images, without room between them."""
    assert member.team_id is not None
    return await testing.add_collection(api.rows, member.team_id, six[:4])


class TestCollection:
    async def test_it_is_created_changed_listed_and_removed(self, api: Api, member: UserWithKey) -> None:
        made = await ask(api, member, "POST", status=201, json={"name": " Norway "})
        assert (made["name"], made["cover"], made["cover_image_id"], made["image_count"]) == ("Norway", None, None, 0)
        second = await ask(api, member, "POST", status=201, json={"name": "Norway"})
        changed = await ask(api, member, "PATCH", f"/{made['id']}", json={"name": "Oslo"})
        assert changed["name"] == "Oslo"
        assert changed["updated_at"] > made["updated_at"]
        first_page = await ask(api, member, "GET", params={"limit": 1})
        rest = await ask(api, member, "GET", params={"limit": 1, "cursor": first_page["next_cursor"]})
        assert [page["items"][0]["id"] for page in (first_page, rest)] == [second["id"], made["id"]]
        assert rest["next_cursor"] is None
        await ask(api, member, "DELETE", f"/{made['id']}", 204)
        assert (await ask(api, member, "GET", f"/{made['id']}", 404))["code"] == "collection-not-found"
        rows = await api.rows.fetch(select(audit_event.c.action, audit_event.c.after).order_by(audit_event.c.position))
        assert [row["action"].removeprefix("collection.") for row in rows] == [
            "created", "created", "changed", "removed",
        ]  # fmt: skip
        assert rows[2]["after"] == '{"fields": ["name"]}'

    @pytest.mark.parametrize("body", [{}, {"name": " "}, {"name": "x" * 121}, {"name": "a\nb"}, {"name": None}])
    async def test_its_name_is_one_line(self, api: Api, member: UserWithKey, body: Any) -> None:
        await ask(api, member, "POST", status=422, json=body)
        if body:
            made = await ask(api, member, "POST", status=201, json={"name": "Norway"})
            await ask(api, member, "PATCH", f"/{made['id']}", 422, json=body)

    async def test_a_team_has_as_many_as_it_may(self, make_api: MakeApi) -> None:
        async with make_api(collections_per_team=1) as api:
            member, stranger = await api.user(), await api.user()
            await ask(api, member, "POST", status=201, json={"name": "a"})
            refused = await ask(api, member, "POST", status=409, json={"name": "b"})
            assert (refused["code"], refused["limit"]) == ("too-many-collections", 1)
            await ask(api, stranger, "POST", status=201, json={"name": "a"})

    async def test_a_change_of_an_old_copy_is_refused(self, api: Api, member: UserWithKey, album: UUID) -> None:
        old = {"If-Match": '"1"'}
        await ask(api, member, "PATCH", f"/{album}", headers=old, json={"name": "Oslo"})
        (image_id, *_) = await shown(api, member, album)
        named = {"image_ids": [str(image_id)]}
        for method, end, body in (
            ("PATCH", "", {"name": "Bergen"}), ("POST", "/images", named), ("DELETE", "/images", named),
            ("PUT", "/order", named), ("DELETE", "", None),
        ):  # fmt: skip
            refused = await ask(api, member, method, f"/{album}{end}", 412, headers=old, json=body)
            assert refused["etag"] == '"2"'

    async def test_its_images_stay_when_it_is_removed(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        await ask(api, member, "DELETE", f"/{album}", 204)
        assert await api.rows.fetch(select(collection_member)) == []
        assert len(await api.rows.fetch(select(image))) == len(six)


class TestCover:
    async def test_it_is_the_first_image_until_one_is_chosen(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        await testing.add_derivative(api.rows, six[2], "there")
        assert (await ask(api, member, "GET", f"/{album}"))["cover"] == {
            "image_id": str(six[0]), "thumbnail_url": None, "placeholder": None,
        }  # fmt: skip
        chosen = await ask(api, member, "PATCH", f"/{album}", json={"cover_image_id": str(six[2])})
        assert chosen["cover_image_id"] == chosen["cover"]["image_id"] == str(six[2])
        assert chosen["cover"]["thumbnail_url"].endswith(f"/images/{six[2]}/derivatives/thumb")
        (listed,) = (await ask(api, member, "GET"))["items"]
        assert listed == {name: value for name, value in chosen.items() if name != "image_count"}
        await api.set_row(six[2], deleted_at=PAST)
        await api.set_row(six[0], deleted_at=PAST)
        assert (await ask(api, member, "GET", f"/{album}"))["cover"]["image_id"] == str(six[1])
        unchosen = await ask(api, member, "PATCH", f"/{album}", json={"cover_image_id": None})
        assert unchosen["cover_image_id"] is None

    async def test_it_has_to_be_in_the_collection(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        for image_id in (six[5], (await images(api, stranger, 1))[0], uuid4()):
            refused = await ask(api, member, "PATCH", f"/{album}", 404, json={"cover_image_id": str(image_id)})
            assert (refused["code"], refused["image_ids"]) == ("image-not-found", [str(image_id)])

    async def test_none_is_chosen_once_it_is_removed_or_purged(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        for image_id in six[:2]:
            await ask(api, member, "PATCH", f"/{album}", json={"cover_image_id": str(image_id)})
            if image_id == six[0]:
                await ask(api, member, "DELETE", f"/{album}/images", json={"image_ids": [str(image_id)]})
            else:
                await api.rows.execute(delete(image).where(image.c.id == image_id))
            assert (await ask(api, member, "GET", f"/{album}"))["cover_image_id"] is None


class TestImages:
    async def test_they_are_added_last_in_the_order_given_and_once(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        grown = await add_to(api, member, album, [six[5], six[0], six[4], six[5]])
        assert (grown["added"], grown["image_count"]) == (2, 6)
        assert await shown(api, member, album, limit=2) == [*six[:4], six[5], six[4]]
        again = await add_to(api, member, album, [six[5], six[4]])
        assert (again["added"], again["updated_at"]) == (0, grown["updated_at"])

    @pytest.mark.parametrize(
        ("named", "after", "order"),
        [
            ([4, 5], 1, [0, 1, 4, 5, 2, 3]),
            ([5, 4], None, [5, 4, 0, 1, 2, 3]),
            ([4], 3, [0, 1, 2, 3, 4]),
            ([3, 4, 0], 1, [1, 3, 4, 0, 2]),
            ([1], 0, [0, 1, 2, 3]),
        ],
    )
    async def test_they_are_put_and_moved_after_another_one(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID, named: list[int], after: Any, order: Any
    ) -> None:
        for _ in range(2):
            place = None if after is None else str(six[after])
            await add_to(api, member, album, [six[each] for each in named], after=place)
            assert await shown(api, member, album) == [six[each] for each in order]

    async def test_they_are_sorted_within_the_places_that_they_have(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        url, body = f"/{album}/order", {"image_ids": [str(six[3]), str(six[0]), str(six[1])]}
        await ask(api, member, "PUT", url, json=body)
        sorted_once = await ask(api, member, "PUT", url, json=body)
        assert await shown(api, member, album) == [six[3], six[0], six[2], six[1]]
        assert (await ask(api, member, "GET", f"/{album}"))["updated_at"] == sorted_once["updated_at"]
        refused = await ask(api, member, "PUT", url, 404, json={"image_ids": [str(six[1]), str(six[5])]})
        assert (refused["code"], refused["image_ids"]) == ("image-not-found", [str(six[5])])
        assert await shown(api, member, album) == [six[3], six[0], six[2], six[1]]

    async def test_what_is_not_in_it_is_removed_without_an_error(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        named = [str(each) for each in (six[1], six[5], uuid4(), *await images(api, stranger, 1))]
        shrunk = await ask(api, member, "DELETE", f"/{album}/images", json={"image_ids": named})
        assert (shrunk["removed"], shrunk["image_count"]) == (1, 3)
        assert await shown(api, member, album) == [six[0], six[2], six[3]]

    async def test_nothing_is_added_if_one_is_not_the_teams(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        for image_id in (uuid4(), (await images(api, stranger, 1))[0]):
            refused = await add_to(api, member, album, [six[4], image_id], 404)
            assert (refused["code"], refused["image_ids"]) == ("image-not-found", [str(image_id)])
            # Not even an admin, who sees both teams.
            await add_to(api, api.admin, album, [six[4], image_id], 404)
        for after in (six[5], uuid4()):
            await add_to(api, member, album, [six[4]], 404, after=str(after))
        await add_to(api, member, album, [six[4]], 422, after=str(six[4]))
        assert await shown(api, member, album) == six[:4]

    async def test_another_teams_collection_is_not_there(self, api: Api, stranger: UserWithKey, album: UUID) -> None:
        for image_id in await images(api, stranger, 1):
            assert (await add_to(api, stranger, album, [image_id], 404))["code"] == "collection-not-found"
        assert (await ask(api, stranger, "GET"))["items"] == []

    async def test_a_collection_has_as_many_as_it_may(self, make_api: MakeApi) -> None:
        async with make_api(images_per_collection=3) as api:
            member = await api.user()
            assert member.team_id is not None
            four = await images(api, member, 4)
            album = await testing.add_collection(api.rows, member.team_id, four[:2])
            refused = await add_to(api, member, album, four[2:], 409)
            assert (refused["code"], refused["limit"]) == ("collection-full", 3)
            assert (await add_to(api, member, album, four[1:3], after=None))["added"] == 1
            assert await shown(api, member, album) == [four[1], four[2], four[0]]
            await add_to(api, member, album, four[:3])

    async def test_an_image_may_be_in_many(self, api: Api, member: UserWithKey, six: list[UUID], album: UUID) -> None:
        assert member.team_id is not None
        other = await testing.add_collection(api.rows, member.team_id, [six[3], six[0]])
        assert await shown(api, member, album) == six[:4]
        assert await shown(api, member, other) == [six[3], six[0]]

    async def test_those_of_an_image_are_listed(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        assert member.team_id is not None
        other = await testing.add_collection(api.rows, member.team_id, [six[3], six[5]])
        for by, image_id, expected in (
            (member, six[3], [other, album]),
            (member, six[0], [album]),
            (member, six[4], []),
            (stranger, six[3], []),
        ):
            page = await ask(api, by, "GET", params={"image_id": str(image_id)})
            assert [UUID(item["id"]) for item in page["items"]] == expected

    async def test_the_trash_hides_them_and_they_come_back_in_their_place(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        await api.client.delete(f"/api/v1/images/{six[1]}", headers=member.headers)
        (expired,) = await images(api, member, 1, status="expired")
        await add_to(api, member, album, [expired])
        assert await shown(api, member, album) == [six[0], six[2], six[3]]
        assert (await ask(api, member, "GET", f"/{album}"))["image_count"] == 3
        await ask(api, member, "PUT", f"/{album}/order", json={"image_ids": [str(six[2]), str(six[0])]})
        await api.client.post(f"/api/v1/images/{six[1]}/restore", headers=member.headers)
        assert await shown(api, member, album) == [six[2], six[1], six[0], six[3]]

    async def test_items_are_those_of_a_list(self, api: Api, member: UserWithKey, six: list[UUID], album: UUID) -> None:
        url, params = f"/{album}/images", {"include": "facts,derivatives,analyses,delivery", "limit": 1}
        plain = (await ask(api, member, "GET", url, params={"limit": 1}))["items"]
        listed = await api.client.get("/api/v1/images", headers=member.headers)
        assert plain == [item for item in listed.json()["items"] if item["id"] == str(six[0])]
        answer = await api.client.get(COLLECTIONS + url, headers=member.headers, params=params)
        assert answer.headers["cache-control"] == "no-store"
        assert {"sha256", "derivatives", "analyses", "delivery"} <= answer.json()["items"][0].keys()

    async def test_a_page_goes_on_after_its_last_image_wherever_that_is_now(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        first = await ask(api, member, "GET", f"/{album}/images", params={"limit": 2})
        # All get new positions.
        await add_to(api, member, album, [six[4]], after=str(six[0]))

        async def rest() -> list[UUID]:
            params = {"cursor": first["next_cursor"]}
            page = await ask(api, member, "GET", f"/{album}/images", params=params)
            return [UUID(item["id"]) for item in page["items"]]

        assert await rest() == [six[2], six[3]]
        await ask(api, member, "GET", f"/{album}/images", 400, params={"cursor": first["next_cursor"][:-1]})
        await ask(api, member, "GET", f"/{album}/images", 422, params={"include": "everything"})

    async def test_a_page_goes_on_after_an_image_that_was_removed(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        first = await ask(api, member, "GET", f"/{album}/images", params={"limit": 2})
        await ask(api, member, "DELETE", f"/{album}/images", json={"image_ids": [str(six[1])]})
        page = await ask(api, member, "GET", f"/{album}/images", params={"cursor": first["next_cursor"]})
        assert [UUID(item["id"]) for item in page["items"]] == six[2:4]


class TestAtTheSameTime:
    async def test_many_are_put_after_the_same_image(self, api: Api, member: UserWithKey, six: list[UUID]) -> None:
        assert member.team_id is not None
        album = await testing.add_collection(api.rows, member.team_id, six[:2])
        new = await images(api, member, 8)
        await asyncio.gather(*(add_to(api, member, album, [each], after=str(six[0])) for each in new))
        first, *between, last = await shown(api, member, album)
        assert (first, last) == (six[0], six[1])
        assert set(between) == set(new)

    async def test_a_purge_and_who_adds_the_image_wait_for_each_other(
        self, api: Api, member: UserWithKey, six: list[UUID], album: UUID
    ) -> None:
        await ask(api, member, "PATCH", f"/{album}", json={"cover_image_id": str(six[0])})
        async with api.rows.transaction() as purge:
            await purge.execute(update(image).where(image.c.id == six[0]).values(deleted_at=PAST, purge_marked_at=PAST))
            # What a purge locks first.
            await purge.fetch(select(image.c.id).where(image.c.id == six[0]).with_for_update())
            adding = asyncio.create_task(add_to(api, member, album, [six[4], six[0]], 404))
            await testing.wait_for_lock_waiter(api.rows)
            await purge.execute(delete(image).where(image.c.id == six[0]))
        assert (await adding)["image_ids"] == [str(six[0])]
        assert await shown(api, member, album) == six[1:4]

    async def test_the_database_itself_keeps_teams_apart(
        self, rows: Database, api: Api, member: UserWithKey, stranger: UserWithKey, album: UUID
    ) -> None:
        (theirs,) = await images(api, stranger, 1)
        for team_id in (member.team_id, stranger.team_id):
            row = {"collection_id": album, "image_id": theirs, "team_id": team_id, "position": 99}
            with pytest.raises(ForeignKeyViolation):
                await testing._add(rows, collection_member, row)
        with pytest.raises(ForeignKeyViolation):
            await rows.execute(update(collection).where(collection.c.id == album).values(cover_image_id=theirs))

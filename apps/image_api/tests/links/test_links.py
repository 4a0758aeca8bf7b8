"""Share links: what they show and to whom, how they change and end, and what happens at the same time."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import delete, insert, select, update

from image_api.links import viewing
from image_api.teams import queries as teams
from image_core import testing
from image_core.db import Record
from image_core.images.presets import lock_presets, share_presets
from image_core.keys import master_secrets
from image_core.models import (
    audit_event,
    collection,
    event,
    image,
    preset,
    share_link,
    share_link_image,
    share_link_visit,
)
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..housekeeping import Tasks

LINKS = "/api/v1/links"
SOON = "2099-01-01T00:00:00Z"
PASSWORD = "fjords and trolls"


async def ask(
    api: Api, by: UserWithKey, method: str, path: str = "", status: int = 200, headers: Any = None, **request: Any
) -> Any:
    url = path if path.startswith("/api") else LINKS + path
    answer = await api.client.request(method, url, headers={**by.headers, **(headers or {})}, **request)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def share(
    api: Api, by: UserWithKey, image_ids: Sequence[UUID] | None = None, status: int = 201, **fields: Any
) -> Any:
    named = {} if image_ids is None else {"image_ids": [str(each) for each in image_ids]}
    return await ask(api, by, "POST", status=status, json=named | fields)


async def row_of(api: Api, link_id: str) -> Record:
    found = await api.rows.fetch_one(select(share_link).where(share_link.c.id == UUID(link_id)))
    assert found is not None
    return found


async def told(api: Api, kind: str) -> list[dict[str, Any]]:
    rows = await api.rows.fetch(select(event.c.payload).where(event.c.type == kind).order_by(event.c.created_at))
    return [orjson.loads(row["payload"]) for row in rows]


async def audited(api: Api, *columns: Any) -> list[tuple[Any, ...]]:
    statement = select(audit_event.c.action, *columns).where(audit_event.c.target_type == "share_link")
    return [tuple(row.values()) for row in await api.rows.fetch(statement.order_by(audit_event.c.position))]


@pytest.fixture
async def three(api: Api, member: UserWithKey) -> list[UUID]:
    assert member.team_id is not None
    return [await testing.add_image(api.rows, member.team_id, "ready") for _ in range(3)]


@pytest.fixture
async def album(api: Api, member: UserWithKey, three: list[UUID]) -> UUID:
    assert member.team_id is not None
    return await testing.add_collection(api.rows, member.team_id, three)


class TestLink:
    async def test_its_address_is_shown_once_and_its_token_is_stored_nowhere(
        self, api: Api, member: UserWithKey, three: list[UUID]
    ) -> None:
        key = {"Idempotency-Key": "share-1"}
        body = {"image_ids": [str(three[2]), str(three[0]), str(three[2])], "title": " Norway "}
        answers = [
            await api.client.post(LINKS, headers={**member.headers, **key}, json=body) for _ in range(2)
        ]  # fmt: skip
        made, again = (answer.json() for answer in answers)
        assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 2
        assert again == made | {"token": None, "url": None}
        assert made["url"] == f"{api.services.settings.base_url}/s/{made['token']}"
        assert len(made["token"]) == 32
        assert (made["title"], made["presets"], made["download"]) == ("Norway", ["thumb", "preview", "large"], "none")
        assert (made["state"], made["image_count"], made["views"], made["has_password"]) == ("open", 2, 0, False)
        shown = await api.rows.fetch(select(share_link_image.c.image_id).order_by(share_link_image.c.position))
        assert [row["image_id"] for row in shown] == [three[2], three[0]]
        assert (await row_of(api, made["id"]))["token_hash"] == sha256(made["token"].encode()).digest()
        for table in (audit_event, event):
            assert not any(made["token"] in str(row) for row in await api.rows.fetch(select(table)))
        got = await ask(api, member, "GET", f"/{made['id']}")
        assert got == {name: made[name] for name in made if name not in ("token", "url")}

    async def test_what_repeated_requests_are_compared_with_does_not_give_its_password_away(
        self, make_api: MakeApi, api: Api, member: UserWithKey, three: list[UUID]
    ) -> None:
        headers = {**member.headers, "Idempotency-Key": "share-2"}
        body = {"image_ids": [str(three[0])], "password": PASSWORD}

        async def status(served: Api, **fields: Any) -> int:
            return (await served.client.post(LINKS, headers=headers, json=body | fields)).status_code

        assert [await status(api), await status(api)] == [201, 201]
        assert await status(api, password="another password") == 422
        # Without the master secret, nobody can compute the stored hash of a guess.
        async with make_api(delivery_master=master_secrets.generate()) as other:
            assert await status(other) == 422

    async def test_links_are_listed_newest_first(self, api: Api, member: UserWithKey, three: list[UUID]) -> None:
        made = [(await share(api, member, three))["id"] for _ in range(3)]
        first = await ask(api, member, "GET", params={"limit": 2})
        rest = await ask(api, member, "GET", params={"limit": 2, "cursor": first["next_cursor"]})
        assert [item["id"] for item in first["items"] + rest["items"]] == made[::-1]
        assert rest["next_cursor"] is None
        assert "token" not in first["items"][0]

    async def test_those_of_an_image_show_it_themselves_or_in_a_collection(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, three: list[UUID]
    ) -> None:
        assert member.team_id is not None
        album = await testing.add_collection(api.rows, member.team_id, three[:1])
        of_album = (await share(api, member, collection_id=str(album)))["id"]
        chosen = (await share(api, member, three[:2]))["id"]
        for by, image_id, expected in (
            (member, three[0], [chosen, of_album]),
            (member, three[1], [chosen]),
            (member, three[2], []),
            (stranger, three[0], []),
        ):
            page = await ask(api, by, "GET", params={"image_id": str(image_id)})
            assert [item["id"] for item in page["items"]] == expected

    async def test_it_is_announced_with_its_end(self, api: Api, member: UserWithKey, three: list[UUID]) -> None:
        made = await share(api, member, three, expires_at=SOON)
        await ask(api, member, "DELETE", f"/{made['id']}", 204)
        assert (await ask(api, member, "GET", f"/{made['id']}", 404))["code"] == "share-link-not-found"
        assert await api.rows.fetch(select(share_link_image)) == []
        (created,), (ended,) = await told(api, "link.created"), await told(api, "link.ended")
        assert created == {"link_id": made["id"], "collection_id": None, "expires_at": "2099-01-01T00:00:00Z"}
        assert ended == {"link_id": made["id"], "reason": "deleted"}
        assert await audited(api) == [("share_link.created",), ("share_link.removed",)]

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({}, 422),
            ({"collection_id": str(uuid4()), "image_ids": [str(uuid4())]}, 422),
            ({"image_ids": []}, 422),
            ({"image_ids": [str(uuid4()) for _ in range(1001)]}, 422),
            ({"title": "a\nb"}, 422),
            ({"title": "x" * 201}, 422),
            ({"presets": []}, 422),
            ({"download": "all"}, 422),
            ({"expires_at": "2020-01-01"}, 422),
            ({"password": "short"}, 422),
            ({"password": "password1"}, 422),
            ({"presets": ["lagre"]}, 404),
            ({"image_ids": [str(uuid4())]}, 404),
            ({"collection_id": str(uuid4())}, 404),
        ],
    )
    async def test_what_it_may_not_be_is_refused_and_nothing_is_made(
        self, api: Api, member: UserWithKey, three: list[UUID], fields: dict[str, Any], status: int
    ) -> None:
        names_source = not fields or fields.keys() & {"image_ids", "collection_id"}
        body = fields if names_source else {"image_ids": [str(each) for each in three], **fields}
        refused = await ask(api, member, "POST", status=status, json=body)
        if "presets" in fields and status == 404:
            assert (refused["code"], refused["nearest"]) == ("preset-not-found", "large")
        assert len(refused.get("errors", [1])) == 1
        assert await api.rows.fetch(select(share_link)) == []

    async def test_what_another_team_has_is_not_found(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        assert stranger.team_id is not None
        assert member.team_id is not None
        mine, theirs = [await testing.add_image(api.rows, by.team_id) for by in (member, stranger) if by.team_id]
        refused = await share(api, member, [mine, theirs], 404)
        assert (refused["code"], refused["image_ids"]) == ("image-not-found", [str(theirs)])
        collection_id = await testing.add_collection(api.rows, stranger.team_id)
        refused = await share(api, member, None, 404, collection_id=str(collection_id))
        assert refused["code"] == "collection-not-found"
        await api.rows.execute(insert(preset).values(team_id=stranger.team_id, name="card", width=640))
        await share(api, member, [mine], 404, presets=["card"])
        assert await api.rows.fetch(select(share_link)) == []

    async def test_a_team_has_as_many_as_it_may(self, make_api: MakeApi) -> None:
        async with make_api(share_links_per_team=1) as api:
            member, stranger = await api.user(), await api.user()
            for by in (member, stranger):
                assert by.team_id is not None
                await share(api, by, [await testing.add_image(api.rows, by.team_id)])
            image_id = await testing.add_image(api.rows, member.team_id or uuid4())
            refused = await share(api, member, [image_id], 409)
            assert (refused["code"], refused["limit"]) == ("too-many-share-links", 1)

    async def test_originals_are_offered_with_a_warning(self, api: Api, member: UserWithKey, three: list[UUID]) -> None:
        made = await share(api, member, three, download="original")
        assert "metadata" in made["notice"]
        changed = await ask(api, member, "PATCH", f"/{made['id']}", json={"download": "stripped"})
        assert changed["notice"] is None

    async def test_without_delivery_there_are_no_links(self, make_api: MakeApi) -> None:
        async with make_api(delivery_url=None) as api:
            member = await api.user()
            assert member.team_id is not None
            refused = await share(api, member, [await testing.add_image(api.rows, member.team_id)], 404)
            assert refused["code"] == "delivery-not-configured"


class TestChange:
    @pytest.mark.parametrize(
        ("patch", "raises"),
        [
            ({"title": "Oslo"}, 0),
            ({"title": None, "expires_at": None}, 0),
            ({"expires_at": SOON}, 0),
            ({"presets": ["large", "thumb", "preview", "large"]}, 0),
            ({"presets": ["thumb", "preview"]}, 1),
            ({"download": "original"}, 0),
            ({"download": "none"}, 1),
            ({"download": "stripped"}, 0),
            ({"password": None}, 0),
            ({"password": PASSWORD}, 1),
            ({"password": PASSWORD, "presets": ["thumb"], "download": "none"}, 1),
        ],
    )
    async def test_what_narrows_it_ends_the_addresses_of_its_pictures(
        self, api: Api, member: UserWithKey, three: list[UUID], patch: dict[str, Any], raises: int
    ) -> None:
        made = await share(api, member, three, title="Norway", download="stripped", password="tell nobody")
        changed = await ask(api, member, "PATCH", f"/{made['id']}", json=patch)
        row = await row_of(api, made["id"])
        assert row["epoch"] == raises
        for name, value in patch.items():
            if name == "password":
                assert changed["has_password"] is (value is not None)
            elif name == "presets":
                assert changed[name] == list(dict.fromkeys(value))
            else:
                assert changed[name] == value
        assert changed["updated_at"] > made["updated_at"]
        assert await viewing.find_open_link(api.services.database, made["token"]) is not None

    async def test_its_password_is_kept_as_a_hash_alone(self, api: Api, member: UserWithKey, three: list[UUID]) -> None:
        made = await share(api, member, three, password=PASSWORD)
        assert made["has_password"] is True
        stored = (await row_of(api, made["id"]))["password_hash"]
        assert stored.startswith("$argon2id$")
        assert await api.services.passwords.verify(PASSWORD, stored)
        assert PASSWORD not in str(await api.rows.fetch(select(audit_event)))
        assert stored not in str(await api.rows.fetch(select(audit_event)))

    async def test_an_old_copy_changes_nothing(self, api: Api, member: UserWithKey, three: list[UUID]) -> None:
        made = await share(api, member, three)
        old = {"If-Match": '"1"'}
        await ask(api, member, "PATCH", f"/{made['id']}", headers=old, json={"title": "Oslo"})
        refused = await ask(api, member, "PATCH", f"/{made['id']}", 412, headers=old, json={"title": "Bergen"})
        assert refused["etag"] == '"2"'
        await ask(api, member, "DELETE", f"/{made['id']}", 412, headers=old)

    @pytest.mark.parametrize("patch", [{"presets": None}, {"download": None}, {"presets": ["nothing"]}, {"team_id": 1}])
    async def test_what_it_may_not_become_is_refused(
        self, api: Api, member: UserWithKey, three: list[UUID], patch: dict[str, Any]
    ) -> None:
        made = await share(api, member, three)
        await ask(api, member, "PATCH", f"/{made['id']}", 404 if patch.get("presets") else 422, json=patch)
        await ask(api, member, "PATCH", f"/{made['id']}", 422, json={"expires_at": "2020-01-01"})
        assert (await row_of(api, made["id"]))["revision"] == 1

    async def test_a_new_address_ends_the_old_one(self, api: Api, member: UserWithKey, three: list[UUID]) -> None:
        made = await share(api, member, three)
        key = {"Idempotency-Key": "rotate-1"}
        new = await ask(api, member, "POST", f"/{made['id']}/rotate", headers=key)
        again = await ask(api, member, "POST", f"/{made['id']}/rotate", headers=key)
        assert again == new | {"token": None, "url": None}
        find, database = viewing.find_open_link, api.services.database
        assert await find(database, made["token"]) is None
        found = await find(database, new["token"])
        assert found is not None
        assert (str(found["id"]), found["epoch"]) == (made["id"], 1)
        assert await audited(api) == [("share_link.created",), ("share_link.rotated",)]


class TestEnd:
    @pytest.fixture
    async def expired(self, api: Api, member: UserWithKey, three: list[UUID]) -> Any:
        made = await share(api, member, three, expires_at=SOON)
        past = datetime.now(UTC) - timedelta(minutes=1)
        await api.rows.execute(update(share_link).values(expires_at=past))
        return made

    async def test_it_is_announced_once(self, api: Api, member: UserWithKey, tasks: Tasks, expired: Any) -> None:
        await share(api, member, [await testing.add_image(api.rows, member.team_id or uuid4())], expires_at=SOON)
        for _ in range(2):
            await tasks.sweep()
        assert await told(api, "link.ended") == [{"link_id": expired["id"], "reason": "expired"}]
        assert (await row_of(api, expired["id"]))["ended_at"] is not None
        await ask(api, member, "DELETE", f"/{expired['id']}", 204)
        assert len(await told(api, "link.ended")) == 1

    async def test_it_is_for_good(self, api: Api, member: UserWithKey, expired: Any) -> None:
        assert (await ask(api, member, "GET", f"/{expired['id']}"))["state"] == "expired"
        refused = await ask(api, member, "PATCH", f"/{expired['id']}", 409, json={"expires_at": SOON})
        assert refused["code"] == "share-link-ended"
        await ask(api, member, "POST", f"/{expired['id']}/rotate", 409)
        await ask(api, member, "DELETE", f"/{expired['id']}", 204)
        assert await told(api, "link.ended") == [{"link_id": expired["id"], "reason": "expired"}]

    async def test_visits_are_forgotten_after_a_day(
        self, api: Api, tasks: Tasks, member: UserWithKey, three: list[UUID]
    ) -> None:
        made = await share(api, member, three)
        hours = [datetime.now(UTC) - timedelta(hours=age) for age in (1, 25)]
        for hour in hours:
            visit = {"link_id": UUID(made["id"]), "hour": hour, "visitor": bytes(16)}
            await api.rows.execute(insert(share_link_visit).values(**visit))
        await tasks.sweep()
        assert [row["hour"] for row in await api.rows.fetch(select(share_link_visit.c.hour))] == hours[:1]

    async def test_a_purged_image_leaves_its_links(self, api: Api, member: UserWithKey, three: list[UUID]) -> None:
        made = await share(api, member, three)
        await api.rows.execute(image.delete().where(image.c.id == three[0]))
        assert (await ask(api, member, "GET", f"/{made['id']}"))["image_count"] == 2


class TestCollection:
    async def test_adding_to_it_tells_how_many_see_that(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, three: list[UUID], album: UUID
    ) -> None:
        assert member.team_id is not None
        for _ in range(2):
            made = await share(api, member, None, collection_id=str(album))
        past = datetime.now(UTC) - timedelta(days=1)
        await testing.add_share_link(api.rows, member.team_id, collection_id=album, expires_at=past)
        await share(api, member, three)
        new_id = await testing.add_image(api.rows, member.team_id, "ready")
        added = await ask(api, member, "POST", f"/api/v1/collections/{album}/images", json={"image_ids": [str(new_id)]})
        assert (added["added"], added["open_links"]) == (1, 2)
        assert (await ask(api, member, "GET", f"/{made['id']}"))["image_count"] == 4

    async def test_its_links_end_with_it(self, api: Api, member: UserWithKey, three: list[UUID], album: UUID) -> None:
        assert member.team_id is not None
        other = await testing.add_collection(api.rows, member.team_id, three)
        made = await share(api, member, None, collection_id=str(album))
        past = datetime.now(UTC) - timedelta(days=1)
        lapsed_id = await testing.add_share_link(api.rows, member.team_id, collection_id=album, expires_at=past)
        ended = {"expires_at": past, "ended_at": past}
        await testing.add_share_link(api.rows, member.team_id, collection_id=album, **ended)
        stays = [await share(api, member, None, collection_id=str(other)), await share(api, member, three)]
        await ask(api, member, "DELETE", f"/api/v1/collections/{album}", 204)
        left = await ask(api, member, "GET")
        assert {item["id"] for item in left["items"]} == {each["id"] for each in stays}
        assert {(each["link_id"], each["reason"]) for each in await told(api, "link.ended")} == {
            (made["id"], "collection-deleted"), (str(lapsed_id), "expired"),
        }  # fmt: skip
        removed = [after for action, after in await audited(api, audit_event.c.after) if action.endswith("removed")]
        assert removed == ['{"reason": "collection-deleted"}'] * 3


class TestAtTheSameTime:
    async def test_a_collection_is_removed_after_a_link_was_made(
        self, api: Api, member: UserWithKey, album: UUID
    ) -> None:
        assert member.team_id is not None
        async with api.rows.transaction() as making:
            await testing.add_share_link(making, member.team_id, collection_id=album)
            removing = asyncio.create_task(ask(api, member, "DELETE", f"/api/v1/collections/{album}", 204))
            await testing.wait_for_lock_waiter(api.rows)
        await removing
        assert [each["reason"] for each in await told(api, "link.ended")] == ["collection-deleted"]

    async def test_a_link_is_made_after_its_collection_was_removed(
        self, api: Api, member: UserWithKey, album: UUID
    ) -> None:
        async with api.rows.transaction() as removing:
            await removing.execute(select(collection.c.id).where(collection.c.id == album).with_for_update())
            making = asyncio.create_task(share(api, member, None, 404, collection_id=str(album)))
            await testing.wait_for_lock_waiter(api.rows)
            await removing.execute(delete(collection).where(collection.c.id == album))
        assert (await making)["code"] == "collection-not-found"

    async def test_a_removal_and_whoever_counts_views_wait_for_each_other_and_in_no_circle(
        self, api: Api, member: UserWithKey, album: UUID
    ) -> None:
        assert member.team_id is not None
        link_ids = sorted(uuid4() for _ in range(2))
        # Rows are found in the order in which they were added.
        for link_id in link_ids[::-1]:
            digest = sha256(link_id.bytes).digest()
            await testing.add_share_link(api.rows, member.team_id, id=link_id, collection_id=album, token_hash=digest)
        async with api.rows.transaction() as counting:
            for link_id in link_ids:
                await counting.execute(update(share_link).where(share_link.c.id == link_id).values(views=1))
                if link_id == link_ids[0]:
                    removing = asyncio.create_task(ask(api, member, "DELETE", f"/api/v1/collections/{album}", 204))
                    await testing.wait_for_lock_waiter(api.rows)
        await removing
        assert await api.rows.fetch(select(share_link)) == []

    async def test_a_link_is_made_after_one_of_its_images_was_purged(
        self, api: Api, member: UserWithKey, three: list[UUID]
    ) -> None:
        async with api.rows.transaction() as purging:
            await purging.execute(select(image.c.id).where(image.c.id == three[0]).with_for_update())
            making = asyncio.create_task(share(api, member, three, 404))
            await testing.wait_for_lock_waiter(api.rows)
            await purging.execute(delete(image).where(image.c.id == three[0]))
        assert (await making)["image_ids"] == [str(three[0])]

    async def test_links_are_counted_one_at_a_time(self, make_api: MakeApi) -> None:
        async with make_api(share_links_per_team=1) as api:
            member = await api.user()
            assert member.team_id is not None
            image_id = await testing.add_image(api.rows, member.team_id)
            async with api.rows.transaction() as making:
                await teams.lock_for_counting(making, member.team_id)
                second = asyncio.create_task(share(api, member, [image_id], 409))
                await testing.wait_for_lock_waiter(api.rows)
                await testing.add_share_link(making, member.team_id)
            assert (await second)["code"] == "too-many-share-links"

    async def test_uploads_of_the_team_are_not_waited_for(
        self, api: Api, member: UserWithKey, three: list[UUID]
    ) -> None:
        assert member.team_id is not None
        async with api.rows.transaction() as uploading:
            await testing.add_image(uploading, member.team_id)
            await share(api, member, three)


class TestPreset:
    @pytest.fixture
    async def card(self, api: Api, member: UserWithKey) -> str:
        await api.rows.execute(insert(preset).values(team_id=member.team_id, name="card", width=640))
        return "/api/v1/presets/card"

    async def test_it_is_not_removed_while_an_open_link_shows_it(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, three: list[UUID], card: str
    ) -> None:
        assert stranger.team_id is not None
        await testing.add_share_link(api.rows, stranger.team_id, presets=["card"])
        made = await share(api, member, three, presets=["thumb", "card"])
        refused = await ask(api, member, "DELETE", card, 409)
        assert (refused["code"], refused["links"]) == ("preset-in-use", 1)
        past = datetime.now(UTC) - timedelta(minutes=1)
        await api.rows.execute(update(share_link).where(share_link.c.id == UUID(made["id"])).values(expires_at=past))
        await ask(api, member, "DELETE", card, 204)

    async def test_it_is_removed_after_a_link_was_made(self, api: Api, member: UserWithKey, card: str) -> None:
        assert member.team_id is not None
        async with api.rows.transaction() as making:
            await share_presets(making, member.team_id)
            removing = asyncio.create_task(ask(api, member, "DELETE", card, 409))
            await testing.wait_for_lock_waiter(api.rows)
            await testing.add_share_link(making, member.team_id, presets=["card"])
        assert (await removing)["code"] == "preset-in-use"

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    async def test_a_link_takes_it_after_it_was_removed(
        self, api: Api, member: UserWithKey, three: list[UUID], card: str, method: str
    ) -> None:
        assert member.team_id is not None
        made = await share(api, member, three)
        body = {"presets": ["card"], **({"image_ids": [str(three[0])]} if method == "POST" else {})}
        path = "" if method == "POST" else f"/{made['id']}"
        async with api.rows.transaction() as removing:
            await lock_presets(removing, member.team_id)
            taking = asyncio.create_task(ask(api, member, method, path, 404, json=body))
            await testing.wait_for_lock_waiter(api.rows)
            await removing.execute(delete(preset).where(preset.c.name == "card"))
        assert (await taking)["code"] == "preset-not-found"

"""The feed over HTTP: who reads which events, from which cursor, and how long they may wait."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from image_api.actor import Role
from image_core import testing
from image_core.models import feed_epoch
from image_core.testing import UserWithKey

from ..asgi_call import asgi_call
from ..conftest import Api
from .feeds import CHANGES, answer, changes, happens, ids, key_event_happens, newest, until_waiting


async def test_what_happens_after_a_cursor_follows_it_once_in_order(api: Api, member: UserWithKey) -> None:
    await happens(api, member.team_id)
    cursor = await newest(api, member)
    # Other databases of the server may move the end of the feed meanwhile.
    page = await changes(api, member, cursor)
    assert (page["items"], page["has_more"]) == ([], False)
    (first,) = await happens(api, member.team_id)
    (second,) = await happens(api, member.team_id)
    page = await changes(api, member, cursor)
    assert ids(page) == [first, second]
    assert page["items"][0] | {"timestamp": None, "data": None} == {
        "id": first, "type": "image.created", "timestamp": None, "team_id": str(member.team_id), "data": None,
    }  # fmt: skip
    assert (await changes(api, member, page["next_cursor"]))["items"] == []


async def test_a_thousand_events_of_an_absence_come_once_each(api: Api, member: UserWithKey) -> None:
    cursor = await newest(api, member)
    written = [event_id for _ in range(5) for event_id in await happens(api, member.team_id, 200)]
    read, has_more = list[str](), True
    while has_more:
        page = await changes(api, member, cursor, limit=150)
        read += ids(page)
        cursor, has_more = page["next_cursor"], page["has_more"]
    assert read == written


async def test_a_wait_ends_with_the_event(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    cursor = await newest(api, member)
    waiting = asyncio.create_task(changes(api, member, cursor, wait=25))
    await until_waiting(api)
    await happens(api, stranger.team_id)
    (event_id,) = await happens(api, member.team_id)
    assert ids(await waiting) == [event_id]


async def test_a_wait_without_events_ends_with_a_newer_cursor(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    cursor = await newest(api, member)
    await happens(api, stranger.team_id)
    page = await changes(api, member, cursor, wait=0.1)
    assert page["items"] == []
    assert page["next_cursor"] != cursor


async def test_head_does_not_wait(api: Api, member: UserWithKey) -> None:
    cursor = await newest(api, member)
    async with asyncio.timeout(10):
        for path in (f"{CHANGES}?after={cursor}&wait=25", "/api/v1/events"):
            sent = await asgi_call(api, "HEAD", path, member.headers)
            assert (sent.status, sent.headers["cache-control"], sent.body) == (200, "no-store", b"")


async def test_cursors_of_others_and_other_things_are_invalid(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    images = await api.client.get("/api/v1/images?limit=1", headers=member.headers)
    assert images.status_code == 200
    everything = await newest(api, api.admin, all_teams="true")
    for cursor in (await newest(api, stranger), everything, "nonsense", "A" * 64):
        for path in (CHANGES, "/api/v1/events"):
            refused = await api.client.get(path, headers=member.headers, params={"after": cursor})
            assert (refused.status_code, refused.json()["code"]) == (400, "cursor-invalid")
    headers = {**member.headers, "Last-Event-ID": await newest(api, stranger)}
    refused = await api.client.get("/api/v1/events", headers=headers, params={"after": await newest(api, member)})
    assert (refused.status_code, refused.json()["code"]) == (400, "cursor-invalid")


@pytest.mark.parametrize(
    "happened",
    [
        feed_epoch.update().values(removed_xact=text("pg_current_xact_id()")),
        feed_epoch.update().values(epoch=uuid4()),
    ],
    ids=["removed", "restored"],
)
async def test_a_cursor_before_the_beginning_or_of_another_epoch_has_expired(
    api: Api, member: UserWithKey, happened: object
) -> None:
    cursor = await newest(api, member)
    await happens(api, member.team_id)
    await api.rows.execute(happened)  # type: ignore[arg-type]
    for path in (CHANGES, "/api/v1/events"):
        refused = await api.client.get(path, headers=member.headers, params={"after": cursor})
        assert (refused.status_code, refused.json()["code"]) == (410, "cursor-expired")


class TestWhoSeesWhat:
    async def test_a_team_sees_its_own_events(self, api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
        mine, theirs = await newest(api, member), await newest(api, stranger)
        (event_id,) = await happens(api, member.team_id)
        assert ids(await changes(api, member, mine)) == [event_id]
        assert ids(await changes(api, stranger, theirs)) == []
        refused = await answer(api, stranger, team_id=member.team_id)
        assert (refused.status_code, refused.json()["code"]) == (404, "team-not-found")

    async def test_only_admins_see_all_teams_and_events_of_none(self, api: Api, member: UserWithKey) -> None:
        refused = await answer(api, member, all_teams="true")
        assert (refused.status_code, refused.json()["code"]) == (403, "role-missing")
        assert (await answer(api, api.admin)).json()["code"] == "team-required"
        everything = await newest(api, api.admin, all_teams="true")
        one = await newest(api, api.admin, team_id=member.team_id)
        (event_id,) = await happens(api, member.team_id)
        of_nobody = await key_event_happens(api, None)
        read = ids(await changes(api, api.admin, everything, all_teams="true"))
        assert read == [event_id, of_nobody]
        assert ids(await changes(api, api.admin, one, team_id=member.team_id)) == [event_id]

    async def test_events_about_keys_need_the_scope_for_keys(self, api: Api, member: UserWithKey) -> None:
        reader = await api.user(member.team_id, Role.VIEWER, scopes=("images:read",))
        cursor = await newest(api, member)
        (event_id,) = await happens(api, member.team_id)
        key = await key_event_happens(api, member.team_id)
        assert ids(await changes(api, member, cursor)) == [event_id, key]
        assert ids(await changes(api, reader, cursor)) == [event_id]


async def test_a_wait_ends_when_its_key_is_revoked(api: Api) -> None:
    # Without the scope for keys, to which the event about this one would be the answer.
    reader = await api.user(scopes=("images:read",))
    waiting = asyncio.create_task(answer(api, reader, await newest(api, reader), wait=25))
    await until_waiting(api)
    revoked = await api.client.delete(
        f"/api/v1/users/{reader.user_id}/credentials/{reader.credential_id}", headers=api.admin.headers
    )
    assert revoked.status_code == 204
    assert (await waiting).status_code == 401


async def test_waits_of_one_user_and_of_all_are_limited(api: Api, member: UserWithKey, colleague: UserWithKey) -> None:
    cursor = await newest(api, member)
    waiting = [asyncio.create_task(changes(api, member, cursor, wait=25)) for _ in range(2)]
    await until_waiting(api, 2)
    refused = await answer(api, member, cursor, wait=25)
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-streams")
    api.services.long_requests._free = 0
    refused = await answer(api, colleague, cursor, wait=25)
    assert (refused.status_code, refused.json()["code"], "retry-after" in refused.headers) == (503, "feed-busy", True)
    assert (await changes(api, colleague, cursor))["items"] == []
    (event_id,) = await happens(api, member.team_id)
    assert [ids(await one) for one in waiting] == [[event_id], [event_id]]
    assert api.services.long_requests._free == 2


async def test_a_change_is_in_the_feed_with_the_revision_that_it_made(api: Api, member: UserWithKey) -> None:
    image_id = await testing.add_image(api.rows, member.team_id or uuid4(), uploaded_by=member.user_id)
    cursor = await newest(api, member)
    assert (await api.client.delete(f"/api/v1/images/{image_id}", headers=member.headers)).status_code == 204
    (item,) = (await changes(api, member, cursor, wait=25))["items"]
    row = await api.row(image_id)
    assert (item["type"], item["data"]) == (
        "image.trashed",
        {"image_id": str(image_id), "path": f"/api/v1/images/{image_id}", "revision": row["revision"]},
    )  # fmt: skip

"""Near-duplicates: groups out of pairs, decisions that are remembered, nothing of the trash or of others."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from image_api.duplicates import queries, service
from image_api.duplicates.groups import connected_components
from image_core import testing
from image_core.models import audit_event, image, user
from image_core.testing import UserWithKey

from ..conftest import Api

PATH = "/api/v1/duplicates"


async def images(api: Api, by: UserWithKey, count: int, **columns: Any) -> list[UUID]:
    assert by.team_id is not None
    return [await testing.add_image(api.rows, by.team_id, **columns) for _ in range(count)]


async def pair(api: Api, by: UserWithKey, first: UUID, second: UUID, distance: int = 2) -> None:
    assert by.team_id is not None
    await testing.add_near_duplicate(api.rows, by.team_id, (first, second), distance)


async def listed(api: Api, by: UserWithKey, **parameters: Any) -> dict[str, Any]:
    answer = await api.client.get(PATH, headers=by.headers, params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def groups(api: Api, by: UserWithKey, **parameters: Any) -> list[set[UUID]]:
    body = await listed(api, by, **parameters)
    return [{UUID(image["id"]) for image in group["images"]} for group in body["items"]]


async def decide(api: Api, by: UserWithKey, first: UUID, second: UUID) -> Any:
    body = {"image_ids": [str(first), str(second)], "decision": "not-duplicate"}
    return await api.client.post(f"{PATH}/decisions", headers=by.headers, json=body)


async def test_images_that_hang_together_are_a_group(api: Api, member: UserWithKey) -> None:
    a, b, c, d, e, _ = await images(api, member, 6)
    for first, second, distance in ((a, b, 4), (b, c, 0), (d, e, 6)):
        await pair(api, member, first, second, distance)
    body = await listed(api, member)
    assert [[image["id"] for image in group["images"]] for group in body["items"]] == [
        [str(d), str(e)],
        [str(a), str(b), str(c)],
    ]
    assert body["items"][1]["distances"] == [
        {"image_ids": [str(b), str(c)], "distance": 0},
        {"image_ids": [str(a), str(b)], "distance": 4},
    ]
    assert body["items"][1]["image_count"] == 3
    assert body["next_cursor"] is None
    assert await groups(api, member, max_distance=3) == [{b, c}]


async def test_the_group_of_an_image_is_found(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    a, b, c, d, e, other = await images(api, member, 6)
    for first, second in ((a, b), (b, c), (d, e)):
        await pair(api, member, first, second, 4)
    assert await groups(api, member, image_id=str(a)) == [{a, b, c}]
    assert await groups(api, member, image_id=str(a), max_distance=3) == []
    assert await groups(api, member, image_id=str(other)) == []
    assert await groups(api, stranger, image_id=str(a)) == []


async def test_the_largest_is_worth_keeping_and_the_oldest_of_several(api: Api, member: UserWithKey) -> None:
    (small,) = await images(api, member, 1, created_at=datetime(2025, 1, 1, tzinfo=UTC))
    newer, older = [
        (await images(api, member, 1, width=80, height=60, created_at=datetime(2025, month, 1, tzinfo=UTC)))[0]
        for month in (3, 2)
    ]
    await pair(api, member, small, newer)
    await pair(api, member, newer, older)
    (group,) = (await listed(api, member))["items"]
    assert group["keep_image_id"] == str(older)
    assert [image["id"] for image in group["images"]] == [str(small), str(older), str(newer)]


async def test_trash_leaves_a_group_and_comes_back_with_a_restore(api: Api, member: UserWithKey) -> None:
    a, b, c = await images(api, member, 3)
    await pair(api, member, a, b)
    await pair(api, member, b, c)
    await api.set_row(b, deleted_at=func.now())
    assert await groups(api, member) == []
    await api.set_row(b, deleted_at=None)
    assert await groups(api, member) == [{a, b, c}]


async def test_an_image_that_is_processed_again_leaves_its_group(api: Api, member: UserWithKey) -> None:
    a, b = await images(api, member, 2)
    await pair(api, member, a, b)
    await api.set_row(b, status="stored")
    assert await groups(api, member) == []


async def test_queries_read_no_more_than_they_are_asked_for(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    assert member.team_id is not None
    a, b, c = await images(api, member, 3)
    await pair(api, member, a, b)
    await pair(api, member, b, c)
    assert await queries.newest(api.rows, member.team_id, 6, None, 1) == [c]
    (theirs,) = await images(api, stranger, 1)
    shown = await queries.summaries(api.rows, member.team_id, [a, theirs])
    assert [row["id"] for row in shown] == [a]
    for first, second in ((a, b), (a, c), (b, c)):
        decision = (await decide(api, member, first, second)).json()
        pair_ = (first, second)
        found = [await queries.find_decision(api.rows, by.team_id, pair_) for by in (member, stranger) if by.team_id]
        assert [row and str(row["id"]) for row in found] == [decision["id"], None]


async def test_pages_hold_every_group_once(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_LOOKED_AT", 3)
    expected = []
    for size in (2, 6, 2, 3, 2):
        group = await images(api, member, size)
        for first, second in pairwise(group):
            await pair(api, member, first, second)
        expected.insert(0, set(group))
    seen: list[set[UUID]] = []
    parameters: dict[str, Any] = {"limit": 2}
    for _ in range(20):
        body = await listed(api, member, **parameters)
        assert len(body["items"]) <= 2
        seen += [{UUID(image["id"]) for image in group["images"]} for group in body["items"]]
        if body["next_cursor"] is None:
            break
        parameters["cursor"] = body["next_cursor"]
    assert seen == expected


async def test_of_a_large_group_a_part_is_shown(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_GROUP_IMAGES", 2)
    a, b, c = await images(api, member, 3)
    await pair(api, member, a, b)
    await pair(api, member, b, c)
    (group,) = (await listed(api, member))["items"]
    assert (len(group["images"]), group["image_count"], len(group["distances"])) == (2, 3, 1)


async def test_a_group_is_not_walked_to_its_end(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_LOOKED_AT", 1)
    monkeypatch.setattr(service, "_REACHED", 3)
    chain = await images(api, member, 12)
    for first, second in pairwise(chain):
        await pair(api, member, first, second)
    (group,) = (await listed(api, member))["items"]
    assert str(chain[-1]) in {image["id"] for image in group["images"]}
    assert group["image_count"] < 6


async def test_a_decision_is_remembered_until_it_is_undone(api: Api, member: UserWithKey) -> None:
    a, b = await images(api, member, 2)
    await pair(api, member, a, b)
    made = await decide(api, member, b, a)
    assert made.status_code == 201
    decision = made.json()
    assert decision["image_ids"] == [str(a), str(b)]
    assert decision["decided_by"] == str(member.user_id)
    assert await groups(api, member) == []
    again = await decide(api, member, a, b)
    assert (again.status_code, again.json()) == (200, decision)
    remembered = (await api.client.get(f"{PATH}/decisions", headers=member.headers)).json()
    assert remembered == {"items": [decision], "next_cursor": None}
    undone = f"{PATH}/decisions/{decision['id']}"
    assert (await api.client.delete(undone, headers=member.headers)).status_code == 204
    assert (await api.client.delete(undone, headers=member.headers)).json()["code"] == "decision-not-found"
    assert await groups(api, member) == [{a, b}]
    actions = await api.rows.fetch(select(audit_event.c.action).order_by(audit_event.c.position))
    assert [row[0] for row in actions] == ["duplicate.decided", "duplicate.undecided"]


async def test_a_pair_decided_about_may_still_hang_together_by_a_third(api: Api, member: UserWithKey) -> None:
    a, b, c = await images(api, member, 3)
    for first, second in ((a, b), (b, c), (a, c)):
        await pair(api, member, first, second)
    await decide(api, member, a, b)
    assert await groups(api, member) == [{a, b, c}]
    await decide(api, member, a, c)
    assert await groups(api, member) == [{b, c}]


async def test_decisions_are_of_two_images_of_one_team(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    ((mine,), (theirs,)) = (await images(api, member, 1), await images(api, stranger, 1))
    for by, other in ((member, theirs), (member, uuid4()), (api.admin, theirs)):
        answer = await decide(api, by, mine, other)
        assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")
    assert (await decide(api, member, mine, mine)).status_code == 422


async def test_nothing_is_decided_about_an_image_that_is_being_purged(api: Api, member: UserWithKey) -> None:
    a, b, c = await images(api, member, 3)
    await api.set_row(c, deleted_at=func.now(), purge_marked_at=func.now())
    answer = await decide(api, member, a, c)
    assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")
    async with api.rows.transaction() as purge:
        await purge.execute(delete(image).where(image.c.id == b))
        waiting = asyncio.create_task(decide(api, member, a, b))
        await testing.wait_for_lock_waiter(api.rows)
    answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")


async def test_a_decision_made_twice_at_once_is_one(api: Api, member: UserWithKey) -> None:
    a, b = await images(api, member, 2)
    answers = await asyncio.gather(*(decide(api, member, a, b) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_decision_goes_with_an_image_and_not_with_whoever_made_it(api: Api, member: UserWithKey) -> None:
    a, b = await images(api, member, 2)
    decision = (await decide(api, member, a, b)).json()
    await api.rows.execute(delete(user).where(user.c.id == member.user_id))
    parameters = {"team_id": str(member.team_id)}
    listing = await api.client.get(f"{PATH}/decisions", headers=api.admin.headers, params=parameters)
    assert listing.json()["items"] == [{**decision, "decided_by": None}]
    await api.rows.execute(delete(image).where(image.c.id == a))
    listing = await api.client.get(f"{PATH}/decisions", headers=api.admin.headers, params=parameters)
    assert listing.json()["items"] == []


async def test_decisions_are_paged_and_those_of_the_team_only(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    made = []
    for _ in range(4):
        a, b = await images(api, member, 2)
        made.insert(0, (await decide(api, member, a, b)).json()["id"])
    await decide(api, stranger, *await images(api, stranger, 2))
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        body = (await api.client.get(f"{PATH}/decisions", headers=member.headers, params=parameters)).json()
        seen += [each["id"] for each in body["items"]]
        if body["next_cursor"] is None:
            break
        parameters["cursor"] = body["next_cursor"]
    assert seen == made


async def test_a_reader_decides_nothing(api: Api, member: UserWithKey) -> None:
    reader = await api.user(member.team_id, scopes=("images:read",))
    a, b = await images(api, member, 2)
    assert (await decide(api, reader, a, b)).status_code == 403


async def test_a_team_sees_its_own_groups_only(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    expected = []
    for by in (member, stranger):
        a, b = await images(api, by, 2)
        await pair(api, by, a, b)
        expected.append([{a, b}])
    assert [await groups(api, by) for by in (member, stranger)] == expected
    assert await groups(api, api.admin, team_id=member.team_id) == expected[0]
    without_team = await api.client.get(PATH, headers=api.admin.headers)
    assert without_team.json()["code"] == "team-required"
    foreign = await api.client.get(PATH, headers=stranger.headers, params={"team_id": str(member.team_id)})
    assert foreign.status_code == 404


async def test_groups_of_another_team_take_no_place_on_a_page(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    mine = await images(api, member, 2)
    theirs = await images(api, stranger, 2)
    await pair(api, member, *mine)
    await pair(api, stranger, *theirs)
    body = await listed(api, member, limit=1)
    assert [{UUID(image["id"]) for image in group["images"]} for group in body["items"]] == [set(mine)]
    assert body["next_cursor"] is None


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_groups_are_what_can_be_reached_by_pairs(numbers: list[tuple[int, int]]) -> None:
    pairs = [(UUID(int=first), UUID(int=second)) for first, second in numbers if first != second]
    neighbours: dict[UUID, set[UUID]] = {}
    for first, second in pairs:
        neighbours.setdefault(first, set()).add(second)
        neighbours.setdefault(second, set()).add(first)
    expected = set()
    for start in neighbours:
        reached, pending = set(), [start]
        while pending:
            image_id = pending.pop()
            if image_id not in reached:
                reached.add(image_id)
                pending += neighbours[image_id]
        expected.add(frozenset(reached))
    assert {frozenset(group) for group in connected_components(pairs)} == expected


async def test_images_and_decisions_of_another_team_are_neither_held_nor_undone(
    api: Api, member: UserWithKey, stranger: UserWithKey
) -> None:
    assert member.team_id is not None
    assert stranger.team_id is not None
    (mine,), (other,) = await images(api, member, 1), await images(api, stranger, 1)
    decision_id = await testing.add_decision(api.rows, member.team_id, mine)
    async with api.rows.transaction() as transaction:
        held = await queries.lock_images(transaction, member.team_id, [mine, other])
        assert [row["id"] for row in held] == [mine]
        assert await queries.undo(transaction, stranger.team_id, decision_id) is None
        assert await queries.undo(transaction, member.team_id, decision_id) is not None

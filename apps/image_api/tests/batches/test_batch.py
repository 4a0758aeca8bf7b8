"""One action for many images: outcomes, scopes, tenancy, chunks, and what happens at the same time."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role
from image_api.batches import queries, service
from image_core import errors, testing
from image_core.db import Database, to_json
from image_core.models import analysis, audit_event, credit_account, event, image
from image_core.testing import UserWithKey

from ..conftest import Api

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def batch(api: Api, by: UserWithKey, ids: Any, action: str, status: int = 200, **fields: Any) -> Any:
    body = {"ids": [str(each) for each in ids], "action": action, **fields}
    answer = await api.client.post("/api/v1/images/batch", json=body, headers=by.headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def outcomes(api: Api, by: UserWithKey, ids: Any, action: str, **fields: Any) -> list[str]:
    answer = await batch(api, by, ids, action, **fields)
    assert [item["id"] for item in answer["items"]] == [str(each) for each in ids]
    return [item["outcome"] for item in answer["items"]]


async def add(api: Api, by: UserWithKey, **columns: Any) -> UUID:
    assert by.team_id is not None
    return await testing.add_image(api.rows, by.team_id, uploaded_by=by.user_id, **columns)


async def actions(api: Api) -> list[str]:
    """The actions in the audit log, in order."""
    rows = await api.rows.fetch(select(audit_event.c.action).order_by(audit_event.c.position))
    return [row["action"] for row in rows]


class TestChanges:
    async def test_each_image_has_its_own_outcome_in_the_order_given(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        mine, trashed, theirs = (
            await add(api, member),
            await add(api, member, deleted_at=PAST),
            await add(api, stranger),
        )
        absent = uuid4()
        answer = await batch(api, member, [theirs, trashed, mine, absent, mine], "trash")
        items = {UUID(item["id"]): item for item in answer["items"]}
        assert list(items) == [theirs, trashed, mine, absent]
        assert [item["outcome"] for item in items.values()] == ["not-found", "unchanged", "changed", "not-found"]
        assert items[theirs] == {**items[absent], "id": str(theirs)}
        assert items[mine]["error"] is items[trashed]["error"] is None
        assert (answer["changed"], answer["unchanged"], answer["failed"], answer["credits"]) == (1, 1, 2, None)
        assert (await api.row(theirs))["deleted_at"] is None

    async def test_a_change_is_that_of_the_single_operation(self, api: Api, member: UserWithKey) -> None:
        one, other = await add(api, member), await add(api, member)
        await batch(api, member, [one], "trash")
        await api.client.delete(f"/api/v1/images/{other}", headers=member.headers)
        rows = [await api.row(each) for each in (one, other)]
        assert [row["revision"] for row in rows] == [2, 2]
        assert await actions(api) == ["image.trashed"] * 2
        told = await api.rows.fetch(select(event.c.type, event.c.image_id, event.c.published_at).order_by(event.c.id))
        assert [(row["type"], row["image_id"]) for row in told] == [("image.trashed", one), ("image.trashed", other)]
        assert all(row["published_at"] for row in told)

    async def test_what_is_restored_is_processed_where_that_is_left_to_do(self, api: Api, member: UserWithKey) -> None:
        waiting = await add(api, member, status="stored", deleted_at=PAST)
        ready = await add(api, member, deleted_at=PAST)
        live = await add(api, member)
        assert await outcomes(api, member, [waiting, ready, live], "restore") == ["changed", "changed", "unchanged"]
        types = {(row["type"], row["image_id"]) for row in await api.rows.fetch(select(event.c.type, event.c.image_id))}
        assert types == {("image.restored", waiting), ("image.restored", ready), ("image.process", waiting)}

    async def test_what_cannot_be_restored_leaves_its_neighbours_restored(self, api: Api, member: UserWithKey) -> None:
        digest = testing.a_sha256("twin")
        first, twin, purged, last = [
            await add(api, member, deleted_at=PAST),
            await add(api, member, deleted_at=PAST, sha256=digest),
            await add(api, member, deleted_at=PAST, purge_marked_at=PAST),
            await add(api, member, deleted_at=PAST),
        ]
        await add(api, member, sha256=digest)
        answer = await batch(api, member, [first, twin, purged, last], "restore")
        told = [(item["outcome"], item["error"] and item["error"]["code"]) for item in answer["items"]]
        assert told == [
            ("changed", None), ("refused", "duplicate-exists"), ("refused", "image-purged"), ("changed", None),
        ]  # fmt: skip
        assert (await api.row(last))["deleted_at"] is None

    async def test_tags_are_added_and_removed(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, tags=["a", "b"])
        assert await outcomes(api, member, [image_id], "tag", tags=["c", "a", "c"]) == ["changed"]
        assert (await api.row(image_id))["tags"] == ["a", "b", "c"]
        assert await outcomes(api, member, [image_id], "tag", tags=["b"]) == ["unchanged"]
        assert await outcomes(api, member, [image_id], "untag", tags=["a", "x"]) == ["changed"]
        assert await outcomes(api, member, [image_id], "untag", tags=["a"]) == ["unchanged"]
        row = await api.row(image_id)
        assert (row["tags"], row["revision"]) == (["b", "c"], 3)

    async def test_no_image_gets_more_tags_than_it_may_have(self, api: Api, member: UserWithKey) -> None:
        full, free = await add(api, member, tags=[f"t{number}" for number in range(50)]), await add(api, member)
        answer = await batch(api, member, [full, free], "tag", tags=["one-more"])
        assert [item["outcome"] for item in answer["items"]] == ["refused", "changed"]
        assert (await api.row(full))["revision"] == 1

    async def test_metadata_are_merged(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member, metadata=to_json({"place": "Oslo", "count": 1}))
        patch = {"place": None, "country": "NO"}
        assert await outcomes(api, member, [image_id], "set_metadata", metadata=patch) == ["changed"]
        assert (await api.row(image_id))["metadata"] == '{"count": 1, "country": "NO"}'
        assert await outcomes(api, member, [image_id], "set_metadata", metadata=patch) == ["unchanged"]
        # Equal in Python, and not in JSON.
        assert await outcomes(api, member, [image_id], "set_metadata", metadata={"count": True}) == ["changed"]

    async def test_metadata_fit_the_schema_of_the_images_own_team(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        fields = {"fields": [{"name": "age", "type": "integer"}]}
        params = {"team_id": str(stranger.team_id)}
        await api.client.put("/api/v1/metadata-schema", json=fields, params=params, headers=api.admin.headers)
        free, bound = await add(api, member), await add(api, stranger)
        answer = await batch(api, api.admin, [free, bound], "set_metadata", metadata={"age": "old"})
        assert [item["outcome"] for item in answer["items"]] == ["changed", "refused"]
        assert answer["items"][1]["error"]["code"] == "request-invalid"

    async def test_visibility_is_set_and_returned_to_the_default(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        assert await outcomes(api, member, [image_id], "set_visibility", visibility="public") == ["changed"]
        assert await outcomes(api, member, [image_id], "set_visibility", visibility="public") == ["unchanged"]
        assert await outcomes(api, member, [image_id], "set_visibility", visibility=None) == ["changed"]
        assert (await api.row(image_id))["visibility"] is None

    async def test_an_admin_reaches_images_of_all_teams(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        ids = [await add(api, member), await add(api, stranger)]
        assert await outcomes(api, api.admin, ids, "trash") == ["changed", "changed"]


class TestValidation:
    @pytest.mark.parametrize(
        ("columns", "action", "fields", "expected"),
        [
            ({}, "trash", {}, "changed"),
            ({"deleted_at": PAST}, "trash", {}, "unchanged"),
            ({"deleted_at": PAST, "purge_marked_at": PAST}, "restore", {}, "refused"),
            ({}, "tag", {"tags": ["a"]}, "changed"),
        ],
    )
    async def test_it_says_what_would_happen_and_changes_nothing(
        self, api: Api, member: UserWithKey, columns: dict[str, Any], action: str, fields: Any, expected: str
    ) -> None:
        image_id = await add(api, member, **columns)
        before = list(await api.row(image_id))
        answer = await batch(api, member, [image_id], action, validate_only=True, **fields)
        assert (answer["validate_only"], answer["items"][0]["outcome"]) == (True, expected)
        assert list(await api.row(image_id)) == before
        assert await actions(api) == []
        assert await api.rows.fetch(select(event)) == []

    @pytest.mark.parametrize(
        "body",
        [
            {"ids": [], "action": "trash"},
            {"ids": [str(uuid4()) for _ in range(10_001)], "action": "trash"},
            {"ids": ["x"], "action": "trash"},
            {"ids": [str(uuid4())], "action": "add_to_collection"},
            {"ids": [str(uuid4())], "action": "tag"},
            {"ids": [str(uuid4())], "action": "tag", "tags": []},
            {"ids": [str(uuid4())], "action": "tag", "tags": ["a"], "metadata": {"a": 1}},
            {"ids": [str(uuid4())], "action": "set_visibility"},
            {"ids": [str(uuid4())], "action": "set_metadata", "metadata": {}},
            {"ids": [str(uuid4())], "action": "trash", "analyzer": "colors"},
            {"ids": [str(uuid4())], "action": "analyze", "analyzer": "colors", "parameters": {"colors": "many"}},
            {"ids": [str(uuid4())], "action": "analyze", "analyzer": "colours"},
            {"ids": [str(uuid4())], "action": "trash", "validate_only": "yes"},
        ],
    )
    async def test_a_request_that_cannot_be_meant_is_refused(
        self, api: Api, member: UserWithKey, body: dict[str, Any]
    ) -> None:
        answer = await api.client.post("/api/v1/images/batch", json=body, headers=member.headers)
        assert answer.status_code == 422, answer.text

    async def test_a_thousand_ids_are_taken(self, api: Api, member: UserWithKey) -> None:
        mine = await add(api, member)
        ids = [*(uuid4() for _ in range(999)), mine]
        told = await outcomes(api, member, ids, "trash")
        assert told == ["not-found"] * 999 + ["changed"]


class TestScopes:
    @pytest.mark.parametrize(
        ("action", "fields", "scope"),
        [
            ("trash", {}, "images:delete"),
            ("restore", {}, "images:delete"),
            ("tag", {"tags": ["a"]}, "images:write"),
            ("untag", {"tags": ["a"]}, "images:write"),
            ("set_metadata", {"metadata": {"a": 1}}, "images:write"),
            ("set_visibility", {"visibility": "public"}, "delivery:manage"),
            ("analyze", {}, "analyses:run"),
        ],
    )
    async def test_an_action_without_its_scope_is_refused_for_the_whole_call(
        self, api: Api, action: str, fields: Any, scope: str
    ) -> None:
        every = {"images:read", "images:write", "images:delete", "delivery:manage", "analyses:run"}
        lacking = await api.user(scopes=tuple(every - {scope, "images:write" if scope == "images:delete" else scope}))
        answer = await batch(api, lacking, [await add(api, lacking)], action, status=403, **fields)
        assert answer["missing_scopes"] == [scope]
        having = await api.user(lacking.team_id, scopes=(scope,))
        assert await outcomes(api, having, [uuid4()], action, **fields) == ["not-found"]

    @pytest.mark.parametrize("action", ["trash", "restore"])
    async def test_uploads_of_others_need_the_scope_to_delete(
        self, api: Api, member: UserWithKey, colleague: UserWithKey, action: str
    ) -> None:
        trashed = {"deleted_at": PAST} if action == "restore" else {}
        ids = [await add(api, member, **trashed), await add(api, colleague, **trashed)]
        answer = await batch(api, member, ids, action)
        assert [item["outcome"] for item in answer["items"]] == ["changed", "forbidden"]
        assert answer["items"][1]["error"]["code"] == "scope-missing"
        assert (await api.row(ids[1]))["revision"] == 1

    async def test_a_viewer_is_refused_before_its_body_is_read(self, api: Api) -> None:
        viewer = await api.user(role=Role.VIEWER)
        answer = await api.client.post("/api/v1/images/batch", content=b"{", headers=viewer.headers)
        assert answer.status_code == 403


class TestChunks:
    async def test_what_a_lost_database_leaves_is_done_by_a_repeat(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "CHUNK", 2)
        ids = sorted([await add(api, member) for _ in range(5)])
        lock, calls = queries.lock, 0

        async def failing(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise errors.DatabaseUnavailable("The database does not respond. Try again.")
            return await lock(*arguments)

        monkeypatch.setattr(queries, "lock", failing)
        await batch(api, member, ids, "trash", status=503)
        done = await api.rows.fetch(select(image.c.id).where(image.c.deleted_at.is_not(None)).order_by(image.c.id))
        assert [row["id"] for row in done] == ids[:2]
        assert await outcomes(api, member, ids, "trash") == ["unchanged"] * 2 + ["changed"] * 3

    async def test_batches_in_opposite_orders_do_not_wait_for_each_other(self, api: Api, member: UserWithKey) -> None:
        ids = [await add(api, member) for _ in range(20)]
        answers = await asyncio.gather(
            *(
                batch(api, member, order, "tag", tags=[f"t{number}"])
                for number, order in enumerate([ids, ids[::-1]] * 3)
            )
        )
        assert [answer["changed"] for answer in answers] == [20] * 6
        assert {tuple(sorted((await api.row(each))["tags"])) for each in ids} == {("t0", "t1", "t2", "t3", "t4", "t5")}

    async def test_rows_are_locked_in_the_order_of_their_ids_and_within_the_team(
        self, rows: Database, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        ids = [await add(api, member) for _ in range(3)]
        theirs = await add(api, stranger)
        async with rows.transaction() as transaction:
            found = await queries.lock(transaction, member.team_id, [*ids[::-1], theirs])
            assert list(found) == sorted(ids)
            # Whoever else wants one of them waits.
            skipped = select(image.c.id).with_for_update(skip_locked=True)
            assert [row["id"] for row in await api.rows.fetch(skipped)] == [theirs]


async def balance(api: Api, by: UserWithKey) -> int:
    found: int = await api.rows.fetch_value(
        select(credit_account.c.balance).where(credit_account.c.team_id == by.team_id)
    )
    return found


async def set_balance(api: Api, by: UserWithKey, credits: int) -> None:
    account = credit_account.c.team_id == by.team_id
    await api.rows.execute(update(credit_account).where(account).values(balance=credits))


class TestAnalyses:
    async def test_each_image_is_analyzed_and_paid_for_once(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        ids = [await add(api, member), await add(api, member), await add(api, stranger)]
        left = await balance(api, member) - 2
        first = await batch(api, member, ids, "analyze", analyzer="colors")
        assert [item["outcome"] for item in first["items"]] == ["changed", "changed", "not-found"]
        assert first["credits"] == {"cost": 2, "left": left}
        again = await batch(api, member, ids, "analyze", analyzer="colors")
        assert [item["outcome"] for item in again["items"]] == ["unchanged", "unchanged", "not-found"]
        assert again["credits"] == {"cost": 0, "left": left}
        assert [item["analysis_id"] for item in again["items"]] == [item["analysis_id"] for item in first["items"]]
        found = await api.client.get(f"/api/v1/analyses/{first['items'][0]['analysis_id']}", headers=member.headers)
        assert found.json()["image_id"] == str(ids[0])
        published = (
            select(func.count())
            .select_from(event)
            .where(event.c.topic == "analyses", event.c.published_at.is_not(None))
        )
        assert await api.rows.fetch_value(published) == 2

    async def test_other_parameters_are_another_analysis(self, api: Api, member: UserWithKey) -> None:
        image_id = await add(api, member)
        told = [
            (await outcomes(api, member, [image_id], "analyze", analyzer="colors", parameters=each))[0]
            for each in ({}, {"colors": 3}, {"colors": 3})
        ]
        assert told == ["changed", "changed", "unchanged"]

    async def test_images_that_cannot_be_analyzed_say_why(self, api: Api, member: UserWithKey) -> None:
        ids = [
            await add(api, member, status="failed", failure_code="image-truncated", failure_message="Cut off."),
            await add(api, member, status="pending"),
            await add(api, member, deleted_at=PAST),
        ]
        answer = await batch(api, member, ids, "analyze")
        told = [(item["outcome"], item["error"]["code"]) for item in answer["items"]]
        assert told == [
            ("refused", "image-not-decodable"),
            ("refused", "image-not-ready"),
            ("not-found", "image-not-found"),
        ]
        assert answer["credits"] == {"cost": 0, "left": None}

    async def test_credits_pay_for_as_many_as_they_suffice(self, api: Api, member: UserWithKey) -> None:
        ids = sorted([await add(api, member) for _ in range(4)])
        await set_balance(api, member, 2)
        answer = await batch(api, member, ids, "analyze", analyzer="colors")
        assert [item["outcome"] for item in answer["items"]] == ["changed", "changed", "refused", "refused"]
        assert answer["items"][3]["error"]["code"] == "credits-exhausted"
        assert answer["credits"] == {"cost": 2, "left": 0}
        assert await api.rows.fetch_value(select(func.count()).select_from(analysis)) == 2

    async def test_validation_says_what_it_would_cost(self, api: Api, member: UserWithKey) -> None:
        ids = [await add(api, member) for _ in range(3)]
        await batch(api, member, ids[:1], "analyze", analyzer="colors")
        await set_balance(api, member, 1)
        answer = await batch(api, member, ids, "analyze", analyzer="colors", validate_only=True)
        assert [item["outcome"] for item in answer["items"]] == ["unchanged", "changed", "changed"]
        assert answer["credits"] == {"cost": 2, "left": 1}
        assert await api.rows.fetch_value(select(func.count()).select_from(analysis)) == 1

    async def test_asked_by_several_at_once_each_is_paid_once(self, api: Api, member: UserWithKey) -> None:
        ids = [await add(api, member) for _ in range(10)]
        had = await balance(api, member)
        answers = await asyncio.gather(
            *(batch(api, member, order, "analyze", analyzer="colors") for order in [ids, ids[::-1]] * 3)
        )
        assert sum(answer["credits"]["cost"] for answer in answers) == had - await balance(api, member) == 10
        assert all(item["analysis_id"] for answer in answers for item in answer["items"])

    async def test_analyses_of_another_team_are_not_found(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        digest = testing.a_sha256("shared")
        ids = [await add(api, each, sha256=digest) for each in (member, stranger)]
        await batch(api, stranger, [ids[1]], "analyze", analyzer="colors")
        assert await outcomes(api, member, [ids[0]], "analyze", analyzer="colors") == ["changed"]

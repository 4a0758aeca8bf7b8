"""Batches by filter, of more than 1,000 images or with a budget are operations, which image-tasks does."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import select, update

from image_api.actor import Role
from image_api.operations import tasks as operations
from image_api.tasks import runner
from image_api.tasks_app import STEPS
from image_core import models, testing
from image_core.testing import UserWithKey

from ..conftest import Api
from ..housekeeping import Tasks

URL = "/api/v1/images/batch"


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for what is in progress."""
    monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)


async def run(tasks: Tasks) -> int:
    """Run operations as the tick does."""
    return await runner.run_step(tasks.parts, "operations", STEPS["operations"], 30)


async def begin(api: Api, by: UserWithKey, **body: Any) -> str:
    """Begin an operation, and return its path."""
    answer = await api.client.post(URL, headers=by.headers, json=body)
    assert answer.status_code == 202, answer.text
    path = f"/api/v1/operations/{answer.json()['operation_id']}"
    assert answer.headers["location"] == path
    return path


async def get(api: Api, by: UserWithKey, path: str) -> dict[str, Any]:
    answer = await api.client.get(path, headers=by.headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def failures_of(api: Api, by: UserWithKey, path: str) -> list[dict[str, Any]]:
    answer = await api.client.get(f"{path}/failures", headers=by.headers)
    return [orjson.loads(line) for line in answer.content.splitlines()]


async def tags_of(api: Api, *image_ids: UUID) -> list[list[str]]:
    return [(await api.row(image_id))["tags"] for image_id in image_ids]


class TestByFilter:
    async def test_does_what_matches_and_nothing_else(
        self, api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        assert member.team_id is not None
        assert stranger.team_id is not None
        mine = [await testing.add_image(api.rows, member.team_id, tags=["fjord"]) for _ in range(3)]
        full = await testing.add_image(
            api.rows, member.team_id, tags=["fjord", *(f"tag {number}" for number in range(49))]
        )
        other = await testing.add_image(api.rows, member.team_id, tags=["fell"])
        theirs = await testing.add_image(api.rows, stranger.team_id, tags=["fjord"])
        path = await begin(api, member, filter={"tag": ["fjord"]}, action="tag", tags=["norway"])
        begun = await get(api, member, path)
        assert (begun["status"], begun["total"], begun["left"]) == ("estimating", None, None)
        assert begun["parameters"] == {"filter": {"tag": ["fjord"]}, "action": "tag", "tags": ["norway"]}
        # Whatever matches later is not part of it.
        await run(tasks)
        over = await get(api, member, path)
        assert (over["status"], over["total"], over["done"], over["failed"]) == ("succeeded", 4, 3, 1)
        assert over["estimate"] == {"items": 4, "bytes": 4000, "credits": 0, "minutes": 1}
        assert await tags_of(api, *mine) == [["fjord", "norway"]] * 3
        assert await tags_of(api, other, theirs) == [["fell"], ["fjord"]]
        (failure,) = await failures_of(api, member, path)
        assert (failure["image_id"], failure["code"]) == (str(full), "request-invalid")

    async def test_that_matches_nothing_has_succeeded(self, api: Api, tasks: Tasks, member: UserWithKey) -> None:
        path = await begin(api, member, filter={"tag": "nowhere"}, action="trash")
        await run(tasks)
        over = await get(api, member, path)
        assert (over["status"], over["total"]) == ("succeeded", 0)

    async def test_takes_the_filters_of_the_list(self, api: Api, tasks: Tasks, member: UserWithKey) -> None:
        assert member.team_id is not None
        oslo, bergen = [
            await testing.add_image(api.rows, member.team_id, metadata={"place": place}) for place in ("Oslo", "Bergen")
        ]
        wanted: dict[str, Any] = {"meta[place]": "Oslo", "max_size": 1000, "status": ["ready", "stored"]}
        path = await begin(api, member, filter=wanted, action="set_metadata", metadata={"seen": True})
        await run(tasks)
        assert (await get(api, member, path))["done"] == 1
        found = [orjson.loads((await api.row(image_id))["metadata"]) for image_id in (oslo, bergen)]
        assert found == [{"place": "Oslo", "seen": True}, {"place": "Bergen"}]

    @pytest.mark.parametrize(
        ("wanted", "status", "code"),
        [
            ({}, 400, "filter-invalid"),
            ({"order_by": "filename"}, 400, "filter-invalid"),
            ({"tagg": "x"}, 400, "filter-unknown"),
            ({"meta.age[around]": 1}, 400, "filter-invalid"),
            ({"min_size": "large"}, 422, "request-invalid"),
            ({"cursor": "x"}, 400, "filter-unknown"),
            ({"team_id": str(uuid4())}, 400, "filter-unknown"),
        ],
    )
    async def test_that_is_broken_begins_nothing(
        self, api: Api, member: UserWithKey, wanted: dict[str, Any], status: int, code: str
    ) -> None:
        answer = await api.client.post(URL, headers=member.headers, json={"filter": wanted, "action": "trash"})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert await api.rows.fetch_value(select(models.operation.c.id)) is None

    async def test_says_what_it_would_take(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        for _ in range(2):
            await testing.add_image(api.rows, member.team_id, tags=["fjord"])
        body = {"filter": {"tag": "fjord"}, "action": "analyze", "analyzer": "colors", "validate_only": True}
        answer = await api.client.post(URL, headers=member.headers, json=body)
        estimated = {"action": "analyze", "validate_only": True, "images": 2, "at_least": False, "credits": 2}
        assert (answer.status_code, answer.json()) == (200, estimated)
        assert await api.rows.fetch_value(select(models.operation.c.id)) is None


class TestRights:
    async def test_the_scope_of_the_action_is_needed(self, api: Api, member: UserWithKey) -> None:
        body = {"filter": {"tag": "fjord"}, "action": "set_visibility", "visibility": "public"}
        writer = await api.user(member.team_id, scopes=("images:write",))
        refused = await api.client.post(URL, headers=writer.headers, json=body)
        assert (refused.status_code, refused.json()["missing_scopes"]) == (403, ["delivery:manage"])

    async def test_only_own_uploads_are_trashed_without_the_scope(
        self, api: Api, tasks: Tasks, member: UserWithKey
    ) -> None:
        assert member.team_id is not None
        own = await testing.add_image(api.rows, member.team_id, tags=["a"], uploaded_by=member.user_id)
        other = await testing.add_image(api.rows, member.team_id, tags=["a"])
        path = await begin(api, member, filter={"tag": "a"}, action="trash")
        await run(tasks)
        assert [(await api.row(each))["deleted_at"] is None for each in (own, other)] == [False, True]
        assert [failure["code"] for failure in await failures_of(api, member, path)] == ["scope-missing"]

    async def test_an_admin_names_the_team(self, api: Api, tasks: Tasks, member: UserWithKey) -> None:
        body = {"filter": {"tag": "fjord"}, "action": "trash"}
        refused = await api.client.post(URL, headers=api.admin.headers, json=body)
        assert refused.json()["code"] == "team-required"
        assert member.team_id is not None
        mine = await testing.add_image(api.rows, member.team_id, tags=["fjord"])
        theirs = await testing.add_image(api.rows, await api.team(), tags=["fjord"])
        named = await api.client.post(f"{URL}?team_id={member.team_id}", headers=api.admin.headers, json=body)
        assert named.status_code == 202
        await run(tasks)
        assert [(await api.row(each))["deleted_at"] is None for each in (mine, theirs)] == [False, True]

    async def test_an_operation_is_its_teams_alone(
        self, api: Api, tasks: Tasks, member: UserWithKey, colleague: UserWithKey, stranger: UserWithKey
    ) -> None:
        path = await begin(api, member, filter={"tag": "fjord"}, action="trash")
        for by, number in ((member, 1), (colleague, 1), (api.admin, 1), (stranger, 0)):
            assert len((await get(api, by, "/api/v1/operations"))["items"]) == number
        for method, end in (("GET", ""), ("GET", "/failures"), ("POST", "/cancel")):
            answer = await api.client.request(method, path + end, headers=stranger.headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "operation-not-found")
        viewer = await api.user(member.team_id, Role.VIEWER)
        assert (await api.client.post(f"{path}/cancel", headers=viewer.headers)).status_code == 403
        cancelled = await api.client.post(f"{path}/cancel", headers=colleague.headers)
        assert cancelled.json()["status"] == "cancelled"
        await run(tasks)
        assert (await get(api, member, "/api/v1/operations?unfinished=true"))["items"] == []

    async def test_somebody_elses_is_not_cancelled_without_the_scope(self, api: Api, member: UserWithKey) -> None:
        path = await begin(api, member, filter={"tag": "fjord"}, action="trash")
        analyst = await api.user(member.team_id, scopes=("images:read", "analyses:run"))
        refused = await api.client.post(f"{path}/cancel", headers=analyst.headers)
        assert (refused.status_code, refused.json()["missing_scopes"]) == (403, ["images:write"])


class TestByIds:
    async def test_more_than_a_thousand_keep_their_order_and_absent_ones_fail(
        self, api: Api, tasks: Tasks, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from image_api.batches import schemas

        monkeypatch.setattr(schemas, "MOST_IDS", 2)
        assert member.team_id is not None
        ids = [await testing.add_image(api.rows, member.team_id) for _ in range(3)][::-1]
        collection_id = await testing.add_collection(api.rows, member.team_id)
        absent = uuid4()
        path = await begin(
            api, member, ids=[str(each) for each in [*ids, absent, ids[0]]], action="add_to_collection",
            collection_id=str(collection_id),
        )  # fmt: skip
        monkeypatch.undo()
        monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)
        assert (await get(api, member, path))["total"] == 4
        async with api.rows.transaction() as other:
            # The second one does not overtake the first, which has to wait.
            await other.fetch(select(models.image.c.id).where(models.image.c.id == ids[0]).with_for_update())
            running = asyncio.create_task(run(tasks))
            await testing.wait_for_lock_waiter(api.rows)
            await asyncio.sleep(0.3)
        await running
        listed = await get(api, member, f"/api/v1/collections/{collection_id}/images")
        assert [item["id"] for item in listed["items"]] == [str(each) for each in ids]
        (failure,) = await failures_of(api, member, path)
        assert failure == {
            "position": 4, "image_id": str(absent), "code": "image-not-found", "detail": "The image does not exist.",
        }  # fmt: skip

    async def test_ten_thousand_are_the_most(self, api: Api, member: UserWithKey) -> None:
        ids = [str(UUID(int=number)) for number in range(10_001)]
        refused = await api.client.post(URL, headers=member.headers, json={"ids": ids, "action": "trash"})
        assert refused.status_code == 422
        accepted = await api.client.post(URL, headers=member.headers, json={"ids": ids[1:], "action": "trash"})
        assert accepted.status_code == 202

    async def test_images_are_named_in_one_way(self, api: Api, member: UserWithKey) -> None:
        for named in ({}, {"ids": []}, {"ids": [str(uuid4())], "filter": {"tag": "a"}}):
            answer = await api.client.post(URL, headers=member.headers, json={**named, "action": "trash"})
            assert answer.status_code == 422, named

    async def test_a_repeated_request_with_a_key_begins_one(self, api: Api, member: UserWithKey) -> None:
        headers = {**member.headers, "Idempotency-Key": "once"}
        body = {"filter": {"tag": "fjord"}, "action": "trash"}
        first, again = [await api.client.post(URL, headers=headers, json=body) for _ in range(2)]
        assert (first.status_code, again.json()) == (202, first.json())

    async def test_a_team_has_few_unfinished_ones(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("image_api.operations.service.MOST_UNFINISHED", 1)
        body = {"filter": {"tag": "fjord"}, "action": "trash"}
        for by in (member, stranger):
            await begin(api, by, **body)
        refused = await api.client.post(URL, headers=member.headers, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "too-many-operations")


class TestAnalyses:
    @pytest.fixture
    async def images(self, api: Api, member: UserWithKey) -> list[UUID]:
        assert member.team_id is not None
        return [await testing.add_image(api.rows, member.team_id, tags=["face"]) for _ in range(3)]

    async def end(self, api: Api, **columns: Any) -> None:
        """Let the processor end what was requested."""
        await api.rows.execute(update(models.analysis).where(models.analysis.c.status == "requested").values(**columns))

    async def test_are_paid_one_by_one_and_over_when_the_processor_is(
        self, api: Api, tasks: Tasks, member: UserWithKey, images: list[UUID]
    ) -> None:
        path = await begin(api, member, filter={"tag": "face"}, action="analyze", analyzer="colors", budget=2)
        await run(tasks)
        stopped = await get(api, member, path)
        assert (stopped["status"], stopped["failure"]["code"], stopped["left"]) == ("failed", "budget-exhausted", 3)
        assert (stopped["estimate"]["credits"], stopped["credits_spent"], stopped["finished_at"]) == (3, 2, None)
        await self.end(api, status="done", result="{}", analyzed_at=testing.datetime.now(testing.UTC))
        await run(tasks)
        over = await get(api, member, path)
        assert (over["done"], over["left"], over["finished_at"] is None) == (2, 1, False)
        again = await begin(api, member, filter={"tag": "face"}, action="analyze", analyzer="colors")
        await run(tasks)
        await self.end(api, status="failed", failure_code="analyzer-failed", failure_message="It failed.")
        await run(tasks)
        over = await get(api, member, again)
        # What is stored is free, and what fails costs nothing.
        assert (over["status"], over["done"], over["failed"], over["credits_spent"]) == ("succeeded", 2, 1, 0)
        (failure,) = await failures_of(api, member, again)
        assert (failure["code"], failure["detail"]) == ("analyzer-failed", "It failed.")

    async def test_a_budget_is_for_analyses(self, api: Api, member: UserWithKey, images: list[UUID]) -> None:
        body = {"ids": [str(images[0])], "action": "trash", "budget": 1}
        assert (await api.client.post(URL, headers=member.headers, json=body)).status_code == 422

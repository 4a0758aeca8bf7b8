"""Failed images are processed again by an operation, whose items are over when the processor has finished them."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from image_api.operations import claims
from image_api.operations import tasks as operations
from image_api.tasks.runner import Budget
from image_api.tasks_app import KINDS
from image_core.models import event, image
from image_core.testing import UserWithKey

from ..conftest import Api
from ..console.catalogue import call
from ..housekeeping import Tasks

FAILED = {"failure_code": "processing-timeout", "failure_message": "Too slow."}


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(operations, "_PAUSE_SECONDS", 0.0)


async def work(tasks: Tasks) -> None:
    for _ in range(4):
        await operations.step(KINDS)(tasks.parts, Budget("operations", 30))


async def begin(api: Api, **body: Any) -> UUID:
    started = await call(api, api.admin, "POST", "/admin/reprocess", failed=True, **body)
    return UUID(started["operation_id"])


async def processed(tasks: Tasks) -> set[UUID]:
    """The images whose processing was requested."""
    rows = await tasks.rows.fetch(select(event.c.image_id).where(event.c.type == "image.process"))
    return {row["image_id"] for row in rows}


async def test_an_image_is_done_when_the_processor_has_finished_it(api: Api, tasks: Tasks, member: UserWithKey) -> None:
    good, bad, gone = [(await tasks.image("failed", team_id=member.team_id, **FAILED))[0]["id"] for _ in range(3)]
    other, _ = await tasks.image("failed", team_id=member.team_id, failure_code="not-an-image", failure_message="x")
    ready, _ = await tasks.image("ready", team_id=member.team_id)
    operation_id = await begin(api, code="processing-timeout")
    await work(tasks)
    assert await processed(tasks) == {good, bad, gone}
    shown = await call(api, api.admin, "GET", f"/operations/{operation_id}")
    assert (shown["status"], shown["total"], shown["done"], shown["team_id"]) == ("running", 3, 0, None)
    for row in (other, ready):
        assert (await tasks.row(row["id"]))["revision"] == row["revision"]
    done = {"width": 1, "height": 1, "frames": 1, "ready_at": (await tasks.row(good))["created_at"]}
    await tasks.set_row(good, status="ready", **done)
    await tasks.set_row(bad, status="failed", **FAILED)
    await tasks.rows.execute(image.delete().where(image.c.id == gone))
    await work(tasks)
    shown = await call(api, api.admin, "GET", f"/operations/{operation_id}")
    assert (shown["status"], shown["done"], shown["failed"]) == ("succeeded", 1, 2)
    answer = await api.client.get(f"/api/v1/operations/{operation_id}/failures", headers=api.admin.headers)
    assert "processing-timeout" in answer.text
    assert "image-not-found" in answer.text


async def test_only_the_team_that_was_named_and_not_more_at_once_than_the_bound(
    api: Api, tasks: Tasks, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "MOST_IN_PROGRESS", 2)
    for _ in range(3):
        await tasks.image("failed", team_id=member.team_id, **FAILED)
    foreign, _ = await tasks.image("failed", **FAILED)
    await begin(api, team_id=str(member.team_id))
    await work(tasks)
    requested = await processed(tasks)
    assert len(requested) == 2
    assert foreign["id"] not in requested


async def test_what_is_to_be_processed_again_must_be_said(api: Api, member: UserWithKey) -> None:
    for body in ({}, {"failed": False}, {"failed": True, "code": "Not a code"}):
        answer = await api.client.post("/api/v1/admin/reprocess", headers=api.admin.headers, json=body)
        assert answer.status_code == 422
    answer = await api.client.post("/api/v1/admin/reprocess", headers=member.headers, json={"failed": True})
    assert answer.status_code == 403

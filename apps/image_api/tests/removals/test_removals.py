"""The removal of a team or a user as an operation: refused at once, purged without delay, visible until the end."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role
from image_api.operations import tasks as operations
from image_api.tasks.runner import Budget
from image_api.tasks_app import KINDS
from image_api.users import service as users
from image_core import testing
from image_core.models import audit_event, discarded_object, event, image, operation, purged_hash, team, user
from image_core.testing import UserWithKey

from ..conftest import PASSWORD, Api
from ..console.catalogue import call
from ..housekeeping import Tasks
from ..operations.counting import Counting, Operations


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(operations, "_PAUSE_SECONDS", 0.0)


async def work(tasks: Tasks) -> None:
    """Run operations until nothing happens any more."""
    while await operations.step(KINDS)(tasks.parts, Budget("operations", 30)):
        pass


async def remove(api: Api, team_id: UUID | None, **query: Any) -> UUID:
    answer = await api.client.delete(
        f"/api/v1/teams/{team_id}", params={"force": True, **query}, headers=api.admin.headers
    )
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["operation_id"])


async def state(api: Api, operation_id: UUID) -> tuple[str, int | None, int, int]:
    shown = await call(api, api.admin, "GET", f"/operations/{operation_id}")
    assert shown["team_id"] is None
    return shown["status"], shown["total"], shown["done"], shown["failed"]


async def credentials_of(api: Api, person: Any) -> dict[str, dict[str, Any]]:
    """A request with each kind of credential of a team, as keyword arguments."""
    image_id = (await api.upload(person))["id"]
    rotating = await testing.add_key(api.rows, person.user_id, person.team_id)
    path = f"/api/v1/users/{person.user_id}/credentials/rotate"
    rotated = await api.client.post(path, headers=rotating.headers, json={"grace_period_seconds": 600})
    assert rotated.status_code == 200, rotated.text
    signed_in = await api.login(person.email, mode="cookie")
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    api.client.cookies.clear()
    token = (await api.login(person.email)).json()["access_token"]
    upload_token = (await call(api, person, "POST", "/upload-tokens", max_uploads=5))["token"]
    link = await call(
        api, await api.user(person.team_id, scopes=("delivery:manage",)), "POST", "/links", image_ids=[image_id]
    )
    whoami = "/api/v1/whoami"
    return {
        "key": {"method": "GET", "url": whoami, "headers": person.headers},
        "previous key": {"method": "GET", "url": whoami, "headers": rotating.headers},
        "rotated key": {"method": "GET", "url": whoami, "headers": {"X-API-KEY": rotated.json()["api_key"]}},
        "session": {"method": "GET", "url": whoami, "headers": {"cookie": cookie}},
        "access token": {"method": "GET", "url": whoami, "headers": {"authorization": f"Bearer {token}"}},
        "upload token": {
            "method": "POST", "url": "/api/v1/uploads", "headers": {"x-upload-token": upload_token},
            "json": {"filename": "a.png", "size_bytes": 100, "content_type": "image/png", "sha256": "0" * 64},
        },
        "share link": {"method": "GET", "url": link["url"].replace("http://api", ""), "headers": {}},
    }  # fmt: skip


async def test_every_credential_is_refused_as_soon_as_the_removal_is_answered(api: Api) -> None:
    person, other = await api.person(), await api.person()
    requests = {team: await credentials_of(api, by) for team, by in (("gone", person), ("kept", other))}
    # Each has been used, so that every cache knows it.
    for kinds in requests.values():
        for kind, request in kinds.items():
            answer = await api.client.request(**request)
            assert answer.status_code < 300, f"{kind}: {answer.text}"
    await remove(api, person.team_id)
    for kind, request in requests["gone"].items():
        expected = 404 if kind == "share link" else 401
        assert (await api.client.request(**request)).status_code == expected, kind
    assert (await api.login(person.email, PASSWORD)).status_code == 401
    for kind, request in requests["kept"].items():
        if kind != "upload token":
            assert (await api.client.request(**request)).status_code < 300, kind


async def test_its_images_are_purged_at_once_then_its_members_and_the_team(api: Api, tasks: Tasks) -> None:
    member, stranger = await api.user(), await api.user()
    assert member.team_id is not None
    assert stranger.team_id is not None
    for status in ("ready", "failed"):
        await tasks.image(status, team_id=member.team_id, uploaded_by=member.user_id)
    await testing.add_image(tasks.rows, member.team_id, "expired")
    kept, _ = await tasks.image("ready", team_id=stranger.team_id)
    operation_id = await remove(api, member.team_id)
    assert await remove(api, member.team_id) == operation_id
    await work(tasks)
    assert await state(api, operation_id) == ("succeeded", 4, 4, 0)
    assert await tasks.originals_of(member.team_id) == []
    assert await tasks.count(team, team.c.id == member.team_id) == 0
    assert await tasks.count(user, user.c.id == member.user_id) == 0
    assert [row["id"] for row in await tasks.rows.fetch(select(image.c.id))] == [kept["id"]]
    # What tells of it stays.
    assert await tasks.count(purged_hash, purged_hash.c.team_id == member.team_id) == 2
    assert await tasks.count(event, event.c.type == "image.purged", event.c.team_id == member.team_id) == 2
    actions = await tasks.rows.fetch(select(audit_event.c.action).where(audit_event.c.team_id == member.team_id))
    assert {"team.removal_begun", "team.removed", "image.purged"} <= {row["action"] for row in actions}


async def test_an_upload_that_arrives_later_is_discarded(api: Api, tasks: Tasks) -> None:
    member = await api.user()
    assert member.team_id is not None
    image_id = await testing.add_upload(api.rows, member.team_id)
    name = (await api.row(image_id))["object_name"]
    operation_id = await remove(api, member.team_id)
    await work(tasks)
    assert (await state(api, operation_id))[0] == "succeeded"
    await tasks.parts.originals.put(name, b"late", "image/png")
    await tasks.rows.execute(update(discarded_object).values(remove_after=func.now()))
    await tasks.sweep()
    assert await tasks.originals_of(member.team_id) == []


async def test_running_work_is_waited_for(api: Api, tasks: Tasks) -> None:
    member = await api.user()
    claim = {"claim_token": UUID(int=1), "lease_expires_at": func.now() + func.make_interval(0, 0, 0, 0, 1)}
    row, _ = await tasks.image("processing", team_id=member.team_id, **claim)
    operation_id = await remove(api, member.team_id)
    await work(tasks)
    assert await state(api, operation_id) == ("running", 2, 0, 0)
    assert (await tasks.row(row["id"]))["deleted_at"] is not None
    await tasks.set_row(row["id"], lease_expires_at=func.now())
    await work(tasks)
    assert await state(api, operation_id) == ("succeeded", 2, 2, 0)


async def test_images_stay_in_the_trash_for_the_days_that_were_asked_for(api: Api, tasks: Tasks) -> None:
    member = await api.user()
    row, _ = await tasks.image("ready", team_id=member.team_id)
    operation_id = await remove(api, member.team_id, retention_days=2)
    await work(tasks)
    assert (await tasks.row(row["id"]))["purge_marked_at"] is None
    await tasks.let_time_pass(image, "deleted_at", hours=49)
    await work(tasks)
    assert (await state(api, operation_id))[0] == "succeeded"


async def test_a_cancelled_one_leaves_the_rest_to_the_sweep_and_can_be_begun_again(api: Api, tasks: Tasks) -> None:
    member = await api.user()
    row, _ = await tasks.image("ready", team_id=member.team_id)
    first = await remove(api, member.team_id)
    await call(api, api.admin, "POST", f"/operations/{first}/cancel")
    await work(tasks)
    await tasks.sweep()
    trashed = await tasks.row(row["id"])
    assert (trashed["deleted_at"] is not None, trashed["purge_marked_at"]) == (True, None)
    second = await remove(api, member.team_id)
    assert second != first
    await work(tasks)
    assert (await state(api, second))[0] == "succeeded"


async def test_one_that_is_cancelled_but_not_finished_can_be_begun_again(api: Api, tasks: Tasks) -> None:
    member = await api.user()
    claim = {"claim_token": UUID(int=1), "lease_expires_at": func.now() + func.make_interval(0, 0, 0, 0, 1)}
    await tasks.image("processing", team_id=member.team_id, **claim)
    first = await remove(api, member.team_id)
    await work(tasks)
    await call(api, api.admin, "POST", f"/operations/{first}/cancel")
    assert await remove(api, member.team_id) != first


@pytest.mark.parametrize("by_admin", [False, True])
async def test_its_operations_do_nothing_more(api: Api, tasks: Tasks, by_admin: bool) -> None:
    member = await api.user()
    kind, running = Counting(), Operations(tasks)
    operation_id = await running.begin(3, team_id=member.team_id, given=True)
    if by_admin:
        by = update(operation).where(operation.c.id == operation_id)
        await tasks.rows.execute(by.values(user_id=api.admin.user_id, role=Role.ADMIN))
    await remove(api, member.team_id)
    await running.run(kind)
    assert kind.order == []
    assert (await running.row(operation_id))["failure_code"] == "creator-removed"


async def test_an_item_that_was_claimed_before_the_removal_is_not_done(api: Api, tasks: Tasks) -> None:
    member = await api.user()
    running = Operations(tasks)
    operation_id = await running.begin(2, team_id=member.team_id, given=True)

    async def removed_meanwhile(at: str, position: int) -> None:
        if (at, position) == ("mark", 1):
            await tasks.rows.execute(update(team).where(team.c.id == member.team_id).values(deleting_at=func.now()))

    await running.run(Counting(reached=removed_meanwhile))  # type: ignore[arg-type]
    assert set(await running.effects(operation_id)) == {1}


async def test_a_user_whom_many_rows_name_is_removed_by_an_operation(
    api: Api, tasks: Tasks, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "_MAX_REFERENCES", 0)
    row, _ = await tasks.image("ready", team_id=member.team_id, uploaded_by=member.user_id)
    answer = await api.client.delete(f"/api/v1/users/{member.user_id}", headers=api.admin.headers)
    assert answer.status_code == 202
    assert (await api.client.get("/api/v1/whoami", headers=member.headers)).status_code == 401
    await work(tasks)
    assert await state(api, UUID(answer.json()["operation_id"])) == ("succeeded", 1, 1, 0)
    assert await tasks.count(user, user.c.id == member.user_id) == 0
    assert (await tasks.row(row["id"]))["uploaded_by"] is None

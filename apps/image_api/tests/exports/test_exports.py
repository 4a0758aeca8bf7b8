"""Exports list the images that a filter matches, with addresses of originals that are signed when they are read."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import delete, select, update

from image_api.actor import Role
from image_api.exports import service
from image_api.exports.images import EXPORT
from image_api.operations import tasks as operations
from image_api.operations.items import NewItem
from image_api.operations.service import create
from image_api.tasks import runner
from image_api.tasks_app import STEPS
from image_core import models, testing
from image_core.delivery import grant
from image_core.keys import master_secrets
from image_core.testing import UserWithKey

from ..conftest import DELIVERY, Api
from ..housekeeping import Tasks
from ..operations.counting import actor_of

URL = "/api/v1/exports"


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_IDLE_SECONDS", 0.0)


async def begin(api: Api, by: UserWithKey, **filters: Any) -> str:
    """Begin an export, and return its id."""
    answer = await api.client.post(URL, headers=by.headers, json={"filter": filters or {"tag": ["fjord"]}})
    assert answer.status_code == 202, answer.text
    operation_id: str = answer.json()["operation_id"]
    return operation_id


async def run(tasks: Tasks) -> None:
    await runner.run_step(tasks.parts, "operations", STEPS["operations"], 30)


async def manifest_of(
    api: Api, by: UserWithKey, operation_id: str, **parameters: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the lines of one response, and the address of the next one."""
    answer = await api.client.get(f"{URL}/{operation_id}/manifest", headers=by.headers, params=parameters)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    return [orjson.loads(line) for line in answer.content.splitlines()], answer.links.get("next", {}).get("url")


def is_signed(url: str, image_id: UUID, api: Api) -> bool:
    address = grant.parse(url.removeprefix(str(DELIVERY["delivery_url"])))
    assert address is not None
    assert address.grant is not None
    key = grant.key_bytes(master_secrets.from_text(str(DELIVERY["delivery_master"])), address.grant.key_number)
    is_of_image = (address.image_id, address.spec, address.extension) == (image_id, "original", "file")
    return is_of_image and address.grant.scope == "e" and grant.is_signed_by(key, address)


@pytest.fixture
async def images(api: Api, member: UserWithKey) -> list[UUID]:
    assert member.team_id is not None
    return [await testing.add_image(api.rows, member.team_id, tags=["fjord"]) for _ in range(3)]


class TestManifest:
    async def test_has_every_image_of_the_team_that_matched(
        self, api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey, images: list[UUID]
    ) -> None:
        assert member.team_id is not None
        assert stranger.team_id is not None
        await testing.add_image(api.rows, stranger.team_id, tags=["fjord"], filename="secret.png")
        await testing.add_image(api.rows, member.team_id, tags=["fell"])
        await begin(api, member, tag="fell")
        operation_id = await begin(api, member)
        await run(tasks)
        lines, following = await manifest_of(api, member, operation_id)
        assert [line["position"] for line in lines] == [1, 2, 3]
        assert [UUID(line["image_id"]) for line in lines] == images[::-1]
        assert following is None
        for line in lines:
            row = await api.row(line["image_id"])
            assert is_signed(line["url"], row["id"], api)
            image = line["image"]
            assert (image["id"], image["sha256"], image["tags"]) == (line["image_id"], row["sha256"].hex(), ["fjord"])
            assert (image["metadata"], line["code"], line["detail"]) == ({}, None, None)

    async def test_signs_anew_at_each_reading_for_a_bounded_time(
        self, api: Api, tasks: Tasks, member: UserWithKey, images: list[UUID]
    ) -> None:
        operation_id = await begin(api, member)
        await run(tasks)
        actor, read = actor_of(member.user_id, member.team_id), []
        for now in (1_800_000_000.0, 1_800_090_000.0):
            manifest = await service.read_manifest(api.services, actor, UUID(operation_id), 0, 9, partial(float, now))
            assert now + 3600 <= manifest.expiry_minutes * 60 <= now + 3600 * 8 / 7 + 60
            read.append(manifest.expiry_minutes)
        assert read[0] < read[1]

    async def test_names_images_that_have_gone_since(
        self, api: Api, tasks: Tasks, member: UserWithKey, images: list[UUID]
    ) -> None:
        operation_id = await begin(api, member)
        await run(tasks)
        image = models.image
        await api.rows.execute(delete(image).where(image.c.id == images[0]))
        await api.rows.execute(update(image).where(image.c.id == images[1]).values(deleted_at=testing.func.now()))
        lines, _ = await manifest_of(api, member, operation_id)
        kept, trashed, purged = lines
        assert kept["url"] is not None
        for line, image_id in ((trashed, images[1]), (purged, images[0])):
            nothing = {"url": None, "expires_at": None, "image": None}
            assert line.items() >= {"image_id": str(image_id), "code": "image-not-found", **nothing}.items()

    async def test_does_not_show_an_image_that_another_team_has_now(
        self, api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey, images: list[UUID]
    ) -> None:
        operation_id = await begin(api, member)
        await run(tasks)
        moved = update(models.image).where(models.image.c.id == images[0]).values(team_id=stranger.team_id)
        await api.rows.execute(moved)
        lines, _ = await manifest_of(api, member, operation_id)
        assert (lines[2]["code"], lines[2]["image"]) == ("image-not-found", None)

    async def test_another_teams_image_is_no_item(
        self, api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        assert stranger.team_id is not None
        theirs = await testing.add_image(api.rows, stranger.team_id)
        actor = actor_of(member.user_id, member.team_id)
        async with api.rows.transaction() as transaction:
            operation_id = await create(transaction, actor, EXPORT, member.team_id, {}, items=[NewItem(theirs)])
        await run(tasks)
        lines, _ = await manifest_of(api, member, str(operation_id))
        assert [line["code"] for line in lines] == ["image-not-found"]
        found = select(models.operation_item.c.state).where(models.operation_item.c.operation_id == operation_id)
        assert await api.rows.fetch_value(found) == "failed"

    async def test_an_image_that_is_processed_again_is_exported(
        self, api: Api, tasks: Tasks, member: UserWithKey, images: list[UUID]
    ) -> None:
        image = models.image
        await api.rows.execute(update(image).where(image.c.id == images[0]).values(status="stored"))
        operation_id = await begin(api, member)
        await run(tasks)
        assert all(line["url"] for line in (await manifest_of(api, member, operation_id))[0])

    async def test_what_is_not_ready_has_failed(self, api: Api, tasks: Tasks, member: UserWithKey) -> None:
        assert member.team_id is not None
        failed = await testing.add_image(api.rows, member.team_id, "failed", tags=["fjord"])
        operation_id = await begin(api, member)
        await run(tasks)
        answer = await api.client.get(f"/api/v1/operations/{operation_id}/failures", headers=member.headers)
        failure = orjson.loads(answer.content)
        assert (failure["image_id"], failure["code"]) == (str(failed), "image-not-ready")
        lines, _ = await manifest_of(api, member, operation_id)
        assert [(line["code"], line["url"]) for line in lines] == [("image-not-ready", None)]

    async def test_comes_in_pages_that_can_be_read_from_any_line(
        self, api: Api, tasks: Tasks, member: UserWithKey, images: list[UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "_CHUNK", 2)
        operation_id = await begin(api, member)
        await run(tasks)
        lines, following = await manifest_of(api, member, operation_id, limit=3)
        assert (len(lines), following) == (3, None)
        lines, following = await manifest_of(api, member, operation_id, limit=2)
        assert (len(lines), following) == (2, f"{URL}/{operation_id}/manifest?after_position=2&limit=2")
        lines, following = await manifest_of(api, member, operation_id, after_position=2)
        assert ([line["position"] for line in lines], following) == ([3], None)
        assert await manifest_of(api, member, operation_id, after_position=3) == ([], None)


class TestByIds:
    async def begin(self, api: Api, by: UserWithKey, image_ids: list[UUID]) -> str:
        body = {"image_ids": [str(each) for each in image_ids]}
        answer = await api.client.post(URL, headers=by.headers, json=body)
        assert answer.status_code == 202, answer.text
        operation_id: str = answer.json()["operation_id"]
        return operation_id

    async def test_images_keep_their_order_and_those_that_are_not_the_teams_fail(
        self, api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey, images: list[UUID]
    ) -> None:
        assert stranger.team_id is not None
        theirs, absent = await testing.add_image(api.rows, stranger.team_id, size_bytes=7000), uuid4()
        named = [images[1], theirs, images[2], absent, images[1]]
        operation_id = await self.begin(api, member, named)
        begun = (await api.client.get(f"/api/v1/operations/{operation_id}", headers=member.headers)).json()
        assert (begun["total"], begun["parameters"], begun["estimate"]["bytes"]) == (4, {}, 2000)
        await run(tasks)
        lines, _ = await manifest_of(api, member, operation_id)
        assert [UUID(line["image_id"]) for line in lines] == named[:4]
        assert [line["code"] for line in lines] == [None, "image-not-found", None, "image-not-found"]
        answer = await api.client.get(f"/api/v1/operations/{operation_id}/failures", headers=member.headers)
        failures = [orjson.loads(line) for line in answer.content.splitlines()]
        assert [(each["position"], each["code"], each["detail"]) for each in failures] == [
            (position, "image-not-found", "The image does not exist.") for position in (2, 4)
        ]

    async def test_an_admin_exports_of_the_team_that_is_named_alone(
        self, api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey, images: list[UUID]
    ) -> None:
        assert stranger.team_id is not None
        theirs = await testing.add_image(api.rows, stranger.team_id)
        body = {"image_ids": [str(images[0]), str(theirs)]}
        refused = await api.client.post(URL, headers=api.admin.headers, json=body)
        assert refused.json()["code"] == "team-required"
        begun = await api.client.post(f"{URL}?team_id={member.team_id}", headers=api.admin.headers, json=body)
        await run(tasks)
        lines, _ = await manifest_of(api, api.admin, begun.json()["operation_id"])
        assert [line["code"] for line in lines] == [None, "image-not-found"]

    async def test_ten_thousand_are_the_most(self, api: Api, member: UserWithKey) -> None:
        ids = [str(UUID(int=number)) for number in range(10_001)]
        assert (await api.client.post(URL, headers=member.headers, json={"image_ids": ids})).status_code == 422
        assert (await api.client.post(URL, headers=member.headers, json={"image_ids": ids[1:]})).status_code == 202

    async def test_images_are_named_in_one_way(self, api: Api, member: UserWithKey) -> None:
        ids = [str(uuid4())]
        for body in ({}, {"image_ids": []}, {"image_ids": ["x"]}, {"image_ids": ids, "filter": {"tag": "a"}}):
            answer = await api.client.post(URL, headers=member.headers, json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid"), body
        for body in ({"image_ids": ids, "filter": None}, {"image_ids": None, "filter": {"tag": "a"}}):
            assert (await api.client.post(URL, headers=member.headers, json=body)).status_code == 202, body


class TestRights:
    async def test_there_is_no_manifest_before_the_end_and_none_of_a_cancelled_export(
        self, api: Api, tasks: Tasks, images: list[UUID], member: UserWithKey
    ) -> None:
        viewer = await api.user(member.team_id, Role.VIEWER)
        operation_id = await begin(api, viewer)
        path = f"{URL}/{operation_id}/manifest"
        early = await api.client.get(path, headers=viewer.headers)
        assert (early.status_code, early.json()["code"]) == (409, "export-not-finished")
        assert early.json()["operation_status"] == "estimating"
        # Whoever may only read cancels their own.
        cancelled = await api.client.post(f"/api/v1/operations/{operation_id}/cancel", headers=viewer.headers)
        assert cancelled.status_code == 200, cancelled.text
        await run(tasks)
        late = await api.client.get(path, headers=viewer.headers)
        assert (late.status_code, late.json()["operation_status"]) == (409, "cancelled")

    async def test_an_export_is_its_teams_alone(
        self, api: Api, tasks: Tasks, member: UserWithKey, stranger: UserWithKey, images: list[UUID]
    ) -> None:
        operation_id = await begin(api, member)
        await run(tasks)
        path = f"{URL}/{operation_id}/manifest"
        refused = await api.client.get(path, headers=stranger.headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "operation-not-found")
        uploader = await api.user(member.team_id, scopes=("images:write",))
        assert (await api.client.get(path, headers=uploader.headers)).status_code == 403
        assert (await api.client.post(URL, headers=uploader.headers, json={"filter": {"tag": "a"}})).status_code == 403
        assert len((await manifest_of(api, api.admin, operation_id))[0]) == 3

    async def test_an_admin_names_the_team(self, api: Api, member: UserWithKey) -> None:
        body = {"filter": {"tag": "fjord"}}
        refused = await api.client.post(URL, headers=api.admin.headers, json=body)
        assert refused.json()["code"] == "team-required"
        named = await api.client.post(f"{URL}?team_id={member.team_id}", headers=api.admin.headers, json=body)
        assert named.status_code == 202

    async def test_another_operation_has_no_manifest(self, api: Api, tasks: Tasks, member: UserWithKey) -> None:
        body = {"filter": {"tag": "fjord"}, "action": "trash"}
        batch = await api.client.post("/api/v1/images/batch", headers=member.headers, json=body)
        await run(tasks)
        answer = await api.client.get(f"{URL}/{batch.json()['operation_id']}/manifest", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "operation-not-found")

    @pytest.mark.parametrize(
        ("wanted", "code"),
        [({}, "filter-invalid"), ({"order_by": "filename"}, "filter-invalid"), ({"tagg": "x"}, "filter-unknown"),
         ({"team_id": str(uuid4())}, "filter-unknown")],
    )  # fmt: skip
    async def test_a_broken_filter_begins_nothing(
        self, api: Api, member: UserWithKey, wanted: dict[str, Any], code: str
    ) -> None:
        answer = await api.client.post(URL, headers=member.headers, json={"filter": wanted})
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert await api.rows.fetch_value(select(models.operation.c.id)) is None

    async def test_a_deployment_without_delivery_exports_nothing(self, make_api: Any) -> None:
        async with make_api(delivery_url=None, delivery_master=None) as api:
            by = await api.user()
            answer = await api.client.post(URL, headers=by.headers, json={"filter": {"tag": "fjord"}})
            assert (answer.status_code, answer.json()["code"]) == (404, "delivery-not-configured")

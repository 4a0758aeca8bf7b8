"""Reading the audit log: filters, pages, export, and who may."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import bindparam, insert, select

from image_api.actor import Role
from image_api.audit_events import queries, service
from image_api.audit_events.tasks import seal_audit_log
from image_core.audit import events as audit
from image_core.ids import new_id
from image_core.models import audit_event
from image_core.testing import UserWithKey

from ..conftest import Api

PATH = "/api/v1/audit-events"


async def add(api: Api, **columns: Any) -> UUID:
    event_id = new_id()
    await api.rows.execute(insert(audit_event).values(id=event_id, **{"action": "a", "target_type": "x", **columns}))
    return event_id


async def listed(api: Api, **filters: Any) -> list[dict[str, Any]]:
    answer = await api.client.get(PATH, headers=api.admin.headers, params=filters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def exported(api: Api, *, unsealed: bool = True, **filters: Any) -> list[bytes]:
    if unsealed:
        filters["unsealed"] = "true"
    answer = await api.client.get(f"{PATH}/export", headers=api.admin.headers, params=filters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return answer.content.splitlines(keepends=True)


class TestWriting:
    async def test_a_change_says_who_what_on_what_before_after_and_whence(self, api: Api) -> None:
        team_id = await api.team("North")
        answer = await api.client.patch(f"/api/v1/teams/{team_id}", headers=api.admin.headers, json={"name": "South"})
        (event,) = await listed(api)
        row = await api.rows.fetch_one(select(audit_event))
        assert row is not None
        assert event | {"id": None, "created_at": None, "position": None} == {
            "id": None, "position": None, "created_at": None, "session_id": None,
            "action": "team.changed", "target_type": "team", "target_id": str(team_id), "team_id": str(team_id),
            "actor_user_id": str(api.admin.user_id), "credential_id": str(row["credential_id"]),
            "before": {"name": "North"}, "after": {"name": "South"},
            "request_id": answer.headers["x-request-id"], "address": "127.0.0.1",
        }  # fmt: skip

    async def test_a_log_line_tells_of_it_by_ids_once_it_is_committed(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO"):
            await api.client.post("/api/v1/teams", headers=api.admin.headers, json={"name": "Secret name"})
            await api.client.post("/api/v1/teams", headers=api.admin.headers, json={"name": "Secret name"})
        (line,) = [record.json_fields for record in caplog.records if record.message == audit.LOG_EVENT]  # type: ignore[attr-defined]
        (event,) = await listed(api)
        assert (str(line["audit_event_id"]), line["action"]) == (event["id"], "team.created")
        assert str(line["actor_user_id"]) == event["actor_user_id"]
        assert not {"before", "after", "address"} & line.keys()
        assert "Secret name" not in str(line)

    async def test_an_upload_tells_who_brought_which_bytes(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        again = await api.upload(member)
        assert again["id"] == image["id"]
        (event,) = await listed(api, action="image.*")
        assert (event["action"], event["target_id"], event["team_id"]) == (
            "image.uploaded", image["id"], str(member.team_id),
        )  # fmt: skip
        assert (event["actor_user_id"], event["credential_id"]) == (str(member.user_id), str(member.credential_id))
        assert event["after"] == {"sha256": image["sha256"], "size_bytes": image["size_bytes"]}

    async def test_an_upload_that_was_refused_brought_nothing(self, api: Api, member: UserWithKey) -> None:
        answer = await api.client.post("/api/v1/images", headers=member.headers, content=b"no picture")
        assert answer.status_code in (400, 415, 422)
        assert await listed(api, action="image.*") == []

    async def test_an_upload_of_what_is_in_the_trash_restores_it(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        deleted = await api.client.delete(f"/api/v1/images/{image['id']}", headers=api.admin.headers)
        assert deleted.status_code == 204
        await api.upload(member)
        told = [(event["action"], event["actor_user_id"]) for event in await listed(api, action="image.*")]
        member_id, admin_id = str(member.user_id), str(api.admin.user_id)
        assert told == [("image.restored", member_id), ("image.trashed", admin_id), ("image.uploaded", member_id)]

    async def test_of_an_images_metadata_only_the_names_are_kept(self, api: Api, member: UserWithKey) -> None:
        image = await api.upload(member)
        patch = {"filename": "Jane.png", "metadata": {"age": "41", "gender": "f"}, "tags": ["ill"]}
        await api.client.patch(f"/api/v1/images/{image['id']}", headers=member.headers, json=patch)
        (event,) = await listed(api, action="image.changed")
        assert event["before"] is None
        assert event["after"] == {"fields": ["filename", "metadata", "tags"], "metadata_keys": ["age", "gender"]}


class TestFilters:
    @pytest.mark.parametrize(
        "name", ["team_id", "actor_user_id", "credential_id", "session_id", "target_id", "request_id", "address"]
    )
    async def test_a_filter_finds_its_own(self, api: Api, name: str) -> None:
        values = [str(uuid4()), str(uuid4())]
        is_id = name.endswith("_id") and name != "request_id"
        ids = [await add(api, **{name: UUID(value) if is_id else value}) for value in values]
        assert [item["id"] for item in await listed(api, **{name: values[0]})] == [str(ids[0])]
        assert len(await exported(api, **{name: values[1]})) == 1
        assert await listed(api, **{name: str(uuid4())}) == []

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ("image.changed", ["image.changed"]),
            ("image.*", ["image.trashed", "image.changed"]),
            ("image_*", ["image_x.y"]),
            ("image", []),
        ],
    )
    async def test_an_action_is_asked_for_exactly_or_by_its_beginning(
        self, api: Api, asked: str, found: list[str]
    ) -> None:
        for action in ("image.changed", "image.trashed", "image_x.y"):
            await add(api, action=action)
        assert [item["action"] for item in await listed(api, action=asked)] == found

    async def test_a_span_of_time_begins_with_its_start_and_ends_before_its_end(self, api: Api) -> None:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        for hour in range(4):
            await add(api, action=f"h{'abcd'[hour]}", created_at=start + timedelta(hours=hour))
        span = {"created_after": (start + timedelta(hours=1)).isoformat(), "created_before": "2026-01-01T03:00:00Z"}
        assert [item["action"] for item in await listed(api, **span)] == ["hc", "hb"]

    async def test_filters_narrow_together(self, api: Api) -> None:
        team_id = await api.team()
        await add(api, team_id=team_id, action="x.y", target_type="image")
        await add(api, team_id=team_id, action="x.z")
        assert len(await listed(api, team_id=team_id, action="x.*", target_type="image")) == 1

    @pytest.mark.parametrize(
        "query",
        [
            "team_id=x",
            "action=A%25",
            "action=**",
            "limit=0",
            "limit=201",
            "created_after=yesterday",
            "address=",
        ],
    )
    async def test_what_is_no_filter_is_refused_by_name(self, api: Api, query: str) -> None:
        answer = await api.client.get(f"{PATH}?{query}", headers=api.admin.headers)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"].endswith(query.partition("=")[0])

    async def test_a_cursor_that_nobody_gave_is_refused(self, api: Api) -> None:
        answer = await api.client.get(f"{PATH}?cursor=x", headers=api.admin.headers)
        assert answer.json()["code"] == "cursor-invalid"


async def test_pages_follow_one_another_without_gap_or_repetition(api: Api) -> None:
    ids = [str(await add(api)) for _ in range(5)]
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.client.get(PATH, headers=api.admin.headers, params=parameters)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
        await add(api)  # what comes in meanwhile shifts nothing
    assert seen == ids[::-1]


class TestExport:
    async def test_more_than_one_batch_comes_in_the_order_of_the_log(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "_BATCH", 3)
        ids = [str(await add(api)) for _ in range(10)]
        assert [json.loads(line)["id"] for line in await exported(api)] == ids
        first = await queries.after_position(api.rows, {}, 0, 2**62, 3)
        assert [str(row["id"]) for row in first] == ids[:3]

    async def test_a_whole_number_of_batches_ends_as_well(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "_BATCH", 3)
        for _ in range(6):
            await add(api)
        assert len(await exported(api)) == 6

    async def test_it_goes_on_after_the_last_line_that_came(self, api: Api) -> None:
        for _ in range(5):
            await add(api)
        whole = await exported(api)
        assert await exported(api, after_position=json.loads(whole[2])["position"]) == whole[3:]

    async def test_what_is_committed_late_is_in_the_export_that_goes_on(self, api: Api) -> None:
        assert await exported(api, unsealed=False) == []
        async with api.rows.transaction() as late:
            # Its position is drawn now, its row is there only after the commit.
            statement = insert(audit_event).values(id=new_id(), action="late", target_type="x")
            await late.execute(statement)
            await add(api, action="early")
            assert [json.loads(line)["action"] for line in await exported(api)] == ["early"]
            assert await seal_audit_log(api.rows, interval=timedelta(0), patience_seconds=0) == 0
            assert await exported(api, unsealed=False) == []
        await seal_audit_log(api.rows, interval=timedelta(0))
        first = await exported(api, unsealed=False)
        assert [json.loads(line)["action"] for line in first] == ["late", "early"]
        await add(api, action="next")
        last = json.loads(first[-1])["position"]
        assert await exported(api, unsealed=False, after_position=last) == []
        await seal_audit_log(api.rows, interval=timedelta(0))
        following = await exported(api, unsealed=False, after_position=last)
        assert [json.loads(line)["action"] for line in following] == ["next"]

    async def test_a_line_is_the_one_that_seals_are_made_of(self, api: Api) -> None:
        await api.rows.execute(
            insert(audit_event).values(id=new_id(), action="a", target_type="x", after=bindparam("json")),
            json='{"b": 12345678901234567890.50}',
        )
        row = await api.rows.fetch_one(select(*audit.LINE_COLUMNS))
        assert row is not None
        assert await exported(api) == [audit.line(row)]

    async def test_nothing_to_export_is_an_empty_answer(self, api: Api) -> None:
        assert await exported(api, action="nothing.*") == []


@pytest.mark.parametrize("path", [PATH, f"{PATH}/export"])
@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
async def test_the_scope_alone_opens_nothing_to_who_is_no_admin(api: Api, path: str, role: Role) -> None:
    team_id = await api.team()
    await add(api, team_id=team_id)
    by = await api.user(team_id, role=role, scopes=("admin",))
    answer = await api.client.get(path, headers=by.headers, params={"team_id": str(team_id)})
    assert (answer.status_code, answer.json()["code"]) == (403, "role-missing")

"""Declared metadata: who declares, what an upload and a change may then say, and what stays as it was."""

import asyncio
import json
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import select

from image_api.actor import Role
from image_api.metadata_schemas import queries
from image_core import testing
from image_core.models import audit_event, event
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import picture
from ..uploading import IMAGES

SCHEMA = "/api/v1/metadata-schema"
FIELDS: list[dict[str, Any]] = [
    {"name": "title", "type": "string", "required": True},
    {"name": "age", "type": "integer", "min": 0, "max": 130, "pii": True},
    {"name": "ratio", "type": "number", "min": 0.5},
    {"name": "public", "type": "boolean"},
    {"name": "taken", "type": "date", "min": "2000-01-01"},
    {"name": "size", "type": "enum", "enum": ["small", "large"]},
]


async def declare(api: Api, team_id: UUID | None, body: Any, expected: int = 200, **headers: str) -> dict[str, Any]:
    answer = await api.client.put(
        SCHEMA, params={"team_id": str(team_id)}, json=body, headers={**api.admin.headers, **headers}
    )
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def send(api: Api, by: UserWithKey, metadata: Any, expected: int = 201) -> dict[str, Any]:
    files = {"metadata": (None, json.dumps(metadata)), "file": ("a.png", picture(hash(str(metadata)) % 1000))}
    answer = await api.client.post(IMAGES, headers=by.headers, files=files)
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def change(
    api: Api, by: UserWithKey, image_id: UUID, metadata: Any, expected: int = 200, **headers: str
) -> dict[str, Any]:
    answer = await api.client.patch(
        f"{IMAGES}/{image_id}", headers={**by.headers, **headers}, json={"metadata": metadata}
    )
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_each_team_has_its_own_fields(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    assert member.team_id is not None
    assert stranger.team_id is not None
    async with api.rows.transaction() as transaction:
        await queries.lock(transaction, stranger.team_id)
    await declare(api, member.team_id, {"fields": FIELDS})
    found = [await queries.find(api.rows, user.team_id) for user in (member, stranger) if user.team_id]
    assert [row and (row["team_id"], row["fields"] == "[]") for row in found] == [
        (member.team_id, False), (stranger.team_id, True),
    ]  # fmt: skip


class TestDeclaring:
    async def test_a_team_without_a_schema_shows_none(self, api: Api, member: UserWithKey) -> None:
        answer = await api.client.get(SCHEMA, headers=member.headers)
        assert (answer.json()["fields"], answer.headers["etag"]) == ([], '"0"')

    async def test_what_is_declared_is_shown_to_the_team(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        answer = await api.client.get(SCHEMA, headers=member.headers)
        shown = [{name: value for name, value in each.items() if value} for each in answer.json()["fields"]]
        assert shown == [{name: value for name, value in each.items() if value} for each in FIELDS]

    async def test_the_template_declares_four_personal_fields_that_nobody_has_to_give(
        self, api: Api, member: UserWithKey
    ) -> None:
        told = await declare(api, member.team_id, {"template": "photo-submission"})
        assert [(each["name"], each["pii"], each["required"]) for each in told["fields"]] == [
            (name, True, False) for name in ("age", "gender", "place_of_living", "country_of_origin")
        ]
        assert len(told["fields"][3]["enum"]) == 249

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"fields": []},
            {"fields": FIELDS, "template": "photo-submission"},
            {"template": "no-such"},
            {"fields": [{"name": "a", "type": "text"}]},
            {"fields": [{"name": "a b", "type": "string"}]},
            {"fields": [{"name": "a", "type": "string"}, {"name": "a", "type": "date"}]},
            {"fields": [{"name": "a", "type": "enum"}]},
            {"fields": [{"name": "a", "type": "enum", "enum": ["x", "x"]}]},
            {"fields": [{"name": "a", "type": "string", "enum": ["x"]}]},
            {"fields": [{"name": "a", "type": "string", "min": 1}]},
            {"fields": [{"name": "a", "type": "integer", "min": "2000-01-01"}]},
            {"fields": [{"name": "a", "type": "integer", "min": 2, "max": 1}]},
            {"fields": [{"name": "a", "type": "integer", "min": True}]},
            {"fields": [{"name": "a", "type": "date", "min": "2000-13-01"}]},
            {"fields": [{"name": "a", "type": "string", "team_id": "x"}]},
            {"fields": [{"name": f"k{n}", "type": "string"} for n in range(51)]},
            {"fields": FIELDS, "team_id": "x"},
            {"fields": FIELDS, "revision": 7},
        ],
        ids=lambda body: json.dumps(body)[:60],
    )
    async def test_what_makes_no_sense_is_refused(self, api: Api, member: UserWithKey, body: Any) -> None:
        assert (await declare(api, member.team_id, body, 422))["errors"]

    async def test_only_an_admin_declares(self, api: Api, member: UserWithKey) -> None:
        deputy = await api.user(member.team_id, scopes=("images:read", "admin"))
        for by, code in ((member, "scope-missing"), (deputy, "role-missing")):
            for method in ("PUT", "DELETE"):
                answer = await api.client.request(method, SCHEMA, headers=by.headers, json={"fields": FIELDS})
                assert (answer.status_code, answer.json()["code"]) == (403, code)

    async def test_an_admin_names_the_team(self, api: Api) -> None:
        for method in ("GET", "PUT", "DELETE"):
            answer = await api.client.request(method, SCHEMA, headers=api.admin.headers, json={"fields": FIELDS})
            assert answer.json()["code"] == "team-required"
            absent = await api.client.request(
                method, SCHEMA, params={"team_id": str(UUID(int=9))}, headers=api.admin.headers, json={"fields": FIELDS}
            )
            assert absent.json()["code"] == "team-not-found"

    async def test_another_teams_schema_is_not_there(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        answer = await api.client.get(SCHEMA, params={"team_id": str(stranger.team_id)}, headers=member.headers)
        assert answer.status_code == 404

    async def test_a_stale_copy_changes_nothing(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS}, **{"if-match": '"0"'})
        await declare(api, member.team_id, {"fields": FIELDS[:1]}, 412, **{"if-match": '"0"'})
        await declare(api, member.team_id, {"fields": FIELDS[:1]}, **{"if-match": '"1"'})

    async def test_of_two_first_declarations_at_once_one_wins(self, api: Api, member: UserWithKey) -> None:
        parameters = {"team_id": str(member.team_id)}
        headers = {**api.admin.headers, "if-match": '"0"'}
        answers = await asyncio.gather(
            *(
                api.client.put(SCHEMA, params=parameters, headers=headers, json={"fields": FIELDS[:n]})
                for n in (1, 2, 3, 4)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]

    async def test_after_removal_metadata_are_free_and_no_etag_comes_back(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        removed = await api.client.delete(
            SCHEMA, params={"team_id": str(member.team_id)}, headers={**api.admin.headers, "if-match": '"1"'}
        )
        assert removed.status_code == 204
        await send(api, member, {"anything": "goes"})
        await declare(api, member.team_id, {"fields": FIELDS}, 412, **{"if-match": '"1"'})


# What is sent for each field, and what is stored; None where it is refused.
VALUES = [
    ("title", "x", "x"), ("title", "", ""), ("title", 1, None), ("title", True, None),
    ("age", 18, 18), ("age", 18.0, 18), ("age", 0, 0), ("age", 130, 130), ("age", "18", None), ("age", 18.5, None),
    ("age", True, None), ("age", -1, None), ("age", 131, None),
    ("ratio", 0.5, 0.5), ("ratio", 3, 3), ("ratio", 0.4, None), ("ratio", "1", None), ("ratio", False, None),
    ("public", True, True), ("public", False, False), ("public", 1, None), ("public", "true", None),
    ("taken", "2026-02-28", "2026-02-28"), ("taken", "2026-02-29", None), ("taken", "20260228", None),
    ("taken", "1999-12-31", None), ("taken", "2026-02-28T00:00:00Z", None), ("taken", "2026-W09-1", None),
    ("taken", "２０２６-02-28", None), ("taken", 20260228, None),
    ("size", "small", "small"), ("size", "Small", None), ("size", 1, None),
    ("siz", "small", None),
]  # fmt: skip


class TestValues:
    @pytest.mark.parametrize(("name", "value", "stored"), VALUES)
    async def test_an_upload_holds_what_the_schema_takes(
        self, api: Api, member: UserWithKey, name: str, value: Any, stored: Any
    ) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        told = await send(api, member, {"title": "x", name: value}, 422 if stored is None else 201)
        if stored is None:
            assert [each["field"] for each in told["errors"]] == [f"metadata.{name}"]
        else:
            assert orjson.dumps(told["metadata"][name]) == orjson.dumps(stored)

    async def test_every_wrong_field_is_named_and_no_value_is_repeated(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        told = await send(api, member, {"age": "personal-7", "size": "personal-8", "titel": "x"}, 422)
        assert {each["field"] for each in told["errors"]} == {
            "metadata.age", "metadata.size", "metadata.title", "metadata.titel"
        }  # fmt: skip
        assert "Did you mean 'title'?" in str(told)
        assert "personal" not in str(told)

    async def test_a_required_field_may_follow_the_file(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        parts = [("file", ("a.png", picture(3))), ("metadata", (None, '{"title": "later"}'))]
        answer = await api.client.post(IMAGES, headers=member.headers, files=parts)
        assert (answer.status_code, answer.json()["metadata"]) == (201, {"title": "later"})

    async def test_a_raw_upload_lacks_what_is_required(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"fields": FIELDS})
        answer = await api.client.post(
            IMAGES, content=picture(4), headers={**member.headers, "content-type": "image/png"}
        )
        assert [each["field"] for each in answer.json()["errors"]] == ["metadata.title"]

    async def test_images_stay_as_they_are_when_a_schema_comes(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id, metadata={"age": "eighteen", "old": 1})
        await declare(api, member.team_id, {"fields": FIELDS})
        told = await change(api, member, image_id, {"public": True})
        assert told["metadata"] == {"age": "eighteen", "old": 1, "public": True}
        await change(api, member, image_id, {"old": 2}, 422)
        assert (await change(api, member, image_id, {"old": None}))["metadata"] == {"age": "eighteen", "public": True}


class TestMergePatch:
    @pytest.mark.parametrize(
        ("patch", "merged"),
        [
            ({}, {"title": "x", "age": 7}),
            ({"age": None}, {"title": "x"}),
            ({"age": 8.0}, {"title": "x", "age": 8}),
            ({"size": "large"}, {"title": "x", "age": 7, "size": "large"}),
            ({"taken": None}, {"title": "x", "age": 7}),
            ({"title": None}, None),
            ({"age": "8"}, None),
            ({"team_id": "x"}, None),
            ({"age": {"gte": 1}}, None),
        ],
    )
    async def test_null_removes_and_the_rest_is_checked(
        self, api: Api, member: UserWithKey, patch: Any, merged: Any
    ) -> None:
        assert member.team_id is not None
        await declare(api, member.team_id, {"fields": FIELDS})
        image_id = await testing.add_image(api.rows, member.team_id, metadata={"title": "x", "age": 7})
        told = await change(api, member, image_id, patch, 200 if merged else 422)
        stored = orjson.loads((await api.row(image_id))["metadata"])
        assert stored == (merged or {"title": "x", "age": 7})
        assert merged is None or told["metadata"] == merged

    async def test_of_changes_at_once_with_one_etag_one_wins(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        await declare(api, member.team_id, {"fields": FIELDS})
        image_id = await testing.add_image(api.rows, member.team_id, metadata={"title": "x"})
        headers = {**member.headers, "if-match": '"1"'}
        answers = await asyncio.gather(
            *(
                api.client.patch(f"{IMAGES}/{image_id}", headers=headers, json={"metadata": {"age": n}})
                for n in range(4)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]

    async def test_changes_of_two_fields_at_once_both_stay(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id)
        await asyncio.gather(*(change(api, member, image_id, {f"k{n}": n}) for n in range(6)))
        assert orjson.loads((await api.row(image_id))["metadata"]) == {f"k{n}": n for n in range(6)}


class TestPersonalValues:
    async def test_they_are_in_no_log_no_event_and_no_audit_record(
        self, api: Api, member: UserWithKey, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG", "image_manager")
        await declare(api, member.team_id, {"template": "photo-submission"})
        told = await send(api, member, {"place_of_living": "Qaanaaq"})
        await change(api, member, told["id"], {"place_of_living": "Ittoqqortoormiit"})
        await change(api, member, told["id"], {"gender": "Tasiilaq"}, 422)
        found = await api.client.get(
            IMAGES, params={"meta.place_of_living": "Ittoqqortoormiit"}, headers=member.headers
        )
        assert [each["id"] for each in found.json()["items"]] == [told["id"]]
        await api.client.delete(f"{IMAGES}/{told['id']}", headers=api.admin.headers)
        rows = [*await api.rows.fetch(select(event)), *await api.rows.fetch(select(audit_event))]
        written = "".join(str(dict(row)) for row in rows) + "".join(
            str(vars(each)) for each in caplog.records if each.name.startswith("image_manager")
        )
        assert "image.changed" in written
        assert "'route': '/images/{image_id}'" in written
        for personal in ("Qaanaaq", "Ittoqqortoormiit", "Tasiilaq"):
            assert personal not in written

    async def test_whoever_may_read_the_image_sees_them(self, api: Api, member: UserWithKey) -> None:
        await declare(api, member.team_id, {"template": "photo-submission"})
        told = await send(api, member, {"age": 40})
        viewer = await api.user(member.team_id, Role.VIEWER)
        answer = await api.client.get(f"{IMAGES}/{told['id']}", headers=viewer.headers)
        assert answer.json()["metadata"] == {"age": 40}


async def test_only_schemas_with_fields_are_read_and_each_team_locks_its_own(api: Api) -> None:
    declared, emptied = await api.team(), await api.team()
    await declare(api, declared, {"fields": FIELDS})
    async with api.rows.transaction() as transaction:
        found = [await queries.lock(transaction, each) for each in (emptied, declared)]
    assert [row and row["team_id"] for row in found] == [emptied, declared]
    assert [row["team_id"] for row in await api.rows.fetch(queries._all_fields)] == [declared]

import hashlib
import json
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import select

from image_api.actor import Role
from image_core.models import event, image
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..pictures import picture
from ..uploading import IMAGES, PNG, count, form, post, stored_of


class TestWhatAnUploadBecomes:
    async def test_the_answer_tells_everything_that_is_known(self, api: Api, member: UserWithKey) -> None:
        answer = await api.client.post(
            IMAGES, content=picture(), headers={**member.headers, **PNG}, params={"filename": "a.png", "tags": "x"}
        )
        told = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{IMAGES}/{told['id']}"
        assert answer.headers["etag"] == '"2"'
        assert told["sha256"] == hashlib.sha256(picture()).hexdigest()
        assert told["size_bytes"] == len(picture())
        assert (told["status"], told["duplicate"], told["notice"]) == ("stored", False, None)
        assert (told["filename"], told["tags"]) == ("a.png", ["x"])
        assert UUID(told["uploaded_by"]) == member.user_id
        assert told["derivatives"] == []
        (created,) = await api.rows.fetch(select(event))
        assert (created["type"], created["image_id"], created["team_id"]) == (
            "image.created", UUID(told["id"]), member.team_id,
        )  # fmt: skip
        assert orjson.loads(created["payload"]) == {"revision": 2}
        assert created["published_at"] is not None

    async def test_the_object_holds_the_bytes_under_the_teams_name(self, api: Api, member: UserWithKey) -> None:
        told = await post(api, member, picture())
        name = f"originals/{member.team_id}/{told['id']}"
        stored = await api.services.originals.stat(name)
        assert stored is not None
        assert stored.content_type == "image/png"
        row = await api.row(told["id"])
        assert (row["generation"], row["object_name"]) == (stored.generation, name)
        assert await api.services.originals.read(name, None, 0, len(picture()) - 1) == picture()

    async def test_the_row_is_there_before_the_object(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really, seen = api.services.originals.put, []

        async def put(name: str, *arguments: Any) -> Any:
            seen.append((await api.only_row())["status"])
            return await really(name, *arguments)

        monkeypatch.setattr(api.services.originals, "put", put)
        await post(api, member, picture())
        assert seen == ["pending"]

    async def test_the_row_remembers_the_trace_of_its_upload(self, api: Api, member: UserWithKey) -> None:
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        told = await post(api, member, picture(), headers={"traceparent": trace})
        assert (await api.row(told["id"]))["trace_parent"] == trace

    @pytest.mark.parametrize("picture_format", ["png", "jpg", "webp", "gif", "tif"])
    async def test_each_format_is_stored_as_what_its_bytes_are(
        self, api: Api, member: UserWithKey, picture_format: str
    ) -> None:
        body = picture(1, picture_format)
        # Neither the declared type nor the extension is believed.
        told = await post(api, member, body, headers={"content-type": "image/heic"}, params={"filename": "a.bmp"})
        assert told["format"] == {"jpg": "jpeg", "tif": "tiff"}.get(picture_format, picture_format)
        assert told["content_type"] == f"image/{told['format']}"
        assert told["filename"] == "a.bmp"

    async def test_an_admin_names_the_team(self, api: Api, member: UserWithKey) -> None:
        told = await post(api, api.admin, picture(), params={"team_id": str(member.team_id)})
        assert told["team_id"] == str(member.team_id)
        assert (await post(api, api.admin, picture(), 422))["code"] == "team-required"
        assert (await post(api, api.admin, picture(), 404, params={"team_id": str(uuid4())}))[
            "code"
        ] == "team-not-found"

    async def test_a_member_uploads_to_no_other_team(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        for team_id in (stranger.team_id, uuid4()):
            told = await post(api, member, picture(), 404, params={"team_id": str(team_id)})
            assert told["code"] == "team-not-found"
        await post(api, member, picture(), params={"team_id": str(member.team_id)})

    async def test_the_short_path_does_the_same(self, api: Api, member: UserWithKey) -> None:
        await form(api, member, [("file", ("a.png", picture()))], path="/api/v1/upload")


class TestForms:
    @pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["before", "after"])
    async def test_fields_may_come_before_or_after_the_file(self, api: Api, member: UserWithKey, order: slice) -> None:
        parts: list[tuple[str, Any]] = [
            ("tags", (None, "fjord, norway ,,fjord")),
            ("metadata", (None, json.dumps({"country": "NO", "age": 18, "ok": True, "ratio": 0.5}))),
            ("filename", (None, "named.png")),
            ("file", ("in-the-part.png", picture())),
        ]
        told = await form(api, member, parts[order])
        assert told["tags"] == ["fjord", "norway"]
        assert told["metadata"] == {"country": "NO", "age": 18, "ok": True, "ratio": 0.5}

    async def test_tags_may_be_a_json_array(self, api: Api, member: UserWithKey) -> None:
        told = await form(api, member, [("tags", (None, '["a, b", "c"]')), ("file", ("a.png", picture()))])
        assert told["tags"] == ["a, b", "c"]

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("photo.png", "photo.png"),
            ("C:\\Users\\ada\\photo.png", "photo.png"),
            ("../../etc/passwd", "passwd"),
            ("a\x01b\u202e.png", "ab.png"),
            ("Ålesund 1.png", "Ålesund 1.png"),
            ("x" * 300 + ".png", "x" * 251 + ".png"),
            ("folder/", "a.png"),
        ],
    )
    async def test_of_a_filename_the_last_part_is_kept(
        self, api: Api, member: UserWithKey, sent: str, kept: str | None
    ) -> None:
        told = await form(api, member, [("filename", (None, sent)), ("file", ("a.png", picture()))])
        assert told["filename"] == kept

    async def test_the_parts_own_filename_is_taken_where_no_field_names_one(
        self, api: Api, member: UserWithKey
    ) -> None:
        told = await form(api, member, [("file", ("Ålesund.png", picture()))])
        assert told["filename"] == "Ålesund.png"

    @pytest.mark.parametrize(
        ("name", "value", "field"),
        [
            ("metadata", "{", "metadata"),
            ("metadata", "[1]", "metadata"),
            ("metadata", '{"a": {"b": 1}}', "metadata"),
            ("metadata", '{"a": "' + "x" * 513 + '"}', "metadata"),
            ("metadata", '{"a": "\\u0000"}', "metadata"),
            ("metadata", '{"": 1}', "metadata"),
            ("metadata", json.dumps({f"k{n}": n for n in range(51)}), "metadata"),
            ("tags", '["a", 1]', "tags"),
            ("tags", "[", "tags"),
            ("tags", '[["a"]]', "tags"),
            ("tags", "x" * 65, "tags"),
            ("tags", ",".join(map(str, range(51))), "tags"),
            ("tags", "a\nb", "tags"),
        ],
    )
    @pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
    async def test_a_field_that_is_wrong_is_named_and_nothing_is_kept(
        self, api: Api, member: UserWithKey, name: str, value: Any, field: str, first: bool
    ) -> None:
        parts: list[tuple[str, Any]] = [(name, (None, value)), ("file", ("a.png", picture()))]
        told = await form(api, member, parts if first else parts[::-1], 422)
        assert told["code"] == "request-invalid"
        assert told["errors"][0]["field"].split(".")[0] == field
        assert await count(api, image, image.c.status != "expired") == 0

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"nonsense",
            b'--b\r\ncontent-disposition: form-data; name="tags"\r\n\r\nx\r\n--b--\r\n',
            b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\n' + picture(),
            b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            b"--b\r\n\r\nx\r\n--b--\r\n",
            b'--b\r\ncontent-disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
            b'--b\r\ncontent-disposition: form-data; name="tags"\r\n\r\n' + b"x" * 600_000 + b"\r\n--b--\r\n",
            b'--b\r\ncontent-disposition: form-data; name="tags"\r\n\r\nx\r\n' * 30 + b"--b--\r\n",
            b"--b\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n",
            b'--b\r\ncontent-disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n',
        ],
        ids=[
            "empty",
            "no-boundary",
            "no-file",
            "cut",
            "no-name",
            "no-header",
            "unknown",
            "long",
            "many",
            "header",
            "latin",
        ],
    )
    async def test_a_broken_form_is_refused(self, api: Api, member: UserWithKey, body: bytes) -> None:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        told = await post(api, member, body, 400, headers=headers)
        assert told["code"] == "multipart-invalid"
        assert await count(api, image, image.c.status != "expired") == 0
        assert await stored_of(api, member.team_id) == []

    async def test_a_form_without_a_boundary_is_refused(self, api: Api, member: UserWithKey) -> None:
        told = await post(api, member, picture(), 400, headers={"content-type": "multipart/form-data"})
        assert told["code"] == "multipart-invalid"

    async def test_two_files_in_one_form_are_refused(self, api: Api, member: UserWithKey) -> None:
        told = await form(api, member, [("file", ("a.png", picture(1))), ("file", ("b.png", picture(2)))], 400)
        assert told["code"] == "multipart-invalid"
        assert await count(api, image, image.c.status != "expired") == 0


class TestOneLanguage:
    """What is said of a file reads alike in a form, in the query of a raw body, and in both together."""

    @pytest.mark.parametrize(
        ("tags", "kept"),
        [
            ([" a , ,b,a,"], ["a", "b"]),
            (["a", "b , c"], ["a", "b", "c"]),
            (['["a, b", " c ", ""]', "d"], ["a, b", "c", "d"]),
            (["", " , "], []),
        ],
    )
    async def test_tags_and_metadata(self, api: Api, member: UserWithKey, tags: list[str], kept: list[str]) -> None:
        fields = [("tags", tag) for tag in tags] + [("metadata", ' {"a": 1, "b": "x"} ')]
        raw = await api.client.post(IMAGES, content=picture(1), params=fields, headers={**member.headers, **PNG})
        parts: list[tuple[str, Any]] = [(name, (None, text)) for name, text in fields]
        in_form = await form(api, member, [*parts, ("file", ("a.png", picture(2)))])
        in_query = await api.client.post(
            IMAGES, params=fields, files=[("file", ("a.png", picture(3)))], headers=member.headers
        )
        for told in (raw.json(), in_form, in_query.json()):
            assert (told["tags"], told["metadata"]) == (kept, {"a": 1, "b": "x"})

    @pytest.mark.parametrize(
        "query", [{"metadata": "{"}, {"metadata": "[1]"}, {"metadata": '{"a": []}'}, {"tags": "["}]
    )
    async def test_a_query_is_checked_like_a_form(self, api: Api, member: UserWithKey, query: dict[str, str]) -> None:
        told = await post(api, member, picture(), 422, params=query)
        assert {each["field"].split(".")[0] for each in told["errors"]} == set(query)

    @pytest.mark.parametrize(
        ("names", "hint"),
        [(["metdata"], "Did you mean 'metadata'?"), (["xyzzy"], "Send one of: file, filename, tags, metadata."),
         (["metadata", "metadata"], "is repeated"), (["filename", "filename"], "is repeated")],
    )  # fmt: skip
    async def test_a_field_that_is_not_taken_is_refused(
        self, api: Api, member: UserWithKey, names: list[str], hint: str
    ) -> None:
        parts: list[tuple[str, Any]] = [(name, (None, "{}")) for name in names]
        told = await form(api, member, [*parts, ("file", ("a.png", picture()))], 400)
        assert (told["code"], hint in told["detail"]) == ("multipart-invalid", True)

    async def test_a_field_is_not_said_in_both_places(self, api: Api, member: UserWithKey) -> None:
        parts = [("metadata", (None, "{}")), ("file", ("a.png", picture()))]
        answer = await api.client.post(IMAGES, params={"metadata": "{}"}, files=parts, headers=member.headers)
        assert answer.json()["code"] == "multipart-invalid"

    async def test_a_classification_takes_the_file_alone(self, api: Api, member: UserWithKey) -> None:
        parts: list[tuple[str, Any]] = [("tags", (None, "a")), ("file", ("a.png", picture()))]
        told = await form(api, member, parts, 400, path="/api/v1/classify")
        assert told["code"] == "multipart-invalid"


async def test_uploads_have_a_limit_of_their_own(make_api: MakeApi) -> None:
    async with make_api(upload_rate_limit_per_second=1) as api:
        member = await api.user()
        answers = [
            await api.client.post(IMAGES, content=picture(n), headers={**member.headers, **PNG}) for n in range(3)
        ]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert answers[0].headers["ratelimit-policy"].startswith('"uploads"')
        assert int(answers[2].headers["retry-after"]) >= 1
        assert (await api.client.get(IMAGES, headers=member.headers)).status_code == 200


async def test_a_viewer_cannot_upload(api: Api) -> None:
    told = await post(api, await api.user(role=Role.VIEWER), picture(), 403)
    assert told["missing_scopes"] == ["images:write"]

import asyncio
import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import func, select, update

from image_api.uploads import receiving
from image_core import errors, testing
from image_core.db import to_json
from image_core.models import analysis, credit_account, image
from image_core.storage.protocol import ONE_REQUEST_BYTES, StoredObject
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..picture_server import serving, whole
from ..pictures import large_picture, picture
from ..uploading import PNG, count

CLASSIFY = "/api/v1/classify"
RESULT = {
    "labels": [{"label": "graphic", "score": 0.9}],
    "model": {"name": "built-in", "version": "1", "sha256": None},
    "notice": None,
    "source": "built-in",
}


async def send(api: Api, by: UserWithKey, body: Any = None, expected: int = 202, **params: Any) -> dict[str, Any]:
    """Classifies a raw body."""
    answer = await api.client.post(
        CLASSIFY, content=picture() if body is None else body, headers={**by.headers, **PNG},
        params={"wait": 0, **params},
    )  # fmt: skip
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def ask(api: Api, by: UserWithKey, expected: int = 202, /, **wish: Any) -> dict[str, Any]:
    """Classifies what JSON names."""
    answer = await api.client.post(CLASSIFY, json=wish, headers=by.headers, params={"wait": 0})
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def scratch_of(api: Api, by: UserWithKey) -> list[StoredObject]:
    return await api.services.scratch.list(f"scratch/{by.team_id}/")


async def end_all(api: Api, **columns: Any) -> None:
    """As the processor leaves a row when it is over."""
    await api.rows.execute(update(analysis).values(**columns))


async def finish_all(api: Api) -> None:
    await end_all(api, status="done", result=to_json(RESULT), analyzed_at=func.now())


async def only_analysis(api: Api) -> Any:
    (found,) = await api.rows.fetch(select(analysis))
    return found


class TestFile:
    async def test_file_waits_in_the_scratch_bucket(self, api: Api, member: UserWithKey) -> None:
        told = await send(api, member)
        assert (told["image_id"], told["analyzer"], told["status"]) == (None, "labels", "requested")
        assert told["sha256"] == hashlib.sha256(picture()).hexdigest()
        assert told["credits"] == {"spent": 1, "left": testing.STARTING_CREDITS - 1}
        (stored,) = await scratch_of(api, member)
        row = await only_analysis(api)
        assert (row["scratch_object"], row["scratch_generation"]) == (stored.name, stored.generation)
        assert await api.services.scratch.read(stored.name, None, 0, len(picture()) - 1) == picture()

    async def test_no_image_comes_of_it(self, api: Api, member: UserWithKey) -> None:
        await send(api, member)
        assert await count(api, image) == 0

    async def test_form_is_taken_too(self, api: Api, member: UserWithKey) -> None:
        parts = [("file", ("a.png", picture(), "image/png"))]
        answer = await api.client.post(f"{CLASSIFY}?wait=0", headers=member.headers, files=parts)
        assert (answer.status_code, answer.json()["analyzer"]) == (202, "labels")
        assert answer.headers["location"] == f"/api/v1/analyses/{answer.json()['analysis_id']}"
        assert answer.headers["ratelimit-policy"].startswith('"uploads"')

    async def test_stored_result_is_given_without_storing_the_file(self, api: Api, member: UserWithKey) -> None:
        image_of = await api.upload(member)
        await ask(api, member, image_id=image_of["id"])
        await finish_all(api)
        told = await send(api, member, expected=200)
        assert (told["cached"], told["result"], told["image_id"]) == (True, RESULT, None)
        assert told["credits"] == {"spent": 0, "left": testing.STARTING_CREDITS - 1}
        assert await scratch_of(api, member) == []

    async def test_large_file_is_stored_in_pieces(self, api: Api, member: UserWithKey) -> None:
        body = large_picture(ONE_REQUEST_BYTES + 500_000)
        told = await send(api, member, body)
        assert told["sha256"] == hashlib.sha256(body).hexdigest()
        (stored,) = await scratch_of(api, member)
        assert stored.size_bytes == len(body)

    async def test_large_file_that_was_not_needed_is_removed(self, api: Api, member: UserWithKey) -> None:
        body = large_picture(ONE_REQUEST_BYTES + 500_000)
        await send(api, member, body)
        (first,) = await scratch_of(api, member)
        await finish_all(api)
        await send(api, member, body, 200)
        assert await scratch_of(api, member) == [first]

    async def test_sent_five_times_at_once_it_is_paid_once_and_stored_once(self, api: Api, member: UserWithKey) -> None:
        told = await asyncio.gather(*(send(api, member) for _ in range(5)))
        assert len({each["analysis_id"] for each in told}) == 1
        assert sum(each["credits"]["spent"] for each in told) == 1
        row = await only_analysis(api)
        assert [each.name for each in await scratch_of(api, member)] == [row["scratch_object"]]

    async def test_another_analyzer_with_parameters(self, api: Api, member: UserWithKey) -> None:
        told = await send(api, member, analyzer="colors", parameters=json.dumps({"colors": 3}))
        assert (told["analyzer"], told["parameters"]) == ("colors", {"colors": 3})

    async def test_file_that_cannot_be_decoded_is_told(self, api: Api, member: UserWithKey) -> None:
        waiting = asyncio.create_task(send(api, member, expected=422, wait=20))
        while not await count(api, analysis):
            await asyncio.sleep(0.01)
        await end_all(api, status="failed", failure_code="image-undecodable", failure_message="It breaks off.")
        told = await waiting
        assert (told["code"], told["reason"]) == ("image-not-decodable", "image-undecodable")

    async def test_admin_names_the_team(self, api: Api, member: UserWithKey) -> None:
        assert (await send(api, api.admin, expected=422))["code"] == "team-required"
        await send(api, api.admin, team_id=str(member.team_id))
        assert (await only_analysis(api))["team_id"] == member.team_id


class TestRefusedFile:
    @pytest.mark.parametrize(
        ("body", "expected", "code"),
        [(b"not a picture", 415, "not-an-image"), (b"", 422, "upload-empty")],
    )
    async def test_what_is_no_picture_costs_nothing(
        self, api: Api, member: UserWithKey, body: bytes, expected: int, code: str
    ) -> None:
        assert (await send(api, member, body, expected))["code"] == code
        assert await count(api, analysis) == 0
        assert await scratch_of(api, member) == []

    async def test_file_beyond_the_limit(self, api: Api, member: UserWithKey, make_api: MakeApi) -> None:
        async with make_api(upload_max_bytes=100) as small:
            assert (await send(small, member, expected=413))["code"] == "upload-too-large"

    async def test_without_credits_nothing_stays(self, api: Api, member: UserWithKey) -> None:
        await api.rows.execute(update(credit_account).values(balance=0))
        assert (await send(api, member, expected=429))["code"] == "credits-exhausted"
        assert await scratch_of(api, member) == []

    async def test_body_that_does_not_end_in_time(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(receiving, "RECEIPT_MARGIN_SECONDS", api.services.settings.upload_deadline_seconds - 0.2)

        async def stalled(*_: Any) -> Any:
            await asyncio.sleep(60)

        monkeypatch.setattr(receiving, "store", stalled)
        assert (await send(api, member, expected=408))["code"] == "upload-too-slow"

    async def test_storage_that_is_away(self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
        async def away(*_: Any) -> Any:
            raise errors.StorageUnavailable("Away.")

        monkeypatch.setattr(api.services.scratch, "put", away)
        assert (await send(api, member, expected=503))["code"] == "storage-unavailable"
        assert await count(api, analysis) == 0

    @pytest.mark.parametrize("parameters", ["[]", "{", '{"max_labels": 0}', '{"labels": 3}'])
    async def test_bad_parameters(self, api: Api, member: UserWithKey, parameters: str) -> None:
        told = await send(api, member, expected=422, parameters=parameters)
        assert told["errors"][0]["field"].startswith("parameters")

    async def test_unknown_analyzer(self, api: Api, member: UserWithKey) -> None:
        assert (await send(api, member, expected=422, analyzer="label"))["code"] == "analyzer-unknown"

    async def test_other_content_types(self, api: Api, member: UserWithKey) -> None:
        headers = {**member.headers, "content-type": "text/plain"}
        answer = await api.client.post(CLASSIFY, content=b"x", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "media-type-not-supported")


class TestUrl:
    async def test_picture_is_fetched_into_the_scratch_bucket(self, api: Api, member: UserWithKey) -> None:
        async with serving(whole(picture())) as url:
            told = await ask(api, member, url=f"{url}/a.png", analyzer="colors")
        assert (told["image_id"], told["analyzer"]) == (None, "colors")
        assert told["sha256"] == hashlib.sha256(picture()).hexdigest()
        assert len(await scratch_of(api, member)) == 1

    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("http://169.254.169.254/latest", "source-refused"),
            ("ftp://example.org/a.png", "source-refused"),
            ("http://127.0.0.1:1/a.png", "source-unreachable"),
        ],
    )
    async def test_source_at_fault(self, api: Api, member: UserWithKey, url: str, code: str) -> None:
        assert (await ask(api, member, 422, url=url))["code"] == code
        assert await count(api, analysis) == 0

    @pytest.mark.parametrize("body", [b"no picture at all", b""])
    async def test_source_that_is_no_picture(self, api: Api, member: UserWithKey, body: bytes) -> None:
        async with serving(whole(body)) as url:
            assert (await ask(api, member, 422, url=url))["code"] == "source-not-an-image"


class TestNamed:
    async def test_image_is_classified_like_analyzed(self, api: Api, member: UserWithKey) -> None:
        uploaded = await api.upload(member)
        told = await ask(api, member, image_id=uploaded["id"])
        assert (told["image_id"], told["analyzer"]) == (uploaded["id"], "labels")
        assert await scratch_of(api, member) == []

    async def test_image_of_another_team_is_not_there(
        self, api: Api, member: UserWithKey, stranger: UserWithKey
    ) -> None:
        uploaded = await api.upload(stranger)
        assert (await ask(api, member, 404, image_id=uploaded["id"]))["code"] == "image-not-found"

    @pytest.mark.parametrize(
        "wish",
        [
            {},
            {"url": "http://a.example", "image_id": "0199c0de-0000-7000-8000-000000000004"},
            {"uri": "http://a.example"},
        ],
    )
    async def test_exactly_one_source(self, api: Api, member: UserWithKey, wish: dict[str, Any]) -> None:
        told = await ask(api, member, 422, **{name: str(value) for name, value in wish.items()})
        assert told["code"] == "request-invalid"

    @pytest.mark.parametrize("body", [b"{", b"[]", b'"x"'])
    async def test_broken_json(self, api: Api, member: UserWithKey, body: bytes) -> None:
        headers = {**member.headers, "content-type": "application/json; charset=utf-8"}
        answer = await api.client.post(CLASSIFY, content=body, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")

    async def test_endless_json(self, api: Api, member: UserWithKey) -> None:
        headers = {**member.headers, "content-type": "application/json"}
        answer = await api.client.post(CLASSIFY, content=b" " * 70_000, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")

    async def test_analyzer_beside_json_is_refused_rather_than_ignored(self, api: Api, member: UserWithKey) -> None:
        uploaded = await api.upload(member)
        answer = await api.client.post(
            f"{CLASSIFY}?analyzer=colors", json={"image_id": uploaded["id"]}, headers=member.headers
        )
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "analyzer")

"""Imports of lists of URLs, and their requests."""

import tracemalloc
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import update

from image_api.imports import names, service
from image_api.imports import tasks as import_tasks
from image_api.imports.lines import MOST_BYTES, MOST_LINE_BYTES, MOST_LINES, items_of
from image_api.operations import service as operations
from image_api.uploads import receiving
from image_api.uploads.body_buffer import BodyBuffer
from image_core import errors, models, testing
from image_core.ids import new_id
from image_core.testing import UserWithKey

from ..conftest import LOCAL_SOURCES, Api
from ..operations.counting import actor_of
from ..picture_server import serving, whole
from ..pictures import picture
from .conftest import Imports

URL = "https://example.org/a.png"


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"",
        b'{"url": ""}',
        b'{"url": "https://a\\u0000.example"}',
        b'{"url": "https://example.org", "tag": "a"}',
        orjson.dumps({"url": URL, "filename": "x" * MOST_LINE_BYTES}),
        b'{"url": "\xff"}',
    ],
)
def test_a_broken_line_is_broken_alone(line: bytes) -> None:
    good = orjson.dumps({"url": URL})
    items = items_of(b"\n".join([good, line, good]) + b"\n")
    assert ["broken" in item.payload for item in items] == [False, True, False]


def test_an_import_has_as_many_lines_as_it_may() -> None:
    line = orjson.dumps({"url": URL}) + b"\n"
    assert len(items_of(line * MOST_LINES)) == MOST_LINES
    with pytest.raises(errors.TooManyLines):
        items_of(line * (MOST_LINES + 1))
    with pytest.raises(errors.RequestInvalid):
        items_of(b"\n\n")


def test_too_many_lines_take_little_memory() -> None:
    body = b"{" + b"\n" * (MOST_BYTES - 2) + b"}"
    tracemalloc.start()
    try:
        with pytest.raises(errors.TooManyLines):
            items_of(body)
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST_BYTES
    finally:
        tracemalloc.stop()


def test_resized_copies_are_known_by_their_names() -> None:
    assert names.originals_of_resized("a/b/photo_200x200.jpg") == ["a/b/photo.", "a/photo."]
    assert names.originals_of_resized("photo_1x1.webp") == ["photo."]
    assert names.originals_of_resized("a/photo_200.jpg") == []
    assert names.tags_of("a/ b /a/c.png") == ["a", "b"]


async def test_urls_are_fetched_and_each_fails_alone(imports: Imports, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = imports.tasks.parts
    async with serving(whole(picture(1))) as source, serving(whole(b"no picture")) as text:
        urls = (source, "http://169.254.169.254/computeMetadata/v1/", "http://10.0.0.1/", text, f"{source}?twin")
        lines = [*(orjson.dumps({"url": url, "tags": ["old"]}) for url in urls), b"{"]
        async with imports.tasks.rows.transaction() as transaction:
            operation_id = await service.import_urls(
                transaction, actor_of(imports.user_id, imports.team_id), None, items_of(b"\n".join(lines))
            )
        monkeypatch.setattr(parts.fetcher, "_allowed", [ip_network(each) for each in LOCAL_SOURCES])
        await imports.run()
        report = await imports.report(operation_id)
    assert report == {
        source: ("done", None),
        "http://169.254.169.254/computeMetadata/v1/": ("failed", "source-refused"),
        None: ("failed", "line-invalid"),
        "http://10.0.0.1/": ("failed", "source-refused"),
        text: ("failed", "source-not-an-image"),
        f"{source}?twin": ("done", "duplicate"),
    }
    (image,) = await imports.images()
    assert image["tags"] == ["old"]


@pytest.mark.parametrize("is_fetching", [False, True])
async def test_after_a_cancellation_no_image_is_begun(
    imports: Imports, monkeypatch: pytest.MonkeyPatch, is_fetching: bool
) -> None:
    monkeypatch.setattr(imports.tasks.parts.fetcher, "_allowed", [ip_network(each) for each in LOCAL_SOURCES])

    async def cancel() -> None:
        by = actor_of(imports.user_id, imports.team_id)
        async with imports.tasks.rows.transaction() as transaction:
            await operations.cancel(transaction, by, operation_id)

    async def cancel_while_fetching(body: BodyBuffer) -> bytes | None:
        await cancel()
        return await read_whole(body)

    async with serving(whole(picture(1))) as source:
        async with imports.tasks.rows.transaction() as transaction:
            operation_id = await service.import_urls(
                transaction, actor_of(imports.user_id, imports.team_id), None, items_of(orjson.dumps({"url": source}))
            )
        if is_fetching:
            read_whole = receiving.read_whole
            monkeypatch.setattr(receiving, "read_whole", cancel_while_fetching)
            await imports.run()
        else:
            with monkeypatch.context() as patch:
                patch.setattr(import_tasks, "_FETCHING_SECONDS", -1.0)
                await imports.run()
            assert await imports.report(operation_id) == {source: ("in_progress", None)}
            await cancel()
    # Nothing is fetched either, which would fail now.
    await imports.run()
    assert await imports.images() == []
    assert await imports.report(operation_id) == {source: ("waiting", None)}
    row = await imports.row(operation_id)
    assert (row["status"], row["failed"], row["finished_at"] is not None) == ("cancelled", 0, True)


async def test_requests_begin_operations(api: Api, member: UserWithKey, stranger: UserWithKey) -> None:
    assert stranger.team_id is not None
    assert member.team_id is not None
    await testing.add_import_source(api.rows, member.team_id, name="old-site")

    async def ask(by: UserWithKey, status: int, content: bytes, media_type: str = "application/json") -> Any:
        headers = {**by.headers, "content-type": media_type}
        answer = await api.client.post("/api/v1/imports", content=content, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    wanted = orjson.dumps({"source": "old-site"})
    begun = await ask(member, 202, wanted)
    refused = [await ask(stranger, 403, wanted), await ask(stranger, 403, b'{"source": "nowhere"}')]
    assert {each["code"] for each in refused} == {"source-not-granted"}
    assert refused[0] | {"request_id": ""} == refused[1] | {"request_id": ""}
    await ask(member, 422, b'{"source": "old-site", "bucket": "theirs"}')
    await ask(member, 415, wanted, "text/plain")
    urls = orjson.dumps({"url": URL}) + b"\n"
    of_urls = await ask(member, 202, urls, "application/x-ndjson")
    assert (await ask(member, 422, urls * (MOST_LINES + 1), "application/x-ndjson"))["code"] == "too-many-lines"
    assert (await ask(member, 413, b" " * (10 * 2**20 + 1), "application/x-ndjson"))["code"] == "body-too-large"
    path = f"/api/v1/imports/{of_urls['operation_id']}/report"
    answer = await api.client.get(path, headers=member.headers)
    assert orjson.loads(answer.content) == {
        "position": 1, "source": URL, "state": "waiting", "image_id": None, "code": None, "detail": None,
    }  # fmt: skip
    image_id = str(new_id())
    await api.rows.execute(update(models.operation_item).values(subject_id=UUID(image_id)))
    assert orjson.loads((await api.client.get(path, headers=member.headers)).content)["image_id"] == image_id
    assert (await api.client.get(path, headers=stranger.headers)).status_code == 404
    assert begun["operation_id"] != of_urls["operation_id"]

import asyncio
import hashlib
import threading
from collections.abc import Hashable
from typing import Any

import pytest
from sqlalchemy import select, update

from image_api.actor import Role
from image_api.fetching.guarded_fetch import GuardedFetcher
from image_api.fetching.system_resolver import SystemResolver
from image_api.server import shutdown
from image_api.uploads import receiving
from image_core import errors
from image_core.models import image
from image_core.storage.protocol import ONE_REQUEST_BYTES
from image_core.testing import UserWithKey

from ..conftest import LOCAL_SOURCES, Api, MakeApi
from ..picture_server import Answer, serving, whole
from ..pictures import large_picture, picture
from ..uploading import IMAGES, count, post, stored_of

IMPORT = f"{IMAGES}/import"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def import_url(
    api: Api, by: UserWithKey, url: str, expected: int = 201, params: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    answer = await api.client.post(IMPORT, json={"url": url, **fields}, headers=by.headers, params=params)
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def import_answer(
    api: Api, by: UserWithKey, answer: Answer, expected: int = 201, path: str = "/a.png", **rest: Any
) -> dict[str, Any]:
    async with serving(answer) as url:
        return await import_url(api, by, url + path, expected, **rest)


class TestWhatAnImportBecomes:
    async def test_the_answer_is_that_of_an_upload(self, api: Api, member: UserWithKey) -> None:
        async with serving(whole(picture())) as url:
            answer = await api.client.post(
                IMPORT,
                json={"url": f"{url}/x/fj%C3%B8rd.png?size=1", "tags": ["a", "a"], "metadata": {"n": 1}},
                headers=member.headers,
            )
        told = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{IMAGES}/{told['id']}"
        assert answer.headers["ratelimit-policy"].startswith('"uploads"')
        assert (told["filename"], told["tags"], told["metadata"]) == ("fjørd.png", ["a"], {"n": 1})
        assert (told["status"], told["duplicate"], told["format"]) == ("stored", False, "png")
        assert told["sha256"] == hashlib.sha256(picture()).hexdigest()
        name = f"originals/{member.team_id}/{told['id']}"
        assert await api.services.originals.read(name, None, 0, len(picture()) - 1) == picture()

    async def test_a_large_picture_is_stored_in_pieces(self, api: Api, member: UserWithKey) -> None:
        body = large_picture(ONE_REQUEST_BYTES + 500_000)
        told = await import_answer(api, member, whole(body))
        assert (told["size_bytes"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())

    async def test_the_row_is_there_before_the_object(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really, seen = api.services.originals.put, []

        async def put(name: str, *arguments: Any) -> Any:
            seen.append((await api.only_row())["status"])
            return await really(name, *arguments)

        monkeypatch.setattr(api.services.originals, "put", put)
        await import_answer(api, member, whole(picture()))
        assert seen == ["pending"]

    async def test_a_name_that_is_given_wins_over_the_urls(self, api: Api, member: UserWithKey) -> None:
        told = await import_answer(api, member, whole(picture()), filename="mine.png")
        assert told["filename"] == "mine.png"

    async def test_what_the_team_has_is_a_duplicate(self, api: Api, member: UserWithKey) -> None:
        uploaded = await post(api, member, picture())
        told = await import_answer(api, member, whole(picture()), 200)
        assert (told["id"], told["duplicate"]) == (uploaded["id"], True)
        assert told["notice"]
        assert len(await stored_of(api, member.team_id)) == 1

    async def test_waiting_ends_when_the_image_is_final(self, api: Api, member: UserWithKey) -> None:
        async def finish() -> None:
            while await count(api, image, image.c.status == "stored") == 0:
                await asyncio.sleep(0.01)
            await api.rows.execute(update(image).values(status="failed", failure_code="not-an-image"))

        told, _ = await asyncio.gather(import_answer(api, member, whole(picture()), params={"wait": 20}), finish())
        assert told["status"] == "failed"

    async def test_an_admin_names_the_team(self, api: Api, member: UserWithKey) -> None:
        team = {"team_id": str(member.team_id)}
        assert (await import_answer(api, api.admin, whole(picture()), params=team))["team_id"] == team["team_id"]
        assert (await import_answer(api, api.admin, whole(picture()), 422))["code"] == "team-required"

    async def test_a_viewer_imports_nothing(self, api: Api) -> None:
        viewer = await api.user(role=Role.VIEWER)
        assert (await import_answer(api, viewer, whole(picture()), 403))["code"] == "scope-missing"

    async def test_an_import_counts_as_an_upload(self, make_api: MakeApi) -> None:
        async with make_api(upload_rate_limit_per_second=1) as api:
            member = await api.user()
            for _ in range(2):
                await import_url(api, member, "ftp://pictures.test/", 422)
            assert (await import_url(api, member, "ftp://pictures.test/", 429))["code"] == "rate-limited"

    @pytest.mark.parametrize(
        ("body", "field"),
        [({}, "url"), ({"url": ""}, "url"), ({"url": "http://a.example/", "headers": {}}, "headers"),
         ({"url": "http://a.example/", "filename": 1}, "filename"), ({"url": "x" * 2049}, "url")],
    )  # fmt: skip
    async def test_a_wrong_field_is_named(self, api: Api, member: UserWithKey, body: Any, field: str) -> None:
        answer = await api.client.post(IMPORT, json=body, headers=member.headers)
        assert answer.status_code == 422
        assert [each["field"] for each in answer.json()["errors"]] == [field]


# Faults that show before a row is written.
FAULTS: dict[str, tuple[Answer, str]] = {
    "status": (whole(b"no", "404 Not Found"), "source-answer-unusable"),
    "redirect inside": ([b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n"], "source-refused"),
    "closed at once": ([], "source-answer-unusable"),
    "nothing": (whole(b""), "source-not-an-image"),
    "page": (whole(b"<!doctype html><p>no"), "source-not-an-image"),
    "script": (whole(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "source-not-an-image"),
    "declared too large": ([b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"], "source-too-large"),
    "too many pixels": (
        whole(picture()[:16] + b"\x00\x01\x00\x00" * 2 + picture()[24:]), "image-too-many-pixels",
    ),
}  # fmt: skip
# Faults that show when the row is there already.
LATER_FAULTS: dict[str, tuple[Answer, str]] = {
    "broken off": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", large_picture(200_000)],
        "source-answer-unusable",
    ),
    "too large": ([CHUNKED, b"200000\r\n" + large_picture(0x200000) + b"\r\n"] * 2, "source-too-large"),
    "silent": ([b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", large_picture(200_000), 60.0], "source-timeout"),
}


class TestFaultsOfTheSource:
    @pytest.mark.parametrize("fault", FAULTS)
    async def test_a_fault_at_first_sight_leaves_no_row(self, api: Api, member: UserWithKey, fault: str) -> None:
        answer, code = FAULTS[fault]
        told = await import_answer(api, member, answer, 422)
        assert told["code"] == code
        assert await count(api, image) == 0

    @pytest.mark.parametrize("fault", LATER_FAULTS)
    async def test_a_later_fault_of_a_small_file_leaves_nothing(self, make_api: MakeApi, fault: str) -> None:
        answer, code = LATER_FAULTS[fault]
        limits = {"upload_max_bytes": 1_000_000, "fetch_deadline_seconds": 1}
        async with make_api(fetch_allow_addresses=LOCAL_SOURCES, **limits) as api:
            member = await api.user()
            told = await import_answer(api, member, answer, 422)
            assert (told["code"], await count(api, image)) == (code, 0)
            assert await stored_of(api, member.team_id) == []
            metrics = (await api.client.get("/metrics")).text
        assert f'outcome="{code}"' in metrics

    async def test_a_later_fault_of_a_large_file_expires_its_row_and_leaves_no_object(self, make_api: MakeApi) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 19999999\r\n\r\n"
        async with make_api(fetch_allow_addresses=LOCAL_SOURCES) as api:
            member = await api.user()
            told = await import_answer(api, member, [head, large_picture(9_000_000)], 422)
            row = await api.only_row()
            assert (told["code"], row["failure_code"]) == ("source-answer-unusable", "source-answer-unusable")
            assert row["status"] == "expired"
            assert await stored_of(api, member.team_id) == []

    async def test_nothing_inside_is_fetched_unless_a_setting_says_so(self, make_api: MakeApi) -> None:
        async with make_api() as api, serving(whole(picture())) as url:
            told = await import_url(api, await api.user(), f"{url}/a.png", 422)
        assert told["code"] == "source-refused"
        assert "127.0.0.1" not in told["detail"]

    async def test_a_name_that_does_not_resolve_is_a_fault_of_the_source(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def resolve(host: str, caller: Hashable) -> list[str]:
            raise OSError

        monkeypatch.setitem(vars(api.services), "fetcher", GuardedFetcher(resolve=resolve))
        told = await import_url(api, member, "http://absent.example/a.png", 422)
        assert told["code"] == "source-unreachable"

    async def test_a_teams_names_that_hang_time_out_no_other_teams_import(
        self, api: Api, member: UserWithKey, stranger: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over = threading.Event()

        def look_up(host: str) -> list[str]:
            if host == "hangs.example":
                over.wait(30)
            return ["127.0.0.1"]

        resolve = SystemResolver(look_up)
        fetcher = GuardedFetcher(api.services.settings.fetch_allow_addresses, resolve)
        monkeypatch.setitem(vars(api.services), "fetcher", fetcher)
        hanging = [asyncio.create_task(import_url(api, member, "http://hangs.example/a.png", 422)) for _ in range(12)]
        try:
            async with serving(whole(picture())) as url:
                named = url.replace("127.0.0.1", "pictures.example")
                await import_url(api, stranger, f"{named}/a.png")
                waiting = asyncio.create_task(import_url(api, member, f"{named}/a.png"))
                await asyncio.wait({waiting}, timeout=0.1)
                assert not waiting.done()
                over.set()
                await waiting
        finally:
            over.set()
        assert {told["code"] for told in await asyncio.gather(*hanging)} == {"source-unreachable"}

    async def test_a_format_that_is_switched_off_names_those_that_are_not(self, make_api: MakeApi) -> None:
        async with make_api(fetch_allow_addresses=LOCAL_SOURCES, image_formats=["jpeg"]) as api:
            told = await import_answer(api, await api.user(), whole(picture()), 422)
        assert (told["code"], told["allowed_formats"]) == ("source-not-an-image", ["jpeg"])


class TestPartsAway:
    async def test_without_storage_an_import_is_503_and_its_row_expires(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any) -> Any:
            raise errors.StorageUnavailable("Away.")

        monkeypatch.setattr(api.services.originals, "put", away)
        assert (await import_answer(api, member, whole(picture()), 503))["code"] == "storage-unavailable"
        assert (await api.only_row())["failure_code"] == "storage-unavailable"

    async def test_storage_that_takes_too_long_is_not_the_sources_fault(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def hang(*_: Any) -> Any:
            await asyncio.sleep(60)

        monkeypatch.setattr(api.services.originals, "put", hang)
        monkeypatch.setattr(receiving, "RECEIPT_MARGIN_SECONDS", api.services.settings.upload_deadline_seconds - 1)
        assert (await import_answer(api, member, whole(picture()), 503))["code"] == "storage-unavailable"
        assert (await api.only_row())["status"] == "expired"

    async def test_while_stopping_an_import_ends_in_time(
        self, api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stopping = shutdown.Shutdown()
        monkeypatch.setattr(shutdown, "GRACE_SECONDS", 0.1)
        monkeypatch.setitem(vars(api.services), "shutdown", stopping)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 19999999\r\n\r\n"
        importing = asyncio.create_task(import_answer(api, member, [head, large_picture(9_000_000), 60.0], 503))
        while await count(api, image) == 0:
            await asyncio.sleep(0.01)
        stopping.begin()
        assert (await importing)["code"] == "shutting-down"
        assert (await api.rows.fetch_value(select(image.c.status))) == "expired"

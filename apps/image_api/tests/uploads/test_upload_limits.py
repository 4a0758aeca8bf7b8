import hashlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from image_api.middleware import early_refusal
from image_core.models import image
from image_core.storage.protocol import CHUNK_BYTES, ONE_REQUEST_BYTES
from image_core.testing import UserWithKey

from ..conftest import Api, MakeApi
from ..pictures import large_picture, picture
from ..uploading import IMAGES, PNG, asgi_post, count, form, in_pieces, post, stored_of


class TestBadInput:
    async def test_an_empty_body_is_refused(self, api: Api, member: UserWithKey) -> None:
        assert (await post(api, member, b"", 422))["code"] == "upload-empty"
        assert (await form(api, member, [("file", ("a.png", b""))], 422))["code"] == "upload-empty"
        assert await count(api, image) == 0

    @pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "multipart/mixed; boundary=x"])
    async def test_a_type_that_carries_no_image_is_refused(
        self, api: Api, member: UserWithKey, content_type: str
    ) -> None:
        told = await post(api, member, picture(), 415, headers={"content-type": content_type})
        assert told["code"] == "media-type-not-supported"

    @pytest.mark.parametrize(
        "body",
        [b"x", b"hello" * 100, b"%PDF-1.7\n" + bytes(99), b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(5000)],
    )
    async def test_what_is_no_image_is_refused_although_it_says_so(
        self, api: Api, member: UserWithKey, body: bytes
    ) -> None:
        told = await post(api, member, body, 415)
        assert (told["code"], "png" in told["allowed_formats"]) == ("not-an-image", True)
        assert await count(api, image) == 0

    async def test_a_format_that_is_switched_off_is_refused(self, make_api: MakeApi) -> None:
        async with make_api(image_formats=["jpeg"]) as api:
            told = await post(api, await api.user(), picture(), 415)
        assert (told["code"], told["allowed_formats"]) == ("image-format-not-allowed", ["jpeg"])

    async def test_an_intact_image_that_is_not_decoded_here_is_refused_by_name(
        self, api: Api, member: UserWithKey
    ) -> None:
        header = _png_header(40, 30)
        told = await post(api, member, header[:8] + b"\x00\x00\x00\x04CgBI" + bytes(8) + header[8:], 415)
        assert told["code"] == "image-variant-not-supported"
        assert told["detail"].startswith("Not supported: Apple's own variant of PNG")
        assert await count(api, image) == 0

    async def test_a_camera_raw_file_is_refused_by_name(self, api: Api, member: UserWithKey) -> None:
        version = b"II*\x00\x08\x00\x00\x00\x01\x00" + b"\x12\xc6\x01\x00\x04\x00\x00\x00\x01\x04\x00\x00" + bytes(4)
        told = await post(api, member, version, 415)
        assert told["code"] == "not-an-image"
        assert told["detail"].startswith("The file is a camera raw file. Send one of: ")

    @pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (0, 0)])
    async def test_dimensions_of_zero_are_refused(self, api: Api, member: UserWithKey, width: int, height: int) -> None:
        assert (await post(api, member, _png_header(width, height), 422))["code"] == "image-dimensions-invalid"

    @pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (50_001, 1_000)])
    async def test_a_bomb_is_refused_by_its_header(
        self, api: Api, member: UserWithKey, width: int, height: int
    ) -> None:
        told = await post(api, member, _png_header(width, height), 422)
        assert (told["code"], told["max_pixels"]) == ("image-too-many-pixels", 50_000_000)
        assert await count(api, image) == 0

    async def test_a_kind_with_a_limit_of_its_own_is_refused_with_its_figure(
        self, api: Api, member: UserWithKey
    ) -> None:
        header = _png_header(7_000, 6_000)
        interlaced = header[:24] + b"\x10\x06\x00\x00\x01" + header[29:]
        told = await post(api, member, interlaced, 422)
        assert (told["code"], told["max_pixels"]) == ("image-too-many-pixels", 36_000_000)
        await post(api, member, header)

    async def test_as_many_pixels_as_allowed_are_taken(self, api: Api, member: UserWithKey) -> None:
        await post(api, member, _png_header(50_000, 1_000))


def _png_header(width: int, height: int) -> bytes:
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + size + b"\x08\x00\x00\x00\x00" + bytes(20)


class TestTooLarge:
    LIMIT = 100_000

    @pytest.mark.parametrize("declared", ["honest", "absent"])
    @pytest.mark.parametrize("as_form", [False, True], ids=["raw", "form"])
    async def test_a_large_body_is_refused_at_the_limit(
        self, make_api: MakeApi, declared: str, as_form: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(early_refusal, "MAX_DRAINED_BYTES", 0)
        taken = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal taken
            if as_form:
                yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
            async for piece in in_pieces(large_picture(3_000_000), 10_000):
                taken += len(piece)
                yield piece

        async with make_api(upload_max_bytes=self.LIMIT) as api:
            headers = {"content-type": "multipart/form-data; boundary=b"} if as_form else {}
            if declared == "honest":
                headers["content-length"] = "3000000"
            told = await post(api, await api.user(), body(), 413, headers=headers)
            row = await api.rows.fetch_one(select(image))
        assert (told["code"], told["limit_bytes"]) == ("upload-too-large", self.LIMIT)
        assert taken <= self.LIMIT + 10_000
        assert row is None or (row["status"], row["failure_code"]) == ("expired", "upload-too-large")

    async def test_a_length_that_lies_does_not_open_the_limit(self, make_api: MakeApi) -> None:
        async with make_api(upload_max_bytes=self.LIMIT) as api:
            member = await api.user()
            messages = [large_picture(90_000), bytes(90_000)]
            status, told = await asgi_post(api, member, messages, content_length="1000")
        assert (status, told["code"]) == (413, "upload-too-large")

    async def test_a_file_of_exactly_the_limit_is_taken(self, make_api: MakeApi) -> None:
        async with make_api(upload_max_bytes=self.LIMIT) as api:
            told = await post(api, await api.user(), large_picture(self.LIMIT))
            assert told["size"] == "97.66 KiB"
            await post(api, await api.user(), large_picture(self.LIMIT + 1), 413)

    async def test_the_answer_closes_a_connection_whose_body_was_not_read(self, make_api: MakeApi) -> None:
        async with make_api(upload_max_bytes=self.LIMIT) as api:
            member = await api.user()
            answer = await api.client.post(
                IMAGES, content=in_pieces(large_picture(900_000)), headers={**member.headers, **PNG}
            )
        assert answer.headers["connection"] == "close"

    async def test_a_body_that_says_its_length_too_large_is_refused_unread(self, make_api: MakeApi) -> None:
        async with make_api(upload_max_bytes=self.LIMIT) as api:
            member = await api.user()
            await post(api, member, large_picture(self.LIMIT * 2), 413)
            assert await stored_of(api, member.team_id) == []


class TestChunks:
    @pytest.mark.parametrize("over", [-1, 0, 1, ONE_REQUEST_BYTES])
    async def test_above_one_request_a_body_goes_in_chunks(self, api: Api, member: UserWithKey, over: int) -> None:
        body = large_picture(ONE_REQUEST_BYTES + over)
        told = await post(api, member, in_pieces(body))
        assert told["sha256"] == hashlib.sha256(body).hexdigest()
        name = f"originals/{member.team_id}/{told['id']}"
        stored = await api.services.originals.stat(name)
        assert stored is not None
        assert stored.size_bytes == len(body)
        tail = await api.services.originals.read(name, stored.generation, len(body) - 50, len(body) - 1)
        assert tail == body[-50:]

    @pytest.mark.parametrize(("declared", "held_bytes"), [(False, ONE_REQUEST_BYTES), (True, CHUNK_BYTES)])
    async def test_an_upload_holds_one_buffer(
        self, api: Api, member: UserWithKey, declared: bool, held_bytes: int
    ) -> None:
        import tracemalloc

        first, piece, pieces = picture(declared), bytes(64 * 1024), 19 * 16

        async def body() -> AsyncIterator[bytes]:
            yield first
            for _ in range(pieces):
                yield piece

        await post(api, member, in_pieces(large_picture(ONE_REQUEST_BYTES + 1, seed=5)))
        tracemalloc.start()
        try:
            headers = {"content-length": str(len(first) + pieces * len(piece))} if declared else {}
            told = await post(api, member, body(), headers={**PNG, **headers})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert told["size_bytes"] > 19_000_000
        assert peak < held_bytes + 2 * 1024 * 1024

from urllib.parse import quote
from uuid import UUID

import pytest

from image_core import testing
from image_core.storage.content import MOST_COUNTED_BYTES
from image_core.storage.protocol import READ_CHUNK_BYTES
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import large_picture, picture


class TestContent:
    @pytest.fixture
    async def image_id(self, api: Api, member: UserWithKey) -> str:
        return str((await api.upload(member, picture(), filename='Ålesund "1".png'))["id"])

    @pytest.fixture
    def path(self, image_id: str) -> str:
        return f"/api/v1/images/{image_id}/content"

    async def test_the_original_comes_back_whole(self, api: Api, member: UserWithKey, path: str) -> None:
        answer = await api.client.get(path, headers=member.headers)
        assert (answer.status_code, answer.content) == (200, picture())
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["content-length"] == str(len(picture()))

    async def test_no_browser_runs_what_it_is_given(self, api: Api, member: UserWithKey, path: str) -> None:
        headers = (await api.client.get(path, headers=member.headers)).headers
        assert headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"].startswith("private")

    async def test_the_filename_is_told_in_ascii_and_in_full(self, api: Api, member: UserWithKey, path: str) -> None:
        told = (await api.client.get(path, headers=member.headers)).headers["content-disposition"]
        assert 'filename="Alesund _1_.png"' in told
        assert "filename*=UTF-8''" + quote('Ålesund "1".png', safe="") in told

    async def test_an_image_without_a_name_is_called_by_its_id(self, api: Api, member: UserWithKey) -> None:
        image_id = (await api.upload(member, picture(9)))["id"]
        answer = await api.client.get(f"/api/v1/images/{image_id}/content", headers=member.headers)
        assert f'filename="{image_id}.png"' in answer.headers["content-disposition"]

    async def test_a_range_is_a_part(self, api: Api, member: UserWithKey, path: str) -> None:
        answer = await api.client.get(path, headers={**member.headers, "range": "bytes=10-19"})
        assert (answer.status_code, answer.content) == (206, picture()[10:20])
        assert answer.headers["content-range"] == f"bytes 10-19/{len(picture())}"

    async def test_a_range_beyond_the_end_is_416_and_tells_the_size(
        self, api: Api, member: UserWithKey, path: str
    ) -> None:
        answer = await api.client.get(path, headers={**member.headers, "range": "bytes=99999-"})
        assert (answer.status_code, answer.json()["code"]) == (416, "range-not-satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(picture())}"

    async def test_a_current_copy_is_not_sent_again(self, api: Api, member: UserWithKey, path: str) -> None:
        tag = (await api.client.get(path, headers=member.headers)).headers["etag"]
        answer = await api.client.get(path, headers={**member.headers, "if-none-match": f'"x", W/{tag}'})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)

    async def test_a_range_of_another_copy_becomes_the_whole(self, api: Api, member: UserWithKey, path: str) -> None:
        tag = (await api.client.get(path, headers=member.headers)).headers["etag"]
        ranged = {**member.headers, "range": "bytes=0-4"}
        assert (await api.client.get(path, headers={**ranged, "if-range": tag})).status_code == 206
        for other in ('"other"', f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
            assert (await api.client.get(path, headers={**ranged, "if-range": other})).status_code == 200

    async def test_head_tells_the_same_without_the_bytes(self, api: Api, member: UserWithKey, path: str) -> None:
        got = await api.client.get(path, headers=member.headers)
        head = await api.client.head(path, headers=member.headers)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("etag", "content-length", "content-type", "content-disposition"):
            assert head.headers[name] == got.headers[name]

    async def test_head_knows_no_ranges(self, api: Api, member: UserWithKey, path: str) -> None:
        for asked in ("bytes=0-4", "bytes=99999-"):
            head = await api.client.head(path, headers={**member.headers, "range": asked})
            assert (head.status_code, head.headers["content-length"]) == (200, str(len(picture())))

    @pytest.mark.parametrize("size", [READ_CHUNK_BYTES, READ_CHUNK_BYTES + 1, 3 * READ_CHUNK_BYTES - 1])
    async def test_large_content_comes_back_in_pieces_as_it_was(self, api: Api, member: UserWithKey, size: int) -> None:
        body = large_picture(size)
        image_id = (await api.upload(member, body))["id"]
        answer = await api.client.get(f"/api/v1/images/{image_id}/content", headers=member.headers)
        assert answer.content == body

    async def test_only_bodies_that_cloud_run_accepts_state_their_length(
        self, api: Api, member: UserWithKey, path: str
    ) -> None:
        image_id, name = path.split("/")[4], (await api.only_row())["object_name"]
        await api.services.originals.delete(name)
        body = bytes(MOST_COUNTED_BYTES + 1)
        stored = await api.services.originals.put(name, body, "image/png")
        await api.set_row(image_id, generation=stored.generation, size_bytes=len(body))
        answer = await api.client.get(path, headers=member.headers)
        assert (answer.status_code, answer.content == body) == (200, True)
        assert "content-length" not in answer.headers
        head = await api.client.head(path, headers=member.headers)
        assert head.headers["content-length"] == str(len(body))
        part = await api.client.get(path, headers={**member.headers, "range": f"bytes=1-{MOST_COUNTED_BYTES}"})
        assert (part.status_code, part.headers["content-length"]) == (206, str(MOST_COUNTED_BYTES))
        assert part.headers["content-range"] == f"bytes 1-{MOST_COUNTED_BYTES}/{MOST_COUNTED_BYTES + 1}"

    async def test_content_in_the_trash_is_not_found(self, api: Api, member: UserWithKey, path: str) -> None:
        await api.set_row(path.split("/")[4], deleted_at=(await api.only_row())["created_at"])
        answer = await api.client.get(path, headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")

    @pytest.mark.parametrize("status", ["pending", "expired"])
    async def test_content_that_has_not_arrived_is_a_conflict(self, api: Api, member: UserWithKey, status: str) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id, status)
        answer = await api.client.get(f"/api/v1/images/{image_id}/content", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "image-not-stored")

    async def test_an_object_that_is_gone_is_our_fault(self, api: Api, member: UserWithKey, path: str) -> None:
        await api.services.originals.delete((await api.only_row())["object_name"])
        answer = await api.client.get(path, headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")


class TestDerivatives:
    async def test_a_derivative_is_served_under_its_own_name(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id, filename="a.b.png")
        name = f"derivatives/{member.team_id}/{image_id}/thumb.webp"
        await api.services.derivatives.put(name, b"x" * 100, "image/webp")
        await testing.add_derivative(api.rows, image_id, name)
        path = f"/api/v1/images/{image_id}/derivatives/thumb"
        answer = await api.client.get(path, headers=member.headers)
        assert (answer.status_code, answer.content) == (200, b"x" * 100)
        assert answer.headers["content-type"] == "image/webp"
        assert 'filename="a.b-thumb.webp"' in answer.headers["content-disposition"]
        part = await api.client.get(path, headers={**member.headers, "range": "bytes=-5"})
        assert (part.status_code, part.headers["content-range"]) == (206, "bytes 95-99/100")
        assert (await api.client.head(path, headers=member.headers)).headers["content-length"] == "100"

    async def test_a_preset_that_is_not_there_is_not_found(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id, "stored")
        answer = await api.client.get(f"/api/v1/images/{image_id}/derivatives/thumb", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "derivative-not-found")
        answer = await api.client.get(f"/api/v1/images/{image_id}/derivatives/No%20Such", headers=member.headers)
        assert answer.status_code == 422

    async def test_what_pictures_are_made_of_is_not_shown(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id)
        for preset in ("source", "thumb"):
            await testing.add_derivative(api.rows, image_id, f"derivatives/{preset}", preset)
        path = f"/api/v1/images/{image_id}"
        answer = await api.client.get(f"{path}/derivatives/source", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "derivative-not-found")
        listed = (await api.client.get(f"{path}/derivatives", headers=member.headers)).json()["items"]
        shown = (await api.client.get(path, headers=member.headers)).json()["derivatives"]
        assert [[each["preset"] for each in found] for found in (listed, shown)] == [["thumb"], ["thumb"]]

    async def test_derivatives_of_an_image_in_the_trash_are_not_found(self, api: Api, member: UserWithKey) -> None:
        assert member.team_id is not None
        image_id = await testing.add_image(api.rows, member.team_id)
        await testing.add_derivative(api.rows, UUID(str(image_id)), "name")
        await api.set_row(image_id, deleted_at=(await api.row(image_id))["created_at"])
        answer = await api.client.get(f"/api/v1/images/{image_id}/derivatives/thumb", headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "image-not-found")

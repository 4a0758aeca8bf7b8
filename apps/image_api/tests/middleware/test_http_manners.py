"""What HTTP promises of every operation: HEAD beside GET, compression, no redirects, caches that ask."""

from typing import Any

import pytest

from image_api.actor import Role
from image_api.app import ROUTERS
from image_api.openapi.document import api_routes
from image_core import testing
from image_core.testing import UserWithKey

from ..conftest import Api
from ..openapi.test_openapi import prepare
from ..pictures import picture
from ..uploading import IMAGES

GETS = sorted(path for path, route in api_routes(ROUTERS) if "GET" in (route.methods or ()))
# They differ from one request to the next.
CHANGING = {"/metrics", "/health/ready", "/api/v1/auth/session"}


class TestHead:
    @pytest.mark.parametrize("path", GETS)
    async def test_every_get_has_its_head(self, api: Api, path: str) -> None:
        path = path.replace("/docs/{name}", "/docs/swagger-ui.css").replace("{token}", "0" * 32)
        path = path.replace("{picture}", "A" * 22)
        url, request = await prepare(api, "GET", path, api.admin, await api.user())
        request.pop("json", None)
        got = await api.client.get(url, **request)
        head = await api.client.head(url, **request)
        assert (head.status_code, head.content) == (got.status_code, b"")
        names = {"etag", "content-type", "content-disposition", "vary", "cache-control"}
        names |= set() if path in CHANGING else {"content-length"}
        assert {name: head.headers.get(name) for name in names} == {name: got.headers.get(name) for name in names}

    async def test_head_of_what_is_not_there(self, api: Api, member: UserWithKey) -> None:
        assert (await api.client.head("/nothing")).status_code == 404
        assert (await api.client.head(IMAGES)).status_code == 401
        answer = await api.client.head("/api/v1/classify", headers=member.headers)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    async def test_head_is_allowed_where_get_is(self, api: Api) -> None:
        assert "HEAD" in (await api.client.delete("/health/live")).headers["allow"]


class TestCompression:
    async def upload_some(self, api: Api, by: UserWithKey) -> str:
        ids = [(await api.upload(by, picture(seed)))["id"] for seed in range(3)]
        return str(ids[0])

    @pytest.mark.parametrize(
        ("accepted", "compressed"),
        [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("GZIP", True), ("", False), ("gzip;q=0", False),
         ("identity", False), ("br", False), ("gzipped", False), ("gzip;q=x", False),
         ("*;q=0, gzip", True), ("*, gzip;q=0", False), ("gzip;q=0, *", False), ("identity, gzip;q=0.1", False)],
    )  # fmt: skip
    async def test_json_is_compressed_where_it_is_accepted(
        self, api: Api, member: UserWithKey, accepted: str, compressed: bool
    ) -> None:
        await self.upload_some(api, member)
        headers = {**member.headers, "accept-encoding": accepted}
        plain = await api.client.get(IMAGES, headers={**member.headers, "accept-encoding": "identity"})
        answer = await api.client.get(IMAGES, headers=headers)
        assert (answer.headers.get("content-encoding") == "gzip") is compressed
        assert answer.json() == plain.json()
        assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
        assert (int(answer.headers["content-length"]) < int(plain.headers["content-length"])) is compressed

    async def test_short_answers_pictures_and_secrets_are_not(self, api: Api, member: UserWithKey) -> None:
        image_id = await self.upload_some(api, member)
        headers = {**member.headers, "accept-encoding": "gzip"}
        for path in ("/health/live", f"{IMAGES}/{image_id}/content"):
            assert "content-encoding" not in (await api.client.get(path, headers=headers)).headers
        name = "x" * 120
        made = await api.client.post(
            f"/api/v1/users/{member.user_id}/credentials",
            json={
                "name": name,
                "address_ranges": [f"2001:db8:ffff:ffff:ffff:ffff:ffff:{n:04x}/128" for n in range(20)],
            },
            headers={**api.admin.headers, "accept-encoding": "gzip"},
        )
        assert (made.status_code, len(made.content) >= 1024) == (201, True)
        assert "content-encoding" not in made.headers

    async def test_a_page_is_compressed_too(self, api: Api) -> None:
        answer = await api.client.get("/docs/swagger-ui.css", headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) < len(answer.content) / 2


class TestSlashes:
    @pytest.mark.parametrize("path", [f"{IMAGES}/", "/docs/", "/health/live/", f"{IMAGES}//"])
    async def test_no_redirect_leads_to_where_a_caller_says(self, api: Api, member: UserWithKey, path: str) -> None:
        for method in ("GET", "POST", "HEAD"):
            headers = {**member.headers, "host": "evil.example", "x-forwarded-host": "evil.example"}
            answer = await api.client.request(method, path, headers=headers, follow_redirects=False)
            assert answer.status_code in (404, 405)
            assert "location" not in answer.headers


class TestKeysInTheWrongPlace:
    @pytest.mark.parametrize("form", ["Bearer {key}", "bearer  {key}", "{key}", "ApiKey {key}", "Bearer im_typo"])
    async def test_a_key_among_tokens_is_told_its_place(self, api: Api, member: UserWithKey, form: str) -> None:
        answer = await api.client.get(IMAGES, headers={"authorization": form.format(key=member.api_key)})
        told = answer.json()
        assert (answer.status_code, told["code"]) == (401, "token-invalid")
        assert "X-API-KEY" in told["detail"]
        assert member.api_key not in answer.text


class TestTrash:
    async def trash(self, api: Api, by: UserWithKey, image_id: str) -> int:
        return (await api.client.delete(f"{IMAGES}/{image_id}", headers=by.headers)).status_code

    async def test_members_take_back_their_own_uploads_alone(
        self, api: Api, member: UserWithKey, colleague: UserWithKey, stranger: UserWithKey
    ) -> None:
        image_id = (await api.upload(member))["id"]
        viewer = await api.user(member.team_id, Role.VIEWER)
        for by, status in ((colleague, 403), (stranger, 404), (viewer, 403), (member, 204), (member, 204)):
            assert await self.trash(api, by, image_id) == status
        for by, status in ((colleague, 403), (stranger, 404), (viewer, 403), (member, 200), (member, 200)):
            answer = await api.client.post(f"{IMAGES}/{image_id}/restore", headers=by.headers)
            assert answer.status_code == status, answer.text
        deleter = await api.user(member.team_id, scopes=("images:delete",))
        assert await self.trash(api, deleter, image_id) == 204

    async def test_an_image_in_the_trash_shows_no_derivatives(self, api: Api, member: UserWithKey) -> None:
        image_id: Any = (await api.upload(member))["id"]
        await testing.add_derivative(api.rows, image_id, "derivatives/x", size_bytes=1)
        path, headers = f"{IMAGES}/{image_id}", member.headers

        async def shown() -> list[int]:
            listed = (await api.client.get(f"{path}/derivatives", headers=headers)).json()["items"]
            return [len(listed), len((await api.client.get(path, headers=headers)).json()["derivatives"])]

        assert await shown() == [1, 1]
        await api.client.delete(path, headers=headers)
        assert await shown() == [0, 0]
        await api.client.post(f"{path}/restore", headers=headers)
        assert await shown() == [1, 1]


async def test_content_is_asked_about_each_time(api: Api, member: UserWithKey) -> None:
    image_id = (await api.upload(member))["id"]
    answer = await api.client.get(f"{IMAGES}/{image_id}/content", headers=member.headers)
    assert answer.headers["cache-control"] == "private, no-cache"
    headers = {**member.headers, "if-none-match": answer.headers["etag"]}
    again = await api.client.get(f"{IMAGES}/{image_id}/content", headers=headers)
    assert (again.status_code, again.content) == (304, b"")

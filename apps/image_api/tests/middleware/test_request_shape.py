"""Heads that are refused by their look."""

import pytest

from image_api.middleware.request_shape import MAX_COOKIES, MAX_PARAMETERS

from ..asgi_call import asgi_call
from ..conftest import Api, MakeApi


@pytest.mark.parametrize("path", ["/api/v1/images", "/api/v1/teams", "/health/live", "/nothing"])
async def test_a_query_string_has_so_many_parameters(api: Api, path: str) -> None:
    query = "&".join(f"a{n}=1" for n in range(MAX_PARAMETERS + 1))
    sent = await asgi_call(api, "GET", f"{path}?{query}", api.admin.headers, whole=True)
    assert (sent.status, sent.json()["code"]) == (400, "too-many-parameters")
    allowed = await asgi_call(api, "GET", f"{path}?{query.rpartition('&')[0]}", api.admin.headers, whole=True)
    assert allowed.json().get("code") != "too-many-parameters"


async def test_a_request_has_so_many_cookies(api: Api) -> None:
    cookies = "; ".join(f"a{n}=1" for n in range(MAX_COOKIES))
    allowed = await asgi_call(api, "GET", "/api/v1/whoami", {"cookie": cookies}, whole=True)
    assert allowed.status == 401
    sent = await asgi_call(api, "GET", "/api/v1/whoami", {"cookie": cookies + "; b=1"}, whole=True)
    assert (sent.status, sent.json()["code"]) == (431, "header-too-large")


async def test_what_is_refused_can_be_read_by_a_page_of_an_allowed_origin(make_api: MakeApi) -> None:
    async with make_api(cors_allow_origins=["https://a.example"]) as api:
        headers = {"origin": "https://a.example", "upgrade": "WebSocket", "connection": "upgrade"}
        sent = await asgi_call(api, "GET", "/api/v1/images", headers, whole=True)
    assert (sent.status, sent.json()["code"]) == (400, "upgrade-not-supported")
    assert sent.headers["access-control-allow-origin"] == "https://a.example"

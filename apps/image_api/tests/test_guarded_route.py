"""What happens before a body is read, and how much of it is read at all."""

import re
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute

from image_api import guarded_route
from image_api.app import ROUTERS
from image_api.guarded_route import LARGE_BODY_BYTES, SMALL_BODY_BYTES, GuardedRoute, guard_of
from image_api.middleware import early_refusal
from image_api.openapi.operations import api_routes
from image_core.testing import UserWithKey

from .asgi_call import asgi_call
from .conftest import Api, MakeApi

pytestmark = pytest.mark.usefixtures("nothing_drained")
JSON = {"content-type": "application/json", "content-length": "1000"}
UPLOADS = {"/api/v1/images", "/api/v1/upload", "/api/v1/classify"}


@pytest.fixture
def nothing_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a body after its answer is not read: these tests count who reads it before."""
    monkeypatch.setattr(early_refusal, "MAX_DRAINING", 0)


def with_body() -> list[tuple[str, str, APIRoute]]:
    """Every operation that takes a body: method, path, route."""
    return [
        (method, re.sub(r"\{[^}]+\}", str(uuid4()), path), found)
        for path, found in api_routes(ROUTERS)
        for method in sorted(found.methods or ())
        if found.body_field is not None or (path in UPLOADS and method == "POST")
    ]


def ids(operation: tuple[str, str, APIRoute]) -> str:
    return f"{operation[0]} {operation[2].path}"


GUARDED = [each for each in with_body() if guard_of(each[2].dependant)]
OPEN = [each for each in with_body() if not guard_of(each[2].dependant)]
SCOPED = [each for each in GUARDED if getattr(guard_of(each[2].dependant), "scopes", ())]
JSON_BODIES = [each for each in with_body() if each[2].body_field is not None]


def test_every_route_is_guarded() -> None:
    changing = [found for _, found in api_routes(ROUTERS) if (found.methods or set()) - {"GET", "HEAD"}]
    assert len(changing) > 20
    assert all(isinstance(found, GuardedRoute) for found in changing)
    assert {found.path for _, _, found in OPEN} == {
        "/auth/login", "/auth/register", "/auth/password-reset", "/credentials/report",
    }  # fmt: skip


@pytest.mark.parametrize("operation", GUARDED, ids=ids)
@pytest.mark.parametrize(
    ("proof", "code"), [({}, "api-key-missing"), ({"x-api-key": "x"}, "api-key-invalid")], ids=["none", "junk"]
)
async def test_a_caller_without_a_key_is_refused_before_the_body(
    api: Api, operation: tuple[str, str, Any], proof: dict[str, str], code: str
) -> None:
    sent = await asgi_call(api, operation[0], operation[1], JSON | proof)
    assert (sent.status, sent.json()["code"]) == (401, code)


@pytest.mark.parametrize("operation", SCOPED, ids=ids)
async def test_a_scope_is_asked_for_before_the_body(api: Api, operation: tuple[str, str, Any]) -> None:
    nobody = await api.user(scopes=())
    sent = await asgi_call(api, operation[0], operation[1], JSON | nobody.headers)
    assert (sent.status, sent.json()["code"]) == (403, "scope-missing")


@pytest.mark.parametrize("operation", JSON_BODIES, ids=ids)
async def test_a_body_that_does_not_come_is_not_waited_for(
    api: Api, operation: tuple[str, str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_route, "RECEIPT_SECONDS", 0.05)
    proof = await api.bearer(await api.user()) if operation[2].path == "/auth/password" else api.admin.headers
    sent = await asgi_call(api, operation[0], operation[1], JSON | proof, [b"{", b'"'])
    assert (sent.status, sent.json()["code"]) == (408, "request-too-slow")


async def test_json_for_classify_is_not_waited_for_either(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_route, "RECEIPT_SECONDS", 0.05)
    sent = await asgi_call(api, "POST", "/api/v1/classify", JSON | (await api.user()).headers, [b"{"])
    assert (sent.status, sent.json()["code"]) == (408, "request-too-slow")


@pytest.mark.parametrize("operation", JSON_BODIES, ids=ids)
async def test_a_body_is_read_no_further_than_the_operations_limit(api: Api, operation: tuple[str, str, Any]) -> None:
    method, path, found = operation
    limit = (found.openapi_extra or {}).get("x-max-body-bytes", SMALL_BODY_BYTES)
    assert limit <= 1024 * 1024
    proof = await api.bearer(await api.user()) if found.path == "/auth/password" else api.admin.headers
    headers = {"content-type": "application/json"} | proof
    declared = await asgi_call(api, method, path, headers | {"content-length": str(limit + 1)})
    assert (declared.status, declared.json()["limit_bytes"], declared.reads) == (413, limit, 0)
    piece = b" " * 16_384
    undeclared = await asgi_call(api, method, path, headers, [piece] * (limit // len(piece) + 50))
    assert (undeclared.status, undeclared.json()["code"]) == (413, "body-too-large")
    assert undeclared.reads == limit // len(piece) + 1


def test_what_needs_no_key_is_small() -> None:
    assert not [found.path for _, _, found in OPEN if found.openapi_extra]
    assert SMALL_BODY_BYTES == 64 * 1024


@pytest.mark.parametrize("operation", OPEN, ids=ids)
async def test_a_proof_that_nobody_looks_at_does_not_evade_the_addresss_limit(
    make_api: MakeApi, operation: tuple[str, str, Any]
) -> None:
    async with make_api(address_rate_limit_per_second=1) as api:
        headers = JSON | {"x-api-key": "x"}
        statuses = []
        for _ in range(3):
            # A body that is there at once, and wrong.
            sent = await asgi_call(api, operation[0], operation[1], headers, [b"[]"], whole=True)
            statuses.append((sent.status, sent.reads))
    assert [status for status, _ in statuses] == [422, 422, 429]
    assert statuses[2][1] == 0


async def test_a_request_is_counted_once(make_api: MakeApi) -> None:
    async with make_api(rate_limit_per_second=5) as api:
        answer = await api.client.post("/api/v1/teams", headers=api.admin.headers, json={"name": "One"})
        assert answer.headers["ratelimit"].startswith('"requests";r=9;')


async def test_the_longest_metadata_that_are_documented_fit(api: Api, member: UserWithKey) -> None:
    image_id = (await api.upload(member))["id"]
    # As most encoders write it: each of these characters as two escapes of six bytes.
    metadata = {f"{number:0>64}": "\U0001f5bc" * 512 for number in range(50)}
    tags = [f"{number:\U0001f5bc>64}" for number in range(50)]
    answer = await api.client.patch(
        f"/api/v1/images/{image_id}", headers=member.headers, json={"metadata": metadata, "tags": tags}
    )
    assert len(answer.request.content) < LARGE_BODY_BYTES
    assert answer.status_code == 200, answer.text

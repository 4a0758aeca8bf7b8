"""No answer to a wrong value shows the validator's insides: it names the field, and says in words what is wanted."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from image_api.app import ROUTERS
from image_api.http.field_types import PATTERN_WORDS
from image_api.http.validation import describe_error, request_invalid
from image_api.listing.schemas import ImageFilters
from image_api.openapi.document import api_routes
from image_core.testing import UserWithKey

from ..conftest import Api
from ..openapi.test_openapi import OF_A_SESSION
from ..pictures import picture
from ..uploading import IMAGES, form

JARGON = re.compile(
    r"constrained|function-|\[key\]|Input should|Value error|\^|\\x|\\u|\$|pydantic|Extra inputs|Field required|"
    r"NoneType|instance|parsing|Something else|another form|str\b|\bdict|\bint\b|literal"
)
WRONG: list[Any] = [
    None, [], [None], [[]], {}, {"a": {}}, {"a b": 1}, "", "\0", "\n", "x" * 3000, "\ud800", "1", "true", "0.5",
    10**30, 2**63, 12345678901234567, -1, 0.5, 1.0, 1e300, True, [1], ["x" * 3000], ["\0"], {"": 1}, {"x" * 100: 1},
]  # fmt: skip


def bodies() -> Iterator[tuple[str, str, type[BaseModel]]]:
    for path, route in api_routes(ROUTERS):
        if isinstance(route, APIRoute) and route.body_field is not None:
            model = route.body_field.field_info.annotation
            models = [each for each in (model, *getattr(model, "__args__", ())) if isinstance(each, type)]
            (found,) = [each for each in models if issubclass(each, BaseModel)]
            yield min(route.methods or ()), path, found


BODIES = list(bodies())
VALID: dict[str, Any] = {
    "name": "Ada", "email": "ada@example.org", "password": "correct horse battery", "image_ids": [str(uuid4())] * 2,
    "current_password": "correct horse battery", "token": "t", "decision": "not-duplicate", "key": "k",
    "url": "https://example.org/a.png", "image_id": str(uuid4()), "metadata": {"a": 1}, "tags": ["a"], "add": 1,
    "fields": [{"name": "a", "type": "number", "min": 0, "max": 1}], "parameters": {}, "scopes": ["images:read"],
    "schedule": {"amount": 1, "mode": "set", "period": "month"}, "analyze_on_arrival": ["quality"],
    "address_ranges": ["192.0.2.0/24"],
}  # fmt: skip


def places(value: Any) -> Iterator[list[Any]]:
    """The way to every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield [key]
        yield from ([key, *rest] for rest in places(each))


def with_wrong_values(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    whole = {name: VALID.get(name) for name in model.model_fields}
    for place in places(whole):
        for wrong in WRONG:
            body = copy.deepcopy(whole)
            inner: Any = body
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = wrong
            yield body
    yield from ({}, {"unknown": 1}, {**whole, "unknown": 1})


def check(told: dict[str, Any], sent: Any) -> None:
    if told.get("code") != "request-invalid":
        return
    assert not JARGON.search(told["detail"].replace("-2**53", "")), (told, sent)
    for each in told["errors"]:
        assert re.fullmatch(r"[\w.-]+( \w+)?", each["field"]) or "a b" in each["field"], (told, sent)
        assert each["message"].endswith(".")
    fields = [each["field"] for each in told["errors"]]
    assert len(fields) == len(set(fields)), (told, sent)


OPERATIONS = pytest.mark.parametrize(("method", "path", "model"), BODIES, ids=[f"{m}-{p}" for m, p, _ in BODIES])


@OPERATIONS
def test_no_body_is_answered_in_the_validators_terms(method: str, path: str, model: type[BaseModel]) -> None:
    refused = 0
    for body in with_wrong_values(model):
        try:
            model.model_validate(body)
        except ValidationError as error:
            wrong = request_invalid(error.errors())
            check({"code": wrong.code, "detail": wrong.detail, **wrong.extra}, body)
            refused += 1
    assert refused, (method, path)


@OPERATIONS
async def test_every_operation_answers_in_these_words(api: Api, method: str, path: str, model: type[BaseModel]) -> None:
    headers = await api.bearer(api.admin) if (method, path) in OF_A_SESSION else api.admin.headers
    url = re.sub(r"\{[a-z_]+_id\}", str(uuid4()), path)
    told = await api.client.request(method, url, json=dict.fromkeys([*model.model_fields, "xyzzy"]), headers=headers)
    assert told.status_code == 422
    check(told.json(), model)
    assert {"field": "xyzzy", "code": "extra_forbidden", "message": "Unknown field."} in told.json()["errors"]


@pytest.mark.parametrize("name", ["metadata", "tags", "filename"])
async def test_no_form_is_answered_in_the_validators_terms(api: Api, member: UserWithKey, name: str) -> None:
    for wrong in WRONG:
        for value in ([wrong], {"a": wrong}):
            parts = [(name, (None, json.dumps(value))), ("file", ("a.png", b"no picture"))]
            answer = await api.client.post(IMAGES, headers=member.headers, files=parts)
            check(answer.json(), value)


async def test_one_wrong_value_is_one_error(api: Api, member: UserWithKey) -> None:
    parts = [("metadata", (None, '{"place": {"city": "Oslo"}}')), ("file", ("a.png", picture()))]
    told = await form(api, member, parts, 422)
    assert [each["field"] for each in told["errors"]] == ["metadata.place"]
    assert told["detail"] == "metadata.place: Send text, a number, true or false."
    told = await form(api, member, [("tags", (None, ",".join(map(str, range(51))))), ("file", ("a", picture()))], 422)
    assert told["detail"] == "tags: Send at most 50 items."


@pytest.mark.parametrize("number", ["1" + "0" * 30, str(2**63), "12345678901234567", "-9007199254740993", "1e30"])
async def test_a_number_that_would_not_come_back_is_refused_everywhere(
    api: Api, member: UserWithKey, number: str
) -> None:
    parts = [("metadata", (None, f'{{"n": {number}}}')), ("file", ("a.png", picture()))]
    in_form = await form(api, member, parts, 422)
    image_id = (await api.upload(member, metadata='{"n": 9007199254740992, "f": 0.1}'))["id"]
    headers = {**member.headers, "content-type": "application/json"}
    body = f'{{"metadata": {{"n": {number}}}}}'
    in_body = (await api.client.patch(f"{IMAGES}/{image_id}", headers=headers, content=body)).json()
    assert in_form["errors"] == in_body["errors"]
    assert [each["field"] for each in in_form["errors"]] == ["metadata.n"]


@pytest.mark.parametrize("body", [{"add": True}, {"add": "1"}, {"add": 1.0}, {"add": 1.5}])
async def test_nothing_is_converted_into_what_it_is_not(api: Api, member: UserWithKey, body: dict[str, Any]) -> None:
    url = f"/api/v1/teams/{member.team_id}/credits/refill"
    told = (await api.client.post(url, json=body, headers=api.admin.headers)).json()
    assert told["errors"] == [{"field": "add", "code": "int_type", "message": "Send a whole number."}] or (
        told["errors"][0]["code"] == "int_from_float"
    )


async def test_filters_are_answered_in_words(api: Api, member: UserWithKey) -> None:
    for name in ImageFilters.model_fields:
        for value in ("", "x" * 300, "\0", "-1", "9" * 30, "1.5", "true"):
            answer = await api.client.get(IMAGES, headers=member.headers, params={name: value})
            assert answer.status_code < 500
            check(answer.json(), (name, value))


def test_every_pattern_has_words() -> None:
    patterns = set(
        re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps([m.model_json_schema() for *_, m in BODIES]))
    )
    assert {json.loads(f'"{each}"') for each in patterns} <= set(PATTERN_WORDS)


@OPERATIONS
async def test_an_unknown_member_is_told_the_nearest(api: Api, method: str, path: str, model: type[BaseModel]) -> None:
    headers = await api.bearer(api.admin) if (method, path) in OF_A_SESSION else api.admin.headers
    url = re.sub(r"\{[a-z_]+_id\}", str(uuid4()), path)
    for name in model.model_fields:
        answer = await api.client.request(method, url, json={f"{name}z": 1}, headers=headers)
        told = {each["field"]: each["message"] for each in answer.json()["errors"]}
        assert told[f"{name}z"] == f"Unknown field. Did you mean {name!r}?" or len(name) < 3


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "meant"),
    [
        ("PUT", "metadata-schema", {"fields": [{"name": "a", "typ": "text"}]}, "fields.0.typ", "type"),
        ("PATCH", "teams/0199c0de-0000-7000-8000-000000000001/credits", {"schedule": {"amounts": 1}},
         "schedule.amounts", "amount"),
        ("POST", "analyze",
         {"image_id": "0199c0de-0000-7000-8000-000000000004", "analyzer": "colors", "parameters": {"color": 3}},
         "parameters.color", "colors"),
    ],
)  # fmt: skip
async def test_an_unknown_member_within_another_is_told_the_nearest(
    api: Api, method: str, path: str, body: dict[str, Any], field: str, meant: str
) -> None:
    answer = await api.client.request(method, f"/api/v1/{path}", json=body, headers=api.admin.headers)
    told = {each["field"]: each["message"] for each in answer.json()["errors"]}
    assert told[field] == f"Unknown field. Did you mean {meant!r}?"


def test_limits_are_written_as_people_write_them() -> None:
    error = {"type": "greater_than_equal", "ctx": {"ge": 0.0}, "loc": ("wait",)}
    assert describe_error(error) == "Must be at least 0."
    assert describe_error({**error, "ctx": {"ge": 0.5}}) == "Must be at least 0.5."


async def test_a_method_that_a_path_does_not_take_is_told_those_that_it_takes(api: Api) -> None:
    answer = await api.client.put(IMAGES)
    assert answer.json()["detail"] == f"Method not allowed: this path supports {answer.headers['allow']}."


async def test_who_sends_a_password_is_told_where_the_key_goes(api: Api) -> None:
    answer = await api.client.get("/api/v1/whoami", headers={"authorization": "Basic dXNlcjpwYXNz"})
    assert "X-API-KEY" in answer.json()["detail"]


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "text/json", ""])
async def test_json_of_another_type_is_told_its_header(api: Api, media_type: str) -> None:
    headers = {**api.admin.headers, "content-type": media_type}
    told = (await api.client.post("/api/v1/teams", headers=headers, content=b'{"name": "a"}')).json()
    assert told["detail"] == "body: Send JSON, with the header `Content-Type: application/json`."

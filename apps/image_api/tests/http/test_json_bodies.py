"""JSON of extreme shapes: what is refused before anything is validated, and how long an answer gets."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from image_api.http import json_bodies
from image_api.http.json_bodies import MAX_DEPTH, MAX_MEMBERS, MAX_NAME_LENGTH, MAX_NUMBER_LENGTH, MAX_VALUES
from image_core import errors
from image_core.testing import UserWithKey

from ..conftest import Api
from ..pictures import picture

MANY = 70_000


def flat(count: int, value: str = "1", name: Callable[[int], str] = lambda n: f"a{n}") -> str:
    return "{" + ",".join(f'"{name(n)}":{value}' for n in range(count)) + "}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (flat(MAX_MEMBERS + 1), "json-too-many-members"),
        (flat(MANY), "json-too-many-values"),
        (flat(MANY, "[]"), "json-too-many-members"),
        (flat(MANY, name=lambda _: "a"), "json-too-many-values"),
        (flat(MANY, "null", lambda _: "a"), "json-too-many-members"),
        (flat(2, name=lambda _: "a"), "json-name-repeated"),
        ('{"a":[{"b":1,"b":1}]}', "json-name-repeated"),
        (flat(1, name=lambda _: "n" * (MAX_NAME_LENGTH + 1)), "json-name-too-long"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "json-too-deep"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "json-too-deep"),
        ("[" * MANY + "]" * MANY, "json-too-deep"),
        ("[" * MANY, "json-too-deep"),
        ("[" + "[]," * MAX_VALUES + "1]", "json-too-many-values"),
        ("[" + "{}," * MANY + "1]", "json-too-many-values"),
        ("9" * (MAX_NUMBER_LENGTH + 1), "json-number-too-long"),
        ("[0." + "9" * MANY + "]", "json-number-too-long"),
        ("9" * MANY, "json-number-too-long"),
        ("NaN", "json_invalid"),
        ("-Infinity", "json_invalid"),
        ("{", "json_invalid"),
        ("", "json_invalid"),
        (b"\xff", "json_invalid"),
    ],
)
def test_a_shape_beyond_the_bounds_is_refused(text: str | bytes, code: str) -> None:
    with pytest.raises(errors.RequestInvalid) as raised:
        json_bodies.parse(text, "metadata")
    [found] = raised.value.extra["errors"]
    assert (found["field"], found["code"]) == ("metadata", code)
    assert len(found["message"]) < 200


@pytest.mark.parametrize(
    "value",
    [
        {f"a{n}": n for n in range(MAX_MEMBERS)},
        {"n" * MAX_NAME_LENGTH: 1.5},
        [[]] * (MAX_VALUES - 1),
        [1] * (MAX_VALUES - 1),
        ["a"] * MANY,
        1.7976931348623157e308,
        10**30,
        "text",
        None,
        {},
    ],
)
def test_what_is_within_the_bounds_is_read_as_ever(value: Any) -> None:
    assert json_bodies.parse(json.dumps(value)) == value


def test_the_deepest_that_is_allowed_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json_bodies.parse(text) == json.loads(text)


class TestAnswers:
    async def test_many_members_at_the_sign_in_get_a_short_answer(self, api: Api) -> None:
        answer = await self._send(api, "POST", "/api/v1/auth/login", {}, flat(5_000))
        assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
        assert len(answer.content) < 2_000

    @pytest.mark.parametrize(
        "text",
        [
            flat(30_000, "[]"),
            '{"metadata":' + flat(30_000, "[]") + "}",
            '{"metadata":' + flat(MAX_MEMBERS, "[]") + "}",
            '{"tags":[' + "1," * 60_000 + "1]}",
            flat(MAX_MEMBERS, name=lambda n: f"{n}" + "x" * 250),
            '{"tags":"' + "x" * 400_000 + '"}',
        ],
    )
    async def test_a_long_patch_gets_a_short_answer(self, api: Api, member: UserWithKey, text: str) -> None:
        image_id = (await api.upload(member))["id"]
        answer = await self._send(api, "PATCH", f"/api/v1/images/{image_id}", member.headers, text)
        assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
        assert len(answer.json()["errors"]) <= 20
        assert len(answer.content) < 20_000

    async def test_an_answer_names_twenty_and_counts_the_rest(self, api: Api, member: UserWithKey) -> None:
        image_id = (await api.upload(member))["id"]
        text = flat(MAX_MEMBERS)
        told = (await self._send(api, "PATCH", f"/api/v1/images/{image_id}", member.headers, text)).json()
        assert len(told["errors"]) == 20
        assert told["detail"].endswith(" a19 and 180 more.")

    async def _send(self, api: Api, method: str, path: str, headers: dict[str, str], text: str) -> Any:
        return await api.client.request(
            method, path, content=text, headers={**headers, "content-type": "application/json"}
        )

    @pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
    async def test_metadata_of_a_form_have_the_same_bounds(self, api: Api, member: UserWithKey, first: bool) -> None:
        parts: list[tuple[str, Any]] = [("metadata", (None, flat(1_000))), ("file", ("a.png", b"\x89PNG\r\n\x1a\n"))]
        answer = await api.client.post("/api/v1/images", headers=member.headers, files=parts if first else parts[::-1])
        assert answer.json()["errors"][0]["code"] == "json-too-many-members", answer.text


async def test_the_fields_of_a_form_have_a_bound_together(api: Api, member: UserWithKey) -> None:
    fields = [("tags", (None, "a," * 25_000)) for _ in range(11)]
    parts: list[tuple[str, Any]] = [*fields, ("file", ("a.png", picture()))]
    answer = await api.client.post("/api/v1/images", headers=member.headers, files=parts)
    assert (answer.status_code, answer.json()["code"]) == (400, "multipart-invalid")


async def test_the_longest_metadata_that_are_documented_fit_into_a_form(api: Api, member: UserWithKey) -> None:
    metadata = json.dumps({f"{number:0>64}": "\U0001f5bc" * 512 for number in range(50)})
    parts = [("metadata", (None, metadata)), ("file", ("a.png", picture()))]
    answer = await api.client.post("/api/v1/images", headers=member.headers, files=parts)
    assert answer.status_code == 201, answer.text


def test_an_error_names_twenty_fields_and_counts_the_others() -> None:
    fields = [{"field": f"f{n}", "code": "c", "message": "m" * 9_000} for n in range(MANY)]
    error = errors.invalid_fields(fields)
    assert len(error.extra["errors"]) == 20
    assert error.detail.endswith(" f19 and 69,980 more.")
    assert len(error.extra["errors"][0]["message"]) == 501

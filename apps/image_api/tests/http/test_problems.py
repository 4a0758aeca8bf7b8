import asyncio
from typing import Any

import orjson
import pytest

from image_api.guarded_route import SMALL_BODY_BYTES
from image_api.http import problems
from image_api.openapi.error_pages import chapters
from image_core import errors
from image_core.errors.problem_documents import status_of
from image_core.testing import UserWithKey
from image_engine.contract.rejections import REJECTION_MESSAGES

from ..conftest import Api

# What is answered, or stored in `failure`, without a class of its own in the tree of errors.
CODES_WITHOUT_A_CLASS = {
    "not-found",
    "method-not-allowed",
    "internal-error",
    "duplicate",
    "original-missing",
    "original-changed",
    "upload-broken-off",
    "upload-cancelled",
    "upload-size-mismatch",
    "upload-hash-mismatch",
    "upload-type-mismatch",
    "processing-attempts-exhausted",
}


def is_problem(answer: Any, status: int, code: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"/errors/{code}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]


async def test_a_path_that_is_not_there_is_a_problem(api: Api) -> None:
    is_problem(await api.client.get("/api/v1/nothing"), 404, "not-found")
    answer = await api.client.get("/nothing")
    is_problem(answer, 404, "not-found")
    assert "/docs" in answer.json()["detail"]


async def test_a_method_that_is_not_there_names_those_that_are(api: Api) -> None:
    team_id = await api.team()
    for path, methods in (
        ("teams", "GET, HEAD, POST"),
        (f"teams/{team_id}", "DELETE, GET, HEAD, PATCH"),
        ("whoami", "GET, HEAD"),
    ):
        answer = await api.client.put(f"/api/v1/{path}", json={})
        is_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == methods


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"\xff", b'{"name": "a"}trailing', b'{"name": NaN}'])
async def test_a_body_that_is_no_json_is_a_problem_that_names_the_place(api: Api, body: bytes) -> None:
    headers = {**api.admin.headers, "content-type": "application/json"}
    answer = await api.client.post("/api/v1/teams", headers=headers, content=body)
    is_problem(answer, 422, "request-invalid")
    assert answer.json()["errors"][0]["field"]


async def test_every_wrong_field_is_named(api: Api) -> None:
    team_id = await api.team()
    answer = await api.client.post(
        f"/api/v1/teams/{team_id}/users", headers=api.admin.headers, json={"name": "", "role": "king", "email": "x"}
    )
    is_problem(answer, 422, "request-invalid")
    assert {each["field"] for each in answer.json()["errors"]} == {"name", "role", "email"}
    assert "king" not in answer.text


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_json_body_has_a_limit_whether_it_says_its_length_or_not(api: Api, chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    headers = {**api.admin.headers, "content-type": "application/json"}
    body = pieces() if chunked else b" " * (SMALL_BODY_BYTES + 1)
    is_problem(await api.client.post("/api/v1/teams", headers=headers, content=body), 413, "body-too-large")


async def test_what_nobody_expected_is_a_problem_without_its_text(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"secret {member.user_id}")

    monkeypatch.setattr(api.services.database, "fetch", broken)
    api.client.event_hooks = {"response": []}
    try:
        answer = await api.client.get("/api/v1/images", headers=member.headers)
    finally:
        api.client.event_hooks = {"response": [api.truth.check]}
    is_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    record = next(each for each in caplog.records if each.message == "unexpected_error")
    assert f"secret {member.user_id}" not in repr(vars(record))
    assert record.json_fields["stack_trace"].endswith("RuntimeError")  # type: ignore[attr-defined]


async def test_503_says_when_to_come_again(api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise errors.DatabaseUnavailable("Away.")

    monkeypatch.setattr(api.services.database, "fetch", away)
    answer = await api.client.get("/api/v1/images", headers=member.headers)
    is_problem(answer, 503, "database-unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_commit_that_fails_is_never_a_success(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constraint that is only checked at the commit, after everything else went well."""
    await api.rows._pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '40001'; END $$;"
        " CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON team DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    try:
        answer = await api.client.post("/api/v1/teams", headers=api.admin.headers, json={"name": "never"})
    finally:
        await api.rows._pool.execute("DROP TRIGGER refuse ON team; DROP FUNCTION refuse()")
    is_problem(answer, 503, "database-unavailable")
    listed = await api.client.get("/api/v1/teams", headers=api.admin.headers)
    assert "never" not in listed.text


@pytest.mark.parametrize("leaf", errors.leaves(), ids=lambda leaf: leaf.code)
def test_every_error_has_a_status_and_a_title(leaf: type[errors.AppError]) -> None:
    extra = {"size_bytes": 5} if leaf is errors.RangeNotSatisfiable else {}
    answer = problems.app_problem(leaf("What happened.", **extra))
    body = orjson.loads(answer.body)
    assert 400 <= answer.status_code < 600
    assert answer.status_code != 500
    assert body["title"] == leaf.title()
    assert (answer.status_code == 401) == ("www-authenticate" in answer.headers)
    passes = answer.status_code == 503 or leaf is errors.IdempotencyKeyInUse
    assert passes == ("retry-after" in answer.headers)


def test_a_limit_says_when_to_come_again_where_that_is_known() -> None:
    assert problems.app_problem(errors.TooManyRequests(retry_after_seconds=3)).headers["retry-after"] == "3"
    assert "retry-after" not in problems.app_problem(errors.CreditsExhausted()).headers


def test_no_two_errors_share_a_code() -> None:
    codes = [leaf.code for leaf in errors.leaves()]
    assert len(codes) == len(set(codes))


def test_every_code_has_a_chapter_and_every_chapter_a_code() -> None:
    codes = {leaf.code for leaf in errors.leaves()} | set(REJECTION_MESSAGES) | CODES_WITHOUT_A_CLASS
    assert set(chapters()) == codes


@pytest.mark.parametrize("leaf", errors.leaves(), ids=lambda leaf: leaf.code)
def test_every_chapter_begins_with_the_title_and_the_status(leaf: type[errors.AppError]) -> None:
    first = chapters()[leaf.code].split("\n\n")[0].replace("\n", " ")
    assert first == f"{leaf.title()}. Status {status_of(leaf)}."


async def test_every_chapter_is_a_page(api: Api) -> None:
    answers = await asyncio.gather(*(api.client.get(f"/errors/{code}") for code in chapters()))
    for code, answer in zip(chapters(), answers, strict=True):
        assert answer.status_code == 200
        assert f"<code>{code}</code>" in answer.text
    assert "unsafe-inline" not in answers[0].headers["content-security-policy"].split("script-src")[-1].split(";")[0]


async def test_a_code_that_is_not_there_has_no_page(api: Api) -> None:
    is_problem(await api.client.get("/errors/no-such-code"), 404, "not-found")
    is_problem(await api.client.get("/errors/<script>"), 422, "request-invalid")

"""The table of docs/access.md is true: every operation is called with every role, and with keys that open nothing."""

import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from image_api.actor import Role
from image_core import testing
from image_core.admin import ADMIN_USER_ID
from image_core.keys import api_keys
from image_core.models import user

from .conftest import Api
from .openapi.test_openapi import call, prepare
from .pictures import picture

PAST = datetime(2020, 1, 1, tzinfo=UTC)
ACCESS = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "access_docs.py"))
ACCESSES: list[Any] = ACCESS["accesses"]()
NAMES = [f"{access.method}-{access.path}" for access in ACCESSES]
BEHIND_A_KEY = [access for access in ACCESSES if not access.open]


async def ask(
    api: Api, access: Any, url: str, request: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx2.Response:
    """The answer to a prepared request, with these headers beside its own. Nobody is there to import from."""
    with_source = {"json": {"url": "http://127.0.0.1:1/"}} if access.path.endswith("/import") else {}
    given = {**request, **with_source, "headers": {**request["headers"], **(headers or {})}}
    return await api.client.request(access.method, url, **given)


@pytest.mark.parametrize("access", ACCESSES, ids=NAMES)
async def test_each_role_reaches_what_the_table_says(api: Api, access: Any) -> None:
    # Whoever is refused changes nothing, so that all of them may send the same request.
    if refused := [role for role in Role if access.reach[role] == "-"]:
        owner = await api.user()
        url, request = await prepare(api, access.method, access.path, None, owner)
        by_role = {role: await api.user(owner.team_id, role) for role in refused}
        answers = {role: await ask(api, access, url, request, by.headers) for role, by in by_role.items()}
        assert {role: answer.status_code for role, answer in answers.items()} == dict.fromkeys(refused, 403)
    for role in sorted(set(Role) - set(refused)):
        owner = await api.user()
        by = api.admin if role is Role.ADMIN else await api.user(owner.team_id, role)
        holder = by if access.reach[role] == "own" else None
        answer = await call(api, access.method, access.path, by, owner, holder)
        assert answer.status_code < 300, f"{role}: {answer.text}"
    # The client has compared each answer with the document.
    assert (access.method.lower(), access.path) in api.truth.seen


async def keys_that_open_nothing(api: Api) -> dict[str, dict[str, str]]:
    """Headers that prove nobody: none, and the keys of an admin that are not valid any more."""
    disabled = await api.user(role=Role.ADMIN)
    await api.rows.execute(update(user).where(user.c.id == disabled.user_id).values(disabled_at=PAST))
    return {
        "api-key-missing": {},
        "api-key-expired": (await testing.add_key(api.rows, ADMIN_USER_ID, None, expires_at=PAST)).headers,
        "api-key-invalid": (await testing.add_key(api.rows, ADMIN_USER_ID, None, revoked_at=PAST)).headers,
        "user-disabled": disabled.headers,
        "api-key-unknown": {"X-API-KEY": api_keys.generate().api_key},
    }


def no_proof(headers: dict[str, str]) -> dict[str, str]:
    """The headers but those that say who asks."""
    return {name: value for name, value in headers.items() if name.lower() not in ("x-api-key", "authorization")}


@pytest.mark.parametrize("access", BEHIND_A_KEY, ids=[f"{access.method}-{access.path}" for access in BEHIND_A_KEY])
async def test_nobody_comes_in_and_another_teams_key_finds_nothing_here(api: Api, access: Any) -> None:
    owner, stranger = await api.user(), await api.user()
    url, request = await prepare(api, access.method, access.path, stranger, owner, owner)
    for code, headers in (await keys_that_open_nothing(api)).items():
        answer = await ask(api, access, url, {**request, "headers": no_proof(request["headers"])}, headers)
        assert answer.status_code == 401, f"{code}: {answer.text}"
        assert answer.json()["code"] == code.replace("unknown", "invalid")

    in_path = "_id}" in access.path and "{session_id}" not in access.path
    in_request = {"team_id", "image_id", "image_ids"} & {*(request.get("params") or {}), *(request.get("json") or {})}
    if access.path.endswith("/facets"):
        await api.upload(stranger, picture(77), metadata='{"place": "Bergen"}')
    answer = await ask(api, access, url, request, {} if access.session else stranger.headers)
    if access.reach[Role.MEMBER] == "-":
        assert answer.status_code == 403, answer.text
    elif in_path or in_request:
        assert answer.status_code == 404, answer.text
    else:
        assert answer.status_code < 300, answer.text


def test_page_is_up_to_date() -> None:
    assert ACCESS["main"](["--check"]) == 0

"""The table of docs/access.md is true: every operation is called with every role, and with keys that open nothing."""

import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("access", ACCESSES, ids=NAMES)
async def test_each_role_reaches_what_the_table_says(api: Api, access: Any, role: Role) -> None:
    owner, reach = await api.user(), access.reach[role]
    by = api.admin if role is Role.ADMIN else await api.user(owner.team_id, role)
    answer = await call(api, access.method, access.path, by, owner, by if reach == "own" else None)
    assert answer.status_code == 403 if reach == "-" else answer.status_code < 300, answer.text


@pytest.mark.parametrize("access", BEHIND_A_KEY, ids=[f"{access.method}-{access.path}" for access in BEHIND_A_KEY])
async def test_another_teams_key_finds_nothing_here(api: Api, access: Any) -> None:
    owner, stranger = await api.user(), await api.user()
    url, request = await prepare(api, access.method, access.path, stranger, owner, owner)
    in_path = "_id}" in access.path and "{session_id}" not in access.path
    in_request = {"team_id", "image_id", "image_ids"} & {*(request.get("params") or {}), *(request.get("json") or {})}
    request["headers"] = request["headers"] if access.session else {**request["headers"], **stranger.headers}
    if access.path.endswith("/facets"):
        await api.upload(stranger, picture(77), metadata='{"place": "Bergen"}')
    if access.path.endswith("/import"):
        request["json"] = {"url": "http://127.0.0.1:1/"}
    answer = await api.client.request(access.method, url, **request)
    if access.reach[Role.MEMBER] == "-":
        assert answer.status_code == 403, answer.text
    elif in_path or in_request:
        assert answer.status_code == 404, answer.text
    else:
        assert answer.status_code < 300, answer.text


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


@pytest.mark.parametrize("access", BEHIND_A_KEY, ids=[f"{access.method}-{access.path}" for access in BEHIND_A_KEY])
async def test_nobody_comes_in_without_a_valid_key(api: Api, access: Any) -> None:
    owner = await api.user()
    url, request = await prepare(api, access.method, access.path, None, owner)
    for code, headers in (await keys_that_open_nothing(api)).items():
        given = {**request, "headers": {**request["headers"], **headers}}
        answer = await api.client.request(access.method, url, **given)
        assert answer.status_code == 401, f"{code}: {answer.text}"
        assert answer.json()["code"] == code.replace("unknown", "invalid")


def test_page_is_up_to_date() -> None:
    assert ACCESS["main"](["--check"]) == 0

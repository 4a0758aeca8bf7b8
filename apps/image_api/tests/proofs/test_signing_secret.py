"""Signing keys in Secret Manager: not there yet, refused, hanging, rotated; asked over the wire."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from image_api.proofs import signing_key_source
from image_api.proofs.access_tokens import AccessTokens
from image_api.proofs.signing_key_source import SigningKeySource
from image_api.settings import ApiSettings
from image_core.keys import signing_keys

from ..conftest import Api, MakeApi

SECRET = "projects/p/secrets/token-signing-keys"
# Names a key, and is signed by nobody.
SOMEBODYS = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IngifQ.e30.e30"
UNAVAILABLE = (503, "signing-keys-unavailable")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("image_api.proofs.signing_key_source.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
async def cloud(make_api: MakeApi, secret_manager: Any) -> AsyncIterator[Api]:
    """An API whose keys are in a secret that has no version yet."""
    secret_manager.versions[SECRET] = []
    async with make_api(token_signing_keys=None, token_signing_secret=SECRET) as api:
        yield api


async def login(api: Api) -> tuple[int, str | None]:
    answer = await api.login((await api.person()).email)
    return answer.status_code, answer.json().get("code")


async def who(api: Api, headers: dict[str, str]) -> tuple[int, str | None]:
    answer = await api.client.get("/api/v1/whoami", headers=headers)
    return answer.status_code, answer.json().get("code")


async def test_the_api_starts_before_the_first_version_and_finds_it(
    cloud: Api, secret_manager: Any, clock: list[float]
) -> None:
    assert await login(cloud) == await login(cloud) == UNAVAILABLE
    assert secret_manager.reads == 1
    secret_manager.versions[SECRET].append(signing_keys.to_text([signing_keys.generate()]))
    clock[0] += signing_key_source.COOL_DOWN_SECONDS
    assert await login(cloud) == (200, None)
    assert await who(cloud, await cloud.bearer(cloud.admin)) == (200, None)
    assert secret_manager.reads == 2


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "FAILED_PRECONDITION", "UNAVAILABLE"])
async def test_where_the_secret_is_refused_keys_and_cookies_go_on(cloud: Api, secret_manager: Any, code: str) -> None:
    secret_manager.refuses_with = code
    assert await login(cloud) == UNAVAILABLE
    assert await who(cloud, {"Authorization": f"Bearer {SOMEBODYS}"}) == UNAVAILABLE
    assert await who(cloud, cloud.admin.headers) == (200, None)
    answer = await cloud.login((await cloud.person()).email, mode="cookie")
    assert await who(cloud, {"Cookie": answer.headers["set-cookie"].partition(";")[0]}) == (200, None)


async def test_what_is_no_key_set_is_not_taken(cloud: Api, secret_manager: Any) -> None:
    secret_manager.versions[SECRET].append("not a key set")
    assert await login(cloud) == UNAVAILABLE


async def test_a_secret_manager_that_hangs_holds_up_nobody_with_a_key(cloud: Api, secret_manager: Any) -> None:
    secret_manager.hangs = True
    signing_in = asyncio.create_task(login(cloud))
    while not secret_manager.reads:
        assert await who(cloud, cloud.admin.headers) == (200, None)
    assert not signing_in.done()
    assert await who(cloud, cloud.admin.headers) == (200, None)
    secret_manager.refuses_with = "UNAVAILABLE"
    secret_manager.released.set()
    assert await signing_in == UNAVAILABLE


@pytest.mark.parametrize("limit", ["_READ_SECONDS", "_TOTAL_SECONDS"])
async def test_a_look_that_hangs_is_given_up(
    cloud: Api, secret_manager: Any, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    secret_manager.hangs = True
    monkeypatch.setattr(signing_key_source, limit, 0.2)
    assert await login(cloud) == UNAVAILABLE


async def test_a_caller_that_leaves_during_a_look_keeps_nobody_from_the_next(cloud: Api, secret_manager: Any) -> None:
    secret_manager.hangs = True
    source = signing_key_source.from_secret(SECRET)
    leaving = asyncio.create_task(source.signing_key())
    while not secret_manager.reads:
        await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    key = signing_keys.generate()
    secret_manager.versions[SECRET].append(signing_keys.to_text([key]))
    secret_manager.released.set()
    assert await source.signing_key() == key


async def test_a_rotation_is_seen_by_the_next_unknown_key_after_the_cool_down(
    cloud: Api, secret_manager: Any, clock: list[float]
) -> None:
    old = [signing_keys.generate()]
    new = signing_keys.with_new_key(old)
    secret_manager.versions[SECRET].append(signing_keys.to_text(old))
    of_before = await cloud.bearer(cloud.admin)
    assert await who(cloud, of_before) == (200, None)

    secret_manager.versions[SECRET].append(signing_keys.to_text(new))
    another = AccessTokens(SigningKeySource(lambda: signing_keys.to_text(new)), "image-manager", 900)
    here, there = cloud.services.access_tokens, cloud.services
    object.__setattr__(there, "access_tokens", another)
    of_after = await cloud.bearer(cloud.admin)
    object.__setattr__(there, "access_tokens", here)

    assert await who(cloud, of_after) == (401, "token-invalid")
    clock[0] += signing_key_source.COOL_DOWN_SECONDS
    assert await who(cloud, of_after) == await who(cloud, of_before) == (200, None)
    assert secret_manager.reads == 2
    assert await here.keys.signing_key() == new[0]


async def test_a_rotation_is_seen_without_any_unknown_key(cloud: Api, secret_manager: Any, clock: list[float]) -> None:
    old = [signing_keys.generate()]
    secret_manager.versions[SECRET].append(signing_keys.to_text(old))
    source = cloud.services.access_tokens.keys
    assert await source.signing_key() == old[0]
    new = signing_keys.with_new_key(old)
    secret_manager.versions[SECRET].append(signing_keys.to_text(new))
    clock[0] += signing_key_source.REFRESH_SECONDS
    assert await source.signing_key() == new[0]


def test_keys_come_from_one_place(base_settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="TOKEN_SIGNING_KEYS or TOKEN_SIGNING_SECRET") as refused:
        ApiSettings(**{**base_settings, "token_signing_secret": SECRET})
    assert base_settings["token_signing_keys"] not in str(refused.value)


@pytest.mark.parametrize("name", ["", "token-signing-keys", f"{SECRET}/versions/latest"])
def test_a_secret_is_named_in_full(base_settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError, match="token_signing_secret"):
        ApiSettings(**{**base_settings, "token_signing_keys": None, "token_signing_secret": name})

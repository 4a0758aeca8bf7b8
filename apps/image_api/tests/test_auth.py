import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from image_api.actor import Role, Scope
from image_api.lookups import fresh_cache
from image_api.proofs import key_cache
from image_core import errors, testing
from image_core.db import Query
from image_core.keys import api_keys
from image_core.models import credential, user
from image_core.testing import UserWithKey

from .conftest import Api, MakeApi
from .pictures import picture

WHO = "/api/v1/whoami"


async def ask(api: Api, api_key: str | None, **headers: str) -> tuple[int, dict[str, Any]]:
    answer = await api.client.get(WHO, headers=headers | ({} if api_key is None else {"X-API-KEY": api_key}))
    return answer.status_code, answer.json()


async def last_use(api: Api, of: UserWithKey) -> datetime | None:
    found: datetime | None = await api.rows.fetch_value(
        select(credential.c.last_used_at).where(credential.c.id == of.credential_id)
    )
    return found


def count_lookups(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked = []
    database = api.services.database
    really = database.fetch_one

    async def counted(statement: Any, **values: Any) -> Any:
        if statement is key_cache.by_public_id:
            asked.append(values)
            await asyncio.sleep(0.01)
        return await really(statement, **values)

    monkeypatch.setattr(database, "fetch_one", counted)
    return asked


async def test_a_request_without_a_key_is_told_where_to_put_it(api: Api) -> None:
    answer = await api.client.get(WHO)
    assert answer.status_code == 401
    assert answer.json()["code"] == "api-key-missing"
    assert "X-API-KEY" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("api_key", ["nonsense", "im_", "admin_access", "im_abcdefgh_short", "ÄÖÜ" * 20, "x" * 5000])
async def test_a_malformed_key_is_not_valid(api: Api, api_key: str) -> None:
    answer = await api.client.get(WHO, headers=[(b"x-api-key", api_key.encode("latin-1", "replace"))])
    assert (answer.status_code, answer.json()["code"]) == (401, "api-key-invalid")


async def test_a_mistyped_key_is_refused_without_a_look_at_the_database(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_lookups(api, monkeypatch)
    mistyped = member.api_key[:-1] + ("a" if member.api_key[-1] != "a" else "b")
    assert (await ask(api, mistyped))[0] == 401
    assert asked == []


async def test_unknown_and_wrong_keys_get_the_same_answer(api: Api, member: UserWithKey) -> None:
    unknown = api_keys.generate().api_key
    # Well-formed, with the public id of somebody, but another secret.
    public_id = api_keys.public_id_of(member.api_key)
    body = f"im_{public_id}_{'A' * 28}"
    wrong = body + api_keys._checksum(body)
    answers = [(await ask(api, each))[1] for each in (unknown, wrong)]
    for each in answers:
        each.pop("request_id")
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "api-key-invalid"


async def test_a_key_that_has_expired_says_so(api: Api, member: UserWithKey) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    expired = await testing.add_key(api.rows, member.user_id, member.team_id, expires_at=over)
    assert (await ask(api, expired.api_key))[1]["code"] == "api-key-expired"


async def test_a_key_ends_at_its_time_although_it_is_cached(api: Api, member: UserWithKey) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    short = await testing.add_key(api.rows, member.user_id, member.team_id, expires_at=soon)
    assert (await ask(api, short.api_key))[0] == 200
    await asyncio.sleep(0.35)
    assert (await ask(api, short.api_key))[0] == 401


async def test_a_revoked_key_is_refused(api: Api, member: UserWithKey) -> None:
    revoked = await testing.add_key(api.rows, member.user_id, member.team_id, revoked_at=datetime.now(UTC))
    assert (await ask(api, revoked.api_key))[1]["code"] == "api-key-invalid"


async def test_a_disabled_user_is_refused(api: Api) -> None:
    disabled = await api.user(disabled_at=datetime.now(UTC))
    assert (await ask(api, disabled.api_key))[1]["code"] == "user-disabled"


async def test_a_revocation_is_complete_when_the_cache_is_over(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ask(api, member.api_key))[0] == 200
    await api.rows.execute(
        update(credential).where(credential.c.id == member.credential_id).values(revoked_at=func.now())
    )
    assert (await ask(api, member.api_key))[0] == 200
    monkeypatch.setattr(fresh_cache, "CACHE_SECONDS", 0.0)
    assert (await ask(api, member.api_key))[0] == 401


async def test_fifty_requests_at_once_look_a_key_up_once(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_lookups(api, monkeypatch)
    answers = await asyncio.gather(*(ask(api, member.api_key) for _ in range(50)))
    assert {status for status, _ in answers} == {200}
    assert len(asked) == 1


async def test_an_unknown_key_too_is_looked_up_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = count_lookups(api, monkeypatch)
    unknown = api_keys.generate().api_key
    for _ in range(5):
        assert (await ask(api, unknown))[0] == 401
    assert len(asked) == 1


async def test_a_caller_that_goes_away_leaves_the_look_up_to_the_others(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_lookups(api, monkeypatch)
    first = asyncio.create_task(ask(api, member.api_key))
    second = asyncio.create_task(ask(api, member.api_key))
    await asyncio.sleep(0.005)
    first.cancel()
    assert (await second)[0] == 200


async def test_the_cache_forgets_the_oldest_rather_than_grow(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh_cache, "_MAX_ENTRIES", 3)
    for _ in range(5):
        await ask(api, api_keys.generate().api_key)
    assert len(api.app.state.key_cache.rows) == 3


async def test_the_first_use_is_recorded_before_the_answer(api: Api, member: UserWithKey) -> None:
    assert await last_use(api, member) is None
    await ask(api, member.api_key)
    assert await last_use(api, member) is not None


async def test_later_uses_are_written_at_most_once_a_minute_and_off_the_path(api: Api, member: UserWithKey) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=2)
    await api.rows.execute(
        update(credential).where(credential.c.id == member.credential_id).values(last_used_at=long_ago)
    )
    for _ in range(3):
        await ask(api, member.api_key)
    assert await last_use(api, member) == long_ago
    await api.app.state.key_cache.flush()
    noted = await last_use(api, member)
    assert noted is not None
    assert noted > long_ago
    await ask(api, member.api_key)
    await api.app.state.key_cache.flush()
    assert await last_use(api, member) == noted


async def test_uses_wait_while_the_database_is_away_and_the_newest_counts(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=2)
    await api.rows.execute(update(credential).values(last_used_at=long_ago))
    other = await testing.add_key(api.rows, member.user_id, member.team_id, last_used_at=long_ago)
    cache = api.app.state.key_cache
    for key in (member.api_key, other.api_key):
        await ask(api, key)

    async def away(*_: Any, **__: Any) -> Any:
        raise errors.DatabaseUnavailable("Away.")

    with monkeypatch.context() as patched:
        patched.setattr(api.services.database, "execute", away)
        with pytest.raises(errors.DatabaseUnavailable):
            await cache.flush()
        api.forget_keys()
        # Noted while the first try is still waiting to be repeated.
        await ask(api, member.api_key, **{"user-agent": "later"})
    await cache.flush()
    found = await api.rows.fetch(
        select(credential.c.id, credential.c.last_used_at, credential.c.last_used_agent).where(
            credential.c.user_id == member.user_id
        )
    )
    assert all(row["last_used_at"] > long_ago for row in found)
    assert {row["id"]: row["last_used_agent"] for row in found}[member.credential_id] == "later"


async def test_a_use_that_is_written_late_does_not_hide_a_newer_one(api: Api, member: UserWithKey) -> None:
    await api.rows.execute(update(credential).values(last_used_at=datetime.now(UTC) - timedelta(minutes=2)))
    await ask(api, member.api_key)
    # Another instance has seen the key since then, and has written so.
    newer = datetime.now(UTC) + timedelta(seconds=30)
    await api.rows.execute(update(credential).where(credential.c.id == member.credential_id).values(last_used_at=newer))
    await api.app.state.key_cache.flush()
    assert await last_use(api, member) == newer


@pytest.mark.parametrize(
    ("ranges", "address", "allowed"),
    [
        (["192.0.2.0/24"], "192.0.2.255", True),
        (["192.0.2.0/24"], "192.0.3.0", False),
        (["198.51.100.0/24", "2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["0.0.0.0/0", "::/0"], "not an address", False),
    ],
)
async def test_a_key_with_ranges_is_good_from_there_only(
    make_api: MakeApi, ranges: list[str], address: str, allowed: bool
) -> None:
    async with make_api(trusted_proxy_depth=1) as api:
        member = await api.user()
        bound = await testing.add_key(api.rows, member.user_id, member.team_id, address_ranges=ranges)
        status, body = await ask(api, bound.api_key, **{"X-Forwarded-For": f"192.0.2.1, 2001:db8::1, {address}"})
        if allowed:
            assert status == 200
        else:
            assert (status, body["code"]) == (403, "address-not-allowed")
            assert not any(each.partition("/")[0] in str(body) for each in ranges)
            assert await last_use(api, bound) is None


async def test_what_the_caller_says_of_its_address_opens_no_range(api: Api, member: UserWithKey) -> None:
    bound = await testing.add_key(api.rows, member.user_id, member.team_id, address_ranges=["192.0.2.0/24"])
    status, _ = await ask(api, bound.api_key, **{"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"})
    assert status == 403


async def test_only_who_has_the_whole_key_learns_that_it_is_bound_to_a_place(api: Api, member: UserWithKey) -> None:
    bound = await testing.add_key(api.rows, member.user_id, member.team_id, address_ranges=["192.0.2.0/24"])
    body = f"im_{api_keys.public_id_of(bound.api_key)}_{'A' * 28}"
    assert (await ask(api, body + api_keys._checksum(body)))[0] == 401


async def test_attempts_from_elsewhere_are_limited_as_bad_keys_are(make_api: MakeApi) -> None:
    async with make_api(bad_key_limit_per_minute=2) as api:
        member = await api.user()
        bound = await testing.add_key(api.rows, member.user_id, member.team_id, address_ranges=["192.0.2.0/24"])
        statuses = [(await ask(api, bound.api_key))[0] for _ in range(3)]
        assert statuses == [403, 403, 429]


async def test_the_ranges_of_a_key_are_parsed_once_a_look_up(
    api: Api, member: UserWithKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = await testing.add_key(api.rows, member.user_id, member.team_id, address_ranges=["127.0.0.0/8"])
    parsed: list[str] = []
    really = key_cache.ip_network
    monkeypatch.setattr(key_cache, "ip_network", lambda text: parsed.append(text) or really(text))  # type: ignore[func-returns-value]
    for _ in range(3):
        assert (await ask(api, bound.api_key))[0] == 200
    assert parsed == ["127.0.0.0/8"]


async def test_bad_keys_of_one_address_are_limited_and_good_ones_go_on(make_api: MakeApi) -> None:
    async with make_api(bad_key_limit_per_minute=3) as api:
        good = await api.user()
        statuses = [(await ask(api, api_keys.generate().api_key))[0] for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        answer = await api.client.get(WHO, headers={"X-API-KEY": "nonsense"})
        assert answer.json()["code"] == "too-many-bad-keys"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await ask(api, good.api_key))[0] == 200


async def test_behind_no_trusted_proxy_a_forwarded_address_is_not_believed(make_api: MakeApi) -> None:
    async with make_api(bad_key_limit_per_minute=1) as api:
        statuses = [(await ask(api, "bad", **{"X-Forwarded-For": f"10.0.0.{n}"}))[0] for n in range(3)]
        assert statuses == [401, 429, 429]


async def test_only_the_address_that_the_trusted_proxy_added_is_believed(make_api: MakeApi) -> None:
    async with make_api(bad_key_limit_per_minute=1, trusted_proxy_depth=1) as api:
        # What stands left of the last hop is the caller's own invention.
        statuses = [(await ask(api, "bad", **{"X-Forwarded-For": f"10.0.0.{n}, 192.0.2.1"}))[0] for n in range(3)]
        assert statuses == [401, 429, 429]
        assert (await ask(api, "bad", **{"X-Forwarded-For": "192.0.2.1, 192.0.2.2"}))[0] == 401


async def test_load_balancer_that_only_some_calls_pass_is_told_by_its_address(make_api: MakeApi) -> None:
    proxies = {"trusted_proxy_depth": 1, "trusted_proxy_addresses": ["203.0.113.7"]}
    async with make_api(bad_key_limit_per_minute=1, **proxies) as api:

        async def statuses(*forwarded: str) -> list[int]:
            return [(await ask(api, "bad", **{"X-Forwarded-For": each}))[0] for each in forwarded]

        # Through it, and straight: whatever a caller invents, the address that was appended counts.
        assert await statuses("192.0.2.1, 203.0.113.7", "10.0.0.1, 192.0.2.1, 203.0.113.7") == [401, 429]
        assert await statuses("192.0.2.2", "203.0.113.7, 192.0.2.2", "192.0.2.1") == [401, 429, 429]
        assert await statuses("192.0.2.3, 203.0.113.7", "192.0.2.4, 203.0.113.7") == [401, 401]
        # A header that holds the load balancer alone names nobody else.
        assert await statuses("203.0.113.7", "203.0.113.7") == [401, 429]


async def test_the_default_key_may_ask_who_it_is_and_nothing_else(api: Api) -> None:
    await api.rows.execute(
        update(credential).where(credential.c.public_id == api_keys.DEFAULT_PUBLIC_ID).values(is_default=True)
    )
    status, body = await ask(api, api_keys.DEFAULT_KEY)
    assert (status, body["is_default_key"]) == (200, True)
    headers = {"X-API-KEY": api_keys.DEFAULT_KEY}
    team_id, other = await api.team(), await api.user()
    for method, path in [
        ("GET", "/api/v1/teams"),
        ("POST", "/api/v1/teams"),
        ("GET", f"/api/v1/teams/{team_id}"),
        ("GET", "/api/v1/images"),
        ("POST", f"/api/v1/images?team_id={team_id}"),
        ("GET", f"/api/v1/users/{other.user_id}"),
        ("POST", f"/api/v1/user/{other.user_id}/credentials/rotate"),
    ]:
        answer = await api.client.request(
            method, path, headers=headers, json={"name": "x"} if "teams" in path else None
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "default-key-must-be-rotated"), path


async def test_a_key_has_only_the_scopes_that_its_user_has_too(api: Api, member: UserWithKey) -> None:
    narrow = await testing.add_key(api.rows, member.user_id, member.team_id, scopes=["images:read", "admin"])
    assert (await ask(api, narrow.api_key))[1]["scopes"] == ["images:read"]


async def test_whoami_shows_team_role_and_scopes(api: Api, member: UserWithKey) -> None:
    _, body = await ask(api, member.api_key)
    assert UUID(body["user_id"]) == member.user_id
    assert UUID(body["team_id"]) == member.team_id
    assert body["role"] == Role.MEMBER
    assert Scope.IMAGES_WRITE in body["scopes"]
    assert body["key_prefix"] == member.api_key[:11]
    assert member.api_key not in str(body)


async def test_a_key_whose_user_has_just_been_removed_elsewhere_cannot_upload(api: Api, member: UserWithKey) -> None:
    colleague = await api.user(member.team_id)
    assert (await ask(api, colleague.api_key))[0] == 200
    # Another instance removes the user; this one still has the key in its cache.
    await api.rows.execute(Query(user.delete().where(user.c.id == colleague.user_id)))
    answer = await api.client.post(
        "/api/v1/images",
        content=picture(77),
        headers={**colleague.headers, "content-type": "image/png"},
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "api-key-invalid")


async def test_the_use_of_a_key_is_written_to_its_own_credential(api: Api, member: UserWithKey) -> None:
    other = await api.user()
    public_id = api_keys.public_id_of(member.api_key)
    await api.rows.execute(
        key_cache._current_used, public_ids=[public_id], times=[datetime.now(UTC)], addresses=["192.0.2.7"],
        agents=[None],
    )  # fmt: skip
    used = await api.rows.fetch(
        select(credential.c.id).where(credential.c.last_used_at.is_not(None), credential.c.id != other.credential_id)
    )
    assert [row["id"] for row in used] == [member.credential_id]
    unused = select(credential.c.last_used_at).where(credential.c.id == other.credential_id)
    assert await api.rows.fetch_value(unused) is None

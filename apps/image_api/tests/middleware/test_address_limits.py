"""Limits of an address: who is counted as one, what is counted, and what an address that is refused may still do."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from image_api.limits import rate_limits
from image_api.limits.rate_limits import network_of
from image_api.limits.token_buckets import MemoryBuckets
from image_api.observability import TrustedProxies, client_address

from ..conftest import Api, MakeApi

ONE_AT_A_TIME = {"address_rate_limit_per_second": 1}


async def ask(api: Api, path: str = "/nothing", **headers: str) -> httpx2.Response:
    return await api.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def statuses(send: Callable[[], Awaitable[httpx2.Response]], count: int) -> list[int]:
    return [(await send()).status_code for _ in range(count)]


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tokens, of which none comes back while a test runs."""
    monkeypatch.setattr(rate_limits, "MemoryBuckets", lambda: MemoryBuckets(lambda: 0))


class TestWithoutAKey:
    async def test_requests_of_one_address_are_limited_and_told_so(self, make_api: MakeApi) -> None:
        async with make_api(**ONE_AT_A_TIME, cors_allow_origins=["https://a.example"]) as api:
            answers = [await ask(api, origin="https://a.example") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [404, 404, 429]
        assert [answer.headers["ratelimit"] for answer in answers] == [
            '"addresses";r=1;t=1', '"addresses";r=0;t=2', '"addresses";r=0;t=1',
        ]  # fmt: skip
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"addresses";q=2;w=2'}
        assert answers[2].headers["retry-after"] == "1"
        assert answers[2].headers["access-control-allow-origin"] == "https://a.example"
        problem = answers[2].json()
        assert (problem["code"], problem["policy"], problem["limit"]) == ("rate-limited", "addresses", 2)

    async def test_the_platforms_own_questions_are_always_answered(self, make_api: MakeApi) -> None:
        async with make_api(**ONE_AT_A_TIME) as api:
            assert 429 in await statuses(lambda: ask(api), 3)
            assert await statuses(lambda: ask(api, "/health/live"), 3) == [200] * 3

    @pytest.mark.parametrize("proof", [{"cookie": "a=b"}, {"authorization": "Bearer x"}, {"x_api_key": "junk"}])
    async def test_a_proof_that_proves_nothing_does_not_evade_it(
        self, make_api: MakeApi, proof: dict[str, str]
    ) -> None:
        async with make_api(**ONE_AT_A_TIME) as api:
            assert await statuses(lambda: ask(api, **proof), 5) == [404, 404, 404, 429, 429]

    async def test_a_missing_key_counts(self, make_api: MakeApi) -> None:
        async with make_api(**ONE_AT_A_TIME) as api:
            assert await statuses(lambda: ask(api, "/api/v1/whoami"), 3) == [401, 401, 429]


class TestWithAKey:
    async def test_a_valid_key_does_not_count(self, make_api: MakeApi) -> None:
        async with make_api(**ONE_AT_A_TIME) as api:
            member = await api.user()
            assert await statuses(lambda: ask(api, "/api/v1/whoami", x_api_key=member.api_key), 6) == [200] * 6
            assert (await ask(api)).status_code == 404

    async def test_a_refused_address_goes_on_with_the_keys_that_are_known_and_has_no_others_looked_up(
        self, make_api: MakeApi
    ) -> None:
        async with make_api(**ONE_AT_A_TIME) as api:
            known, unknown = await api.user(), await api.user()
            assert (await ask(api, "/api/v1/whoami", x_api_key=known.api_key)).status_code == 200
            await statuses(lambda: ask(api), 3)
            assert (await ask(api, "/api/v1/whoami", x_api_key=known.api_key)).status_code == 200
            assert (await ask(api, "/api/v1/whoami", x_api_key=unknown.api_key)).status_code == 429
            same_id_other_secret = known.api_key[:-12] + unknown.api_key[-12:]
            assert (await ask(api, "/api/v1/whoami", x_api_key=same_id_other_secret)).status_code == 429
            assert not api.app.state.key_cache.is_known_valid(unknown.api_key)

    async def test_a_bad_key_counts_for_both_limits_once(self, make_api: MakeApi) -> None:
        async with make_api(address_rate_limit_per_second=2, bad_key_limit_per_minute=2) as api:
            answers = [await ask(api, "/api/v1/whoami", x_api_key="bad") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [401, 401, 429, 429, 429, 429]
        codes = [answer.json()["code"] for answer in answers]
        assert codes[2:5] == ["too-many-bad-keys"] * 3
        assert codes[5] == "rate-limited"
        assert answers[2].headers["ratelimit-policy"] == '"bad-keys";q=2;w=60'
        assert answers[2].headers["ratelimit"] == f'"bad-keys";r=0;t={answers[2].headers["retry-after"]}'


class TestWhoIsOne:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::/64"),
            ("unknown", "unknown"),
            ("", "unknown"),
            ("192.0.2.1, 192.0.2.2", "unknown"),
        ],
    )
    def test_ipv6_counts_by_its_64(self, address: str, network: str) -> None:
        assert network_of(address) == network

    @pytest.mark.parametrize(
        ("depth", "forwarded", "expected"),
        [
            (0, ["1.1.1.1", "2.2.2.2", "3.3.3.3"], [404, 404, 429]),
            (1, ["1.1.1.1, 9.9.9.9", "2.2.2.2, 9.9.9.9", "3.3.3.3,9.9.9.9"], [404, 404, 429]),
            (1, ["9.9.9.9, 1.1.1.1", "9.9.9.9, 2.2.2.2", "9.9.9.9, 3.3.3.3"], [404, 404, 404]),
            (2, ["1.1.1.1, 9.9.9.9, 8.8.8.8", "2.2.2.2, 9.9.9.9, 8.8.8.8", "9.9.9.9, 8.8.8.8"], [404, 404, 429]),
            (2, ["1.1.1.1", "2.2.2.2", "3.3.3.3"], [404, 404, 429]),
            (1, ["junk", "x" * 10_000, "1.1.1.1:80"], [404, 404, 429]),
            (1, ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:3"], [404, 404, 429]),
            (1, ["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"], [404, 404, 404]),
        ],
        ids=["none", "spoofed before one", "one", "spoofed before two", "too few", "malformed", "one /64", "three /64"],
    )
    async def test_only_what_our_proxies_appended_tells_addresses_apart(
        self, make_api: MakeApi, depth: int, forwarded: list[str], expected: list[int]
    ) -> None:
        async with make_api(**ONE_AT_A_TIME, trusted_proxy_depth=depth) as api:
            assert [(await ask(api, x_forwarded_for=each)).status_code for each in forwarded] == expected

    @pytest.mark.parametrize("forwarded", ["junk", "1.1.1.1:80", "[::1]", "1.1.1.256", "\xff", "a" * 5000])
    def test_what_is_no_address_is_nobodys(self, forwarded: str) -> None:
        scope = {"client": ("9.9.9.9", 1)}
        headers = {b"x-forwarded-for": forwarded.encode("latin-1")}
        assert client_address(scope, headers, TrustedProxies(depth=1)) == "unknown"

"""Tokens that somebody forged, and keys that come and go."""

import base64
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from image_api.proofs import signing_key_source
from image_api.proofs.signing_key_source import SigningKeySource
from image_core import errors
from image_core.keys import signing_keys
from image_core.keys.signing_keys import SigningKey

from ..conftest import SIGNING_KEY, Api, MakeApi, Person

WHO = "/api/v1/whoami"
HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": SIGNING_KEY.kid}


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(claims: dict[str, Any], header: dict[str, Any] | None = None, key: SigningKey = SIGNING_KEY) -> str:
    """A token signed with one of our keys, whatever it says."""
    import hashlib
    import hmac

    signing_input = f"{encoded(header or HEADER)}.{encoded(claims)}"
    signature = hmac.digest(key.secret, signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.fixture
async def claims(api: Api) -> dict[str, Any]:
    """What a token that works says."""
    person = await api.person()
    body = (await api.login(person.email)).json()
    now = int(time.time())
    return {
        "iss": "image-manager", "aud": "image-manager-api", "sub": str(person.user_id), "sid": body["session_id"],
        "iat": now, "nbf": now, "exp": now + 900,
    }  # fmt: skip


async def ask(api: Api, token: str) -> tuple[int, str | None]:
    answer = await api.client.get(WHO, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("code")


async def test_the_forger_of_these_tests_makes_tokens_that_work(api: Api, claims: dict[str, Any]) -> None:
    assert await ask(api, signed(claims)) == (200, None)


async def test_a_token_without_signature_is_refused(api: Api, claims: dict[str, Any]) -> None:
    for algorithm in ("none", "None", "NONE"):
        unsigned = f"{encoded({**HEADER, 'alg': algorithm})}.{encoded(claims)}."
        assert await ask(api, unsigned) == (401, "token-invalid")
    assert await ask(api, signed(claims).rpartition(".")[0] + ".") == (401, "token-invalid")


async def test_another_algorithm_is_refused_whatever_key_it_uses(api: Api, claims: dict[str, Any]) -> None:
    rsa = RSAKey.generate_key(2048)
    swapped = jwt.encode({**HEADER, "alg": "RS256"}, claims, rsa, ["RS256"])
    assert await ask(api, swapped) == (401, "token-invalid")
    for algorithm in ("HS384", "HS512"):
        key = OctKey.import_key(SIGNING_KEY.secret)
        longer = jwt.encode({**HEADER, "alg": algorithm}, claims, key, [algorithm])
        assert await ask(api, longer) == (401, "token-invalid")
    # Says RS256 above a signature by HS256, the classic confusion.
    assert await ask(api, signed(claims, {**HEADER, "alg": "RS256"})) == (401, "token-invalid")


@pytest.mark.parametrize(
    "more",
    [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"jwk": {"kty": "oct"}}, {"jku": "https://evil.example"}],
)
async def test_a_header_that_says_more_is_refused(api: Api, claims: dict[str, Any], more: dict[str, Any]) -> None:
    assert await ask(api, signed(claims, {**HEADER, **more})) == (401, "token-invalid")


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": None}, {"kid": None}, {"kid": ["x"]}, {"kid": "../../etc"}])
async def test_a_header_that_says_something_else_is_refused(
    api: Api, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    changed = {name: value for name, value in {**HEADER, **header}.items() if value is not None}
    assert await ask(api, signed(claims, changed)) == (401, "token-invalid")


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", "somebody-else"), ("iss", None), ("aud", "another-api"), ("aud", ["another-api"]), ("aud", None),
        ("nbf", 4_000_000_000), ("nbf", None), ("iat", 4_000_000_000), ("exp", None), ("exp", "tomorrow"),
        ("sid", None), ("sid", "nonsense"), ("sid", 7), ("sub", None), ("sub", "nonsense"),
    ],
)  # fmt: skip
async def test_a_claim_that_is_wrong_or_absent_is_refused(
    api: Api, claims: dict[str, Any], claim: str, value: Any
) -> None:
    changed = {name: each for name, each in {**claims, claim: value}.items() if each is not None}
    assert await ask(api, signed(changed)) == (401, "token-invalid")


async def test_an_expired_token_is_told_so(api: Api, claims: dict[str, Any]) -> None:
    past = int(time.time()) - 60
    assert await ask(api, signed({**claims, "exp": past})) == (401, "token-expired")


async def test_a_token_for_another_users_session_is_refused(api: Api, claims: dict[str, Any]) -> None:
    other = await api.person()
    assert await ask(api, signed({**claims, "sub": str(other.user_id)})) == (401, "session-ended")


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "...", "é.è.ê", "e30.e30.e30", "bnVsbA.bnVsbA.bnVsbA"])
async def test_what_is_no_token_is_refused(api: Api, token: str) -> None:
    answer = await api.client.get(WHO, headers={"Authorization": f"Bearer {token}".encode()})
    assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")


async def test_a_key_that_is_not_ours_is_refused(api: Api, claims: dict[str, Any]) -> None:
    theirs = signing_keys.generate()
    assert await ask(api, signed(claims, {**HEADER, "kid": theirs.kid}, theirs)) == (401, "token-invalid")
    assert await ask(api, signed(claims, HEADER, theirs)) == (401, "token-invalid")


async def test_attempts_with_bad_tokens_are_limited_for_an_address(make_api: MakeApi) -> None:
    async with make_api(bad_key_limit_per_minute=2) as api:
        assert [(await ask(api, "a.b.c"))[0] for _ in range(3)] == [401, 401, 429]


async def test_with_two_live_keys_the_new_one_signs_and_both_verify(make_api: MakeApi, api: Api) -> None:
    person: Person = await api.person()
    old = (await api.login(person.email)).json()["access_token"]
    keys = signing_keys.with_new_key([SIGNING_KEY])
    async with make_api(token_signing_keys=signing_keys.to_text(keys)) as rotated:
        assert await ask(rotated, old) == (200, None)
        new = (await rotated.login(person.email)).json()["access_token"]
        assert json.loads(base64.urlsafe_b64decode(new.partition(".")[0] + "=="))["kid"] == keys[0].kid
        assert await ask(rotated, new) == (200, None)
    async with make_api(token_signing_keys=signing_keys.to_text(signing_keys.with_new_key(keys))) as twice_rotated:
        assert await ask(twice_rotated, old) == (401, "token-invalid")
        assert await ask(twice_rotated, new) == (200, None)


class Reader:
    """What a secret holds, how often it was read, and whether it answers."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys, self.reads, self.fails = list(keys), 0, False

    def __call__(self) -> str:
        self.reads += 1
        if self.fails:
            raise errors.SigningKeysUnavailable
        return signing_keys.to_text(self.keys)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(signing_key_source.time, "monotonic", lambda: now[0])
    return now


class TestSource:
    async def test_keys_are_read_once_in_five_minutes(self, clock: list[float]) -> None:
        reader = Reader(signing_keys.generate())
        source = SigningKeySource(reader)
        for _ in range(3):
            await source.signing_key()
        assert reader.reads == 1
        reader.keys = signing_keys.with_new_key(reader.keys)
        clock[0] += signing_key_source.REFRESH_SECONDS
        assert await source.signing_key() == reader.keys[0]

    async def test_an_unknown_key_is_looked_for_at_most_every_half_minute(self, clock: list[float]) -> None:
        reader = Reader(signing_keys.generate())
        source = SigningKeySource(reader)
        await source.signing_key()
        reader.keys = signing_keys.with_new_key(reader.keys)
        new = reader.keys[0]
        assert await source.find(new.kid) is None
        clock[0] += signing_key_source.COOL_DOWN_SECONDS
        assert await source.find(new.kid) == new
        for _ in range(10):
            assert await source.find("nobody's") is None
        assert reader.reads == 2

    async def test_keys_that_were_read_go_on_while_the_secret_does_not_answer(self, clock: list[float]) -> None:
        reader = Reader(signing_keys.generate())
        source = SigningKeySource(reader)
        key = await source.signing_key()
        reader.fails = True
        clock[0] += signing_key_source.REFRESH_SECONDS
        assert await source.signing_key() == key
        assert await source.signing_key() == key
        assert reader.reads == 2

    async def test_without_any_key_the_secret_is_asked_again_after_a_while_only(self, clock: list[float]) -> None:
        reader = Reader(signing_keys.generate())
        reader.fails = True
        source = SigningKeySource(reader)
        for _ in range(3):
            with pytest.raises(errors.SigningKeysUnavailable):
                await source.signing_key()
        assert reader.reads == 1
        reader.fails = False
        clock[0] += signing_key_source.COOL_DOWN_SECONDS
        assert await source.signing_key() == reader.keys[0]

import asyncio
import base64
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import RSAKey

from image_core import errors
from image_core.intake import identity
from image_core.intake.identity import IssuerKeys

from ..conftest import AUDIENCE, PUSH_EMAIL, Processor


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def status(processor: Processor, headers: dict[str, str]) -> int:
    """Of a push that carries nothing to do, so that only the caller decides."""
    body = {"message": {"attributes": {"eventType": "OBJECT_DELETE"}}}
    return (await processor.client.post("/push/uploads", json=body, headers=headers)).status_code


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in (header, claims)]
    return ".".join([*parts, ""])


class TestIdentity:
    async def test_the_accounts_own_token_is_taken(self, processor: Processor) -> None:
        assert await status(processor, bearer(processor.token())) == 204

    @pytest.mark.parametrize(
        "headers", [{}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": "Basic eDp5"}]
    )
    async def test_without_a_token_nothing_is_taken(self, processor: Processor, headers: dict[str, str]) -> None:
        assert await status(processor, headers) == 401

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": "https://other.test"},
            {"aud": None},
            {"aud": ["https://other.test"]},
            {"iss": "https://evil.test"},
            {"iss": None},
            {"email": "other@test.iam.gserviceaccount.com"},
            {"email": "scheduler@test.iam.gserviceaccount.com"},
            {"email": None},
            {"email_verified": False},
            {"email_verified": "true"},
            {"email_verified": None},
            {"exp": 1},
            {"exp": None},
            {"exp": "soon"},
            {"nbf": 2**33},
            {"iat": 2**33},
        ],
    )
    async def test_a_claim_that_is_wrong_or_missing_is_refused(
        self, processor: Processor, claims: dict[str, Any]
    ) -> None:
        email = claims.pop("email", PUSH_EMAIL)
        assert await status(processor, bearer(processor.token(email, **claims))) == 401

    async def test_a_token_that_is_just_over_is_taken_and_an_older_one_is_not(self, processor: Processor) -> None:
        now = int(time.time())
        assert await status(processor, bearer(processor.token(exp=now - 30))) == 204
        assert await status(processor, bearer(processor.token(exp=now - 90))) == 401

    async def test_the_issuers_short_name_is_taken_too(self, processor: Processor) -> None:
        assert await status(processor, bearer(processor.token(iss="accounts.google.com"))) == 204

    @pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "....", "é", "e30.e30.e30", "bnVsbA.e30.e30"])
    async def test_garbage_is_refused(self, processor: Processor, token: str) -> None:
        body = {"message": {"attributes": {"eventType": "OBJECT_DELETE"}}}
        headers = [(b"authorization", b"Bearer " + token.encode("latin-1"))]
        answer = await processor.client.post("/push/uploads", json=body, headers=headers)
        assert answer.status_code == 401

    async def test_a_token_without_a_signature_is_refused(self, processor: Processor) -> None:
        claims = jwt.decode(processor.token(), processor.key, algorithms=["RS256"]).claims
        for header in ({"alg": "none"}, {"alg": "none", "kid": processor.key.kid}):
            assert await status(processor, bearer(unsigned(claims, header))) == 401

    async def test_the_public_key_is_no_secret_to_sign_with(self, processor: Processor) -> None:
        claims = jwt.decode(processor.token(), processor.key, algorithms=["RS256"]).claims
        public = processor.key.public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        head_and_claims = unsigned(claims, {"alg": "HS256", "kid": processor.key.kid}).removesuffix(".")
        signature = hmac.digest(public, head_and_claims.encode(), "sha256")
        forged = f"{head_and_claims}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert await status(processor, bearer(forged)) == 401

    async def test_a_signature_of_somebody_else_is_refused(self, processor: Processor) -> None:
        other = RSAKey.generate_key(2048, {"kid": processor.key.kid})
        assert await status(processor, bearer(processor.token(key=other))) == 401
        stranger = RSAKey.generate_key(2048, {"kid": "unknown"})
        assert await status(processor, bearer(processor.token(key=stranger))) == 401


def let_pass(keys: IssuerKeys, seconds: float) -> None:
    keys._fetched_at -= seconds
    keys._tried_at -= seconds


class TestIssuerKeys:
    async def test_an_unknown_key_is_asked_for_once_in_a_while(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys, fetched = IssuerKeys(processor.parts.settings.push_jwks_url), 0
        really = keys._fetch

        async def counted() -> None:
            nonlocal fetched
            fetched += 1
            await really()

        monkeypatch.setattr(keys, "_fetch", counted)
        for _ in range(5):
            await keys.key_set("unknown")
        assert fetched == 1
        let_pass(keys, identity._COOL_DOWN_SECONDS)
        await keys.key_set("unknown")
        assert fetched == 2
        await keys.key_set(str(processor.key.kid))
        assert fetched == 2

    async def test_keys_are_fetched_again_when_they_are_old(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = IssuerKeys(processor.parts.settings.push_jwks_url)
        await keys.key_set("x")
        let_pass(keys, identity._KEYS_FRESH_SECONDS)
        first = keys._fetched_at
        await keys.key_set(str(processor.key.kid))
        assert keys._fetched_at > first

    async def test_keys_that_are_known_go_on_while_the_issuer_is_away(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys, tried = IssuerKeys(processor.parts.settings.push_jwks_url), 0
        monkeypatch.setitem(processor.app.state._state, "issuer_keys", keys)
        assert await status(processor, bearer(processor.token())) != 503
        really = keys._fetch

        async def away() -> None:
            nonlocal tried
            tried += 1
            raise errors.MessagingUnavailable("away")

        monkeypatch.setattr(keys, "_fetch", away)
        let_pass(keys, identity._KEYS_FRESH_SECONDS)
        for _ in range(5):
            assert await status(processor, bearer(processor.token())) not in (401, 503)
        assert tried == 1
        stranger = RSAKey.generate_key(2048, {"kid": "unknown"})
        assert await status(processor, bearer(processor.token(key=stranger))) == 401
        let_pass(keys, identity._COOL_DOWN_SECONDS)
        monkeypatch.setattr(keys, "_fetch", really)
        old = keys._fetched_at
        await keys.key_set(str(processor.key.kid))
        assert keys._fetched_at > old

    async def test_nobody_who_has_a_key_waits_for_a_fetch(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys, known = IssuerKeys(processor.parts.settings.push_jwks_url), str(processor.key.kid)
        await keys.key_set(known)
        begun, over = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            begun.set()
            await over.wait()

        monkeypatch.setattr(keys, "_fetch", hang)
        let_pass(keys, identity._KEYS_FRESH_SECONDS)
        fetching = asyncio.create_task(keys.key_set("unknown"))
        await begun.wait()
        async with asyncio.timeout(5):
            await keys.key_set(known)
        over.set()
        await fetching

    @pytest.mark.parametrize("path", ["/nothing-here", "/health/live"])
    async def test_an_issuer_that_does_not_answer_is_unavailable(self, processor: Processor, path: str) -> None:
        base = processor.parts.settings.push_jwks_url.removesuffix("/certs")
        with pytest.raises(errors.Unavailable):
            await IssuerKeys(base + path).key_set("x")

    async def test_while_the_issuer_is_away_messages_come_again(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(processor.app.state._state, "issuer_keys", IssuerKeys("http://127.0.0.1:9/certs"))
        body = {"message": {"attributes": {"eventType": "OBJECT_DELETE"}}}
        answer = await processor.client.post("/push/uploads", json=body, headers=bearer(processor.token()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


class TestEnvelopes:
    @pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"message": 5}', b'{"message": {"data": 5}}'])
    async def test_what_is_no_envelope_is_not_acknowledged(self, processor: Processor, body: bytes) -> None:
        headers = {**bearer(processor.token()), "content-type": "application/json"}
        answer = await processor.client.post("/push/uploads", content=body, headers=headers)
        assert answer.status_code == 400

    async def test_a_stranger_is_refused_before_the_envelope_is_looked_at(self, processor: Processor) -> None:
        headers = {"content-type": "application/json"}
        for body in (b"{}", b'{"message": 5}'):
            answer = await processor.client.post("/push/uploads", content=body, headers=headers)
            assert answer.status_code == 401

    async def test_a_malformed_message_is_refused(self, processor: Processor) -> None:
        assert await processor.push({"data": "!", "attributes": {}}) == 400
        assert await processor.push(processor.message("a\x00b", 1)) == 400

    async def test_the_last_try_is_counted_as_a_dead_letter(self, processor: Processor) -> None:
        def dead() -> float:
            return float(processor.parts.metrics.dead_letters._value.get())

        before = dead()
        await processor.push({"data": "!", "attributes": {}}, deliveryAttempt=9)
        assert dead() == before
        await processor.push({"data": "!", "attributes": {}}, deliveryAttempt=10)
        assert dead() == before + 1

    async def test_a_rendition_outlasts_a_hundred_tries(self, processor: Processor) -> None:
        dead = processor.parts.metrics.dead_letters._value.get
        before = dead()
        malformed: dict[str, Any] = {"data": "!", "attributes": {}}
        assert await processor.push(malformed, path="renditions", deliveryAttempt=99) == 400
        assert dead() == before
        assert await processor.push(malformed, path="renditions", deliveryAttempt=100) == 400
        assert dead() == before + 1

    async def test_an_envelope_without_a_count_of_its_tries_is_fine(self, processor: Processor) -> None:
        assert await processor.push(processor.message("x", 1, "other-bucket"), deliveryAttempt=None) == 204

    async def test_a_body_that_is_far_too_large_is_refused_and_no_surprise(
        self, processor: Processor, caplog: pytest.LogCaptureFixture
    ) -> None:
        message = {"data": "x" * 11_000_000, "attributes": {}}
        assert await processor.push(message) == 413
        assert "unexpected_error" not in caplog.text

    async def test_without_a_database_messages_come_again(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: Any, **__: Any) -> Any:
            raise errors.DatabaseUnavailable("away") from OSError()

        monkeypatch.setattr(processor.parts.database, "fetch_one", away)
        name = f"originals/{uuid4()}/{uuid4()}"
        assert await processor.push(processor.message(name, 1)) == 503

    async def test_what_nobody_expected_is_500_and_comes_again(
        self, processor: Processor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError(AUDIENCE)

        monkeypatch.setattr(processor.parts.database, "fetch_one", broken)
        assert await processor.push(processor.message(f"originals/{uuid4()}/{uuid4()}", 1)) == 500

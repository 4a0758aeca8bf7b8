"""Authentication of push requests: Google's identity tokens, verified in full although IAM has verified them before."""

import asyncio
import time
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from image_core import errors
from image_core.telemetry import log

_KEYS_FRESH_SECONDS = 3600.0
_COOL_DOWN_SECONDS = 30.0
_RETRY_SECONDS = 5.0
"""Pause after a failed fetch while no key is known at all."""
_CLOCK_SKEW_SECONDS = 60


class TokenRejected(Exception):
    """The token is missing, or is not a valid token of the expected account."""


class IssuerKeys:
    """The issuer's public keys, fetched when they are stale or a token names an unknown key.

    Unknown key ids must not cause a fetch each time, so there is a pause after a fetch. Known keys stay valid while the
    issuer does not respond, and verification with a known key never waits for another caller's fetch.
    """

    def __init__(self, jwks_url: str) -> None:
        self._jwks_url = jwks_url
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def key_set(self, key_id: str) -> KeySet:
        """Return the keys, including the one with this id if the issuer has it.

        Raises:
            errors.MessagingUnavailable: No key has been fetched yet.
        """
        if self._is_due(key_id) and not (key_id in self._keys and self._lock.locked()):
            async with self._lock:
                if self._is_due(key_id):
                    await self._try_to_fetch()
        if not self._keys:
            raise errors.MessagingUnavailable("The issuer's keys cannot be fetched.")
        return KeySet.import_key_set({"keys": list(self._keys.values())})

    def _is_due(self, key_id: str) -> bool:
        now = time.monotonic()
        if now - self._tried_at <= (_COOL_DOWN_SECONDS if self._keys else _RETRY_SECONDS):
            return False
        return key_id not in self._keys or now - self._fetched_at > _KEYS_FRESH_SECONDS

    async def _try_to_fetch(self) -> None:
        try:
            await self._fetch()
        except errors.MessagingUnavailable as error:
            reason = type(error.__cause__ or error).__qualname__
            log("issuer_keys_not_fetched", severity="WARNING", reason=reason, known=len(self._keys))
        self._tried_at = time.monotonic()

    async def _fetch(self) -> None:
        import httpx2

        try:
            async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
                answer = await client.get(self._jwks_url)
                answer.raise_for_status()
                self._keys = {key["kid"]: key for key in answer.json()["keys"]}
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            raise errors.MessagingUnavailable("The issuer's keys cannot be fetched.") from error
        self._fetched_at = time.monotonic()


async def verify(authorization: str | None, keys: IssuerKeys, *, issuer: str, audience: str, email: str) -> None:
    """Verify signature, issuer, audience, times, e-mail and `email_verified`.

    Source: Pub/Sub documentation, "Authentication for push subscriptions".

    Raises:
        TokenRejected: One of them is wrong or missing.
        errors.MessagingUnavailable: No key has been fetched yet.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenRejected("no bearer token")
    try:
        key_id = jwt_key_id(token)
        decoded = jwt.decode(token, await keys.key_set(key_id), algorithms=["RS256"])
        registry = jwt.JWTClaimsRegistry(
            leeway=_CLOCK_SKEW_SECONDS,
            iss={"essential": True, "values": [issuer, issuer.removeprefix("https://")]},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            email={"essential": True, "value": email},
            email_verified={"essential": True, "value": True},
        )
        registry.validate(decoded.claims)
    except (JoseError, ValueError, KeyError) as error:
        raise TokenRejected(type(error).__name__) from error


def jwt_key_id(token: str) -> str:
    """Return the key id in the token's header.

    Raises:
        ValueError: The token is malformed.
    """
    from joserfc.jws import extract_compact

    header = extract_compact(token.encode()).headers()
    return str(header.get("kid", ""))

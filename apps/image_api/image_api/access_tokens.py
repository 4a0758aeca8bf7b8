"""Access tokens: short-lived JWTs that name a session. They carry no rights: those are read with the session.

Source: RFC 9068 (the type `at+jwt`) and RFC 8725 (one algorithm, and every claim checked).
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from image_api.signing_key_source import SigningKeySource
from image_core import errors
from image_core.signing_keys import SigningKey

if TYPE_CHECKING:
    from joserfc.jwk import OctKey
    from joserfc.jwt import JWTClaimsRegistry

_ALGORITHM, _TYPE, _AUDIENCE = "HS256", "at+jwt", "image-manager-api"
# The clocks of two instances are that close.
_LEEWAY_SECONDS = 5


@dataclass(frozen=True)
class AccessTokens:
    """Issues and verifies the tokens of one deployment, which is their issuer."""

    keys: SigningKeySource
    issuer: str
    lifetime_seconds: int

    async def issue(self, session_id: UUID, user_id: UUID, ends_at: float) -> tuple[str, int]:
        """A token and how many seconds it is valid: never beyond `ends_at` (Unix time), the end of its session.

        Raises `errors.TokensNotConfigured`, `errors.SigningKeysUnavailable`.
        """
        from joserfc import jwt

        key = await self.keys.signing_key()
        now = int(time.time())
        expires_at = min(now + self.lifetime_seconds, int(ends_at))
        claims = {
            "iss": self.issuer, "aud": _AUDIENCE, "sub": str(user_id), "sid": str(session_id),
            "iat": now, "nbf": now, "exp": expires_at,
        }  # fmt: skip
        return jwt.encode(_header(key.kid), claims, _jose_key(key), [_ALGORITHM]), expires_at - now

    async def session_of(self, token: str) -> tuple[UUID, UUID]:
        """The session that a token names, and its user.

        Raises `errors.TokenInvalid`, `errors.TokenExpired`, `errors.SigningKeysUnavailable`.
        """
        from joserfc import jwt
        from joserfc.errors import ExpiredTokenError, JoseError

        try:
            key = await self.keys.find(_kid_of(token))
            if key is None:
                raise errors.TokenInvalid("The token was signed with a key that is not ours.")
            decoded = jwt.decode(token, _jose_key(key), [_ALGORITHM])
            # A header that says anything more, such as `crit` or `jwk`, is none that was made here.
            if decoded.header != _header(key.kid):
                raise errors.TokenInvalid("The token's header is not one of ours.")
            self._claims().validate(decoded.claims)
            return UUID(decoded.claims["sid"]), UUID(decoded.claims["sub"])
        except ExpiredTokenError as error:
            raise errors.TokenExpired("Refresh a token before it ends, or sign in again.") from error
        except (JoseError, ValueError, TypeError, AttributeError) as error:
            raise errors.TokenInvalid("This is not one of our tokens.") from error

    def _claims(self) -> "JWTClaimsRegistry":
        from joserfc.jwt import JWTClaimsRegistry

        registry = JWTClaimsRegistry(leeway=_LEEWAY_SECONDS, iss={"essential": True, "value": self.issuer})
        registry.options["aud"] = {"essential": True, "value": _AUDIENCE}
        for name in ("sub", "sid", "iat", "nbf", "exp"):
            registry.options[name] = {"essential": True}
        return registry


def _header(kid: str) -> dict[str, str]:
    return {"alg": _ALGORITHM, "typ": _TYPE, "kid": kid}


def _jose_key(key: SigningKey) -> "OctKey":
    from joserfc.jwk import OctKey

    return OctKey.import_key(key.secret)


def _kid_of(token: str) -> str:
    from joserfc.jws import extract_compact

    return str(extract_compact(token.encode()).headers().get("kid"))

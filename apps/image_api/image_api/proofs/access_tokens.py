"""Access tokens: short-lived JWTs that name a session. They carry no rights: those are read with the session.

Source: RFC 9068 (the type `at+jwt`) and RFC 8725 (one algorithm, and every claim checked).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from image_api.proofs.signing_key_source import SigningKeySource
from image_core import errors
from image_core.keys.signing_keys import SigningKey

if TYPE_CHECKING:
    from joserfc.jwk import OctKey
    from joserfc.jwt import JWTClaimsRegistry

_ALGORITHM, _TYPE, _AUDIENCE = "HS256", "at+jwt", "image-manager-api"
# The maximum difference between two readings of the database's clock.
_LEEWAY_SECONDS = 5


class SignedToken(NamedTuple):
    """A token with a valid signature, whose claims are not checked yet."""

    session_id: UUID
    user_id: UUID
    claims: dict[str, Any]


@dataclass(frozen=True)
class AccessTokens:
    """Issues and verifies the tokens of one deployment, which is their issuer."""

    keys: SigningKeySource
    issuer: str
    lifetime_seconds: int

    async def issue(self, session_id: UUID, user_id: UUID, now: datetime, ends_at: datetime) -> tuple[str, int]:
        """Return a token and its lifetime in seconds: never beyond `ends_at`, the end of its session.

        Both times are the database's.

        Raises:
            errors.TokensNotConfigured: This deployment issues no access tokens.
            errors.SigningKeysUnavailable: The keys that sign access tokens cannot be read.
        """
        from joserfc import jwt

        key = await self.keys.signing_key()
        issued_at = int(now.timestamp())
        expires_at = min(issued_at + self.lifetime_seconds, int(ends_at.timestamp()))
        claims = {
            "iss": self.issuer, "aud": _AUDIENCE, "sub": str(user_id), "sid": str(session_id),
            "iat": issued_at, "nbf": issued_at, "exp": expires_at,
        }  # fmt: skip
        return jwt.encode(_header(key.kid), claims, _jose_key(key), [_ALGORITHM]), expires_at - issued_at

    async def read(self, token: str) -> SignedToken:
        """Return the session and the user that a token names; `check` verifies the other claims.

        Raises:
            errors.TokenInvalid: The token was not signed here.
            errors.SigningKeysUnavailable: The keys cannot be read.
        """
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            key = await self.keys.find(_kid_of(token))
            if key is None:
                raise errors.TokenInvalid("The access token was signed with an unknown key. Sign in again.")
            decoded = jwt.decode(token, _jose_key(key), [_ALGORITHM])
            # Tokens issued here have no further header parameters, such as `crit` or `jwk`.
            if decoded.header != _header(key.kid):
                raise errors.TokenInvalid("The header of the access token is not valid. Sign in again.")
            return SignedToken(UUID(decoded.claims["sid"]), UUID(decoded.claims["sub"]), decoded.claims)
        except (JoseError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise errors.TokenInvalid("The access token is not valid. Sign in again.") from error

    def check(self, token: SignedToken, now: datetime) -> None:
        """Check every claim of a token at `now`, a time of the database.

        Raises:
            errors.TokenInvalid: A claim is absent or wrong.
            errors.TokenExpired: The token has expired.
        """
        from joserfc.errors import ExpiredTokenError, JoseError

        try:
            self._claims(int(now.timestamp())).validate(token.claims)
        except ExpiredTokenError as error:
            raise errors.TokenExpired(
                "The access token has expired. Sign in again, or refresh tokens before they expire."
            ) from error
        except (JoseError, ValueError, TypeError) as error:
            raise errors.TokenInvalid("The access token is not valid. Sign in again.") from error

    def _claims(self, now: int) -> "JWTClaimsRegistry":
        from joserfc.jwt import JWTClaimsRegistry

        registry = JWTClaimsRegistry(now, leeway=_LEEWAY_SECONDS, iss={"essential": True, "value": self.issuer})
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

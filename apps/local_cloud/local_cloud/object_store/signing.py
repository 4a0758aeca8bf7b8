"""Verification of V4 signed URLs: signer, expiry, and all signed headers.

Source: https://cloud.google.com/storage/docs/authentication/signatures and
https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from local_cloud.object_store.api.http import Request
from local_cloud.object_store.errors import StoreError, forbidden, invalid

ALGORITHM = "GOOG4-RSA-SHA256"
MAX_EXPIRY_SECONDS = 7 * 24 * 3600
MAX_SKEW = timedelta(minutes=15)
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Signer:
    """The only service account whose signatures are accepted."""

    email: str
    public_key: RSAPublicKey


def is_signed(request: Request) -> bool:
    """Return whether the URL carries, or pretends to carry, a V4 signature."""
    return any(name.lower() == "x-goog-signature" for name in request.query)


def verify(request: Request, signer: Signer | None, at: datetime | None = None) -> None:
    """Verify the signature of a request.

    Raises:
        StoreError: 403 for a signature that does not match, 400 for one that has expired or is malformed.
    """
    query = {name.lower(): value for name, value in request.query.items()}
    signed_at = _signed_at(query)
    _check_expiry(query, signed_at, at or datetime.now(UTC))
    if signer is None:
        raise _mismatch("This store knows no service account, so nobody can sign.")
    signed_names = query.get("x-goog-signedheaders", "").split(";")
    _check_headers(request.headers, signed_names)
    scope = _check_credential(query, signer, signed_at)
    hashed = hashlib.sha256(_canonical_request(request, signed_names).encode()).hexdigest()
    text = "\n".join([ALGORITHM, query["x-goog-date"], scope, hashed])
    try:
        signature = bytes.fromhex(query["x-goog-signature"])
        signer.public_key.verify(signature, text.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise _mismatch("The request signature we calculated does not match the signature you provided.") from None


def _mismatch(message: str) -> StoreError:
    return forbidden("SignatureDoesNotMatch", message)


def _signed_at(query: Mapping[str, str]) -> datetime:
    if query.get("x-goog-algorithm") != ALGORITHM:
        raise invalid(f"X-Goog-Algorithm must be {ALGORITHM}.", "AuthorizationQueryParametersError")
    try:
        return datetime.strptime(query.get("x-goog-date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise invalid("X-Goog-Date is missing or malformed.", "AuthorizationQueryParametersError") from None


def _check_expiry(query: Mapping[str, str], signed_at: datetime, at: datetime) -> None:
    try:
        seconds = int(query.get("x-goog-expires", ""))
    except ValueError:
        seconds = 0
    if not 0 < seconds <= MAX_EXPIRY_SECONDS:
        raise invalid("X-Goog-Expires must be between 1 and 604800 seconds.", "AuthorizationQueryParametersError")
    if signed_at - MAX_SKEW > at:
        raise forbidden("RequestTimeTooSkewed", "The signature's date lies in the future.")
    if at > signed_at + timedelta(seconds=seconds):
        raise invalid(f"The provided token has expired: request signature expired at {signed_at}.", "ExpiredToken")


def _check_headers(headers: Mapping[str, str], signed_names: list[str]) -> None:
    if "host" not in signed_names:
        raise invalid("The host header must be signed.", "MalformedSecurityHeader")
    missing = [name for name in signed_names if name not in headers]
    if missing:
        listed = ", ".join(missing)
        raise invalid(
            f"Header was included in signedheaders, but not in the request: {listed}", "MalformedSecurityHeader"
        )
    unsigned = [name for name in headers if name.startswith("x-goog-") and name not in signed_names]
    if unsigned:
        raise _mismatch(f"Headers of the request are not signed: {', '.join(unsigned)}")


def _check_credential(query: Mapping[str, str], signer: Signer, signed_at: datetime) -> str:
    email, _, scope = query.get("x-goog-credential", "").partition("/")
    parts = scope.split("/")
    if len(parts) != 4 or parts[0] != signed_at.strftime("%Y%m%d") or parts[2:] != ["storage", "goog4_request"]:
        raise invalid("X-Goog-Credential is malformed.", "AuthorizationQueryParametersError")
    if email != signer.email:
        raise _mismatch(f"No service account of this name may sign here: {email}")
    return scope


def _canonical_request(request: Request, signed_names: list[str]) -> str:
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    kept = sorted((_encode(name), _encode(value)) for name, value in pairs if name.lower() != "x-goog-signature")
    headers = "".join(f"{name}:{_SPACES.sub(' ', request.headers[name].strip())}\n" for name in sorted(signed_names))
    return "\n".join(
        [
            request.method,
            quote(unquote(request.path), safe="/~"),
            "&".join(f"{name}={value}" for name, value in kept),
            headers,
            ";".join(sorted(signed_names)),
            request.headers["x-goog-content-sha256"] if "x-goog-content-sha256" in signed_names else "UNSIGNED-PAYLOAD",
        ]
    )


def _encode(text: str) -> str:
    return quote(text, safe="~")

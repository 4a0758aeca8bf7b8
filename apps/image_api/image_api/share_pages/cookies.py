"""Cookies of visitors who have given a link's password: good for an hour, and until the password changes.

A value is `{expiry}.{signature}`, with the expiry in Unix time. Nothing is stored.
"""

import hmac
import re

from image_core.db import Record
from image_core.delivery.encoding import to_text
from image_core.keys.derived_secrets import derive

LIFE_SECONDS = 3600
_INFO = "share-links/cookie/1"
_VALUE = re.compile(r"(?P<expiry>[0-9]{1,12})\.(?P<signature>[A-Za-z0-9_-]{43})", re.ASCII)


def cookie_name(*, is_secure: bool) -> str:
    """Return the name; with the prefix, browsers take the cookie over HTTPS only.

    Source: RFC 6265bis, section 4.1.3.1.
    """
    return "__Secure-im_link" if is_secure else "im_link"


def issue(master: bytes, link: Record, now_seconds: float) -> str:
    """Return the value for somebody who has given the password of a link; `now_seconds` is Unix time."""
    expiry = str(int(now_seconds) + LIFE_SECONDS)
    return f"{expiry}.{_signature(master, link, expiry)}"


def is_valid(master: bytes, link: Record, value: str, now_seconds: float) -> bool:
    """Tell whether a value was issued for this link under its present password, and has not expired."""
    match = _VALUE.fullmatch(value)
    if match is None:
        return False
    is_signed = hmac.compare_digest(_signature(master, link, match["expiry"]), match["signature"])
    return is_signed and now_seconds < int(match["expiry"])


def _signature(master: bytes, link: Record, expiry: str) -> str:
    # The hash has a salt of its own, so that setting the same password again ends the cookies, too.
    signed = "\n".join(("v1", str(link["id"]), link["password_hash"], expiry))
    return to_text(hmac.digest(derive(master, _INFO), signed.encode(), "sha256"))

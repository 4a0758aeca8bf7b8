"""Grants: what a delivery address proves, and the one spelling of an address.

The API signs, image-delivery verifies, and back ends of others sign by the same rules.

    /i/{grant}/{image}.{tag}/{spec}.{ext}
    grant = {key}-{expiry}-{scope}-{signature}, or `public`
"""

import hmac
import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from image_core.delivery.encoding import image_id_of, image_text, to_base36, to_bytes, to_text
from image_core.keys.derived_secrets import derive

PREFIX = "/i/"
PUBLIC = "public"
SIGNATURE_BYTES = 16
MOST_EXPIRY_DIGITS = 7
LONGEST_WINDOW_MINUTES = 1440
_SECONDS_A_WINDOW_MINUTE = 420

# 16 bytes are 22 characters, and the last one has four spare bits: only these leave them at zero.
_SIXTEEN_BYTES = "[A-Za-z0-9_-]{21}[AQgw]"
_NUMBER = "(?:0|[1-9a-z][0-9a-z]{0,%d})"
_SCOPE = f"(?:e|p|c{_SIXTEEN_BYTES}\\.{_NUMBER % (MOST_EXPIRY_DIGITS - 1)})"
_ADDRESS = re.compile(
    PREFIX + "(?:(?P<public>public)"
    rf"|k(?P<key>[1-9][0-9]{{0,9}})-(?P<expiry>{_NUMBER % (MOST_EXPIRY_DIGITS - 1)})-(?P<scope>{_SCOPE})"
    rf"-(?P<signature>{_SIXTEEN_BYTES}))"
    rf"/(?P<image>{_SIXTEEN_BYTES})(?:\.(?P<tag>[0-9a-f]{{6}}))?"
    r"/(?P<spec>[A-Za-z0-9@_.-]{1,80})\.(?P<extension>[a-z0-9]{1,8})",
    re.ASCII,
)


class ScopeKind(Enum):
    """How much of an image a grant opens."""

    EXACT = "e"
    """One spec and one extension."""
    PRESETS = "p"
    """Every open preset, in the formats that it lists."""
    LINK = "c"
    """What a share link shows, while the link lives and has the epoch that the scope names."""


class Grant(NamedTuple):
    """A signed grant as its address spells it.

    Attributes:
        key_number: the delivery key that signed.
        expiry_minutes: minutes since 1970 in UTC; 0 for a grant that does not expire.
        scope: as in the address.
        signature: 16 bytes.
    """

    key_number: int
    expiry_minutes: int
    scope: str
    signature: bytes

    @property
    def kind(self) -> ScopeKind:
        """How much the grant opens."""
        return ScopeKind(self.scope[0])

    def has_expired(self, now_seconds: float) -> bool:
        """Tell whether the grant's time is over; `now_seconds` is Unix time."""
        return self.expiry_minutes != 0 and now_seconds >= self.expiry_minutes * 60


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of one address.

    Attributes:
        grant: None in a `public` address.
        image_id: the image.
        tag: its six hex digits; None where a public address leaves it out.
        spec: preset or transforms; its grammar is not checked here.
        extension: what follows the last full stop.
    """

    grant: Grant | None
    image_id: UUID
    tag: str | None
    spec: str
    extension: str

    @property
    def file(self) -> str:
        """The last part of the path."""
        return f"{self.spec}.{self.extension}"

    def signed_bytes(self) -> bytes:
        """Return the bytes that the signature covers. The address needs a grant and a tag."""
        if self.grant is None:
            raise ValueError("a public address is not signed")
        grant, image = self.grant, f"{image_text(self.image_id)}.{self.tag}"
        return message(grant.key_number, grant.expiry_minutes, grant.scope, image, self.file)


def parse(path: str) -> Address | None:
    """Return the parts of an address's path, or None for every other text.

    Whatever is accepted is the one spelling of its parts: `address_path` gives the same text again.
    """
    match = _ADDRESS.fullmatch(path)
    if match is None:
        return None
    grant = None
    if match["public"] is None:
        if match["tag"] is None:
            return None
        grant = Grant(int(match["key"]), int(match["expiry"], 36), match["scope"], to_bytes(match["signature"]))
    return Address(grant, image_id_of(match["image"]), match["tag"], match["spec"], match["extension"])


def message(key_number: int, expiry_minutes: int, scope: str, image_and_tag: str, file: str) -> bytes:
    """Return the lines that a signature covers; `file` is one of them in scope `e` only."""
    lines = ["v1", f"k{key_number}", to_base36(expiry_minutes), scope, image_and_tag]
    if scope == ScopeKind.EXACT.value:
        lines.append(file)
    return "\n".join(lines).encode()


def key_bytes(master: bytes, key_number: int) -> bytes:
    """Return the 32 bytes of a delivery key."""
    return derive(master, f"delivery/1/{key_number}")


def signature_of(key: bytes, signed: bytes) -> bytes:
    """Return the signature of a message: the first 16 bytes of its HMAC-SHA-256."""
    return hmac.digest(key, signed, "sha256")[:SIGNATURE_BYTES]


def is_signed_by(key: bytes, address: Address) -> bool:
    """Tell in constant time whether a key made the address's signature."""
    return address.grant is not None and hmac.compare_digest(
        signature_of(key, address.signed_bytes()), address.grant.signature
    )


def sign(
    key_number: int, key: bytes, image_id: UUID, tag: str, *, file: str | None, expiry_minutes: int, scope: str
) -> str:
    """Return the part of an address between `/i/` and the file: a grant and `image.tag`.

    Args:
        key_number: the key's number.
        key: its 32 bytes.
        image_id: the image.
        tag: its current tag.
        file: `{spec}.{ext}`, which scope `e` signs; None in the others.
        expiry_minutes: from `expiry_of`.
        scope: `e`, `p`, or `c{link}.{epoch}`.
    """
    image = f"{image_text(image_id)}.{tag}"
    signature = signature_of(key, message(key_number, expiry_minutes, scope, image, file or ""))
    return f"k{key_number}-{to_base36(expiry_minutes)}-{scope}-{to_text(signature)}/{image}"


def address_path(address: Address) -> str:
    """Return an address's path: the inverse of `parse`."""
    grant, image = address.grant, image_text(address.image_id)
    spelled = PUBLIC
    if grant is not None:
        spelled = f"k{grant.key_number}-{to_base36(grant.expiry_minutes)}-{grant.scope}-{to_text(grant.signature)}"
    tag = "" if address.tag is None else f".{address.tag}"
    return f"{PREFIX}{spelled}/{image}{tag}/{address.file}"


def expiry_of(now_seconds: float, expires_in_seconds: int | None) -> int:
    """Return a grant's expiry in minutes since 1970, rounded up so that callers of a while share one address.

    The window is a seventh of the time asked for, at least one minute and at most a day; null never expires.
    """
    if expires_in_seconds is None:
        return 0
    window = min(LONGEST_WINDOW_MINUTES, max(1, expires_in_seconds // _SECONDS_A_WINDOW_MINUTE))
    return end_of_window(now_seconds + expires_in_seconds, window)


def end_of_window(least_seconds: float, window_minutes: int) -> int:
    """Return the first multiple of a window at or after a Unix time, in minutes since 1970."""
    return int(-(-least_seconds // (window_minutes * 60))) * window_minutes

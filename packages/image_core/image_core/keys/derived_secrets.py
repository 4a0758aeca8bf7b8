"""Keys derived from one master secret: many keys to hand out, one secret to store."""

import hashlib
import hmac

MASTER_BYTES = 32
"""Length of a master secret, and of every derived key."""


def derive(master: bytes, info: str) -> bytes:
    """Return the 32 bytes that HKDF-SHA-256 gives for `info`, with an empty salt.

    Source: RFC 5869, sections 2.2 and 2.3; one block is as long as the hash.
    """
    pseudorandom = hmac.digest(bytes(hashlib.sha256().digest_size), master, "sha256")
    return hmac.digest(pseudorandom, info.encode() + b"\x01", "sha256")

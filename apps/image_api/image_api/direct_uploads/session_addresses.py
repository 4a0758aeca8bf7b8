"""Encryption of the addresses of upload sessions: the database alone lets nobody upload."""

import os
from uuid import UUID

from image_core.keys.derived_secrets import derive
from image_core.keys.master_secrets import Masters

_KEY = "upload-session"
_NONCE_BYTES = 12


def encrypt(masters: Masters, image_id: UUID, address: str) -> bytes:
    """Return an address encrypted for the row of this image, by AES-256-GCM with the nonce in front."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(derive(masters.current, _KEY)).encrypt(nonce, address.encode(), image_id.bytes)


def decrypt(masters: Masters, image_id: UUID, encrypted: bytes) -> str | None:
    """Return an address that was encrypted under one of these master secrets; None if it was another one."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, body = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
    for master in masters:
        if master is not None:
            try:
                return AESGCM(derive(master, _KEY)).decrypt(nonce, body, image_id.bytes).decode()
            except InvalidTag:
                continue
    return None

"""The secrets of webhooks, derived from a master secret: `whsec_` and 32 bytes in base64."""

import base64
from uuid import UUID

from image_core.keys.derived_secrets import derive
from image_core.keys.master_secrets import Masters

PREFIX = "whsec_"
_ID_BYTES = 8


def master_id(master: bytes) -> bytes:
    """Return the 8 bytes by which a row names the master secret that its secret is derived from."""
    return derive(master, "webhook master id")[:_ID_BYTES]


def master_of(masters: Masters, wanted_id: bytes) -> bytes | None:
    """Return the master secret with this id; None if neither has it."""
    for master in masters:
        if master is not None and master_id(master) == wanted_id:
            return master
    return None


def secret_bytes(master: bytes, webhook_id: UUID, version: int) -> bytes:
    """Return the 32 bytes of one version of a webhook's secret."""
    return derive(master, f"webhook secret {webhook_id} {version}")


def to_text(secret: bytes) -> str:
    """Return a secret as it is shown."""
    return PREFIX + base64.b64encode(secret).decode()

"""Signatures of Standard Webhooks 1.0.0, and the secrets that they are made with.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
from collections.abc import Iterable
from datetime import datetime

from image_core import errors
from image_core.db import Record
from image_core.keys import webhook_secrets
from image_core.keys.master_secrets import Masters, MasterSecret


async def masters_of(source: MasterSecret | None) -> Masters:
    """Return the master secrets of webhooks. No transaction may be open.

    Raises:
        errors.WebhooksNotConfigured: There is none.
        errors.MasterSecretUnavailable: It cannot be read.
    """
    if source is None:
        raise errors.WebhooksNotConfigured("This deployment sends no webhooks: it has no master secret for them.")
    return await source.get_with_previous()


def secrets_of(masters: Masters, row: Record, now: datetime) -> list[bytes]:
    """Return the secrets of a webhook at this moment: the current one, and during a rotation's grace the one before.

    Raises:
        errors.MasterSecretUnavailable: The current one comes from a master secret that is not known here, or not yet.
    """
    current = webhook_secrets.master_of(masters, row["master_id"])
    if current is None:
        raise errors.MasterSecretUnavailable("The master secret of this webhook's secret is not known.")
    found = [webhook_secrets.secret_bytes(current, row["id"], row["secret_version"])]
    if row["previous_secret_until"] is not None and row["previous_secret_until"] > now:
        previous = webhook_secrets.master_of(masters, row["previous_master_id"])
        if previous is not None:
            found.append(webhook_secrets.secret_bytes(previous, row["id"], row["previous_secret_version"]))
    return found


def headers(secrets: Iterable[bytes], message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body at this time, with one signature for each secret."""
    timestamp = str(int(now.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }

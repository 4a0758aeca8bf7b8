"""Reports of leaked keys: the key is revoked at once, and its owner is notified."""

import hmac
from uuid import UUID

from image_api import audit
from image_api.credentials import queries
from image_api.proofs.key_cache import key_ends_at
from image_core import events
from image_core.db import Record, Transaction
from image_core.events import EventType
from image_core.keys import api_keys
from image_core.telemetry import log


async def report(transaction: Transaction, api_key: str) -> UUID | None:
    """Revoke the credential of a live key, even the last admin's, and return its id; None for anything else.

    The default key is public, so reporting it must have no effect.
    """
    public_id = api_keys.public_id_of(api_key)
    if public_id is None or api_key == api_keys.DEFAULT_KEY:
        return None
    row = await queries.lock_by_public_id(transaction, public_id)
    if row is None or not _is_live(row, public_id, api_key):
        return None
    await queries.change(transaction, row["id"], {"revoked_at": row["now"], "revoked_reason": "reported"})
    # The key that was reported may be the previous one.
    reported = {"key_prefix": api_keys.PREFIX + public_id}
    await events.record(transaction, events.credential_event(EventType.KEY_LEAKED, row["team_id"], row, reported))
    await audit.record(
        transaction, None, "credential.reported", ("credential", row["id"]), team_id=row["team_id"],
        before={"key_prefix": api_keys.PREFIX + public_id},
    )  # fmt: skip
    log("key_reported", severity="WARNING", credential_id=str(row["id"]))
    credential_id: UUID = row["id"]
    return credential_id


def _is_live(row: Record, public_id: str, api_key: str) -> bool:
    """Return whether the whole key, and not only its public id, is valid."""
    previous = row["previous_public_id"] == public_id
    ends_at = key_ends_at(row, previous=previous)
    return (
        hmac.compare_digest(row["previous_key_hash" if previous else "key_hash"], api_keys.hash_key(api_key))
        and row["revoked_at"] is None
        and (ends_at is None or ends_at > row["now"])
    )

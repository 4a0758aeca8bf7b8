"""Every table, with its constraints and indexes by name. Alembic builds them; nothing here runs SQL.

Times are `timestamptz`, sizes are bytes, dimensions are pixels as shown (orientation applied).
"""

from image_core.models.analyses import analysis, analyzer_model
from image_core.models.collections import collection, collection_member, saved_search
from image_core.models.columns import Xid8, metadata
from image_core.models.delivery import delivery_key, delivery_usage, preset, rendition, rendition_failure
from image_core.models.events import (
    MAX_DEAD_LETTER_BYTES,
    audit_checkpoint,
    audit_event,
    audit_seal,
    dead_letter,
    event,
    feed_epoch,
)
from image_core.models.governance import (
    ENTRY_KINDS,
    REFILL_MODES,
    REFILL_PERIODS,
    RESERVATION_STATUSES,
    credit_account,
    credit_entry,
    credit_reservation,
    idempotency_key,
    metadata_schema,
    request_usage,
    storage_usage,
)
from image_core.models.identity import (
    ROLES,
    credential,
    invitation,
    password_reset,
    session,
    sign_in_delay,
    team,
    upload_token,
    user,
    user_disabled_at,
)
from image_core.models.images import (
    HOLDS_BYTES_CLAUSE,
    derivative,
    discarded_object,
    image,
    purged_hash,
    upload_by_token,
    upload_session,
)
from image_core.models.operations import import_source, operation, operation_item
from image_core.models.share_links import share_link, share_link_image, share_link_visit
from image_core.models.similarity import (
    BANDS,
    HalfVector,
    duplicate_decision,
    image_hash,
    image_vector,
    near_duplicate,
)
from image_core.models.webhooks import webhook, webhook_attempt, webhook_delivery, webhook_position

USER_REFERENCES = (image.c.uploaded_by, analysis.c.requested_by, duplicate_decision.c.decided_by)
"""Columns that name a user in any number of rows, from which the sweep takes one that is removed."""

__all__ = [
    "BANDS",
    "ENTRY_KINDS",
    "HOLDS_BYTES_CLAUSE",
    "MAX_DEAD_LETTER_BYTES",
    "REFILL_MODES",
    "REFILL_PERIODS",
    "RESERVATION_STATUSES",
    "ROLES",
    "USER_REFERENCES",
    "HalfVector",
    "Xid8",
    "analysis",
    "analyzer_model",
    "audit_checkpoint",
    "audit_event",
    "audit_seal",
    "collection",
    "collection_member",
    "credential",
    "credit_account",
    "credit_entry",
    "credit_reservation",
    "dead_letter",
    "delivery_key",
    "delivery_usage",
    "derivative",
    "discarded_object",
    "duplicate_decision",
    "event",
    "feed_epoch",
    "idempotency_key",
    "image",
    "image_hash",
    "image_vector",
    "import_source",
    "invitation",
    "metadata",
    "metadata_schema",
    "near_duplicate",
    "operation",
    "operation_item",
    "password_reset",
    "preset",
    "purged_hash",
    "rendition",
    "rendition_failure",
    "request_usage",
    "saved_search",
    "session",
    "share_link",
    "share_link_image",
    "share_link_visit",
    "sign_in_delay",
    "storage_usage",
    "team",
    "upload_by_token",
    "upload_session",
    "upload_token",
    "user",
    "user_disabled_at",
    "webhook",
    "webhook_attempt",
    "webhook_delivery",
    "webhook_position",
]

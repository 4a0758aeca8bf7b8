"""Webhooks: the endpoints of teams, what is sent to them, and every attempt."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from image_core.models.columns import PgSnapshot, Xid8, deadline_column, id_column, metadata, one_of, time_column
from image_core.states import WebhookDeliveryStatus, WebhookEnd

webhook = Table(
    "webhook",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    # May hold a token, so it is never logged.
    Column("url", Text, nullable=False),
    Column("description", Text),
    # Null for all of them.
    Column("types", ARRAY(Text)),
    # Whether whoever chose the types may see events about keys.
    Column("with_credentials", Boolean, nullable=False, server_default=text("false")),
    # Secrets are derived from these, and from a master secret that is named by its fingerprint.
    Column("secret_version", Integer, nullable=False, server_default=text("1")),
    Column("master_id", LargeBinary, nullable=False),
    Column("previous_secret_version", Integer),
    Column("previous_master_id", LargeBinary),
    time_column("previous_secret_until"),
    # Where the feed ended when the endpoint was created or enabled.
    Column("since_xact", Xid8, nullable=False),
    Column("since_position", BigInteger, nullable=False),
    # What had been committed by then, which a transaction that was still open may hold back from the feed.
    Column("since_snapshot", PgSnapshot),
    time_column("disabled_at"),
    Column("disabled_reason", Text),
    # Nothing is sent before this time.
    time_column("held_until"),
    # Null before the first attempt.
    Column("last_succeeded", Boolean),
    # The first failure since the last success.
    time_column("failing_since"),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint("char_length(url) BETWEEN 1 AND 2048", name="url_length"),
    CheckConstraint("char_length(description) BETWEEN 1 AND 200", name="description_length"),
    CheckConstraint("cardinality(types) > 0", name="types_not_empty"),
    CheckConstraint(one_of("disabled_reason", tuple(WebhookEnd)), name="disabled_reason"),
    CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_with_reason"),
    CheckConstraint("octet_length(master_id) = 8 AND octet_length(previous_master_id) = 8", name="master_id_length"),
    UniqueConstraint("id", "team_id", name="uq_webhook_id_team_id"),
    Index("ix_webhook_team_id", "team_id", text("created_at DESC"), text("id DESC")),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    id_column(),
    Column("team_id", Uuid, nullable=False),
    Column("webhook_id", Uuid, nullable=False),
    # No foreign key: the event may be removed first, and a test has none.
    Column("event_id", Uuid, nullable=False),
    Column("event_type", Text, nullable=False),
    # 0 for the first delivery of the event.
    Column("replay", Integer, nullable=False, server_default=text("0")),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    deadline_column("due_at"),
    # Set while an attempt is under way; only the holder of the token may record its outcome.
    time_column("lease_until"),
    Column("lease_token", Uuid),
    time_column("ended_at"),
    time_column("created_at", nullable=False),
    CheckConstraint(one_of("status", tuple(WebhookDeliveryStatus)), name="status"),
    CheckConstraint("(status = 'pending') = (ended_at IS NULL)", name="ended_with_time"),
    CheckConstraint("attempts >= 0 AND replay >= 0", name="not_negative"),
    ForeignKeyConstraint(["webhook_id", "team_id"], ["webhook.id", "webhook.team_id"], ondelete="CASCADE"),
    UniqueConstraint("event_id", "webhook_id", "replay"),
    Index("ix_webhook_delivery_due", "webhook_id", "due_at", postgresql_where=text("status = 'pending'")),
    Index("ix_webhook_delivery_webhook_id", "webhook_id", text("created_at DESC"), text("id DESC")),
    Index("ix_webhook_delivery_created_at", "created_at"),
)

webhook_attempt = Table(
    "webhook_attempt",
    metadata,
    Column(
        "delivery_id", Uuid, ForeignKey("webhook_delivery.id", ondelete="CASCADE"), primary_key=True, nullable=False
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    time_column("started_at", nullable=False),
    Column("duration_ms", Integer, nullable=False),
    # Null if there was no answer; then `error` says why.
    Column("status", Integer),
    Column("error", Text),
    # The beginning of the answer's body.
    Column("response", Text),
    CheckConstraint("char_length(response) <= 2048", name="response_length"),
)

webhook_position = Table(
    "webhook_position",
    metadata,
    Column("is_only", Boolean, primary_key=True, server_default=text("true")),
    # How far the feed has been turned into deliveries.
    Column("xact", Xid8, nullable=False),
    Column("position", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("is_only", name="is_only"),
)

"""The outbox, the dead letters and the audit log."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from image_core.models.columns import Xid8, deadline_column, id_column, metadata, one_of, time_column
from image_core.states import DeadLetterStatus

event = Table(
    "event",
    metadata,
    id_column(),
    Column("topic", Text, nullable=False),
    Column("type", Text, nullable=False),
    # No foreign keys: an event outlives the rows that it refers to.
    Column("team_id", Uuid),
    Column("image_id", Uuid),
    Column("payload", JSONB, nullable=False),
    Column("trace_parent", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    time_column("published_at"),
    time_column("created_at", nullable=False),
    # The place in the feed: the transaction that wrote the event, and its order within the transaction.
    Column("xact", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    CheckConstraint(one_of("topic", ("uploads", "events", "analyses", "renditions", "tasks")), name="topic"),
    Index("ix_event_unpublished", "created_at", "id", postgresql_where=text("published_at IS NULL")),
    Index("ix_event_published_at", "published_at", postgresql_where=text("published_at IS NOT NULL")),
    Index("ix_event_image_id", "image_id"),
    Index("ix_event_feed", "xact", "position", postgresql_where=text("topic = 'events'")),
    Index("ix_event_team_feed", "team_id", "xact", "position", postgresql_where=text("topic = 'events'")),
)

# One row. Cursors of another epoch have expired, and so have those before the last event that was removed.
feed_epoch = Table(
    "feed_epoch",
    metadata,
    Column("is_only", Boolean, primary_key=True, server_default=text("true")),
    Column("epoch", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("removed_xact", Xid8, nullable=False, server_default=text("'0'::xid8")),
    Column("removed_position", BigInteger, nullable=False, server_default=text("0")),
    time_column("started_at", nullable=False),
    CheckConstraint("is_only", name="is_only"),
)

MAX_DEAD_LETTER_BYTES = 65536

# A message that no attempt could deliver. A subscription forwards it at least once, so it is known by what it is about.
dead_letter = Table(
    "dead_letter",
    metadata,
    id_column(),
    # The subscription that gave it up, without its project.
    Column("subscription", Text, nullable=False),
    # Bucket, name and generation of an object, else our own event's id, else a hash of the message.
    Column("work_key", Text, nullable=False),
    # Of the message, as far as it names them. No foreign keys: a dead letter outlives the rows that it refers to.
    Column("team_id", Uuid),
    Column("image_id", Uuid),
    # Null if the message is larger than what is kept; without its bytes, it cannot be sent again.
    Column("data", LargeBinary),
    Column("attributes", JSONB, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    # Deliveries of the message, and how often it was given up.
    Column("attempts", Integer, nullable=False),
    Column("arrivals", Integer, nullable=False, server_default=text("1")),
    Column("status", Text, nullable=False, server_default=text("'open'")),
    # When the message was published that failed; a later one about the same work opens the row again.
    deadline_column("source_published_at"),
    time_column("arrived_at", nullable=False),
    time_column("handled_at"),
    time_column("created_at", nullable=False),
    UniqueConstraint("subscription", "work_key"),
    CheckConstraint("char_length(subscription) BETWEEN 1 AND 255", name="subscription_length"),
    CheckConstraint("char_length(work_key) BETWEEN 1 AND 1200", name="work_key_length"),
    CheckConstraint(f"octet_length(data) <= {MAX_DEAD_LETTER_BYTES}", name="data_length"),
    CheckConstraint(one_of("status", tuple(DeadLetterStatus)), name="status"),
    CheckConstraint("(status = 'open') = (handled_at IS NULL)", name="handled_when_not_open"),
    CheckConstraint("size_bytes >= 0 AND attempts >= 0 AND arrivals > 0", name="not_negative"),
    Index("ix_dead_letter_created_at", text("created_at DESC"), text("id DESC")),
    Index("ix_dead_letter_open", text("created_at DESC"), text("id DESC"), postgresql_where=text("status = 'open'")),
    Index("ix_dead_letter_handled_at", "handled_at", postgresql_where=text("handled_at IS NOT NULL")),
)

Sequence("audit_event_position_seq", metadata=metadata)

# A transaction gets its id before it draws a position. So if a transaction gets its id after a position has been seen,
# every earlier position belongs to a transaction with a lower id. Seals rely on that. The default is written as
# PostgreSQL prints it, so that the models can be compared with the migrations.
NEXT_POSITION = """
CASE
    WHEN (pg_current_xact_id() IS NOT NULL) THEN nextval('audit_event_position_seq'::regclass)
    ELSE NULL::bigint
END"""

audit_event = Table(
    "audit_event",
    metadata,
    id_column(),
    Column("position", BigInteger, nullable=False, server_default=text(NEXT_POSITION)),
    Column("team_id", Uuid),
    Column("actor_user_id", Uuid),
    # The key or the session that the actor used.
    Column("credential_id", Uuid),
    Column("session_id", Uuid),
    Column("action", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("target_id", Uuid),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("request_id", Text),
    Column("address", Text),
    time_column("created_at", nullable=False),
    Index("ix_audit_event_team_id", "team_id", text("created_at DESC"), text("id DESC")),
    UniqueConstraint("position"),
    Index("ix_audit_event_created_at", text("created_at DESC"), text("id DESC")),
    Index("ix_audit_event_actor_user_id", "actor_user_id", text("created_at DESC"), text("id DESC")),
    Index("ix_audit_event_request_id", "request_id"),
    Index("ix_audit_event_target_id", "target_id", text("created_at DESC"), text("id DESC")),
)

# A seal covers the positions after `after_position`, up to and including `last_position`.
audit_seal = Table(
    "audit_seal",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("after_position", BigInteger, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("rows_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    time_column("created_at", nullable=False),
    CheckConstraint(
        "octet_length(previous_hash) = 32 AND octet_length(rows_hash) = 32 AND octet_length(hash) = 32",
        name="hash_lengths",
    ),
    CheckConstraint("after_position < last_position AND row_count > 0", name="not_empty"),
)

# The start of the chain after its oldest seals have been removed with their rows: the last removed seal.
audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    time_column("created_at", nullable=False),
    CheckConstraint("octet_length(hash) = 32", name="hash_length"),
)

"""The outbox and the audit log."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from image_core.models.columns import id_column, metadata, one_of, time_column

event = Table(
    "event",
    metadata,
    id_column(),
    Column("topic", Text, nullable=False),
    Column("type", Text, nullable=False),
    # No foreign keys: an event outlives what it tells of.
    Column("team_id", Uuid),
    Column("image_id", Uuid),
    Column("payload", JSONB, nullable=False),
    Column("trace_parent", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    time_column("published_at"),
    time_column("created_at", nullable=False),
    CheckConstraint(one_of("topic", ("uploads", "events", "analyses")), name="topic"),
    Index("ix_event_unpublished", "created_at", "id", postgresql_where=text("published_at IS NULL")),
    Index("ix_event_published_at", "published_at", postgresql_where=text("published_at IS NOT NULL")),
    Index("ix_event_image_id", "image_id"),
)

audit_event = Table(
    "audit_event",
    metadata,
    id_column(),
    Column("team_id", Uuid),
    Column("actor_user_id", Uuid),
    # The key, or the session, that the actor came with.
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
    Index("ix_audit_event_target_id", "target_id", text("created_at DESC"), text("id DESC")),
)

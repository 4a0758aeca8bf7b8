"""Requested analyses and their results, and the model that each analyzer currently uses."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from image_core.models.columns import id_column, metadata, one_of, time_column
from image_core.states import AnalysisStatus

analysis = Table(
    "analysis",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    # A result belongs to the bytes: every image of the team with these bytes shares it.
    Column("sha256", LargeBinary, nullable=False),
    Column("analyzer", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("parameters_hash", LargeBinary, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'requested'")),
    Column("result", JSONB),
    Column("failure_code", Text),
    Column("failure_message", Text),
    # Null if the bytes belong to an image; otherwise the object in the scratch bucket that holds them.
    Column("scratch_object", Text),
    Column("scratch_generation", BigInteger),
    # Checked at the commit: the row is inserted before the account is locked, and the price is reserved afterwards.
    Column(
        "reservation_id",
        Uuid,
        ForeignKey("credit_reservation.id", ondelete="SET NULL", deferrable=True, initially="DEFERRED"),
    ),
    Column("requested_by", Uuid, ForeignKey("user.id", ondelete="SET NULL")),
    Column("claim_token", Uuid),
    time_column("lease_expires_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("trace_parent", Text),
    time_column("queued_at", nullable=False),
    time_column("analyzed_at"),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint(one_of("status", tuple(AnalysisStatus)), name="status"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_length"),
    CheckConstraint("octet_length(parameters_hash) = 32", name="parameters_hash_length"),
    CheckConstraint("(status = 'running') = (claim_token IS NOT NULL)", name="claim_when_running"),
    CheckConstraint("num_nulls(claim_token, lease_expires_at) IN (0, 2)", name="claim_has_lease"),
    CheckConstraint("(status = 'done') = (num_nulls(result, analyzed_at) = 0)", name="done_has_result"),
    CheckConstraint("(status = 'failed') = (failure_code IS NOT NULL)", name="failed_says_why"),
    CheckConstraint("num_nulls(scratch_object, scratch_generation) IN (0, 2)", name="scratch_whole"),
    # Concurrent requests for the same analysis create one row; a failed analysis may be requested again.
    Index(
        "uq_analysis_of_bytes",
        "team_id",
        "sha256",
        "analyzer",
        "version",
        "parameters_hash",
        unique=True,
        postgresql_where=text("status <> 'failed'"),
    ),
    Index("ix_analysis_requested_by", "requested_by", postgresql_where=text("requested_by IS NOT NULL")),
    Index("ix_analysis_queued_at", "queued_at", postgresql_where=text("status = 'requested'")),
    Index("ix_analysis_lease_expires_at", "lease_expires_at", postgresql_where=text("status = 'running'")),
    Index("ix_analysis_reservation_id", "reservation_id", postgresql_where=text("reservation_id IS NOT NULL")),
)

analyzer_model = Table(
    "analyzer_model",
    metadata,
    Column("name", Text, primary_key=True),
    # The version under which results are stored now, and the previous one.
    Column("version", Text, nullable=False),
    Column("replaced_version", Text),
    # Null if the analyzer needs no model.
    Column("model", JSONB),
    time_column("updated_at", nullable=False),
)

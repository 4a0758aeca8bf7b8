"""Credits and storage of teams, their metadata schemas, and stored responses of idempotent requests."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from image_core.models.columns import deadline_column, id_column, metadata, one_of, time_column

REFILL_PERIODS = ("day", "week", "month")
REFILL_MODES = ("set", "add")
RESERVATION_STATUSES = ("reserved", "committed", "refunded", "lapsed")
ENTRY_KINDS = ("opened", "set", "add", "subtract", "scheduled", "reserved", "refunded", "lapsed")


def _team_key() -> Column:  # type: ignore[type-arg]
    return Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), primary_key=True)


def _team() -> Column:  # type: ignore[type-arg]
    return Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False)


credit_account = Table(
    "credit_account",
    metadata,
    _team_key(),
    # The available balance: reserved credits are already subtracted.
    Column("balance", BigInteger, nullable=False),
    Column("refill_amount", BigInteger),
    Column("refill_mode", Text),
    Column("refill_period", Text),
    time_column("next_refill_at"),
    # `quota.low` is sent whenever the balance falls below; null means never.
    Column("low_threshold", BigInteger),
    time_column("updated_at", nullable=False),
    CheckConstraint("balance >= 0", name="balance_not_negative"),
    CheckConstraint("refill_amount >= 0", name="refill_amount_not_negative"),
    CheckConstraint(one_of("refill_mode", REFILL_MODES), name="refill_mode"),
    CheckConstraint(one_of("refill_period", REFILL_PERIODS), name="refill_period"),
    CheckConstraint(
        "num_nulls(refill_amount, refill_mode, refill_period, next_refill_at) IN (0, 4)", name="schedule_whole"
    ),
    Index("ix_credit_account_next_refill_at", "next_refill_at", postgresql_where=text("next_refill_at IS NOT NULL")),
)

credit_reservation = Table(
    "credit_reservation",
    metadata,
    id_column(),
    _team(),
    Column("operation", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'reserved'")),
    deadline_column("expires_at"),
    time_column("settled_at"),
    time_column("created_at", nullable=False),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint(one_of("status", RESERVATION_STATUSES), name="status"),
    CheckConstraint("(status = 'reserved') = (settled_at IS NULL)", name="settled_when_over"),
    Index("ix_credit_reservation_expires_at", "expires_at", postgresql_where=text("status = 'reserved'")),
)

credit_entry = Table(
    "credit_entry",
    metadata,
    id_column(),
    _team(),
    Column("kind", Text, nullable=False),
    # Signed; all amounts of a team add up to its balance.
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("reservation_id", Uuid, ForeignKey("credit_reservation.id", ondelete="CASCADE")),
    Column("operation", Text),
    Column("reason", Text),
    Column("actor_user_id", Uuid),
    time_column("created_at", nullable=False),
    CheckConstraint(one_of("kind", ENTRY_KINDS), name="kind"),
    CheckConstraint("balance_after >= 0", name="balance_after_not_negative"),
    Index("ix_credit_entry_team_id", "team_id", text("created_at DESC"), text("id DESC")),
    Index("uq_credit_entry_reservation_id_kind", "reservation_id", "kind", unique=True),
)

storage_usage = Table(
    "storage_usage",
    metadata,
    _team_key(),
    # Maintained by a trigger on `image`, so that no code path can miss it. Pending uploads count with their maximum
    # size.
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("images", BigInteger, nullable=False, server_default=text("0")),
    # When `quota.low` was sent; null while usage is below the mark.
    time_column("low_told_at"),
    CheckConstraint("bytes >= 0 AND images >= 0", name="not_negative"),
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("user_id", Uuid, ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    # Of the whole request; unknown until it has arrived completely.
    Column("fingerprint", LargeBinary),
    # The claim of the request in progress and its deadline; null once there is a response.
    Column("claim_token", Uuid),
    time_column("lease_expires_at"),
    Column("status", SmallInteger),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    deadline_column("expires_at"),
    time_column("created_at", nullable=False),
    CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="key_length"),
    CheckConstraint("(status IS NULL) = (claim_token IS NOT NULL)", name="claim_or_answer"),
    CheckConstraint("num_nulls(claim_token, lease_expires_at) IN (0, 2)", name="claim_has_lease"),
    CheckConstraint("num_nulls(status, headers, body) IN (0, 3)", name="answer_whole"),
    CheckConstraint("status IS NULL OR fingerprint IS NOT NULL", name="answer_has_fingerprint"),
    CheckConstraint("octet_length(body) <= 262144", name="body_length"),
    Index("ix_idempotency_key_expires_at", "expires_at"),
)

metadata_schema = Table(
    "metadata_schema",
    metadata,
    _team_key(),
    Column("fields", JSONB, nullable=False),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
)

# Requests to the API by key, or by sessions where that is null.
request_usage = Table(
    "request_usage",
    metadata,
    _team(),
    # In UTC.
    Column("day", Date, nullable=False),
    Column("credential_id", Uuid),
    # Method and path as in docs/access.md.
    Column("operation", Text, nullable=False),
    Column("requests", BigInteger, nullable=False, server_default=text("0")),
    # Those of them that were refused or failed.
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("requests >= failed AND failed >= 0", name="counts"),
    Index(
        "uq_request_usage_counted",
        "team_id",
        "day",
        "credential_id",
        "operation",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    Index("ix_request_usage_day", "day"),
)

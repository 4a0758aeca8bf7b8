"""Operations: work that takes long, with a row for each of its items; and the sources of imports."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from image_core.models.columns import array_column, id_column, metadata, one_of, time_column
from image_core.states import ItemState, OperationStatus

BUCKET_PATTERN = "^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$"


def _count(name: str) -> Column:  # type: ignore[type-arg]
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


operation = Table(
    "operation",
    metadata,
    id_column(),
    # Null for work on the whole platform, which only admins see.
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE")),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'estimating'")),
    # What was asked for, as the kind reads it.
    Column("parameters", JSONB, nullable=False),
    # Where the search for items goes on; null before its beginning.
    Column("fill_position", JSONB),
    _count("total"),
    # As of the last count; the rows of the items are exact.
    _count("done"),
    _count("failed"),
    _count("size_bytes"),
    _count("estimated_credits"),
    Column("estimated_minutes", Integer),
    Column("budget_credits", BigInteger),
    _count("spent_credits"),
    Column("failure_code", Text),
    Column("failure_message", Text),
    # Who asked for it, and what they were allowed at that time.
    Column("user_id", Uuid, ForeignKey("user.id", ondelete="SET NULL")),
    Column("credential_id", Uuid),
    Column("session_id", Uuid),
    Column("role", Text, nullable=False),
    array_column("scopes"),
    time_column("created_at", nullable=False),
    time_column("started_at"),
    # Set when nothing of it is in progress any more.
    time_column("finished_at"),
    # When it last had a turn; operations take turns by it.
    time_column("served_at", nullable=False),
    time_column("counted_at", nullable=False),
    CheckConstraint(one_of("status", tuple(OperationStatus)), name="status"),
    CheckConstraint("least(total, done, failed, size_bytes, estimated_credits, spent_credits) >= 0", name="counts"),
    CheckConstraint("budget_credits >= 0", name="budget_not_negative"),
    CheckConstraint("(status = 'failed') = (failure_code IS NOT NULL)", name="failed_says_why"),
    CheckConstraint("finished_at IS NULL OR status NOT IN ('estimating', 'running')", name="finished_is_over"),
    Index("ix_operation_team_id", "team_id", text("created_at DESC"), text("id DESC")),
    Index("ix_operation_created_at", text("created_at DESC"), text("id DESC")),
    Index("ix_operation_user_id", "user_id"),
    Index("ix_operation_unfinished", "served_at", postgresql_where=text("finished_at IS NULL")),
    Index("ix_operation_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
)


def _in_state(state: ItemState) -> Index:
    where = text(f"state = '{state}'")
    return Index(f"ix_operation_item_{state}", "operation_id", "position", postgresql_where=where)


operation_item = Table(
    "operation_item",
    metadata,
    Column("operation_id", Uuid, ForeignKey("operation.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),
    # No foreign key: an image may be gone before its turn comes.
    Column("image_id", Uuid),
    # What the item is, where it is no image: a line, a name of an object.
    Column("payload", JSONB),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("lease", Uuid),
    time_column("lease_expires_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # What is in progress for it: an analysis, or an image.
    Column("subject_id", Uuid),
    Column("code", Text),
    Column("detail", Text),
    _count("credits"),
    PrimaryKeyConstraint("operation_id", "position"),
    CheckConstraint(one_of("state", tuple(ItemState)), name="state"),
    CheckConstraint("num_nulls(lease, lease_expires_at) IN (0, 2)", name="lease_has_end"),
    CheckConstraint("state <> 'failed' OR code IS NOT NULL", name="failed_says_why"),
    _in_state(ItemState.WAITING),
    _in_state(ItemState.IN_PROGRESS),
    _in_state(ItemState.FAILED),
    # A claim and its mark fit beside the row that they replace.
    postgresql_with={"fillfactor": 70},
)

# A bucket that a team may copy images from. Set by an admin, together with the right to read the bucket.
import_source = Table(
    "import_source",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    # Empty, or ends in a slash, so that it never includes a neighbour's names.
    Column("prefix", Text, nullable=False, server_default=text("''")),
    time_column("created_at", nullable=False),
    CheckConstraint("char_length(name) BETWEEN 1 AND 64", name="name_length"),
    CheckConstraint(f"bucket ~ '{BUCKET_PATTERN}'", name="bucket"),
    CheckConstraint("prefix = '' OR right(prefix, 1) = '/'", name="prefix_is_a_folder"),
    CheckConstraint("octet_length(prefix) <= 900", name="prefix_length"),
    UniqueConstraint("team_id", "name", name="uq_import_source_team_id_name"),
)

"""Buckets that teams may copy images from."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Table, Text, UniqueConstraint, Uuid, text

from image_core.models.columns import id_column, metadata, time_column

BUCKET_PATTERN = "^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$"

# Set by an admin, together with the right to read the bucket. A team sees only its own.
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

"""Every table, with its constraints and indexes by name. Alembic builds them; nothing here runs SQL.

Times are `timestamptz`, sizes are bytes, dimensions are pixels as shown (orientation applied).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_core.states import HOLDS_BYTES, ImageStatus

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

ROLES = ("admin", "member", "viewer")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def _id() -> Column:  # type: ignore[type-arg]
    return Column("id", Uuid, primary_key=True)


def _time(name: str, *, nullable: bool = True) -> Column:  # type: ignore[type-arg]
    default = None if nullable else text("now()")
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


def _empty_array(name: str) -> Column:  # type: ignore[type-arg]
    return Column(name, ARRAY(Text), nullable=False, server_default=text("'{}'"))


team = Table(
    "team",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    # Whether the place that a camera wrote into a picture is kept in the image's facts.
    Column("keep_location", Boolean, nullable=False, server_default=text("true")),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
)

user = Table(
    "user",
    metadata,
    _id(),
    # A team with people in it is not removed by accident.
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="RESTRICT")),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("role", Text, nullable=False),
    _empty_array("scopes"),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    _time("disabled_at"),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    CheckConstraint("char_length(email) BETWEEN 3 AND 254", name="email_length"),
    CheckConstraint(_one_of("role", ROLES), name="role"),
    CheckConstraint("role = 'admin' OR team_id IS NOT NULL", name="team_unless_admin"),
    Index("ix_user_team_id_created_at", "team_id", text("created_at DESC"), text("id DESC")),
    Index("uq_user_email", text("lower(email)"), unique=True),
)

credential = Table(
    "credential",
    metadata,
    _id(),
    Column("user_id", Uuid, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # Null means whatever the user may do; a key never may do more than its user.
    Column("scopes", ARRAY(Text)),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("public_id", Text, nullable=False, unique=True),
    Column("key_hash", LargeBinary, nullable=False),
    _time("expires_at"),
    _time("last_used_at"),
    Column("previous_public_id", Text, unique=True),
    Column("previous_key_hash", LargeBinary),
    _time("previous_expires_at"),
    _time("previous_last_used_at"),
    _time("revoked_at"),
    _time("rotated_at"),
    _time("created_at", nullable=False),
    CheckConstraint("octet_length(key_hash) = 32", name="key_hash_length"),
    CheckConstraint("octet_length(previous_key_hash) = 32", name="previous_key_hash_length"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    CheckConstraint(
        "num_nulls(previous_public_id, previous_key_hash, previous_expires_at) IN (0, 3)", name="previous_whole"
    ),
    Index("ix_credential_user_id", "user_id", "created_at"),
)

image = Table(
    "image",
    metadata,
    _id(),
    # Images outlive nothing: a team is removed only when its last image has been purged.
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="RESTRICT"), nullable=False),
    Column("uploaded_by", Uuid, ForeignKey("user.id", ondelete="SET NULL")),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("duplicate_of", Uuid, ForeignKey("image.id", ondelete="SET NULL")),
    Column("filename", Text),
    Column("content_type", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("object_name", Text, nullable=False, unique=True),
    Column("generation", BigInteger),
    Column("size_bytes", BigInteger),
    Column("sha256", LargeBinary),
    Column("width", Integer),
    Column("height", Integer),
    Column("frames", Integer),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'")),
    _empty_array("tags"),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    Column("claim_token", Uuid),
    _time("lease_expires_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("trace_parent", Text),
    _time("deadline_at"),
    _time("stored_at"),
    _time("queued_at"),
    _time("ready_at"),
    _time("deleted_at"),
    _time("purge_marked_at"),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    CheckConstraint(_one_of("status", tuple(ImageStatus)), name="status"),
    CheckConstraint("size_bytes > 0", name="size_bytes_positive"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_length"),
    CheckConstraint("width > 0 AND height > 0 AND frames > 0", name="dimensions_positive"),
    CheckConstraint("char_length(filename) BETWEEN 1 AND 255", name="filename_length"),
    CheckConstraint("cardinality(tags) <= 50", name="tags_count"),
    CheckConstraint("attempts >= 0", name="attempts_not_negative"),
    CheckConstraint(
        "status IN ('pending', 'expired') OR num_nulls(size_bytes, sha256, generation) = 0", name="stored_is_whole"
    ),
    CheckConstraint("status <> 'ready' OR num_nulls(width, height, frames, ready_at) = 0", name="ready_is_whole"),
    CheckConstraint("(status = 'processing') = (claim_token IS NOT NULL)", name="claim_when_processing"),
    CheckConstraint("num_nulls(claim_token, lease_expires_at) IN (0, 2)", name="claim_has_lease"),
    CheckConstraint("status <> 'failed' OR failure_code IS NOT NULL", name="failed_says_why"),
    CheckConstraint("status <> 'pending' OR deadline_at IS NOT NULL", name="pending_has_deadline"),
    CheckConstraint("purge_marked_at IS NULL OR deleted_at IS NOT NULL", name="purge_from_trash"),
    # One living image per team and content: uploads of the same bytes at the same moment meet here.
    Index(
        "uq_image_team_id_sha256_live",
        "team_id",
        "sha256",
        unique=True,
        postgresql_where=text(f"{_one_of('status', HOLDS_BYTES)} AND deleted_at IS NULL"),
    ),
    Index("ix_image_team_id_sha256", "team_id", "sha256"),
    Index(
        "ix_image_listed",
        "team_id",
        text("created_at DESC"),
        text("id DESC"),
        postgresql_where=text("deleted_at IS NULL AND status <> 'expired'"),
    ),
    Index(
        "ix_image_listed_all_teams",
        text("created_at DESC"),
        text("id DESC"),
        postgresql_where=text("deleted_at IS NULL AND status <> 'expired'"),
    ),
    Index("ix_image_status", "team_id", "status", text("created_at DESC"), text("id DESC")),
    Index("ix_image_content_type", "team_id", "content_type", text("created_at DESC"), text("id DESC")),
    Index("ix_image_uploaded_by", "uploaded_by", text("created_at DESC"), text("id DESC")),
    Index("ix_image_size_bytes", "team_id", "size_bytes"),
    Index("ix_image_tags", "tags", postgresql_using="gin"),
    Index(
        "ix_image_trashed",
        "team_id",
        text("created_at DESC"),
        text("id DESC"),
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
    Index("ix_image_duplicate_of", "duplicate_of", postgresql_where=text("duplicate_of IS NOT NULL")),
    # What the sweep looks for; each holds only the few rows that are under way.
    Index("ix_image_deadline_at", "deadline_at", postgresql_where=text("status = 'pending'")),
    Index("ix_image_queued_at", "queued_at", postgresql_where=text("status = 'stored'")),
    Index("ix_image_lease_expires_at", "lease_expires_at", postgresql_where=text("status = 'processing'")),
    Index("ix_image_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
)

HOLDS_BYTES_CLAUSE: ColumnElement[bool] = image.c.status.in_([literal_column(repr(str(each))) for each in HOLDS_BYTES])
"""True for an image whose original exists. The states stand in the SQL itself, where the planner can see them."""

derivative = Table(
    "derivative",
    metadata,
    _id(),
    Column("image_id", Uuid, ForeignKey("image.id", ondelete="CASCADE"), nullable=False),
    Column("preset", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("object_name", Text, nullable=False, unique=True),
    Column("content_type", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    _time("created_at", nullable=False),
    CheckConstraint("width > 0 AND height > 0 AND frames > 0", name="dimensions_positive"),
    CheckConstraint("size_bytes > 0", name="size_bytes_positive"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_length"),
    Index("uq_derivative_image_id_preset", "image_id", "preset", unique=True),
)

discarded_object = Table(
    "discarded_object",
    metadata,
    _id(),
    Column("bucket", Text, nullable=False),
    Column("object_name", Text, nullable=False),
    # Null means every generation of the object.
    Column("generation", BigInteger),
    Column("remove_after", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _time("created_at", nullable=False),
    CheckConstraint(_one_of("bucket", ("originals", "derivatives")), name="bucket"),
    Index("ix_discarded_object_remove_after", "remove_after"),
)

event = Table(
    "event",
    metadata,
    _id(),
    Column("topic", Text, nullable=False),
    Column("type", Text, nullable=False),
    # No foreign keys: an event outlives what it tells of.
    Column("team_id", Uuid),
    Column("image_id", Uuid),
    Column("payload", JSONB, nullable=False),
    Column("trace_parent", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _time("published_at"),
    _time("created_at", nullable=False),
    CheckConstraint(_one_of("topic", ("uploads", "events")), name="topic"),
    Index("ix_event_unpublished", "created_at", "id", postgresql_where=text("published_at IS NULL")),
    Index("ix_event_published_at", "published_at", postgresql_where=text("published_at IS NOT NULL")),
    Index("ix_event_image_id", "image_id"),
)

audit_event = Table(
    "audit_event",
    metadata,
    _id(),
    Column("team_id", Uuid),
    Column("actor_user_id", Uuid),
    Column("credential_id", Uuid),
    Column("action", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("target_id", Uuid),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("request_id", Text),
    Column("address", Text),
    _time("created_at", nullable=False),
    Index("ix_audit_event_team_id", "team_id", text("created_at DESC"), text("id DESC")),
    Index("ix_audit_event_target_id", "target_id", text("created_at DESC"), text("id DESC")),
)

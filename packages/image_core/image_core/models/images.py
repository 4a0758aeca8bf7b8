"""Images, their derivatives, and objects that are to be removed."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_core.images.object_names import Bucket
from image_core.models.columns import array_column, deadline_column, id_column, metadata, one_of, time_column
from image_core.models.image_terms import create_image_terms
from image_core.states import HOLDS_BYTES, ImageStatus, TakenAtSource, Visibility

MAX_DESCRIPTION_LENGTH = 2000
"""Characters of a description and of an alternative text."""
MAX_RATING = 5

image = Table(
    "image",
    metadata,
    id_column(),
    # A team can be removed only after its last image has been purged.
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
    # Maximum size of a pending upload; counted against the team's quota until it is stored.
    Column("expected_bytes", BigInteger),
    Column("sha256", LargeBinary),
    # As storage writes it: big-endian, in base64; null for images of an earlier release.
    Column("crc32c", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("frames", Integer),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'")),
    # When and where the photograph was taken, from the facts; the source is null until they have been read.
    time_column("taken_at"),
    Column("taken_at_source", Text),
    Column("taken_local", DateTime),
    Column("location_cell", BigInteger),
    array_column("tags"),
    Column("description", Text),
    # For people who cannot see the picture, with its language as a BCP 47 tag.
    Column("alt_text", Text),
    Column("alt_text_language", Text),
    Column("rating", SmallInteger),
    # What a cut has to keep, in thousandths of the width and height of the picture as shown.
    Column("focal_x", SmallInteger),
    Column("focal_y", SmallInteger),
    # What `q` of lists finds it by, written by a trigger; null until its processing has ended.
    Column("search_terms", ARRAY(Text)),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    Column("claim_token", Uuid),
    time_column("lease_expires_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Start of the current processing; null once it has ended. Bounds how long failed attempts are not counted.
    time_column("first_claimed_at"),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("trace_parent", Text),
    # For a pending upload, its deadline; for an image marked for purge, the time of the next removal attempt.
    time_column("deadline_at"),
    time_column("stored_at"),
    time_column("queued_at"),
    time_column("ready_at"),
    time_column("deleted_at"),
    time_column("purge_marked_at"),
    # Whether an unsigned delivery address shows the image; null means the team's default.
    Column("visibility", Text),
    # Incremented to revoke the delivery addresses issued so far.
    Column("delivery_epoch", Integer, nullable=False, server_default=text("0")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint(one_of("status", tuple(ImageStatus)), name="status"),
    CheckConstraint("size_bytes > 0", name="size_bytes_positive"),
    CheckConstraint("expected_bytes >= 0", name="expected_bytes_not_negative"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_length"),
    CheckConstraint("width > 0 AND height > 0 AND frames > 0", name="dimensions_positive"),
    CheckConstraint("char_length(filename) BETWEEN 1 AND 255", name="filename_length"),
    CheckConstraint("cardinality(tags) <= 50", name="tags_count"),
    CheckConstraint(f"char_length(description) BETWEEN 1 AND {MAX_DESCRIPTION_LENGTH}", name="description_length"),
    CheckConstraint(f"char_length(alt_text) BETWEEN 1 AND {MAX_DESCRIPTION_LENGTH}", name="alt_text_length"),
    CheckConstraint("num_nulls(alt_text, alt_text_language) IN (0, 2)", name="alt_text_has_language"),
    CheckConstraint(f"rating BETWEEN 0 AND {MAX_RATING}", name="rating"),
    CheckConstraint("focal_x BETWEEN 0 AND 1000 AND focal_y BETWEEN 0 AND 1000", name="focal_point"),
    CheckConstraint("num_nulls(focal_x, focal_y) IN (0, 2)", name="focal_point_is_whole"),
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
    CheckConstraint(one_of("visibility", tuple(Visibility)), name="visibility"),
    CheckConstraint(one_of("taken_at_source", tuple(TakenAtSource)), name="taken_at_source"),
    CheckConstraint("num_nulls(taken_at, taken_local) IN (0, 2)", name="taken_at_has_local"),
    # One image per team and content outside the trash: concurrent uploads of the same bytes conflict here.
    Index(
        "uq_image_team_id_sha256_live",
        "team_id",
        "sha256",
        unique=True,
        postgresql_where=text(f"{one_of('status', HOLDS_BYTES)} AND deleted_at IS NULL"),
    ),
    # What keys that name an image together with its team refer to.
    Index("uq_image_id_team_id", "id", "team_id", unique=True),
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
    Index(
        "ix_image_taken",
        "team_id",
        text("coalesce(taken_at, created_at) DESC"),
        text("id DESC"),
        postgresql_where=text("deleted_at IS NULL AND status <> 'expired'"),
    ),
    Index(
        "ix_image_filename",
        "team_id",
        "filename",
        "id",
        postgresql_ops={"filename": 'COLLATE "C"'},
        postgresql_where=text("deleted_at IS NULL AND status <> 'expired'"),
    ),
    # The columns of its expression too, so that months are counted by the index alone.
    Index(
        "ix_image_local_time",
        "team_id",
        text("coalesce(taken_local, timezone('UTC', created_at)) DESC"),
        text("id DESC"),
        postgresql_include=["taken_local", "created_at"],
        postgresql_where=text("deleted_at IS NULL AND status <> 'expired'"),
    ),
    Index("ix_image_location", "team_id", "location_cell", postgresql_where=text("location_cell IS NOT NULL")),
    Index("ix_image_status", "team_id", "status", text("created_at DESC"), text("id DESC")),
    Index("ix_image_content_type", "team_id", "content_type", text("created_at DESC"), text("id DESC")),
    Index("ix_image_uploaded_by", "uploaded_by", text("created_at DESC"), text("id DESC")),
    Index("ix_image_size_bytes", "team_id", "size_bytes"),
    Index("ix_image_tags", "tags", postgresql_using="gin"),
    # Without GIN's pending list, which every read would have to scan.
    Index(
        "ix_image_terms",
        text("image_terms(team_id, metadata)"),
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
        postgresql_where=text("metadata <> '{}'::jsonb"),
    ),
    Index("ix_image_search_terms", "search_terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    Index("ix_image_without_terms", "team_id", "id", postgresql_where=text("search_terms IS NULL")),
    Index(
        "ix_image_trashed",
        "team_id",
        text("created_at DESC"),
        text("id DESC"),
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
    Index("ix_image_duplicate_of", "duplicate_of", postgresql_where=text("duplicate_of IS NOT NULL")),
    # Indexes for the sweep; each holds only the few rows in progress.
    Index("ix_image_undated", "id", postgresql_where=text("taken_at_source IS NULL AND status = 'ready'")),
    Index("ix_image_deadline_at", "deadline_at", postgresql_where=text("status = 'pending'")),
    Index("ix_image_queued_at", "queued_at", postgresql_where=text("status = 'stored'")),
    Index("ix_image_lease_expires_at", "lease_expires_at", postgresql_where=text("status = 'processing'")),
    Index("ix_image_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
)

event.listen(image, "before_create", create_image_terms)

HOLDS_BYTES_CLAUSE: ColumnElement[bool] = image.c.status.in_(
    [literal_column(repr(str(status))) for status in HOLDS_BYTES]
)
"""True for an image whose original exists. The states are literals in the SQL, so that the planner can use them."""

derivative = Table(
    "derivative",
    metadata,
    id_column(),
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
    # Hash of the preset's recipe, 16 bytes; null if the derivative was made before recipes had hashes.
    Column("spec_hash", LargeBinary),
    time_column("created_at", nullable=False),
    CheckConstraint("width > 0 AND height > 0 AND frames > 0", name="dimensions_positive"),
    CheckConstraint("size_bytes > 0", name="size_bytes_positive"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_length"),
    CheckConstraint("octet_length(spec_hash) = 16", name="spec_hash_length"),
    Index("uq_derivative_image_id_preset", "image_id", "preset", unique=True),
)

# Files that were removed from the trash, by an HMAC of their SHA-256 (`images/removal/purged_hashes.py`).
purged_hash = Table(
    "purged_hash",
    metadata,
    # No foreign key: a hash outlives its team.
    Column("team_id", Uuid, nullable=False),
    Column("keyed_hash", LargeBinary, nullable=False),
    time_column("purged_at", nullable=False),
    PrimaryKeyConstraint("team_id", "keyed_hash"),
    CheckConstraint("octet_length(keyed_hash) = 32", name="keyed_hash_length"),
    Index("ix_purged_hash_purged_at", "purged_at"),
)

# Direct uploads that are open and, until the next sweep, those that have ended. `sha256` is what the client declared.
upload_session = Table(
    "upload_session",
    metadata,
    Column("image_id", Uuid, ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary),
    # Encrypted; null until storage has opened the session.
    Column("address", LargeBinary),
    CheckConstraint("size_bytes > 0", name="size_bytes_positive"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_length"),
)

# Direct uploads that were opened with a token, whose holder sees them alone.
upload_by_token = Table(
    "upload_by_token",
    metadata,
    Column("image_id", Uuid, ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("token_id", Uuid, ForeignKey("upload_token.id", ondelete="CASCADE"), nullable=False),
    Index("ix_upload_by_token_token_id", "token_id"),
)

discarded_object = Table(
    "discarded_object",
    metadata,
    id_column(),
    Column("bucket", Text, nullable=False),
    Column("object_name", Text, nullable=False),
    # Null means every generation of the object.
    Column("generation", BigInteger),
    deadline_column("remove_after"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    time_column("created_at", nullable=False),
    CheckConstraint(one_of("bucket", (Bucket.ORIGINALS, Bucket.DERIVATIVES)), name="bucket"),
    Index("ix_discarded_object_remove_after", "remove_after"),
)

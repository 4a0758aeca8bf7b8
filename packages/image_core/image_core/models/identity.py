"""Teams, their users, and each way to authenticate."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from image_core.models.columns import array_column, deadline_column, id_column, metadata, one_of, time_column
from image_core.states import LabelSource, Visibility

ROLES = ("admin", "member", "viewer")

team = Table(
    "team",
    metadata,
    id_column(),
    Column("name", Text, nullable=False, unique=True),
    # Whether an image's facts include the location that the camera recorded.
    Column("keep_location", Boolean, nullable=False, server_default=text("true")),
    # Analyzers that run on every new image of the team.
    array_column("analyze_on_arrival"),
    # The source of labels for the team's images.
    Column("label_source", Text, nullable=False, server_default=text("'own'")),
    # Visibility of the team's images that have none of their own.
    Column("default_visibility", Text, nullable=False, server_default=text("'private'")),
    # Maximum bytes and images of the team, including its trash; null means the deployment's default.
    Column("quota_bytes", BigInteger),
    Column("quota_images", BigInteger),
    # When the sweep began to remove the team's data; its users have no access from then on.
    time_column("deleting_at"),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    CheckConstraint(one_of("label_source", tuple(LabelSource)), name="label_source"),
    CheckConstraint(one_of("default_visibility", tuple(Visibility)), name="default_visibility"),
    CheckConstraint("quota_bytes >= 0 AND quota_images >= 0", name="quota_not_negative"),
    Index("ix_team_deleting_at", "deleting_at", postgresql_where=text("deleting_at IS NOT NULL")),
)

user = Table(
    "user",
    metadata,
    id_column(),
    # Prevents the removal of a team that still has users.
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="RESTRICT")),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("role", Text, nullable=False),
    array_column("scopes"),
    # Null for a user who only has keys. An argon2id hash with its parameters.
    Column("password_hash", Text),
    time_column("password_changed_at"),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("disabled_at"),
    # When the sweep began to remove references to the user; the user is hidden from then on.
    time_column("deleting_at"),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    CheckConstraint("char_length(email) BETWEEN 3 AND 254", name="email_length"),
    CheckConstraint(one_of("role", ROLES), name="role"),
    CheckConstraint("role = 'admin' OR team_id IS NOT NULL", name="team_unless_admin"),
    Index("ix_user_team_id_created_at", "team_id", text("created_at DESC"), text("id DESC")),
    Index("uq_user_email", text("lower(email)"), unique=True),
    Index("ix_user_deleting_at", "deleting_at", postgresql_where=text("deleting_at IS NOT NULL")),
)

user_disabled_at: ColumnElement[Any] = func.coalesce(
    user.c.disabled_at,
    select(team.c.deleting_at).where(team.c.id == user.c.team_id).correlate(user).scalar_subquery(),
)
"""When the user lost access: disabled by an admin, or the team is being removed."""

credential = Table(
    "credential",
    metadata,
    id_column(),
    Column("user_id", Uuid, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # Null means all scopes of the user; a key never has more than its user.
    Column("scopes", ARRAY(Text)),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("public_id", Text, nullable=False, unique=True),
    Column("key_hash", LargeBinary, nullable=False),
    time_column("expires_at"),
    time_column("last_used_at"),
    Column("previous_public_id", Text, unique=True),
    Column("previous_key_hash", LargeBinary),
    time_column("previous_expires_at"),
    time_column("previous_last_used_at"),
    # Networks in CIDR notation from which the key may be used; null means any.
    Column("address_ranges", ARRAY(Text)),
    Column("last_used_address", Text),
    Column("last_used_agent", Text),
    Column("previous_last_used_address", Text),
    Column("previous_last_used_agent", Text),
    # How many of the two expiry warnings have been sent: 7 days and 1 day before.
    Column("expiry_warnings", SmallInteger, nullable=False, server_default=text("0")),
    time_column("revoked_at"),
    Column("revoked_reason", Text),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("rotated_at"),
    time_column("created_at", nullable=False),
    CheckConstraint("octet_length(key_hash) = 32", name="key_hash_length"),
    CheckConstraint("octet_length(previous_key_hash) = 32", name="previous_key_hash_length"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    CheckConstraint(
        "num_nulls(previous_public_id, previous_key_hash, previous_expires_at) IN (0, 3)", name="previous_whole"
    ),
    Index("ix_credential_user_id", "user_id", "created_at"),
    Index(
        "ix_credential_expires_at", "expires_at", postgresql_where=text("revoked_at IS NULL AND expiry_warnings < 2")
    ),
)

invitation = Table(
    "invitation",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("invited_by", Uuid, ForeignKey("user.id", ondelete="SET NULL")),
    deadline_column("expires_at"),
    time_column("accepted_at"),
    time_column("revoked_at"),
    time_column("created_at", nullable=False),
    CheckConstraint("char_length(email) BETWEEN 3 AND 254", name="email_length"),
    CheckConstraint(one_of("role", ROLES), name="role"),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    Index("ix_invitation_team_id", "team_id", text("created_at DESC"), text("id DESC")),
)

password_reset = Table(
    "password_reset",
    metadata,
    id_column(),
    Column("user_id", Uuid, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    deadline_column("expires_at"),
    time_column("used_at"),
    time_column("created_at", nullable=False),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    Index("ix_password_reset_user_id", "user_id"),
)

session = Table(
    "session",
    metadata,
    id_column(),
    Column("user_id", Uuid, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    # Hash of the cookie's value; null for a session that only uses tokens.
    Column("token_hash", LargeBinary, unique=True),
    # The key that the session began with, whose limits and end are its own; null for a person's session.
    Column("key_public_id", Text),
    Column("address", Text),
    Column("user_agent", Text),
    deadline_column("expires_at"),
    time_column("ended_at"),
    time_column("created_at", nullable=False),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    Index("ix_session_user_id", "user_id", text("created_at DESC"), text("id DESC")),
    Index("ix_session_expires_at", "expires_at"),
)

# What a page may hold instead of a key, to open a limited number of direct uploads.
upload_token = Table(
    "upload_token",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Uuid, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    # The key or session that created the token, which ends with it.
    Column("key_public_id", Text),
    Column("session_id", Uuid),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("max_uploads", Integer, nullable=False),
    Column("uploads", Integer, nullable=False, server_default=text("0")),
    # Maximum size of one file.
    Column("max_bytes", BigInteger, nullable=False),
    array_column("tags"),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    deadline_column("expires_at"),
    time_column("created_at", nullable=False),
    CheckConstraint("num_nonnulls(key_public_id, session_id) = 1", name="one_creator"),
    CheckConstraint("uploads BETWEEN 0 AND max_uploads", name="uploads_within_limit"),
    CheckConstraint("max_bytes > 0", name="max_bytes_positive"),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    Index("ix_upload_token_expires_at", "expires_at"),
    Index("ix_upload_token_team_id", "team_id"),
    Index("ix_upload_token_user_id", "user_id"),
)

sign_in_delay = Table(
    "sign_in_delay",
    metadata,
    # SHA-256 of an e-mail address or of a network address: neither is stored itself.
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    deadline_column("blocked_until"),
    deadline_column("last_failed_at"),
    Index("ix_sign_in_delay_last_failed_at", "last_failed_at"),
)

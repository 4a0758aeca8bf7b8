"""The first tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _create_tables() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("actor_user_id", sa.Uuid(), nullable=True),
        sa.Column("credential_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index(
        "ix_audit_event_target_id",
        "audit_event",
        ["target_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_audit_event_team_id",
        "audit_event",
        ["team_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_table(
        "discarded_object",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=True),
        sa.Column("remove_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("bucket IN ('originals', 'derivatives')", name=op.f("ck_discarded_object_bucket")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discarded_object")),
    )
    op.create_index("ix_discarded_object_remove_after", "discarded_object", ["remove_after"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("image_id", sa.Uuid(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trace_parent", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("topic IN ('uploads', 'events')", name=op.f("ck_event_topic")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_image_id", "event", ["image_id"], unique=False)
    op.create_index(
        "ix_event_published_at",
        "event",
        ["published_at"],
        unique=False,
        postgresql_where=sa.text("published_at IS NOT NULL"),
    )
    op.create_index(
        "ix_event_unpublished",
        "event",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "team",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("keep_location", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 120", name=op.f("ck_team_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team")),
        sa.UniqueConstraint("name", name=op.f("uq_team_name")),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role = 'admin' OR team_id IS NOT NULL", name=op.f("ck_user_team_unless_admin")),
        sa.CheckConstraint("role IN ('admin', 'member', 'viewer')", name=op.f("ck_user_role")),
        sa.CheckConstraint("char_length(email) BETWEEN 3 AND 254", name=op.f("ck_user_email_length")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 120", name=op.f("ck_user_name_length")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_user_team_id"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
    )
    op.create_index(
        "ix_user_team_id_created_at",
        "user",
        ["team_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index("uq_user_email", "user", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "credential",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_public_id", sa.Text(), nullable=True),
        sa.Column("previous_key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("previous_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 120", name=op.f("ck_credential_name_length")),
        sa.CheckConstraint(
            "num_nulls(previous_public_id, previous_key_hash, previous_expires_at) IN (0, 3)",
            name=op.f("ck_credential_previous_whole"),
        ),
        sa.CheckConstraint("octet_length(key_hash) = 32", name=op.f("ck_credential_key_hash_length")),
        sa.CheckConstraint("octet_length(previous_key_hash) = 32", name=op.f("ck_credential_previous_key_hash_length")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_credential_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credential")),
        sa.UniqueConstraint("previous_public_id", name=op.f("uq_credential_previous_public_id")),
        sa.UniqueConstraint("public_id", name=op.f("uq_credential_public_id")),
    )
    op.create_index("ix_credential_user_id", "credential", ["user_id", "created_at"], unique=False)
    op.create_table(
        "image",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("uploaded_by", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("frames", sa.Integer(), nullable=True),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("claim_token", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("trace_parent", sa.Text(), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("purge_marked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'processing') = (claim_token IS NOT NULL)", name=op.f("ck_image_claim_when_processing")
        ),
        sa.CheckConstraint("status <> 'failed' OR failure_code IS NOT NULL", name=op.f("ck_image_failed_says_why")),
        sa.CheckConstraint(
            "status <> 'pending' OR deadline_at IS NOT NULL", name=op.f("ck_image_pending_has_deadline")
        ),
        sa.CheckConstraint(
            "status <> 'ready' OR num_nulls(width, height, frames, ready_at) = 0", name=op.f("ck_image_ready_is_whole")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'expired') OR num_nulls(size_bytes, sha256, generation) = 0",
            name=op.f("ck_image_stored_is_whole"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'stored', 'processing', 'ready', 'failed', 'expired')", name=op.f("ck_image_status")
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_image_attempts_not_negative")),
        sa.CheckConstraint("cardinality(tags) <= 50", name=op.f("ck_image_tags_count")),
        sa.CheckConstraint("char_length(filename) BETWEEN 1 AND 255", name=op.f("ck_image_filename_length")),
        sa.CheckConstraint("num_nulls(claim_token, lease_expires_at) IN (0, 2)", name=op.f("ck_image_claim_has_lease")),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_image_sha256_length")),
        sa.CheckConstraint("purge_marked_at IS NULL OR deleted_at IS NOT NULL", name=op.f("ck_image_purge_from_trash")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_image_size_bytes_positive")),
        sa.CheckConstraint("width > 0 AND height > 0 AND frames > 0", name=op.f("ck_image_dimensions_positive")),
        sa.ForeignKeyConstraint(
            ["duplicate_of"], ["image.id"], name=op.f("fk_image_duplicate_of"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_image_team_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["uploaded_by"], ["user.id"], name=op.f("fk_image_uploaded_by"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("object_name", name=op.f("uq_image_object_name")),
    )
    op.create_index(
        "ix_image_content_type",
        "image",
        ["team_id", "content_type", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_image_deadline_at", "image", ["deadline_at"], unique=False, postgresql_where=sa.text("status = 'pending'")
    )
    op.create_index(
        "ix_image_deleted_at", "image", ["deleted_at"], unique=False, postgresql_where=sa.text("deleted_at IS NOT NULL")
    )
    op.create_index(
        "ix_image_duplicate_of",
        "image",
        ["duplicate_of"],
        unique=False,
        postgresql_where=sa.text("duplicate_of IS NOT NULL"),
    )
    op.create_index(
        "ix_image_lease_expires_at",
        "image",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'processing'"),
    )
    op.create_index(
        "ix_image_listed",
        "image",
        ["team_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status <> 'expired'"),
    )
    op.create_index(
        "ix_image_listed_all_teams",
        "image",
        [sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status <> 'expired'"),
    )
    op.create_index(
        "ix_image_queued_at", "image", ["queued_at"], unique=False, postgresql_where=sa.text("status = 'stored'")
    )
    op.create_index("ix_image_size_bytes", "image", ["team_id", "size_bytes"], unique=False)
    op.create_index(
        "ix_image_status",
        "image",
        ["team_id", "status", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index("ix_image_tags", "image", ["tags"], unique=False, postgresql_using="gin")
    op.create_index("ix_image_team_id_sha256", "image", ["team_id", "sha256"], unique=False)
    op.create_index(
        "ix_image_trashed",
        "image",
        ["team_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_image_uploaded_by",
        "image",
        ["uploaded_by", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "uq_image_team_id_sha256_live",
        "image",
        ["team_id", "sha256"],
        unique=True,
        postgresql_where=sa.text("status IN ('stored', 'processing', 'ready', 'failed') AND deleted_at IS NULL"),
    )
    op.create_table(
        "derivative",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("preset", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_derivative_sha256_length")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_derivative_size_bytes_positive")),
        sa.CheckConstraint("width > 0 AND height > 0 AND frames > 0", name=op.f("ck_derivative_dimensions_positive")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_derivative_image_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_derivative")),
        sa.UniqueConstraint("object_name", name=op.f("uq_derivative_object_name")),
    )
    op.create_index("uq_derivative_image_id_preset", "derivative", ["image_id", "preset"], unique=True)


RIGHTS = {
    "image_api": {
        "team": "SELECT, INSERT, UPDATE, DELETE",
        '"user"': "SELECT, INSERT, UPDATE, DELETE",
        "credential": "SELECT, INSERT, UPDATE",
        "image": (
            "SELECT, INSERT, UPDATE (status, failure_code, failure_message, duplicate_of, filename, tags, metadata,"
            " generation, size_bytes, sha256, attempts, revision, trace_parent, stored_at, queued_at, deleted_at,"
            " updated_at)"
        ),
        "derivative": "SELECT",
        "discarded_object": "INSERT",
        "event": "SELECT, INSERT, UPDATE (published_at, attempts)",
        "audit_event": "SELECT, INSERT",
        "alembic_version": "SELECT",
    },
    "image_processor": {
        "team": "SELECT",
        "image": (
            "SELECT, DELETE, UPDATE (status, failure_code, failure_message, duplicate_of, generation, size_bytes,"
            " sha256, content_type, format, width, height, frames, facts, claim_token, lease_expires_at, attempts,"
            " revision, stored_at, deadline_at, queued_at, ready_at, purge_marked_at, updated_at)"
        ),
        "derivative": "SELECT, INSERT, DELETE",
        "discarded_object": "SELECT, INSERT, DELETE, UPDATE (attempts, remove_after)",
        "event": "SELECT, INSERT, DELETE, UPDATE (published_at, attempts)",
        "alembic_version": "SELECT",
    },
}

OWNER = "image_migrator"
ADMIN_USER_ID = "00000000-0000-7000-8000-000000000001"
ADMIN_CREDENTIAL_ID = "00000000-0000-7000-8000-000000000002"
SCOPES = "{images:read,images:write,images:delete,analyses:run,webhooks:manage,usage:read,keys:self,admin}"


def _create_roles() -> None:
    """Makes the three roles where they are absent; they belong to the server, so other databases may share them."""
    for role in (OWNER, *RIGHTS):
        op.execute(
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )


def _own_and_grant() -> None:
    op.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")
    op.execute(f"DO $$ BEGIN IF current_user <> '{OWNER}' THEN GRANT {OWNER} TO CURRENT_USER; END IF; END $$")
    for table in dict.fromkeys(table for rights in RIGHTS.values() for table in rights):
        op.execute(f"ALTER TABLE {table} OWNER TO {OWNER}")
    for role, rights in RIGHTS.items():
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        for table, granted in rights.items():
            op.execute(f"GRANT {granted} ON {table} TO {role}")


def _create_first_admin() -> None:
    """The admin with the published default key, which can only be rotated."""
    op.execute(
        f"""INSERT INTO "user" (id, name, role, scopes) VALUES ('{ADMIN_USER_ID}', 'admin', 'admin', '{SCOPES}')"""
    )
    op.execute(
        "INSERT INTO credential (id, user_id, name, is_default, public_id, key_hash) VALUES"
        f" ('{ADMIN_CREDENTIAL_ID}', '{ADMIN_USER_ID}', 'default', true, 'default', sha256('ADMIN_ACCESS'))"
    )


def upgrade() -> None:
    _create_tables()
    _create_roles()
    _own_and_grant()
    _create_first_admin()


def downgrade() -> None:
    for table in ("audit_event", "event", "discarded_object", "derivative", "image", "credential", "user", "team"):
        op.drop_table(table)

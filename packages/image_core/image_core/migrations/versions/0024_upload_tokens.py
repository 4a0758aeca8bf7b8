"""Upload tokens"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

RIGHTS = {
    "upload_token": {
        "image_api": (
            "SELECT, UPDATE (uploads), INSERT (id, team_id, user_id, key_public_id, session_id, token_hash,"
            " max_uploads, max_bytes, tags, metadata, expires_at)"
        ),
        "image_tasks": "SELECT (expires_at), DELETE",
    },
    "upload_by_token": {"image_api": "SELECT, INSERT"},
}


def upgrade() -> None:
    op.create_table(
        "upload_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key_public_id", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("max_uploads", sa.Integer(), nullable=False),
        sa.Column("uploads", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("num_nonnulls(key_public_id, session_id) = 1", name=op.f("ck_upload_token_one_creator")),
        sa.CheckConstraint("uploads BETWEEN 0 AND max_uploads", name=op.f("ck_upload_token_uploads_within_limit")),
        sa.CheckConstraint("max_bytes > 0", name=op.f("ck_upload_token_max_bytes_positive")),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_upload_token_token_hash_length")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_upload_token_team_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_upload_token_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_upload_token_token_hash")),
    )
    for column in ("expires_at", "team_id", "user_id"):
        op.create_index(f"ix_upload_token_{column}", "upload_token", [column])
    op.create_table(
        "upload_by_token",
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_upload_by_token_image_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["upload_token.id"], name=op.f("fk_upload_by_token_token_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_upload_by_token")),
    )
    op.create_index("ix_upload_by_token_token_id", "upload_by_token", ["token_id"])
    for table, rights in RIGHTS.items():
        op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
        for role, granted in rights.items():
            op.execute(f"GRANT {granted} ON {table} TO {role}")


def downgrade() -> None:
    op.drop_table("upload_by_token")
    op.drop_table("upload_token")

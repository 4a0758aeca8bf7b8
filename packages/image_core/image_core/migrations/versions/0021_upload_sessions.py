"""Upload sessions"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Only the API may read the address, with which anybody could upload.
RIGHTS = {
    "image_api": "SELECT, INSERT (image_id, size_bytes, sha256), UPDATE (address), DELETE",
    "image_processor": "SELECT (image_id, size_bytes, sha256)",
    "image_tasks": "SELECT (image_id), DELETE",
}


def upgrade() -> None:
    op.create_table(
        "upload_session",
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_upload_session_size_bytes_positive")),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_upload_session_sha256_length")),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_upload_session_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_upload_session")),
    )
    op.execute("ALTER TABLE upload_session OWNER TO image_migrator")
    for role, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON upload_session TO {role}")
    # Once its session is open, an upload has longer than one through the API.
    op.execute("GRANT UPDATE (deadline_at) ON image TO image_api")


def downgrade() -> None:
    op.execute("REVOKE UPDATE (deadline_at) ON image FROM image_api")
    op.drop_table("upload_session")

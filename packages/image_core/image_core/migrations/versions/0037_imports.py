"""image-tasks adds the rows of imported images, as the API adds those of uploads"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

RIGHTS = {
    "image": (
        "INSERT (id, team_id, uploaded_by, content_type, format, object_name, trace_parent, deadline_at,"
        " expected_bytes, filename, tags, metadata), UPDATE (generation, crc32c)"
    ),
    "upload_session": "INSERT (image_id, size_bytes, sha256)",
    "metadata_schema": "SELECT",
    "FUNCTION storage_fits(uuid, bigint, bigint, bigint)": "EXECUTE",
}


def upgrade() -> None:
    for what, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON {what} TO image_tasks")


def downgrade() -> None:
    for what, granted in RIGHTS.items():
        op.execute(f"REVOKE {granted} ON {what} FROM image_tasks")

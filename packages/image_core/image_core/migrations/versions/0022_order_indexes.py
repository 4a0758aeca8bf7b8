"""Indexes of the orders of lists and of the timeline, built while requests go on"""

from alembic import op

from image_core.migrations.indexes import create_concurrently

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_LISTED = "WHERE deleted_at IS NULL AND status <> 'expired'"
INDEXES = {
    "ix_image_filename": f'ON image (team_id, filename COLLATE "C", id) {_LISTED}',
    "ix_image_local_time": (
        "ON image (team_id, coalesce(taken_local, timezone('UTC', created_at)) DESC, id DESC)"
        f" INCLUDE (taken_local, created_at) {_LISTED}"
    ),
}


def upgrade() -> None:
    create_concurrently(INDEXES)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "image")

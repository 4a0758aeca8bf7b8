"""Indexes of when and where photographs were taken, built while requests go on"""

from alembic import op

from image_core.migrations.indexes import create_concurrently

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_image_taken": (
        "ON image (team_id, coalesce(taken_at, created_at) DESC, id DESC)"
        " WHERE deleted_at IS NULL AND status <> 'expired'"
    ),
    "ix_image_location": "ON image (team_id, location_cell) WHERE location_cell IS NOT NULL",
    "ix_image_undated": "ON image (id) WHERE taken_at_source IS NULL AND status = 'ready'",
}


def upgrade() -> None:
    create_concurrently(INDEXES)
    for name in ("taken_at_source", "taken_at_has_local"):
        op.execute(f"ALTER TABLE image VALIDATE CONSTRAINT ck_image_{name}")


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "image")

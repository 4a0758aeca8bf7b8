"""Indexes of search terms, built while requests go on"""

from alembic import op

from image_core.migrations.indexes import create_concurrently

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_image_search_terms": "ON image USING gin (search_terms) WITH (fastupdate = off)",
    "ix_image_without_terms": "ON image (team_id, id) WHERE search_terms IS NULL",
}


def upgrade() -> None:
    create_concurrently(INDEXES)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "image")

"""The index that keys which name an image together with its team refer to, built while requests go on"""

from alembic import op

from image_core.migrations.indexes import create_concurrently

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

NAME = "uq_image_id_team_id"


def upgrade() -> None:
    create_concurrently({NAME: "ON image (id, team_id)"}, unique=True)


def downgrade() -> None:
    op.drop_index(NAME, "image")

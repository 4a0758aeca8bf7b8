"""When the work under way on an image was first claimed"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image", sa.Column("first_claimed_at", sa.DateTime(timezone=True)))
    op.execute("GRANT UPDATE (first_claimed_at) ON image TO image_processor")


def downgrade() -> None:
    op.drop_column("image", "first_claimed_at")

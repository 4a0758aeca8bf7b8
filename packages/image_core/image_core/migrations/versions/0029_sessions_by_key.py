"""Sessions that begin with an API key"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("session", sa.Column("key_public_id", sa.Text(), nullable=True))
    # A session that rotates its key goes on under the new one.
    op.execute("GRANT UPDATE (key_public_id) ON session TO image_api")


def downgrade() -> None:
    op.drop_column("session", "key_public_id")

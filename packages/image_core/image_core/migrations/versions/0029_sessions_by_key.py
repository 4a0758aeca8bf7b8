"""Sessions that begin with an API key"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("session", sa.Column("key_public_id", sa.Text(), nullable=True))
    # A session that rotates its key goes on under the new one; a link that signs in becomes a session when it is spent.
    op.execute("GRANT UPDATE (key_public_id, token_hash) ON session TO image_api")


def downgrade() -> None:
    op.execute("REVOKE UPDATE (token_hash) ON session FROM image_api")
    op.drop_column("session", "key_public_id")

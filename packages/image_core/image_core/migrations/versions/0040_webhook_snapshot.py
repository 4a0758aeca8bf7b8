"""A webhook is sent nothing that was committed before it was created or enabled"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE webhook ADD COLUMN since_snapshot pg_snapshot")
    op.execute("GRANT INSERT (since_snapshot), UPDATE (since_snapshot) ON webhook TO image_api")


def downgrade() -> None:
    op.drop_column("webhook", "since_snapshot")

"""image-tasks adds rows of imports that replace lost originals"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT INSERT (duplicate_of) ON image TO image_tasks")


def downgrade() -> None:
    op.execute("REVOKE INSERT (duplicate_of) ON image FROM image_tasks")

"""The API sees the newest seal of the audit log, to show the state of the chain"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT SELECT (number, created_at) ON audit_seal TO image_api")


def downgrade() -> None:
    op.execute("REVOKE SELECT (number, created_at) ON audit_seal FROM image_api")

"""The API sees how far the audit log is sealed, where an export ends"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT SELECT (last_position) ON audit_seal TO image_api")


def downgrade() -> None:
    op.execute("REVOKE SELECT (last_position) ON audit_seal FROM image_api")

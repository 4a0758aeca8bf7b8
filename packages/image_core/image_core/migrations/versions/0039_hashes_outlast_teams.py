"""Hashes of purged files stay when their team is removed"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

KEY = "fk_purged_hash_team_id"


def upgrade() -> None:
    op.drop_constraint(op.f(KEY), "purged_hash", type_="foreignkey")


def downgrade() -> None:
    op.execute("DELETE FROM purged_hash WHERE NOT EXISTS (SELECT FROM team WHERE team.id = purged_hash.team_id)")
    op.create_foreign_key(op.f(KEY), "purged_hash", "team", ["team_id"], ["id"], ondelete="CASCADE")

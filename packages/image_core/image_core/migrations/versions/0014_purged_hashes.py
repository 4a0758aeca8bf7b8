"""Hashes of purged files"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

RIGHTS = {
    "image_api": "SELECT",
    "image_tasks": "SELECT, INSERT (team_id, keyed_hash), UPDATE (purged_at), DELETE",
}


def upgrade() -> None:
    op.create_table(
        "purged_hash",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("keyed_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(keyed_hash) = 32", name=op.f("ck_purged_hash_keyed_hash_length")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_purged_hash_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", "keyed_hash", name=op.f("pk_purged_hash")),
    )
    op.create_index("ix_purged_hash_purged_at", "purged_hash", ["purged_at"])
    op.execute("ALTER TABLE purged_hash OWNER TO image_migrator")
    for role, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON purged_hash TO {role}")


def downgrade() -> None:
    op.drop_table("purged_hash")

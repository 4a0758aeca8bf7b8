"""Requests of teams, counted by day, key and operation"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TABLE = "request_usage"
RIGHTS = {
    "image_api": (
        "SELECT, INSERT (team_id, day, credential_id, operation, requests, failed), UPDATE (requests, failed)"
    ),
    "image_tasks": "SELECT (day), DELETE",
}


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("credential_id", sa.Uuid()),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("requests >= failed AND failed >= 0", name=op.f("ck_request_usage_counts")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_request_usage_team_id"), ondelete="CASCADE"),
    )
    op.create_index(
        "uq_request_usage_counted",
        TABLE,
        ["team_id", "day", "credential_id", "operation"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index("ix_request_usage_day", TABLE, ["day"])
    op.execute(f"ALTER TABLE {TABLE} OWNER TO image_migrator")
    for role, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON {TABLE} TO {role}")


def downgrade() -> None:
    op.drop_table(TABLE)

"""Dead letters as rows"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

RIGHTS = {
    "image_api": "SELECT, UPDATE (status, handled_at)",
    "image_tasks": (
        "SELECT, INSERT, DELETE, UPDATE (data, attributes, size_bytes, attempts, arrivals, status, source_published_at,"
        " arrived_at, handled_at)"
    ),
}


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Uuid()),
        sa.Column("image_id", sa.Uuid()),
        sa.Column("data", sa.LargeBinary()),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("arrivals", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("source_published_at", sa.DateTime(timezone=True), nullable=False),
        _time("arrived_at"),
        sa.Column("handled_at", sa.DateTime(timezone=True)),
        _time("created_at"),
        sa.CheckConstraint(
            "char_length(subscription) BETWEEN 1 AND 255", name=op.f("ck_dead_letter_subscription_length")
        ),
        sa.CheckConstraint("char_length(work_key) BETWEEN 1 AND 1200", name=op.f("ck_dead_letter_work_key_length")),
        sa.CheckConstraint("octet_length(data) <= 65536", name=op.f("ck_dead_letter_data_length")),
        sa.CheckConstraint("status IN ('open', 'redriven', 'discarded')", name=op.f("ck_dead_letter_status")),
        sa.CheckConstraint(
            "(status = 'open') = (handled_at IS NULL)", name=op.f("ck_dead_letter_handled_when_not_open")
        ),
        sa.CheckConstraint(
            "size_bytes >= 0 AND attempts >= 0 AND arrivals > 0", name=op.f("ck_dead_letter_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
        sa.UniqueConstraint("subscription", "work_key", name=op.f("uq_dead_letter_subscription")),
    )
    newest_first = [sa.text("created_at DESC"), sa.text("id DESC")]
    op.create_index("ix_dead_letter_created_at", "dead_letter", newest_first)
    op.create_index("ix_dead_letter_open", "dead_letter", newest_first, postgresql_where=sa.text("status = 'open'"))
    op.create_index(
        "ix_dead_letter_handled_at",
        "dead_letter",
        ["handled_at"],
        postgresql_where=sa.text("handled_at IS NOT NULL"),
    )
    op.execute("ALTER TABLE dead_letter OWNER TO image_migrator")
    for role, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON dead_letter TO {role}")


def downgrade() -> None:
    op.drop_table("dead_letter")

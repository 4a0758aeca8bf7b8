"""Renditions made in the background: a topic that requests them, and what could not be made"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "rendition_failure"
RIGHTS = {
    "image_processor": "SELECT, INSERT, DELETE, UPDATE (code, message, failed_at)",
    "image_delivery": "SELECT",
    "image_tasks": "SELECT (failed_at), DELETE",
}


def _set_topics(names: str) -> None:
    op.drop_constraint(op.f("ck_event_topic"), "event", type_="check")
    op.create_check_constraint("topic", "event", f"topic IN ({names})")


def upgrade() -> None:
    _set_topics("'uploads', 'events', 'analyses', 'renditions'")
    op.create_table(
        TABLE,
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("spec_hash", sa.LargeBinary(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(spec_hash) = 16", name=op.f("ck_rendition_failure_spec_hash_length")),
        sa.CheckConstraint("format IN ('webp', 'avif', 'jpeg', 'png')", name=op.f("ck_rendition_failure_format")),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_rendition_failure_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "generation", "spec_hash", "format", name=op.f("pk_rendition_failure")),
    )
    op.create_index("ix_rendition_failure_failed_at", TABLE, ["failed_at"])
    op.execute(f"ALTER TABLE {TABLE} OWNER TO image_migrator")
    for role, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON {TABLE} TO {role}")


def downgrade() -> None:
    op.drop_table(TABLE)
    op.execute("DELETE FROM event WHERE topic = 'renditions'")
    _set_topics("'uploads', 'events', 'analyses'")

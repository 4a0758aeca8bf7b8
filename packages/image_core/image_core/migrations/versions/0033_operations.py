"""Operations"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

RIGHTS = {
    "operation": {
        "image_api": (
            "SELECT, INSERT (id, team_id, kind, status, parameters, total, size_bytes, estimated_credits,"
            " estimated_minutes, budget_credits, user_id, credential_id, session_id, role, scopes, started_at),"
            " UPDATE (status, done, failed, spent_credits, finished_at, counted_at)"
        ),
        "image_tasks": (
            "SELECT, DELETE, UPDATE (status, fill_position, total, done, failed, size_bytes, estimated_credits,"
            " estimated_minutes, spent_credits, failure_code, failure_message, started_at, finished_at, served_at,"
            " counted_at)"
        ),
    },
    "operation_item": {
        "image_api": "SELECT, INSERT (operation_id, position, image_id, payload)",
        "image_tasks": (
            "SELECT, DELETE, INSERT (operation_id, position, image_id, payload), UPDATE (state, lease,"
            " lease_expires_at, attempts, subject_id, code, detail, credits)"
        ),
    },
}

# What batches change, which image-tasks runs from now on beside the API.
BATCHES = {
    "image": "UPDATE (tags, metadata, visibility)",
    "metadata_schema": "SELECT",
    "collection": "SELECT, UPDATE (revision, updated_at)",
    "collection_member": "SELECT, INSERT (collection_id, image_id, team_id, position), UPDATE (position), DELETE",
    "analysis": (
        "INSERT (id, team_id, sha256, analyzer, version, parameters, parameters_hash, reservation_id, requested_by,"
        " trace_parent, queued_at)"
    ),
    "analyzer_model": "SELECT",
    "credit_reservation": "INSERT",
}


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    default = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "operation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'estimating'"), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("fill_position", postgresql.JSONB()),
        *(_count(name) for name in ("total", "done", "failed", "size_bytes", "estimated_credits")),
        sa.Column("estimated_minutes", sa.Integer()),
        sa.Column("budget_credits", sa.BigInteger()),
        _count("spent_credits"),
        sa.Column("failure_code", sa.Text()),
        sa.Column("failure_message", sa.Text()),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("credential_id", sa.Uuid()),
        sa.Column("session_id", sa.Uuid()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        _time("created_at", nullable=False),
        _time("started_at"),
        _time("finished_at"),
        _time("served_at", nullable=False),
        _time("counted_at", nullable=False),
        sa.CheckConstraint(
            "status IN ('estimating', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_operation_status"),
        ),
        sa.CheckConstraint(
            "least(total, done, failed, size_bytes, estimated_credits, spent_credits) >= 0",
            name=op.f("ck_operation_counts"),
        ),
        sa.CheckConstraint("budget_credits >= 0", name=op.f("ck_operation_budget_not_negative")),
        sa.CheckConstraint(
            "(status = 'failed') = (failure_code IS NOT NULL)", name=op.f("ck_operation_failed_says_why")
        ),
        sa.CheckConstraint(
            "finished_at IS NULL OR status NOT IN ('estimating', 'running')",
            name=op.f("ck_operation_finished_is_over"),
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_operation_team_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_operation_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    newest = [sa.text("created_at DESC"), sa.text("id DESC")]
    op.create_index("ix_operation_team_id", "operation", ["team_id", *newest])
    op.create_index("ix_operation_created_at", "operation", newest)
    op.create_index("ix_operation_user_id", "operation", ["user_id"])
    for name, column, condition in (
        ("unfinished", "served_at", "finished_at IS NULL"),
        ("finished_at", "finished_at", "finished_at IS NOT NULL"),
    ):
        op.create_index(f"ix_operation_{name}", "operation", [column], postgresql_where=sa.text(condition))
    op.create_table(
        "operation_item",
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("image_id", sa.Uuid()),
        sa.Column("payload", postgresql.JSONB()),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("lease", sa.Uuid()),
        _time("lease_expires_at"),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("subject_id", sa.Uuid()),
        sa.Column("code", sa.Text()),
        sa.Column("detail", sa.Text()),
        _count("credits"),
        sa.CheckConstraint(
            "state IN ('waiting', 'in_progress', 'done', 'failed')", name=op.f("ck_operation_item_state")
        ),
        sa.CheckConstraint(
            "num_nulls(lease, lease_expires_at) IN (0, 2)", name=op.f("ck_operation_item_lease_has_end")
        ),
        sa.CheckConstraint("state <> 'failed' OR code IS NOT NULL", name=op.f("ck_operation_item_failed_says_why")),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operation.id"], name=op.f("fk_operation_item_operation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("operation_id", "position", name=op.f("pk_operation_item")),
        postgresql_with={"fillfactor": 70},
    )
    for state in ("waiting", "in_progress", "failed"):
        op.create_index(
            f"ix_operation_item_{state}",
            "operation_item",
            ["operation_id", "position"],
            postgresql_where=sa.text(f"state = '{state}'"),
        )
    for table, rights in RIGHTS.items():
        op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
        for role, granted in rights.items():
            op.execute(f"GRANT {granted} ON {table} TO {role}")
    for table, granted in BATCHES.items():
        op.execute(f"GRANT {granted} ON {table} TO image_tasks")


def downgrade() -> None:
    for table, granted in BATCHES.items():
        op.execute(f"REVOKE {granted} ON {table} FROM image_tasks")
    op.drop_table("operation_item")
    op.drop_table("operation")

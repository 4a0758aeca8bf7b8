"""Analyses of pictures"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


MODEL_RIGHTS = {
    "image_api": "SELECT",
    "image_processor": "SELECT, INSERT, UPDATE (version, replaced_version, model, updated_at)",
}
RIGHTS = {
    "image_api": "SELECT, INSERT",
    "image_processor": (
        "SELECT, INSERT, DELETE, UPDATE (status, result, failure_code, failure_message, claim_token, lease_expires_at,"
        " attempts, queued_at, analyzed_at, updated_at)"
    ),
}


def _set_topics(names: str) -> None:
    op.drop_constraint(op.f("ck_event_topic"), "event", type_="check")
    op.create_check_constraint("topic", "event", f"topic IN ({names})")


def _change_tables() -> None:
    op.create_table(
        "analysis",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("analyzer", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parameters_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'requested'"), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("scratch_object", sa.Text(), nullable=True),
        sa.Column("scratch_generation", sa.BigInteger(), nullable=True),
        sa.Column("reservation_id", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        sa.Column("claim_token", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("trace_parent", sa.Text(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("analyzed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'done') = (num_nulls(result, analyzed_at) = 0)", name=op.f("ck_analysis_done_has_result")
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (failure_code IS NOT NULL)", name=op.f("ck_analysis_failed_says_why")
        ),
        sa.CheckConstraint(
            "(status = 'running') = (claim_token IS NOT NULL)", name=op.f("ck_analysis_claim_when_running")
        ),
        sa.CheckConstraint("status IN ('requested', 'running', 'done', 'failed')", name=op.f("ck_analysis_status")),
        sa.CheckConstraint(
            "num_nulls(claim_token, lease_expires_at) IN (0, 2)", name=op.f("ck_analysis_claim_has_lease")
        ),
        sa.CheckConstraint(
            "num_nulls(scratch_object, scratch_generation) IN (0, 2)", name=op.f("ck_analysis_scratch_whole")
        ),
        sa.CheckConstraint("octet_length(parameters_hash) = 32", name=op.f("ck_analysis_parameters_hash_length")),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_analysis_sha256_length")),
        sa.ForeignKeyConstraint(
            ["requested_by"], ["user.id"], name=op.f("fk_analysis_requested_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["credit_reservation.id"], name=op.f("fk_analysis_reservation_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_analysis_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analysis")),
    )
    op.create_index(
        "ix_analysis_lease_expires_at",
        "analysis",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "ix_analysis_queued_at",
        "analysis",
        ["queued_at"],
        unique=False,
        postgresql_where=sa.text("status = 'requested'"),
    )
    op.create_index(
        "ix_analysis_reservation_id",
        "analysis",
        ["reservation_id"],
        unique=False,
        postgresql_where=sa.text("reservation_id IS NOT NULL"),
    )
    op.create_index(
        "uq_analysis_of_bytes",
        "analysis",
        ["team_id", "sha256", "analyzer", "version", "parameters_hash"],
        unique=True,
        postgresql_where=sa.text("status <> 'failed'"),
    )
    op.create_table(
        "analyzer_model",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("replaced_version", sa.Text(), nullable=True),
        sa.Column("model", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_analyzer_model")),
    )
    op.add_column(
        "team",
        sa.Column("analyze_on_arrival", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("team", sa.Column("label_source", sa.Text(), server_default=sa.text("'own'"), nullable=False))
    op.create_check_constraint("label_source", "team", "label_source IN ('own', 'vision')")
    _set_topics("'uploads', 'events', 'analyses'")


def upgrade() -> None:
    _change_tables()
    op.execute("ALTER TABLE analysis OWNER TO image_migrator")
    op.execute("ALTER TABLE analyzer_model OWNER TO image_migrator")
    for role, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON analysis TO {role}")
        op.execute(f"GRANT {MODEL_RIGHTS[role]} ON analyzer_model TO {role}")
    # What a new image is analysed for is paid with the result, in one transaction.
    op.execute("GRANT INSERT ON credit_reservation TO image_processor")


def downgrade() -> None:
    op.execute("REVOKE INSERT ON credit_reservation FROM image_processor")
    op.execute("DELETE FROM event WHERE topic = 'analyses'")
    _set_topics("'uploads', 'events'")
    op.drop_column("team", "label_source")
    op.drop_column("team", "analyze_on_arrival")
    op.drop_table("analyzer_model")
    op.drop_index("uq_analysis_of_bytes", table_name="analysis", postgresql_where=sa.text("status <> 'failed'"))
    op.drop_index(
        "ix_analysis_reservation_id", table_name="analysis", postgresql_where=sa.text("reservation_id IS NOT NULL")
    )
    op.drop_index("ix_analysis_queued_at", table_name="analysis", postgresql_where=sa.text("status = 'requested'"))
    op.drop_index("ix_analysis_lease_expires_at", table_name="analysis", postgresql_where=sa.text("status = 'running'"))
    op.drop_table("analysis")

"""Webhooks"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

RIGHTS = {
    "webhook": {
        "image_api": (
            "SELECT, INSERT (id, team_id, url, description, types, with_credentials, master_id, since_xact,"
            " since_position, disabled_at, disabled_reason), UPDATE (url, description, types, with_credentials,"
            " secret_version, master_id, previous_secret_version, previous_master_id, previous_secret_until,"
            " since_xact, since_position, disabled_at, disabled_reason, held_until, last_succeeded, failing_since,"
            " revision, updated_at), DELETE"
        ),
        "image_tasks": (
            "SELECT, UPDATE (disabled_at, disabled_reason, held_until, last_succeeded, failing_since, revision,"
            " updated_at)"
        ),
    },
    "webhook_delivery": {
        "image_api": (
            "SELECT, INSERT (id, team_id, webhook_id, event_id, event_type, replay, due_at),"
            " UPDATE (status, ended_at, lease_until, lease_token)"
        ),
        "image_tasks": (
            "SELECT, INSERT (id, team_id, webhook_id, event_id, event_type, due_at),"
            " UPDATE (status, attempts, due_at, lease_until, lease_token, ended_at), DELETE"
        ),
    },
    "webhook_attempt": {"image_api": "SELECT", "image_tasks": "INSERT"},
    "webhook_position": {"image_tasks": "SELECT, UPDATE (xact, position)"},
}


def _time(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[object]:
    server_default = sa.text(default) if default else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=server_default, nullable=nullable)


def _create_webhook() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("types", postgresql.ARRAY(sa.Text())),
        sa.Column("with_credentials", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("secret_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("master_id", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret_version", sa.Integer()),
        sa.Column("previous_master_id", sa.LargeBinary()),
        _time("previous_secret_until", nullable=True),
        sa.Column("since_position", sa.BigInteger(), nullable=False),
        _time("disabled_at", nullable=True),
        sa.Column("disabled_reason", sa.Text()),
        _time("held_until", nullable=True),
        sa.Column("last_succeeded", sa.Boolean()),
        _time("failing_since", nullable=True),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _time("created_at", default="now()"),
        _time("updated_at", default="now()"),
        sa.CheckConstraint("char_length(url) BETWEEN 1 AND 2048", name=op.f("ck_webhook_url_length")),
        sa.CheckConstraint("char_length(description) BETWEEN 1 AND 200", name=op.f("ck_webhook_description_length")),
        sa.CheckConstraint("cardinality(types) > 0", name=op.f("ck_webhook_types_not_empty")),
        sa.CheckConstraint("disabled_reason IN ('manual', 'gone', 'failing')", name=op.f("ck_webhook_disabled_reason")),
        sa.CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL)", name=op.f("ck_webhook_disabled_with_reason")
        ),
        sa.CheckConstraint(
            "octet_length(master_id) = 8 AND octet_length(previous_master_id) = 8",
            name=op.f("ck_webhook_master_id_length"),
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_webhook_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        sa.UniqueConstraint("id", "team_id", name="uq_webhook_id_team_id"),
    )
    op.execute("ALTER TABLE webhook ADD COLUMN since_xact xid8 NOT NULL")
    op.create_index("ix_webhook_team_id", "webhook", ["team_id", sa.text("created_at DESC"), sa.text("id DESC")])


def _create_deliveries() -> None:
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("replay", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _time("due_at"),
        _time("lease_until", nullable=True),
        sa.Column("lease_token", sa.Uuid()),
        _time("ended_at", nullable=True),
        _time("created_at", default="now()"),
        sa.CheckConstraint(
            "status IN ('pending', 'succeeded', 'failed', 'ended')", name=op.f("ck_webhook_delivery_status")
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (ended_at IS NULL)", name=op.f("ck_webhook_delivery_ended_with_time")
        ),
        sa.CheckConstraint("attempts >= 0 AND replay >= 0", name=op.f("ck_webhook_delivery_not_negative")),
        sa.ForeignKeyConstraint(
            ["webhook_id", "team_id"],
            ["webhook.id", "webhook.team_id"],
            name=op.f("fk_webhook_delivery_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("event_id", "webhook_id", "replay", name=op.f("uq_webhook_delivery_event_id")),
    )
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["webhook_id", "due_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_delivery_webhook_id",
        "webhook_delivery",
        ["webhook_id", sa.text("created_at DESC"), sa.text("id DESC")],
    )
    op.create_index("ix_webhook_delivery_created_at", "webhook_delivery", ["created_at"])
    op.create_table(
        "webhook_attempt",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        _time("started_at", default="now()"),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("response", sa.Text()),
        sa.CheckConstraint("char_length(response) <= 2048", name=op.f("ck_webhook_attempt_response_length")),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_delivery.id"],
            name=op.f("fk_webhook_attempt_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_webhook_attempt")),
    )


def upgrade() -> None:
    _create_webhook()
    _create_deliveries()
    op.execute(
        "CREATE TABLE webhook_position ("
        " is_only boolean DEFAULT true NOT NULL,"
        " xact xid8 NOT NULL,"
        " position bigint DEFAULT 0 NOT NULL,"
        " CONSTRAINT pk_webhook_position PRIMARY KEY (is_only),"
        " CONSTRAINT ck_webhook_position_is_only CHECK (is_only)"
        ")"
    )
    op.execute("INSERT INTO webhook_position (xact) VALUES (pg_snapshot_xmin(pg_current_snapshot()))")
    for table, rights in RIGHTS.items():
        op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
        for role, granted in rights.items():
            op.execute(f"GRANT {granted} ON {table} TO {role}")


def downgrade() -> None:
    for table in ("webhook_position", "webhook_attempt", "webhook_delivery", "webhook"):
        op.drop_table(table)

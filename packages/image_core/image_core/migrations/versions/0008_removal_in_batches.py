"""Teams and users that are being removed, whose rows the sweep takes in batches"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("team", "user")
RIGHTS = {
    '"user"': "SELECT (deleting_at)",
    "image": "UPDATE (deleted_at, uploaded_by)",
    "analysis": "UPDATE (requested_by)",
    "duplicate_decision": "SELECT (id, decided_by), UPDATE (decided_by)",
}

# These run as the owner: who pushes pictures through codecs may delete no team, user or ledger but those that an admin
# has marked.
FUNCTIONS = {
    "remove_marked_user(uuid)": """
CREATE FUNCTION remove_marked_user(going_id uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM "user" WHERE id = going_id AND (
            deleting_at IS NOT NULL
            OR EXISTS (SELECT FROM team WHERE team.id = "user".team_id AND team.deleting_at IS NOT NULL)
        ) RETURNING 1
    )
    SELECT count(*) FROM gone
$$
""",
    "remove_marked_team(uuid)": """
CREATE FUNCTION remove_marked_team(going_id uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (DELETE FROM team WHERE id = going_id AND deleting_at IS NOT NULL RETURNING 1)
    SELECT count(*) FROM gone
$$
""",
    "forget_ledger(uuid, integer)": """
CREATE FUNCTION forget_ledger(owner_id uuid, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM team WHERE id = owner_id AND deleting_at IS NOT NULL) THEN
        RETURN 0;
    END IF;
    WITH entries AS (
        DELETE FROM credit_entry
        WHERE id = ANY (ARRAY(SELECT id FROM credit_entry WHERE team_id = owner_id LIMIT most))
        RETURNING reservation_id
    ), reservations AS (
        DELETE FROM credit_reservation WHERE id IN (SELECT reservation_id FROM entries)
    )
    SELECT count(*) INTO gone FROM entries;
    RETURN gone;
END
$$
""",
}


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("deleting_at", sa.DateTime(timezone=True)))
        op.create_index(
            f"ix_{table}_deleting_at", table, ["deleting_at"], postgresql_where=sa.text("deleting_at IS NOT NULL")
        )
    op.create_index(
        "ix_analysis_requested_by", "analysis", ["requested_by"], postgresql_where=sa.text("requested_by IS NOT NULL")
    )
    for table, granted in RIGHTS.items():
        op.execute(f"GRANT {granted} ON {table} TO image_processor")
    for function, definition in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"ALTER FUNCTION {function} OWNER TO image_migrator")
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO image_processor")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("REVOKE UPDATE (deleted_at, uploaded_by) ON image FROM image_processor")
    op.execute("REVOKE UPDATE (requested_by) ON analysis FROM image_processor")
    op.execute("REVOKE SELECT (id, decided_by), UPDATE (decided_by) ON duplicate_decision FROM image_processor")
    op.drop_index("ix_analysis_requested_by", table_name="analysis")
    for table in TABLES:
        op.drop_column(table, "deleting_at")

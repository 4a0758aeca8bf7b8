"""The feed: events in the order of the snapshots that show them

The columns, the table and the indexes stand in one revision. Each statement can be repeated, because the indexes, which
are built while requests go on, commit what came before them.
"""

from alembic import op

from image_core.migrations.indexes import create_concurrently

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_event_feed": "ON event (xact, position) WHERE topic = 'events'",
    "ix_event_team_feed": "ON event (team_id, xact, position) WHERE topic = 'events'",
}


def upgrade() -> None:
    # A constant default rewrites no row: what is there stands at the beginning, before every cursor.
    op.execute("ALTER TABLE event ADD COLUMN IF NOT EXISTS xact xid8 NOT NULL DEFAULT '0'")
    op.execute("ALTER TABLE event ALTER COLUMN xact SET DEFAULT pg_current_xact_id()")
    op.execute("ALTER TABLE event ADD COLUMN IF NOT EXISTS position bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE event ALTER COLUMN position DROP IDENTITY IF EXISTS, ALTER COLUMN position DROP DEFAULT")
    op.execute("ALTER TABLE event ALTER COLUMN position ADD GENERATED ALWAYS AS IDENTITY")
    op.execute(
        "CREATE TABLE IF NOT EXISTS feed_epoch ("
        " is_only boolean DEFAULT true NOT NULL,"
        " epoch uuid DEFAULT gen_random_uuid() NOT NULL,"
        " removed_xact xid8 DEFAULT '0' NOT NULL,"
        " removed_position bigint DEFAULT 0 NOT NULL,"
        " started_at timestamp with time zone DEFAULT now() NOT NULL,"
        " CONSTRAINT pk_feed_epoch PRIMARY KEY (is_only),"
        " CONSTRAINT ck_feed_epoch_is_only CHECK (is_only)"
        ")"
    )
    op.execute("ALTER TABLE feed_epoch OWNER TO image_migrator")
    op.execute("INSERT INTO feed_epoch DEFAULT VALUES ON CONFLICT DO NOTHING")
    op.execute("GRANT SELECT ON feed_epoch TO image_api, image_tasks")
    op.execute("GRANT UPDATE (removed_xact, removed_position) ON feed_epoch TO image_tasks")
    create_concurrently(INDEXES)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "event")
    op.drop_table("feed_epoch")
    op.drop_column("event", "position")
    op.drop_column("event", "xact")

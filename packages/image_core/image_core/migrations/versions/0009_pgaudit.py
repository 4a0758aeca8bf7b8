"""The names of objects in the audit log of statements, where the server has pgaudit"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Cloud SQL loads the library by a flag and lets members of its superuser's role make the extension. A server without
# the library, or an owner who may not make it, goes on without: the extension only adds names to the log of DDL.
MAKE_WHERE_LOADED = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pgaudit')
        AND current_setting('pgaudit.log', true) IS NOT NULL
    THEN
        CREATE EXTENSION IF NOT EXISTS pgaudit;
    END IF;
EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state THEN
    RAISE NOTICE 'pgaudit is not made: %', SQLERRM;
END
$$
"""


def upgrade() -> None:
    op.execute(MAKE_WHERE_LOADED)


def downgrade() -> None:
    # It may not have been made here, and others may use it.
    pass

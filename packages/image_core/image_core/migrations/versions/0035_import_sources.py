"""Buckets that teams may copy images from, and the checksums that storage computes of originals"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0033"
branch_labels = None
depends_on = None

TABLE = "import_source"
COLUMN = "crc32c"


def upgrade() -> None:
    op.add_column("image", sa.Column(COLUMN, sa.Text()))
    for role in ("image_api", "image_processor"):
        op.execute(f"GRANT UPDATE ({COLUMN}) ON image TO {role}")
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 64", name=op.f("ck_import_source_name_length")),
        sa.CheckConstraint("bucket ~ '^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$'", name=op.f("ck_import_source_bucket")),
        sa.CheckConstraint("prefix = '' OR right(prefix, 1) = '/'", name=op.f("ck_import_source_prefix_is_a_folder")),
        sa.CheckConstraint("octet_length(prefix) <= 900", name=op.f("ck_import_source_prefix_length")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_import_source_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_source")),
        sa.UniqueConstraint("team_id", "name", name="uq_import_source_team_id_name"),
    )
    op.execute(f"ALTER TABLE {TABLE} OWNER TO image_migrator")
    op.execute(f"GRANT SELECT, INSERT (id, team_id, name, bucket, prefix), DELETE ON {TABLE} TO image_api")
    op.execute(f"GRANT SELECT ON {TABLE} TO image_tasks")


def downgrade() -> None:
    op.drop_table(TABLE)
    op.drop_column("image", COLUMN)

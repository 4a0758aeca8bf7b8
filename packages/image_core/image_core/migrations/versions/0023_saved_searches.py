"""Saved searches of teams"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLE = "saved_search"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 120", name=op.f("ck_saved_search_name_length")),
        sa.CheckConstraint("char_length(query) BETWEEN 1 AND 2000", name=op.f("ck_saved_search_query_length")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_saved_search_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_search")),
    )
    op.create_index("ix_saved_search_team_id", TABLE, ["team_id", sa.text("created_at DESC"), sa.text("id DESC")])
    op.execute(f"ALTER TABLE {TABLE} OWNER TO image_migrator")
    op.execute(
        "GRANT SELECT, INSERT (id, team_id, name, query), UPDATE (name, query, revision, updated_at), DELETE"
        f" ON {TABLE} TO image_api"
    )


def downgrade() -> None:
    op.drop_table(TABLE)

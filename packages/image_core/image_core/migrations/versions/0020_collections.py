"""Collections of images"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

RIGHTS = {
    "collection": "SELECT, INSERT (id, team_id, name), UPDATE (name, cover_image_id, revision, updated_at), DELETE",
    "collection_member": "SELECT, INSERT (collection_id, image_id, team_id, position), UPDATE (position), DELETE",
}


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    # First the table that a purge changes last: the keys of an image take effect in the order of their creation, and
    # whoever changes a collection locks it before its members.
    op.create_table(
        "collection",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cover_image_id", sa.Uuid()),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 120", name=op.f("ck_collection_name_length")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_collection_team_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["cover_image_id", "team_id"],
            ["image.id", "image.team_id"],
            name=op.f("fk_collection_cover_image_id"),
            ondelete="SET NULL (cover_image_id)",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection")),
        sa.UniqueConstraint("id", "team_id", name="uq_collection_id_team_id"),
    )
    op.create_index("ix_collection_team_id", "collection", ["team_id", sa.text("created_at DESC"), sa.text("id DESC")])
    op.create_index(
        "ix_collection_cover_image_id",
        "collection",
        ["cover_image_id"],
        postgresql_where=sa.text("cover_image_id IS NOT NULL"),
    )
    op.create_table(
        "collection_member",
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        _time("created_at"),
        sa.ForeignKeyConstraint(
            ["collection_id", "team_id"],
            ["collection.id", "collection.team_id"],
            name=op.f("fk_collection_member_collection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["image_id", "team_id"],
            ["image.id", "image.team_id"],
            name=op.f("fk_collection_member_image_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "image_id", name=op.f("pk_collection_member")),
        sa.UniqueConstraint(
            "collection_id", "position", name="uq_collection_member_position", deferrable=True, initially="IMMEDIATE"
        ),
    )
    op.create_index("ix_collection_member_image_id", "collection_member", ["image_id"])
    for table, granted in RIGHTS.items():
        op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
        op.execute(f"GRANT {granted} ON {table} TO image_api")


def downgrade() -> None:
    for table in reversed(RIGHTS):
        op.drop_table(table)

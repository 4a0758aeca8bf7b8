"""Share links"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

RIGHTS = {
    "share_link": {
        "image_api": (
            "SELECT, INSERT (id, team_id, token_hash, title, collection_id, presets, download, password_hash,"
            " expires_at), UPDATE (token_hash, title, presets, download, password_hash, epoch, expires_at, views,"
            " last_viewed_at, revision, updated_at), DELETE"
        ),
        "image_tasks": "SELECT (id, team_id, expires_at, ended_at), UPDATE (ended_at)",
        # The title names what is downloaded.
        "image_delivery": (
            "SELECT (id, team_id, title, collection_id, presets, download, epoch, expires_at, ended_at)"
        ),
    },
    "share_link_image": {
        "image_api": "SELECT, INSERT, DELETE",
        "image_delivery": "SELECT",
    },
    "share_link_visit": {
        "image_api": "SELECT, INSERT",
        "image_tasks": "SELECT (hour), DELETE",
    },
    "collection_member": {"image_delivery": "SELECT"},
}


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "share_link",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("collection_id", sa.Uuid()),
        sa.Column("presets", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("download", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("views", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_viewed_at", sa.DateTime(timezone=True)),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_share_link_token_hash_length")),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 200", name=op.f("ck_share_link_title_length")),
        sa.CheckConstraint("cardinality(presets) > 0", name=op.f("ck_share_link_presets_not_empty")),
        sa.CheckConstraint("download IN ('none', 'stripped', 'original')", name=op.f("ck_share_link_download")),
        sa.CheckConstraint("epoch >= 0 AND views >= 0", name=op.f("ck_share_link_not_negative")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_share_link_team_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["collection_id", "team_id"],
            ["collection.id", "collection.team_id"],
            name=op.f("fk_share_link_collection_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share_link")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_share_link_token_hash")),
        sa.UniqueConstraint("id", "team_id", name="uq_share_link_id_team_id"),
    )
    op.create_index("ix_share_link_team_id", "share_link", ["team_id", sa.text("created_at DESC"), sa.text("id DESC")])
    for column, condition in {"collection_id": "collection_id IS NOT NULL", "expires_at": "ended_at IS NULL"}.items():
        op.create_index(f"ix_share_link_{column}", "share_link", [column], postgresql_where=sa.text(condition))
    op.create_table(
        "share_link_image",
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["link_id", "team_id"],
            ["share_link.id", "share_link.team_id"],
            name=op.f("fk_share_link_image_link_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["image_id", "team_id"],
            ["image.id", "image.team_id"],
            name=op.f("fk_share_link_image_image_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("link_id", "image_id", name=op.f("pk_share_link_image")),
        sa.UniqueConstraint("link_id", "position", name="uq_share_link_image_position"),
    )
    op.create_index("ix_share_link_image_image_id", "share_link_image", ["image_id"])
    op.create_table(
        "share_link_visit",
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("visitor", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(visitor) BETWEEN 16 AND 32", name=op.f("ck_share_link_visit_visitor_length")),
        sa.ForeignKeyConstraint(
            ["link_id"], ["share_link.id"], name=op.f("fk_share_link_visit_link_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("link_id", "hour", "visitor", name=op.f("pk_share_link_visit")),
    )
    op.create_index("ix_share_link_visit_hour", "share_link_visit", ["hour"])
    for table, rights in RIGHTS.items():
        if table.startswith("share_link"):
            op.execute(f"ALTER TABLE {table} OWNER TO image_migrator")
        for role, granted in rights.items():
            op.execute(f"GRANT {granted} ON {table} TO {role}")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON collection_member FROM image_delivery")
    for table in ("share_link_visit", "share_link_image", "share_link"):
        op.drop_table(table)

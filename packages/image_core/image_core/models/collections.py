"""How people arrange images: collections, in an order of their own, and saved searches."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from image_core.models.columns import id_column, metadata, time_column

collection = Table(
    "collection",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # Null means the first image.
    Column("cover_image_id", Uuid),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    # With the team, here and below: no race brings a team's image into another team's collection.
    ForeignKeyConstraint(
        ["cover_image_id", "team_id"], ["image.id", "image.team_id"], ondelete="SET NULL (cover_image_id)"
    ),
    UniqueConstraint("id", "team_id", name="uq_collection_id_team_id"),
    Index("ix_collection_team_id", "team_id", text("created_at DESC"), text("id DESC")),
    Index("ix_collection_cover_image_id", "cover_image_id", postgresql_where=text("cover_image_id IS NOT NULL")),
)

collection_member = Table(
    "collection_member",
    metadata,
    Column("collection_id", Uuid, nullable=False),
    Column("image_id", Uuid, nullable=False),
    Column("team_id", Uuid, nullable=False),
    # Members are sorted by it. It has gaps, so that one can be put between two others.
    Column("position", BigInteger, nullable=False),
    time_column("created_at", nullable=False),
    PrimaryKeyConstraint("collection_id", "image_id"),
    ForeignKeyConstraint(["collection_id", "team_id"], ["collection.id", "collection.team_id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["image_id", "team_id"], ["image.id", "image.team_id"], ondelete="CASCADE"),
    # Checked at the end of a statement, since one statement exchanges positions.
    UniqueConstraint(
        "collection_id", "position", name="uq_collection_member_position", deferrable=True, initially="IMMEDIATE"
    ),
    Index("ix_collection_member_image_id", "image_id"),
)


# Filters of a list under a name, for everybody in the team.
saved_search = Table(
    "saved_search",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # As in the address of a list: `tag=fjord&has=location`.
    Column("query", Text, nullable=False),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    CheckConstraint("char_length(query) BETWEEN 1 AND 2000", name="query_length"),
    Index("ix_saved_search_team_id", "team_id", text("created_at DESC"), text("id DESC")),
)

"""Share links: what they show, to whom, and how often they were seen."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from image_core.models.columns import deadline_column, id_column, metadata, one_of, time_column
from image_core.states import LinkDownload

share_link = Table(
    "share_link",
    metadata,
    id_column(),
    Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False),
    # SHA-256 of the token, which is shown once.
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("title", Text),
    # Null for a link to images of its own, in `share_link_image`.
    Column("collection_id", Uuid),
    # Names of presets in which the images are shown.
    Column("presets", ARRAY(Text), nullable=False),
    Column("download", Text, nullable=False, server_default=text("'none'")),
    # argon2id, as of people's passwords.
    Column("password_hash", Text),
    # Raised by whatever ends the addresses of pictures that were handed out.
    Column("epoch", Integer, nullable=False, server_default=text("0")),
    time_column("expires_at"),
    # Set once, with the event, after `expires_at`.
    time_column("ended_at"),
    Column("views", BigInteger, nullable=False, server_default=text("0")),
    time_column("last_viewed_at"),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash_length"),
    CheckConstraint("char_length(title) BETWEEN 1 AND 200", name="title_length"),
    CheckConstraint("cardinality(presets) > 0", name="presets_not_empty"),
    CheckConstraint(one_of("download", tuple(LinkDownload)), name="download"),
    CheckConstraint("epoch >= 0 AND views >= 0", name="not_negative"),
    # With the team, here and below: no race brings a team's images into another team's link.
    ForeignKeyConstraint(["collection_id", "team_id"], ["collection.id", "collection.team_id"], ondelete="CASCADE"),
    UniqueConstraint("id", "team_id", name="uq_share_link_id_team_id"),
    Index("ix_share_link_team_id", "team_id", text("created_at DESC"), text("id DESC")),
    Index("ix_share_link_collection_id", "collection_id", postgresql_where=text("collection_id IS NOT NULL")),
    Index("ix_share_link_expires_at", "expires_at", postgresql_where=text("ended_at IS NULL")),
)

share_link_image = Table(
    "share_link_image",
    metadata,
    Column("link_id", Uuid, nullable=False),
    Column("image_id", Uuid, nullable=False),
    Column("team_id", Uuid, nullable=False),
    # Images are shown in its order.
    Column("position", Integer, nullable=False),
    PrimaryKeyConstraint("link_id", "image_id"),
    ForeignKeyConstraint(["link_id", "team_id"], ["share_link.id", "share_link.team_id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["image_id", "team_id"], ["image.id", "image.team_id"], ondelete="CASCADE"),
    UniqueConstraint("link_id", "position", name="uq_share_link_image_position"),
    Index("ix_share_link_image_image_id", "image_id"),
)

# Who has seen a link within an hour, for a day, so that a visitor counts once an hour.
share_link_visit = Table(
    "share_link_visit",
    metadata,
    Column("link_id", Uuid, ForeignKey("share_link.id", ondelete="CASCADE"), nullable=False),
    deadline_column("hour"),
    # Keyed hash of network and browser, with a key that changes daily.
    Column("visitor", LargeBinary, nullable=False),
    PrimaryKeyConstraint("link_id", "hour", "visitor"),
    CheckConstraint("octet_length(visitor) BETWEEN 16 AND 32", name="visitor_length"),
    Index("ix_share_link_visit_hour", "hour"),
)

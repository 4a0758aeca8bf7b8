"""Data of similarity search: vectors, perceptual hashes, and near-duplicate pairs.

Every row belongs to one image and is deleted with it; `team_id` is copied from the image, because every search is
within a team.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

from image_core.images.similarity import DESCRIPTOR_DIMENSIONS, DESCRIPTOR_MODEL, MAX_HASH_DISTANCE, MODEL_NAME
from image_core.models.columns import id_column, metadata, time_column


class HalfVector(UserDefinedType[str]):
    """pgvector's vector in half precision; as a value it is text, `[0.25,0.5]`."""

    cache_ok = True

    def __init__(self, dimensions: int | None = None) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in SQL; without dimensions, the column takes vectors of any length."""
        return "halfvec" if self.dimensions is None else f"halfvec({self.dimensions})"


ischema_names["halfvec"] = HalfVector

BANDS = tuple(f"((hash >> {shift}) & 65535)" for shift in (48, 32, 16, 0))
"""The four bands of a perceptual hash, each with an index."""


def _image_column(name: str, **options: Any) -> Column[Any]:
    return Column(name, Uuid, ForeignKey("image.id", ondelete="CASCADE"), nullable=False, **options)


image_vector = Table(
    "image_vector",
    metadata,
    _image_column("image_id"),
    # One vector per model; images are compared by the newest model that is not the descriptor.
    Column("model", Text, nullable=False),
    Column("team_id", Uuid, nullable=False),
    Column("vector", HalfVector, nullable=False),
    time_column("created_at", nullable=False),
    PrimaryKeyConstraint("image_id", "model"),
    CheckConstraint(f"model ~ '{MODEL_NAME}'", name="model_name"),
    Index("ix_image_vector_team_id", "team_id", "model"),
    Index(
        "ix_image_vector_descriptor",
        literal_column(f"(vector::halfvec({DESCRIPTOR_DIMENSIONS}))").label("descriptor"),
        postgresql_using="hnsw",
        postgresql_ops={"descriptor": "halfvec_cosine_ops"},
        postgresql_with={"m": "16", "ef_construction": "200"},
        postgresql_where=text(f"model = '{DESCRIPTOR_MODEL}'"),
    ),
)

image_hash = Table(
    "image_hash",
    metadata,
    _image_column("image_id", primary_key=True),
    Column("team_id", Uuid, nullable=False),
    # The 64 bits of the perceptual hash.
    Column("hash", BigInteger, nullable=False),
    *(Index(f"ix_image_hash_band_{number}", "team_id", text(band)) for number, band in enumerate(BANDS)),
)

near_duplicate = Table(
    "near_duplicate",
    metadata,
    _image_column("image_id_a"),
    _image_column("image_id_b"),
    Column("team_id", Uuid, nullable=False),
    # The number of differing bits of the perceptual hashes.
    Column("distance", SmallInteger, nullable=False),
    PrimaryKeyConstraint("image_id_a", "image_id_b"),
    CheckConstraint("image_id_a < image_id_b", name="ordered"),
    CheckConstraint(f"distance BETWEEN 0 AND {MAX_HASH_DISTANCE}", name="distance_range"),
    Index("ix_near_duplicate_team_id", "team_id", "image_id_b"),
    Index("ix_near_duplicate_image_id_b", "image_id_b"),
)

duplicate_decision = Table(
    "duplicate_decision",
    metadata,
    id_column(),
    Column("team_id", Uuid, nullable=False),
    _image_column("image_id_a"),
    _image_column("image_id_b"),
    Column("decided_by", Uuid, ForeignKey("user.id", ondelete="SET NULL")),
    time_column("created_at", nullable=False),
    CheckConstraint("image_id_a < image_id_b", name="ordered"),
    Index("uq_duplicate_decision_image_id_a_image_id_b", "image_id_a", "image_id_b", unique=True),
    Index("ix_duplicate_decision_image_id_b", "image_id_b"),
    Index("ix_duplicate_decision_team_id", "team_id", text("created_at DESC"), text("id DESC")),
    Index("ix_duplicate_decision_decided_by", "decided_by"),
)

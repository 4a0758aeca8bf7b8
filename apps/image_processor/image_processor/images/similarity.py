"""Data of similarity search for one image: its vectors, its perceptual hash, and its near-duplicate pairs."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIT, insert

from image_core.db import Query, Record, Runner, Transaction
from image_core.images.similarity import MAX_HASH_DISTANCE
from image_core.models import BANDS, HalfVector, image, image_hash, image_vector, near_duplicate
from image_processor.images.queries import ImageClaim

MAX_NEIGHBOURS = 50
"""The maximum number of pairs per image: a thousand pictures of one moment must not become a million pairs."""

# The hash of a flat picture, or of a plain gradient, has few bits set, so many unrelated pictures share it.
_MIN_BITS = 16
_BAND_BITS = 16

_new_vector = insert(image_vector).values(
    image_id=bindparam("image_id"),
    team_id=bindparam("team_id"),
    model=bindparam("model"),
    vector=cast(bindparam("vector", type_=Text), HalfVector),
)
_put_vector = Query(
    _new_vector.on_conflict_do_update(
        index_elements=["image_id", "model"], set_={"vector": _new_vector.excluded.vector, "created_at": func.now()}
    )
)
_add_hash = insert(image_hash).values(
    image_id=bindparam("image_id", type_=Uuid), team_id=bindparam("team_id", type_=Uuid), hash=bindparam("hash")
)
_neighbour_id = func.unnest(bindparam("neighbour_ids", type_=ARRAY(Uuid)), type_=Uuid)
_add = Query(
    insert(near_duplicate)
    .from_select(
        ["team_id", "distance", "image_id_a", "image_id_b"],
        select(
            cast(bindparam("team_id"), Uuid),
            func.unnest(bindparam("distances", type_=ARRAY(SmallInteger))),
            func.least(_neighbour_id, bindparam("image_id", type_=Uuid)),
            func.greatest(_neighbour_id, bindparam("image_id", type_=Uuid)),
        ),
    )
    .add_cte(_add_hash.cte("added"))
)
_forget_hash = Query(delete(image_hash).where(image_hash.c.image_id == bindparam("image_id")))
_forget_pairs = Query(
    delete(near_duplicate).where(
        or_(
            near_duplicate.c.image_id_a == bindparam("image_id", type_=Uuid),
            near_duplicate.c.image_id_b == bindparam("image_id", type_=Uuid),
        )
    )
)
_lock_team = Query(select(func.pg_advisory_xact_lock(bindparam("lock_key", type_=BigInteger))))


def _distance() -> ColumnElement[int]:
    difference = image_hash.c.hash.op("#")(bindparam("hash", type_=BigInteger))
    return func.bit_count(cast(difference, BIT(64)), type_=Integer)


def _shares_a_band() -> ColumnElement[bool]:
    """Match if one of the bands differs by at most one bit; each band is looked up in its own index."""
    return or_(
        *(
            literal_column(band, BigInteger) == func.any(bindparam(f"probes_{number}", type_=ARRAY(BigInteger)))
            for number, band in enumerate(BANDS)
        )
    )


_near = Query(
    select(image_hash.c.image_id, _distance().label("distance"))
    .join_from(image_hash, image, image.c.id == image_hash.c.image_id)
    .where(
        image_hash.c.team_id == bindparam("team_id"),
        image_hash.c.image_id != bindparam("image_id"),
        # Implied by the distance, and there for the indexes alone: of seven bits, one of four bands has at most one.
        _shares_a_band(),
        _distance() <= MAX_HASH_DISTANCE,
    )
    .order_by(literal_column("distance"), image_hash.c.image_id)
    .limit(MAX_NEIGHBOURS)
    # Wait for an image that is being purged; it is then no neighbour.
    .with_for_update(read=True, key_share=True, of=image)
)


async def store(
    transaction: Transaction, claimed: ImageClaim, perceptual_hash: str, vectors: Mapping[str, Sequence[float]]
) -> None:
    """Write an image's vectors and hash, and replace its pairs; until the commit, other images of the team wait."""
    for model, numbers in vectors.items():
        await transaction.execute(
            _put_vector, image_id=claimed.image_id, team_id=claimed.team_id, model=model, vector=_as_text(numbers)
        )
    # Otherwise two images that become ready at the same time would not see each other.
    await transaction.execute(_lock_team, lock_key=claimed.team_id.int >> 64 & 2**63 - 1)
    value = int(perceptual_hash, 16)
    is_distinctive = value.bit_count() >= _MIN_BITS
    # Before the old pairs are locked, because the purge that this waits for may be about to remove them.
    near = await find_near(transaction, claimed.team_id, claimed.image_id, value) if is_distinctive else []
    if not claimed.is_first:
        await transaction.execute(_forget_pairs, image_id=claimed.image_id)
        await transaction.execute(_forget_hash, image_id=claimed.image_id)
    if is_distinctive:
        ids, distances = [row["image_id"] for row in near], [row["distance"] for row in near]
        pairs = {"image_id": claimed.image_id, "neighbour_ids": ids, "distances": distances}
        await transaction.execute(_add, team_id=claimed.team_id, hash=_signed(value), **pairs)


async def find_near(runner: Runner, team_id: UUID, image_id: UUID, value: int) -> list[Record]:
    """Return the team's images with a near hash, the nearest first, locked against purging."""
    probes = {f"probes_{number}": _probes(value, number) for number in range(len(BANDS))}
    return await runner.fetch(_near, team_id=team_id, image_id=image_id, hash=_signed(value), **probes)


def _probes(value: int, number: int) -> list[int]:
    """Return a band of a hash, and all values that differ from it by one bit."""
    band = value >> (len(BANDS) - 1 - number) * _BAND_BITS & 0xFFFF
    return [band, *(band ^ 1 << bit for bit in range(_BAND_BITS))]


def _signed(value: int) -> int:
    """Return 64 bits as a signed PostgreSQL bigint."""
    return value - 2**64 if value >= 2**63 else value


def _as_text(numbers: Sequence[float]) -> str:
    return "[" + ",".join(map(str, numbers)) + "]"

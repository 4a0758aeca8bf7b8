"""The SQL of similar images. Every query is restricted to a team; null means all teams, for an admin."""

from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Select, bindparam, cast, func, literal_column, or_, select

from image_api.images.columns import SUMMARY_COLUMNS
from image_core.db import Query, Record, Runner
from image_core.images.similarity import DESCRIPTOR_MODEL
from image_core.models import HalfVector, image, image_vector

EXACT_ROWS = 10_000
"""Up to this number of vectors of a team, all are compared; beyond it, the index selects candidates."""


class Subject(NamedTuple):
    """The image that others are compared with, and its vector."""

    team_id: UUID
    image_id: UUID
    model: str
    dimensions: int


_team_id = bindparam("team_id", type_=image.c.team_id.type)
_image = Query(
    select(image.c.team_id, image.c.status, image.c.deleted_at).where(
        image.c.id == bindparam("image_id"),
        or_(_team_id.is_(None), image.c.team_id == _team_id),
    )
)
_model = Query(
    select(image_vector.c.model, func.vector_dims(image_vector.c.vector).label("dimensions"))
    .where(image_vector.c.image_id == bindparam("image_id"), image_vector.c.team_id == _team_id)
    # An embedding is preferred to the descriptor; of several, the newest belongs to the current model.
    .order_by(image_vector.c.model == DESCRIPTOR_MODEL, image_vector.c.created_at.desc())
    .limit(1)
)
_few = (
    select(image_vector.c.image_id)
    .where(image_vector.c.team_id == _team_id, image_vector.c.model == bindparam("model"))
    .limit(bindparam("most"))
    .subquery()
)
_count = Query(select(func.count()).select_from(_few))


@cache
def nearest_query(model: str, dimensions: int, *, exact: bool) -> Query:
    """Return the statement for one model: the exact search sorts the team's vectors, the other one uses the index.

    Visibility is checked for one image after the other, until there are enough.
    """
    found = _by_distance(model, dimensions, exact=exact).subquery("found")
    shown = (
        select((image.c.status == literal_column("'ready'")) & image.c.deleted_at.is_(None))
        .where(image.c.id == found.c.image_id)
        .scalar_subquery()
    )
    nearest = select(found).where(shown).limit(bindparam("limit")).cte("nearest").prefix_with("MATERIALIZED")
    return Query(
        select(*SUMMARY_COLUMNS, nearest.c.distance)
        .join_from(nearest, image, image.c.id == nearest.c.image_id)
        .where(image.c.team_id == _team_id, nearest.c.distance <= bindparam("max_distance", type_=Float))
        .order_by(nearest.c.distance, image.c.id)
    )


def _by_distance(model: str, dimensions: int, *, exact: bool) -> Select[Any]:
    kind = HalfVector(dimensions)
    # The name is a literal in the SQL, so that the planner finds the model's own index.
    of_model = image_vector.c.model == literal_column(f"'{model}'")
    subject = image_vector.alias("subject")
    target = (
        select(cast(subject.c.vector, kind))
        .where(
            subject.c.image_id == bindparam("image_id"),
            subject.c.team_id == _team_id,
            subject.c.model == literal_column(f"'{model}'"),
        )
        .scalar_subquery()
    )
    distance: ColumnElement[float] = cast(image_vector.c.vector, kind).op("<=>", return_type=Float())(target)
    others = image_vector.c.image_id != bindparam("image_id")
    columns = select(image_vector.c.image_id, distance.label("distance"))
    if exact:
        # No vector index provides this order, which leaves the team's own index.
        of_team = image_vector.c.team_id == _team_id
        return columns.where(of_model, of_team, others).order_by(distance + literal_column("0"))
    # No other index supports this comparison, which leaves the vector index.
    return columns.where(of_model, image_vector.c.team_id.is_not_distinct_from(_team_id), others).order_by(distance)


async def find_image(runner: Runner, team_id: UUID | None, image_id: UUID) -> Record | None:
    """Return the columns that determine whether an image can be compared."""
    return await runner.fetch_one(_image, team_id=team_id, image_id=image_id)


async def find_model(runner: Runner, team_id: UUID, image_id: UUID) -> Record | None:
    """Return the model by which an image is compared, and the dimensions of its vectors."""
    return await runner.fetch_one(_model, team_id=team_id, image_id=image_id)


async def count_vectors(runner: Runner, team_id: UUID, model: str, most: int) -> int:
    """Count the vectors of a team from one model, at most `most` of them."""
    count: int = await runner.fetch_value(_count, team_id=team_id, model=model, most=most)
    return count


async def nearest(runner: Runner, subject: Subject, limit: int, max_distance: float) -> list[Record]:
    """Return the images of the team nearest to the subject."""
    count = await count_vectors(runner, subject.team_id, subject.model, EXACT_ROWS + 1)
    return await runner.fetch(
        nearest_query(subject.model, subject.dimensions, exact=count <= EXACT_ROWS),
        team_id=subject.team_id, image_id=subject.image_id, limit=limit, max_distance=max_distance,
    )  # fmt: skip

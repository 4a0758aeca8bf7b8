"""What `include` adds to the images of a page: one statement for each kind, not one for each image."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, literal_column, or_, select, true

from image_api.images.body import analysis_body, derivative_body, file_body, listed_body, metadata_body
from image_api.images.columns import RESULT_COLUMNS, tag_of
from image_api.images.delivery import delivery_of
from image_api.services import Services
from image_core.db import Query, Record, Runner
from image_core.models import analysis, derivative, image

_MAX_RESULTS = 20
"""Maximum number of results included with one image."""
_image_ids = bindparam("image_ids", type_=ARRAY(Uuid))

_derivatives = Query(
    select(
        derivative.c.image_id, derivative.c.preset, derivative.c.width, derivative.c.height, derivative.c.size_bytes,
        derivative.c.content_type, derivative.c.spec_hash,
    )
    .where(derivative.c.image_id == func.any(_image_ids))
    .order_by(derivative.c.width, derivative.c.preset)
)  # fmt: skip
_team_id = bindparam("team_id", type_=image.c.team_id.type)
_newest = (
    select(*RESULT_COLUMNS)
    .where(
        analysis.c.team_id == image.c.team_id, analysis.c.sha256 == image.c.sha256,
        analysis.c.status == literal_column("'done'"),
        or_(_team_id.is_(None), analysis.c.team_id == _team_id),
    )
    .order_by(analysis.c.analyzed_at.desc(), analysis.c.id.desc())
    .limit(literal_column(str(_MAX_RESULTS)))
    .lateral("newest")
)  # fmt: skip
_results = Query(
    select(image.c.id.label("image_id"), *_newest.c)
    .select_from(image.join(_newest, true()))
    .where(image.c.id == func.any(_image_ids), or_(_team_id.is_(None), image.c.team_id == _team_id))
    .order_by(_newest.c.analyzed_at.desc(), _newest.c.id.desc())
)


async def find_derivatives(runner: Runner, image_ids: Collection[UUID]) -> list[Record]:
    """Return the derivatives of images that were found under the caller's team, smallest first."""
    return await runner.fetch(_derivatives, image_ids=list(image_ids))


async def find_results(runner: Runner, team_id: UUID | None, image_ids: Collection[UUID]) -> list[Record]:
    """Return the newest results of each image's bytes, newest first; without a team, of images of any team."""
    return await runner.fetch(_results, team_id=team_id, image_ids=list(image_ids))


async def page_bodies(
    services: Services, team_id: UUID | None, rows: Sequence[Record], included: Collection[str]
) -> tuple[list[dict[str, Any]], bool]:
    """Build the bodies of a page's images, and return whether caches may store them.

    Raises:
        errors.DatabaseUnavailable.
        errors.MasterSecretUnavailable: Delivery addresses need a signature, and the secret cannot be read.
    """
    bodies, storable = [listed_body(row) for row in rows], True
    if "facts" in included:
        _add(bodies, map(file_body, rows))
    if "metadata" in included:
        _add(bodies, map(metadata_body, rows))
    if "derivatives" in included:
        # The derivatives of an image in the trash are not served.
        served = [row["id"] for row in rows if row["deleted_at"] is None]
        found = await find_derivatives(services.database, served)
        base_url = services.settings.base_url
        _add_lists(bodies, "derivatives", rows, ((each["image_id"], derivative_body(each, base_url)) for each in found))
    if "analyses" in included:
        found = await find_results(services.database, team_id, [row["id"] for row in rows])
        _add_lists(
            bodies, "analyses", rows, ((each["image_id"], analysis_body(each, each["image_id"])) for each in found)
        )
    if "delivery" in included:
        deliveries = [await delivery_of(services, row, requested=True) for row in rows]
        parts = zip(rows, deliveries, strict=True)
        _add(bodies, ({"delivery_tag": tag_of(row), "delivery": delivery} for row, (delivery, _) in parts))
        storable = all(may_be_stored for _, may_be_stored in deliveries)
    return bodies, storable


def _add(bodies: Sequence[dict[str, Any]], parts: Iterable[dict[str, Any]]) -> None:
    for body, part in zip(bodies, parts, strict=True):
        body.update(part)


def _add_lists(
    bodies: Sequence[dict[str, Any]], name: str, rows: Sequence[Record], found: Iterable[tuple[UUID, dict[str, Any]]]
) -> None:
    by_image: dict[UUID, list[dict[str, Any]]] = {row["id"]: [] for row in rows}
    for image_id, item in found:
        by_image[image_id].append(item)
    _add(bodies, ({name: items} for items in by_image.values()))

"""Images as addresses need them: state, rights, and the objects that are stored of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, ColumnElement, Uuid, bindparam, func, or_, select

from image_core.db import Database, Query, Record
from image_core.delivery.rendition_requests import SOURCE
from image_core.delivery.spec import FocalPoint, Format
from image_core.delivery.tag import delivery_tag
from image_core.images.presets import BUILT_IN, focal_point_of
from image_core.models import derivative, image, rendition, rendition_failure, team
from image_core.states import FAILURE_REMEMBERED, ImageStatus, Visibility
from image_delivery.grants.lookups import Lookups

_MOST_KEPT = 50_000
"""Images and stored objects of theirs: about 20 MiB."""


class RenditionFailure(NamedTuple):
    """Why a picture could not be made in the background: a code and a message for people."""

    code: str
    message: str


class StoredPicture(NamedTuple):
    """An object in the bucket of derivatives."""

    object_name: str
    size_bytes: int
    sha256: bytes
    frames: int
    is_rendition: bool = False


@dataclass(frozen=True, slots=True)
class DeliveredImage:
    """The row of an image, with what is stored of its present generation.

    Attributes:
        source: a smaller picture that others are made of, where the original is too large for that.
        pictures: what is stored of this generation, by the recipe's hash and the format.
        failures: what the processor could not make of it within the last hour.
    """

    id: UUID
    team_id: UUID
    status: ImageStatus
    failure_code: str | None
    failure_message: str | None
    filename: str | None
    content_type: str
    object_name: str
    generation: int | None
    delivery_epoch: int
    size_bytes: int | None
    sha256: bytes | None
    width_px: int | None
    height_px: int | None
    is_public: bool
    is_gone: bool
    was_ready: bool
    frames: int
    has_alpha: bool
    focal_point: FocalPoint | None = None
    source: StoredPicture | None = None
    pictures: dict[tuple[bytes, Format], StoredPicture] = field(default_factory=dict)
    failures: dict[tuple[bytes, Format], RenditionFailure] = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        """The tag that its addresses carry now; None before its bytes have arrived."""
        return None if self.generation is None else delivery_tag(self.generation, self.delivery_epoch)

    @property
    def is_ready(self) -> bool:
        """Tell whether its pictures can be shown, also while it is processed again."""
        return self.status is ImageStatus.READY or (
            self.was_ready and self.status in (ImageStatus.STORED, ImageStatus.PROCESSING)
        )

    @property
    def weight(self) -> int:
        """How much of the memory for rows it takes."""
        return 1 + len(self.pictures) + len(self.failures)


def _as_lists(*columns: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.json_agg(func.json_build_array(*columns))


_derivatives = (
    select(
        _as_lists(
            derivative.c.preset, derivative.c.spec_hash, derivative.c.object_name, derivative.c.size_bytes,
            derivative.c.sha256, derivative.c.frames,
        )
    )
    .where(derivative.c.image_id == image.c.id, derivative.c.generation == image.c.generation)
    .scalar_subquery()
)  # fmt: skip
_renditions = (
    select(
        _as_lists(
            rendition.c.spec_hash, rendition.c.format, rendition.c.object_name, rendition.c.size_bytes,
            rendition.c.sha256, rendition.c.frames,
        )
    )
    .where(rendition.c.image_id == image.c.id, rendition.c.generation == image.c.generation)
    .scalar_subquery()
)  # fmt: skip
_failures = (
    select(
        _as_lists(
            rendition_failure.c.spec_hash, rendition_failure.c.format, rendition_failure.c.code,
            rendition_failure.c.message,
        )
    )
    .where(
        rendition_failure.c.image_id == image.c.id,
        rendition_failure.c.generation == image.c.generation,
        rendition_failure.c.failed_at > func.now() - FAILURE_REMEMBERED,
    )
    .scalar_subquery()
)  # fmt: skip
_images = Query(
    select(
        image.c.id, image.c.team_id, image.c.status, image.c.failure_code, image.c.failure_message, image.c.filename,
        image.c.content_type, image.c.object_name, image.c.generation, image.c.delivery_epoch, image.c.size_bytes,
        image.c.sha256, image.c.width, image.c.height,
        func.coalesce(image.c.visibility, team.c.default_visibility).label("visibility"),
        or_(image.c.deleted_at.is_not(None), team.c.deleting_at.is_not(None)).label("is_gone"),
        image.c.ready_at.is_not(None).label("was_ready"),
        image.c.frames, image.c.facts["has_alpha"].as_boolean().label("has_alpha"), image.c.focal_x, image.c.focal_y,
        _derivatives.label("derivatives"), _renditions.label("renditions"),
        _failures.label("failures"),
    )
    .join(team, team.c.id == image.c.team_id)
    .where(image.c.id == func.any(bindparam("image_ids", type_=ARRAY(Uuid))))
)  # fmt: skip


class DeliveredImages:
    """Images by id, from a few seconds ago at most."""

    def __init__(self, database: Database, outage_seconds: float) -> None:
        self._database = database
        self.rows: Lookups[UUID, DeliveredImage] = Lookups(
            self._read, outage_seconds=outage_seconds, most_kept=_MOST_KEPT, weight=lambda row: row.weight
        )

    async def _read(self, image_ids: Collection[UUID]) -> Mapping[UUID, DeliveredImage]:
        rows = await self._database.fetch(_images, image_ids=list(image_ids))
        return {row["id"]: _image_of(row) for row in rows}


def _image_of(row: Record) -> DeliveredImage:
    derivatives = _derivatives_of(row)
    return DeliveredImage(
        id=row["id"],
        team_id=row["team_id"],
        status=ImageStatus(row["status"]),
        failure_code=row["failure_code"],
        failure_message=row["failure_message"],
        filename=row["filename"],
        content_type=row["content_type"],
        object_name=row["object_name"],
        generation=row["generation"],
        delivery_epoch=row["delivery_epoch"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        width_px=row["width"],
        height_px=row["height"],
        is_public=row["visibility"] == Visibility.PUBLIC,
        is_gone=row["is_gone"],
        was_ready=row["was_ready"],
        frames=row["frames"] or 1,
        # Until it is known, what was asked for in no format keeps its transparency.
        has_alpha=row["has_alpha"] is not False,
        focal_point=focal_point_of(row),
        source=derivatives[SOURCE][1] if SOURCE in derivatives else None,
        pictures=_pictures_of(row, derivatives),
        failures={
            (_bytes(spec_hash), extension): RenditionFailure(code, message)
            for spec_hash, extension, code, message in orjson.loads(row["failures"] or "[]")
        },
    )


def _derivatives_of(row: Record) -> dict[str, tuple[str | None, StoredPicture]]:
    return {
        preset: (spec_hash, StoredPicture(name, size_bytes, _bytes(sha256), frames))
        for preset, spec_hash, name, size_bytes, sha256, frames in orjson.loads(row["derivatives"] or "[]")
    }


def _pictures_of(
    row: Record, derivatives: dict[str, tuple[str | None, StoredPicture]]
) -> dict[tuple[bytes, Format], StoredPicture]:
    found: dict[tuple[bytes, Format], StoredPicture] = {}
    for spec_hash, extension, name, size_bytes, sha256, frames in orjson.loads(row["renditions"] or "[]"):
        found[_bytes(spec_hash), extension] = StoredPicture(name, size_bytes, _bytes(sha256), frames, is_rendition=True)
    for preset, (spec_hash, picture) in derivatives.items():
        if spec_hash is not None:
            found[_bytes(spec_hash), "webp"] = picture
        elif preset in BUILT_IN:
            # Made by what every team had before presets were the teams' own.
            found[BUILT_IN[preset].recipe.hash(), "webp"] = picture
    return found


def _bytes(text: str) -> bytes:
    """Return the bytes that PostgreSQL writes into JSON as hex digits after a mark."""
    return bytes.fromhex(text.removeprefix("\\x"))

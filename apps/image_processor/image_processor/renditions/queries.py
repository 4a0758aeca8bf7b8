"""The SQL of renditions made in the background."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    Interval,
    LargeBinary,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from image_core.db import Database, Query, Record, Runner, Transaction
from image_core.delivery.rendition_requests import PROCESSED_FORMAT, SOURCE
from image_core.delivery.rendition_store import OF_LIVING_IMAGE
from image_core.delivery.spec import Format
from image_core.ids import new_id
from image_core.images import transitions
from image_core.images.presets import BUILT_IN
from image_core.models import derivative, image, rendition, rendition_failure, team
from image_core.states import FAILURE_REMEMBERED, Failure, ImageStatus
from image_processor.messages import RenditionRequested


class RenditionKey(NamedTuple):
    """What identifies a rendition."""

    image_id: UUID
    generation: int
    spec_hash: bytes
    format: Format


_find_image = Query(
    select(
        image.c.id, image.c.team_id, image.c.generation, image.c.object_name, image.c.content_type, image.c.sha256,
        image.c.width, image.c.height, image.c.frames, image.c.focal_x, image.c.focal_y,
        image.c.facts["has_alpha"].as_boolean().label("has_alpha"),
    )
    .join(team, team.c.id == image.c.team_id)
    .where(
        *OF_LIVING_IMAGE, image.c.team_id == bindparam("of_team_id"), team.c.deleting_at.is_(None),
        # Also while it is processed again.
        image.c.ready_at.is_not(None), image.c.status != ImageStatus.FAILED,
    )
)  # fmt: skip
_find_source = Query(
    select(derivative.c.object_name, derivative.c.size_bytes, derivative.c.sha256).where(
        derivative.c.image_id == bindparam("of_image_id"),
        derivative.c.generation == bindparam("of_generation"),
        derivative.c.preset == SOURCE,
    )
)


def _is_of(table: FromClause) -> tuple[ColumnElement[bool], ...]:
    return tuple(table.c[name] == bindparam(f"of_{name}", type_=table.c[name].type) for name in RenditionKey._fields)


_is_failed = exists(
    select(rendition_failure.c.image_id).where(
        *_is_of(rendition_failure),
        rendition_failure.c.failed_at > func.now() - bindparam("remembered", type_=Interval),
    )
)
_is_made = exists(select(rendition.c.id).where(*_is_of(rendition)))
_is_derivative = exists(
    select(derivative.c.id).where(
        derivative.c.image_id == bindparam("of_image_id"),
        derivative.c.generation == bindparam("of_generation"),
        bindparam("of_format", type_=Text) == PROCESSED_FORMAT,
        or_(
            derivative.c.spec_hash == bindparam("of_spec_hash", type_=LargeBinary),
            # Made before recipes had hashes, of what every team had.
            (derivative.c.spec_hash.is_(None)) & (derivative.c.preset == bindparam("of_preset", type_=Text)),
        ),
    )
)
_is_settled = Query(select(or_(_is_made, _is_derivative, _is_failed)))
_is_own_derivative = exists(
    select(derivative.c.id).where(
        derivative.c.image_id == bindparam("of_image_id"),
        derivative.c.generation == bindparam("of_generation"),
        derivative.c.preset == bindparam("of_preset", type_=Text),
        or_(
            derivative.c.spec_hash == bindparam("of_spec_hash", type_=LargeBinary),
            and_(derivative.c.spec_hash.is_(None), bindparam("is_original", type_=Boolean)),
        ),
    )
)
_is_derived = Query(select(or_(_is_own_derivative, _is_failed)))
_touch = Query(
    transitions.replace_derivative().returning(image.c.focal_x, image.c.focal_y, image.c.revision, image.c.status)
)
_release_outdated = Query(
    update(rendition)
    .where(
        rendition.c.image_id == bindparam("of_image_id", type_=Uuid),
        rendition.c.preset == bindparam("of_preset", type_=Text),
        rendition.c.spec_hash != bindparam("of_spec_hash", type_=LargeBinary),
        rendition.c.eager,
    )
    .values(eager=False)
)
_keep_eager = Query(update(rendition).where(*_is_of(rendition), ~rendition.c.eager).values(eager=True))
_VALUES = (
    "id", "preset", "object_name", "content_type", "width", "height", "frames", "size_bytes", "sha256", "spec_hash",
)  # fmt: skip
_remove_derivative = Query(
    delete(derivative)
    .where(derivative.c.image_id == bindparam("of_image_id"), derivative.c.preset == bindparam("of_preset"))
    .returning(derivative.c.object_name)
)
_add_derivative = Query(
    insert(derivative)
    .from_select(
        ["image_id", "generation", *_VALUES],
        select(
            image.c.id, image.c.generation,
            *(bindparam(f"new_{name}", type_=derivative.c[name].type) for name in _VALUES),
        ).where(*OF_LIVING_IMAGE),
    )
    .on_conflict_do_nothing()
    .returning(derivative.c.id)
)  # fmt: skip
_new_failure = insert(rendition_failure).from_select(
    ["image_id", "generation", "spec_hash", "format", "code", "message"],
    select(
        image.c.id, image.c.generation, bindparam("of_spec_hash", type_=LargeBinary),
        bindparam("of_format", type_=Text), bindparam("new_code", type_=Text), bindparam("new_message", type_=Text),
    ).where(*OF_LIVING_IMAGE),
)  # fmt: skip
_remember_failure = Query(
    _new_failure.on_conflict_do_update(
        index_elements=["image_id", "generation", "spec_hash", "format"],
        set_={"code": _new_failure.excluded.code, "message": _new_failure.excluded.message, "failed_at": func.now()},
    )
)
_forget_failure = Query(delete(rendition_failure).where(*_is_of(rendition_failure)))


async def find_image(runner: Runner, request: RenditionRequested) -> Record | None:
    """Return the image of a request if it is that team's, shown, and still has that original."""
    return await runner.fetch_one(
        _find_image, of_image_id=request.image_id, of_team_id=request.team_id, of_generation=request.generation
    )


async def find_source(runner: Runner, image_id: UUID, generation: int) -> Record | None:
    """Return the derivative of which others are made, where the image has one."""
    return await runner.fetch_one(_find_source, of_image_id=image_id, of_generation=generation)


async def is_settled(runner: Runner, key: RenditionKey) -> bool:
    """Tell whether a picture is stored, or known to fail."""
    preset = next((each.name for each in BUILT_IN.values() if each.recipe.hash() == key.spec_hash), None)
    return bool(await runner.fetch_value(_is_settled, **_values(key), of_preset=preset, remembered=FAILURE_REMEMBERED))


async def is_derived(runner: Runner, key: RenditionKey, preset: str) -> bool:
    """Tell whether the derivative of a preset is the picture, or the picture is known to fail."""
    is_original = preset in BUILT_IN and BUILT_IN[preset].recipe.hash() == key.spec_hash
    return bool(
        await runner.fetch_value(
            _is_derived, **_values(key), of_preset=preset, is_original=is_original, remembered=FAILURE_REMEMBERED
        )
    )


async def keep_eager(database: Database, key: RenditionKey) -> None:
    """Keep what was made on demand like what is made without it."""
    await database.execute(_keep_eager, **_values(key))


async def remove_derivative(transaction: Transaction, image_id: UUID, preset: str) -> list[str]:
    """Remove the row of an image's derivative of a preset, if there is one, and return the name of its object."""
    rows = await transaction.fetch(_remove_derivative, of_image_id=image_id, of_preset=preset)
    return [row["object_name"] for row in rows]


async def add_derivative(transaction: Transaction, image_id: UUID, generation: int, values: dict[str, Any]) -> bool:
    """Insert a derivative of an image that is still there, and tell whether that is what happened."""
    columns = {f"new_{name}": value for name, value in (values | {"id": new_id()}).items()}
    added = await transaction.fetch_value(_add_derivative, of_image_id=image_id, of_generation=generation, **columns)
    return added is not None


async def touch_image(transaction: Transaction, key: RenditionKey) -> Record | None:
    """Change the entity tag of an image because a derivative is being replaced, and return where its focal point is.

    The point stays there until the transaction ends. None if the image is not shown any more, or has another original.
    """
    return await transaction.fetch_one(_touch, image_id=key.image_id, of_generation=key.generation)


async def release_outdated(transaction: Transaction, key: RenditionKey, preset: str) -> None:
    """Let the sweep remove further formats of earlier versions of a preset once nobody asks for them any more."""
    await transaction.execute(_release_outdated, of_image_id=key.image_id, of_preset=preset, of_spec_hash=key.spec_hash)


async def remember_failure(database: Database, key: RenditionKey, failure: Failure) -> None:
    """Remember for a while that a picture cannot be made, unless its image is gone."""
    await database.execute(_remember_failure, **_values(key), new_code=failure.code, new_message=failure.message)


async def forget_failure(transaction: Transaction, key: RenditionKey) -> None:
    """Forget that a picture could not be made, because now it has been."""
    await transaction.execute(_forget_failure, **_values(key))


def _values(key: RenditionKey) -> dict[str, Any]:
    return {f"of_{name}": value for name, value in key._asdict().items()}

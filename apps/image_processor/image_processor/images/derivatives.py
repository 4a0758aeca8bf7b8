"""Storing the derivatives of an image: first their objects, then their rows, which replace older ones."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from image_core import events
from image_core.db import Transaction
from image_core.delivery.rendition_requests import PROCESSED_FORMAT, eager_requests, rendition_request
from image_core.delivery.spec import FocalPoint, Recipe
from image_core.images.discards import REMEMBERED, schedule_removal
from image_core.images.object_names import Bucket, derivative_name
from image_core.images.presets import Preset, eager_recipes
from image_engine.contract.answers import Derivative
from image_engine.contract.presets import DEFAULT_PRESETS
from image_engine.contract.presets import Preset as PresetToMake
from image_processor.images import queries
from image_processor.images.queries import ImageClaim
from image_processor.parts import Parts


def presets_to_make(eager: Mapping[str, Recipe]) -> tuple[tuple[PresetToMake, ...], tuple[PresetToMake, ...]]:
    """Return what a worker has to make, and what it may leave out, because a team chose sizes that may be too much."""
    presets = [PresetToMake(name, recipe) for name, recipe in eager.items()]
    required = tuple(preset for preset in presets if preset in DEFAULT_PRESETS)
    return required, tuple(preset for preset in presets if preset not in required)


async def store_derivatives(parts: Parts, claimed: ImageClaim, made: Sequence[Derivative]) -> list[dict[str, Any]]:
    """Write derivatives into this claim's own folder, and return their rows."""
    return await asyncio.gather(*(_store(parts, claimed, derivative) for derivative in made))


async def _store(parts: Parts, claimed: ImageClaim, made: Derivative) -> dict[str, Any]:
    name = derivative_name(claimed.folder, made.preset)
    await parts.derivatives.put(name, made.content, made.content_type)
    return {
        "preset": made.preset,
        "generation": claimed.generation,
        "object_name": name,
        "content_type": made.content_type,
        "width": made.width_px,
        "height": made.height_px,
        "frames": made.frames,
        "size_bytes": len(made.content),
        "sha256": hashlib.sha256(made.content).digest(),
        "spec_hash": claimed.eager[made.preset].hash(),
    }


async def replace_rows(
    parts: Parts,
    transaction: Transaction,
    claimed: ImageClaim,
    rows: list[dict[str, Any]],
    presets: Mapping[str, Preset],
) -> list[str]:
    """Replace an image's derivatives by this claim's, and return their presets.

    Those of earlier claims and every rendition are discarded, and what was made of a preset that was removed since.
    """
    if not claimed.is_first:
        for old_name in await queries.remove_derivatives(transaction, claimed.image_id):
            await schedule_removal(transaction, Bucket.DERIVATIVES, old_name, None, parts.lease)
        for old_name in await queries.remove_renditions(transaction, claimed.image_id):
            await schedule_removal(transaction, Bucket.DERIVATIVES, old_name, None, REMEMBERED)
    kept = [row for row in rows if row["preset"] in presets]
    for row in rows:
        if row not in kept:
            await schedule_removal(transaction, Bucket.DERIVATIVES, row["object_name"], None, parts.lease)
    await queries.add_derivatives(transaction, claimed.image_id, kept)
    return [row["preset"] for row in kept]


async def request_missing(
    transaction: Transaction,
    claimed: ImageClaim,
    made: Collection[str],
    presets: Mapping[str, Preset],
    focal_point: FocalPoint | None,
) -> None:
    """Request the pictures of eager presets that processing did not make.

    These are further formats, what a worker left out, and what a preset or the focal point, as they are now, make
    differently than at the claim.
    """
    outdated = [
        name
        for name, recipe in eager_recipes(presets, focal_point).items()
        if name not in made or claimed.eager[name].hash() != recipe.hash()
    ]
    of_image = claimed.image_id, claimed.team_id, claimed.generation
    requests = [rendition_request(*of_image, name, PROCESSED_FORMAT, claimed.trace_parent) for name in outdated]
    requests += eager_requests(*of_image, presets.values(), claimed.trace_parent)
    await events.record(transaction, *requests)

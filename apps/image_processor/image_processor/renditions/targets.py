"""What a request asks for, as its image and the team's presets are now."""

from typing import NamedTuple

from image_core.db import Database, Record
from image_core.delivery.rendition_requests import (
    FULL,
    FULL_HASH,
    PROCESSED_FORMAT,
    SOURCE,
    SOURCE_HASH,
    SOURCE_RECIPE,
)
from image_core.delivery.spec import Recipe
from image_core.images.presets import focal_point_of, presets_of_team
from image_engine.contract.renditions import FULL_SIZE_QUALITY, full_size_format
from image_processor.messages import RenditionRequested
from image_processor.renditions import queries
from image_processor.renditions.queries import RenditionKey


class Target(NamedTuple):
    """A picture to make.

    Attributes:
        image: its row.
        key: by which it is found once it is stored.
        spec: the preset's name, `full` or `source`.
        recipe: what to make; for `full` what is encoded where the file cannot be copied.
        is_eager: whether it is kept although nobody asks for it.
    """

    image: Record
    key: RenditionKey
    spec: str
    recipe: Recipe
    is_eager: bool = False

    @property
    def is_derivative(self) -> bool:
        """Tell whether it is kept where processing keeps what it makes, under the name of its preset."""
        return self.spec == SOURCE or (self.is_eager and self.key.format == PROCESSED_FORMAT)


async def find_target(database: Database, request: RenditionRequested) -> Target | None:
    """Return what a request asks for; None if the image, the preset or its format is not there any more."""
    image = await queries.find_image(database, request)
    if image is None:
        return None
    if request.spec == FULL:
        return _whole(image, request)
    if request.spec == SOURCE:
        return Target(image, _key(request, SOURCE_HASH), SOURCE, SOURCE_RECIPE)
    preset = (await presets_of_team(database, request.team_id)).get(request.spec)
    if preset is None:
        return None
    # Processing makes eager presets in its format, whatever formats their addresses offer.
    if request.format not in preset.formats and not (preset.is_eager and request.format == PROCESSED_FORMAT):
        return None
    recipe = preset.recipe.focused(focal_point_of(image))
    return Target(image, _key(request, recipe.hash()), preset.name, recipe, preset.is_eager)


def _whole(image: Record, request: RenditionRequested) -> Target | None:
    extension = full_size_format(
        image["content_type"],
        image["width"],
        image["height"],
        # As delivery takes it, until it is known.
        has_alpha=image["has_alpha"] is not False,
        is_animated=image["frames"] > 1,
    )
    if extension != request.format:
        return None
    return Target(image, _key(request, FULL_HASH), FULL, Recipe(quality=FULL_SIZE_QUALITY))


def _key(request: RenditionRequested, spec_hash: bytes) -> RenditionKey:
    return RenditionKey(request.image_id, request.generation, spec_hash, request.format)

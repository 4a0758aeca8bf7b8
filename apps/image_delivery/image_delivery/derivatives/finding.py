"""Which stored object answers an address."""

from typing import NamedTuple

from image_core.delivery.spec import Format, Recipe
from image_core.images import filenames
from image_core.storage.protocol import ObjectStorage
from image_delivery.derivatives.formats import negotiated
from image_delivery.grants.images import DeliveredImage, StoredPicture
from image_delivery.grants.verification import AUTO, Permit
from image_delivery.parts import Parts

TRANSPARENT_FALLBACK: Format = "png"
"""For browsers that do not name WebP, of pictures with transparency; the others are JPEG."""


class Content(NamedTuple):
    """An object that can be sent.

    Attributes:
        storage: its bucket.
        name: of the object.
        generation: None where only one object ever has this name.
        size_bytes: of the whole object.
        sha256: 32 bytes.
        content_type: as browsers are told.
        disposition: the header Content-Disposition.
    """

    storage: ObjectStorage
    name: str
    generation: int | None
    size_bytes: int
    sha256: bytes
    content_type: str
    disposition: str


def original(parts: Parts, image: DeliveredImage) -> Content:
    """Return the original's bytes, to be saved under the name that it was uploaded with."""
    if image.size_bytes is None or image.sha256 is None:
        raise ValueError("the image has no bytes yet")
    return Content(
        parts.originals, image.object_name, image.generation, image.size_bytes, image.sha256, image.content_type,
        filenames.to_disposition(image.filename or str(image.id), attachment=True),
    )  # fmt: skip


def stored(parts: Parts, permit: Permit, recipe: Recipe, formats: tuple[Format, ...]) -> Content | None:
    """Return what is stored of a recipe in the first of the formats that there is."""
    spec_hash = recipe.hash()
    for extension in formats:
        if (picture := permit.image.pictures.get((spec_hash, extension))) is not None:
            return content_of(parts, permit, picture, extension)
    return None


def content_of(parts: Parts, permit: Permit, picture: StoredPicture, extension: Format) -> Content:
    """Describe a stored picture as an address shows it."""
    return Content(
        parts.derivatives, picture.object_name, None, picture.size_bytes, picture.sha256, f"image/{extension}",
        f'inline; filename="{permit.image.id}-{permit.name}.{extension}"',
    )  # fmt: skip


def formats_of(permit: Permit, recipe: Recipe, accept: bytes, fallback: Format) -> tuple[Format, ...]:
    """Return the formats that may answer, the best first."""
    if permit.extension != AUTO:
        named: Format = permit.extension  # type: ignore[assignment]
        return (named,)
    spec_hash = recipe.hash()
    webp, avif = (permit.image.pictures.get((spec_hash, each)) for each in ("webp", "avif"))
    is_worth_it = avif is not None and avif.frames == 1 and (webp is None or avif.size_bytes < webp.size_bytes)
    return negotiated(accept, ("avif",) if is_worth_it else (), fallback)

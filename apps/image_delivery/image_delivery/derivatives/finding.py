"""Which object answers an address, and in which format."""

from dataclasses import dataclass
from functools import lru_cache

from image_core.delivery.negotiation import choose_format, named_formats
from image_core.delivery.spec import Format, Recipe
from image_core.images import filenames
from image_core.storage.protocol import ObjectStorage
from image_delivery.grants.images import StoredPicture
from image_delivery.grants.permits import AUTO, Permit
from image_delivery.parts import Parts


@dataclass(frozen=True, slots=True)
class Content:
    """An object that can be sent.

    Attributes:
        storage: its bucket.
        name: of the object.
        generation: None where only one object ever has this name.
        size_bytes: of the whole object.
        sha256: 32 bytes.
        content_type: as browsers are told.
        disposition: the header Content-Disposition.
        body: its bytes, where they are there already.
    """

    storage: ObjectStorage
    name: str
    generation: int | None
    size_bytes: int
    sha256: bytes
    content_type: str
    disposition: str
    body: bytes | None = None


def original(parts: Parts, permit: Permit) -> Content:
    """Return the original's bytes, to be saved.

    Whoever signed just this may know the name that it was uploaded with; visitors of a share link may not.
    """
    image = permit.image
    if image.size_bytes is None or image.sha256 is None:
        raise ValueError("the image has no bytes yet")
    if permit.is_exact:
        disposition = filenames.to_disposition(image.filename or str(image.id), attachment=True)
    else:
        disposition = _disposition(permit, image.content_type.partition("/")[2])
    return Content(
        parts.originals, image.object_name, image.generation, image.size_bytes, image.sha256, image.content_type,
        disposition,
    )  # fmt: skip


def picture(parts: Parts, permit: Permit, stored: StoredPicture, extension: Format, body: bytes | None) -> Content:
    """Return a picture that was made, to be shown, or as a whole file saved, under a name of ours."""
    return Content(
        parts.derivatives, stored.object_name, None, stored.size_bytes, stored.sha256, f"image/{extension}",
        _disposition(permit, extension), body,
    )  # fmt: skip


def _disposition(permit: Permit, extension: str) -> str:
    """Return the header under which a picture is shown, or a whole file saved: a link's by its title and a number."""
    named = permit.download_name
    if named is None:
        kind = "inline" if permit.recipe is not None else "attachment"
        return f'{kind}; filename="{permit.image.id}-{permit.name}.{extension}"'
    # What precedes a slash would be taken for a folder.
    title = (named.title or "image").replace("/", "-").replace("\\", "-")
    return filenames.to_disposition(f"{title}-{named.number}.{extension}", attachment=True)


@lru_cache(maxsize=4096)
def spec_hash_of(recipe: Recipe) -> bytes:
    """Return the hash by which what was made of a recipe is found."""
    return recipe.hash()


def format_of(permit: Permit, recipe: Recipe, accept: bytes) -> Format:
    """Return the format of the answer: what the address names, or for `auto` what the browser does."""
    if permit.extension != AUTO:
        named: Format = permit.extension  # type: ignore[assignment]
        return named
    image, spec_hash = permit.image, spec_hash_of(recipe)
    avif, webp = image.pictures.get((spec_hash, "avif")), image.pictures.get((spec_hash, "webp"))
    return choose_format(
        named_formats(accept.decode("latin-1")),
        has_alpha=image.has_alpha and recipe.background is None,
        is_animated=image.frames > 1 and recipe.animated,
        avif_is_stored_and_smaller=avif is not None and (webp is None or avif.size_bytes < webp.size_bytes),
    )

"""Making a picture in the background: of the original, or of the derivative that stands in for a large one."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from image_core import errors
from image_core.db import Record
from image_core.delivery.rendition_requests import FULL, SOURCE
from image_core.storage.protocol import ObjectStorage
from image_engine.contract.picture_file import PictureFile
from image_engine.contract.renditions import BACKGROUND_EFFORT, COPIED_FORMATS, RenditionRequest
from image_engine.stripping.pieces import CannotStrip
from image_engine.stripping.strip import strip_metadata
from image_processor.parts import Parts, fetch
from image_processor.renditions import queries
from image_processor.renditions.targets import Target


@dataclass(frozen=True, slots=True)
class Made:
    """A whole file.

    Attributes:
        width_px: of one frame.
        height_px: as `width_px`.
        frames: more than one for an animation.
        size_bytes: of the file.
        parts: its bytes, to be read once.
    """

    width_px: int
    height_px: int
    frames: int
    size_bytes: int
    parts: Iterator[bytes]


@contextmanager
def copied_whole(target: Target, picture: PictureFile) -> Iterator[Made | None]:
    """Copy the compressed data of a whole picture without metadata; None if it has to be encoded.

    Nothing is decoded, and the file is held in memory once, however large it is.
    """
    image = target.image
    if target.spec != FULL or image["content_type"] not in COPIED_FORMATS:
        yield None
        return
    with mmap.mmap(picture.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            pieces = strip_metadata(content)
        except CannotStrip:
            yield None
            return
        yield Made(image["width"], image["height"], image["frames"], pieces.size_bytes, pieces.parts(content))


async def render(parts: Parts, target: Target, picture: PictureFile) -> Made:
    """Have a worker make the picture.

    Raises:
        PictureRejected: It can never be made.
        WorkerUnavailable, WorkerInterrupted: It may be made later.
    """
    extension = target.key.format
    request = RenditionRequest(target.recipe, extension, BACKGROUND_EFFORT[extension], parts.settings.limits)
    made = await parts.pool.render(picture, request)
    return Made(made.width_px, made.height_px, made.frames, len(made.content), iter([made.content]))


async def fetch_source(parts: Parts, target: Target, picture: PictureFile) -> None:
    """Write what the picture is made of to a file.

    Raises:
        TransientFailure: Storage is unavailable, or the object is gone.
        PictureRejected: The object is larger than allowed.
        errors.StorageUnavailable: The bytes read are not the ones that were stored.
    """
    image, smaller = target.image, None
    if target.spec not in (FULL, SOURCE):
        smaller = await queries.find_source(parts.database, image["id"], image["generation"])
    storage, found, generation = _object_of(parts, image, smaller)
    fetched = await fetch(parts, storage, found["object_name"], generation, picture)
    if fetched.sha256 != found["sha256"]:
        raise errors.StorageUnavailable("The object read is not the one that was stored.")


def _object_of(parts: Parts, image: Record, smaller: Record | None) -> tuple[ObjectStorage, Record, int | None]:
    if smaller is not None:
        return parts.derivatives, smaller, None
    return parts.originals, image, image["generation"]

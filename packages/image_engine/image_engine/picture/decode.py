"""Decode a picture that is open, to the size at which it is needed."""

import math

import pyvips

from image_engine.picture.animation_frames import render_frames
from image_engine.picture.open_picture import open_frames
from image_engine.picture.open_stored import reporting_lack_of_memory
from image_engine.picture.orient import swaps_sides
from image_engine.picture.resize import render_srgb_at
from image_engine.picture.stored_picture import StoredPicture


def decode_still(stored: StoredPicture, shown_size: tuple[int, int], detail: float = 1.0) -> pyvips.Image:
    """Decode the first frame in 8-bit sRGB, in memory; its orientation is still to be applied.

    Args:
        stored: the open picture.
        shown_size: width and height in pixels once the orientation is applied; not larger than the picture.
        detail: how much larger the format's own reduced size has to be at least, for the better filter that makes it
            smaller.

    Raises:
        PictureRejected, pyvips.Error: the picture cannot be decoded to its end.
    """
    with reporting_lack_of_memory(stored):
        image = stored.open_pixels(math.ceil(max(shown_size) * detail))
        return render_srgb_at(image, *_stored_size(stored, shown_size))


def decode_moving(descriptor: int, stored: StoredPicture, frames: int, shown_size: tuple[int, int]) -> pyvips.Image:
    """Decode the first frames of an animation like `decode_still`, one below the other.

    Raises:
        PictureRejected, pyvips.Error: a frame is broken.
    """
    size = _stored_size(stored, shown_size)
    with reporting_lack_of_memory(stored):
        if stored.format in {"png", "avif"}:
            return render_frames(descriptor, stored.format, frames, size, stored.icc_profile)
        return render_srgb_at(open_frames(descriptor, stored.format, frames), *size)


def _stored_size(stored: StoredPicture, shown_size: tuple[int, int]) -> tuple[int, int]:
    width_px, height_px = shown_size
    return (height_px, width_px) if swaps_sides(stored.orientation) else (width_px, height_px)

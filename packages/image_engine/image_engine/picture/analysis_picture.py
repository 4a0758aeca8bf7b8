"""The view of a picture for analyzers: decoded once for all analyzers of a request.

These pixels depend on the file alone, not on what else is requested: an analysis on arrival and one requested later
return the same bytes.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import pyvips

from image_core.images.picture_header import PREFIX_BYTES, PictureFormat
from image_engine.contract.limits import PictureLimits
from image_engine.picture.camera_fields import FactValue
from image_engine.picture.exif import camera_data_of
from image_engine.picture.open_picture import open_full_size
from image_engine.picture.open_stored import open_stored, reporting_lack_of_memory
from image_engine.picture.orient import orient
from image_engine.picture.pixels import Floats, Mask, Pixels, band_of
from image_engine.picture.resize import render_srgb
from image_engine.picture.sharpness import sharpness
from image_engine.picture.stored_picture import StoredPicture

WORKING_SIDE_PX = 768
DETAIL_SIDE_PX = 512
# The size of JPEG's blocks; the full-size part begins at a block's corner, so that block borders are where expected.
BLOCK_PX = 8

_REC601_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Up to this size, a format that cannot be read in part is decoded once and held, not decoded twice.
_MAX_HELD_BYTES = 64 * 1024 * 1024
_OPAQUE_ALPHA = 128


@dataclass(frozen=True)
class AnalysisPicture:
    """The first frame, orientation applied.

    Attributes:
        srgb: shape (height, width, 3), 8 bits; the longest side is at most 768 pixels; transparency is on white.
        alpha: shape (height, width), 255 for opaque; None for a picture without transparency.
        detail: luma of the middle at the size as stored, shape (height, width) of at most 512 by 512, not turned,
            beginning at a corner of JPEG's 8 by 8 blocks; None where no analyzer asked for it.
        width_px: of the whole picture as shown.
        height_px: as `width_px`.
        format: as stored; so are `frames`, `bit_depth` and `color_space`.
        exif: what the camera wrote, empty where no analyzer asked for it.
    """

    srgb: Pixels
    alpha: Pixels | None
    detail: Floats | None
    width_px: int
    height_px: int
    format: PictureFormat
    frames: int
    bit_depth: int
    color_space: str
    exif: dict[str, FactValue] = field(default_factory=dict)

    @cached_property
    def luma(self) -> Floats:
        """Rec. 601 luma of `srgb`, 0 to 255, shape (height, width)."""
        return luma_of(self.srgb)

    @cached_property
    def lab(self) -> Floats:
        """CIELAB under D65 of `srgb`, shape (height, width, 3)."""
        image = pyvips.Image.new_from_array(self.srgb).copy(interpretation="srgb")
        return cast("Floats", image.colourspace("lab").numpy())

    @cached_property
    def sharpness(self) -> float:
        """The sharpness at this size, as measured by `picture.sharpness`: 0 (blurred) to 1."""
        return sharpness(self.luma)

    @cached_property
    def visible(self) -> Mask:
        """Mask of the visible pixels, shape (height, width)."""
        if self.alpha is None:
            return np.ones(self.srgb.shape[:2], dtype=np.bool_)
        return self.alpha >= _OPAQUE_ALPHA


def luma_of(srgb: Pixels) -> Floats:
    """Return Rec. 601 luma, 0 to 255, of pixels of shape (height, width, 3)."""
    luma: Floats = srgb[:, :, 0] * _REC601_LUMA[0]
    for band in (1, 2):
        luma += srgb[:, :, band] * _REC601_LUMA[band]
    return luma


def prepare_picture(descriptor: int, limits: PictureLimits, *, detail: bool, camera: bool) -> AnalysisPicture:
    """Decode the picture in an open file for analyzers; the file's position changes.

    Raises:
        PictureRejected, pyvips.Error: It is not a picture, not allowed, damaged, or over a limit.
    """
    header = limits.identify(os.pread(descriptor, PREFIX_BYTES, 0))
    stored = open_stored(descriptor, header.format)
    limits.check_size(stored.width_px, stored.height_px)
    limits.frames_to_decode(stored.width_px, stored.height_px, stored.bytes_per_pixel, 1)
    exif = camera_data_of(descriptor, stored).exif if camera else {}
    with reporting_lack_of_memory(stored):
        image, middle = _decode(descriptor, stored, detail=detail)
    image = orient(image, stored.orientation).copy_memory()
    alpha = band_of(image.extract_band(image.bands - 1)) if image.hasalpha() else None
    width_px, height_px = stored.shown_size
    return AnalysisPicture(
        srgb=(image.flatten(background=[255, 255, 255]) if alpha is not None else image).numpy(),
        alpha=alpha,
        detail=middle,
        width_px=width_px,
        height_px=height_px,
        format=stored.format,
        frames=stored.frames,
        bit_depth=stored.bit_depth,
        color_space=stored.color_space,
        exif=exif,
    )


def _decode(descriptor: int, stored: StoredPicture, *, detail: bool) -> tuple[pyvips.Image, Floats | None]:
    """Return the same working pixels whether detail is requested or not."""
    if stored.format == "heic":
        image = stored.open_pixels(max(stored.width_px, stored.height_px))
    elif stored.format != "jpeg" and stored.width_px * stored.height_px * stored.bytes_per_pixel <= _MAX_HELD_BYTES:
        image = open_full_size(descriptor, stored.format)
        image = image.copy_memory() if detail else image
    else:
        # The reduced picture is read first, completely: two readers would share one file position. The second one reads
        # to the end of the middle part.
        reduced = render_srgb(stored.open_pixels(WORKING_SIDE_PX), WORKING_SIDE_PX)
        return reduced, _middle(open_full_size(descriptor, stored.format)) if detail else None
    return render_srgb(image, WORKING_SIDE_PX), _middle(image) if detail else None


def _middle(image: pyvips.Image) -> Floats:
    width, height = min(DETAIL_SIDE_PX, image.width), min(DETAIL_SIDE_PX, image.height)
    left, top = (image.width - width) // 2 // BLOCK_PX * BLOCK_PX, (image.height - height) // 2 // BLOCK_PX * BLOCK_PX
    part = image.crop(left, top, width, height)
    return luma_of(render_srgb(part, DETAIL_SIDE_PX).numpy()[:, :, :3])

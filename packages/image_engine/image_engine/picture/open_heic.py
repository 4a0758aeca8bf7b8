"""Open a HEIC picture with libheif's own binding, because libvips' wheel has no HEVC decoder."""

import os
from mmap import ACCESS_READ, mmap
from typing import Any

import numpy as np
import pyvips

from image_core.images.heif_items import read_items
from image_engine.contract.rejections import PictureRejected, unsupported
from image_engine.picture import heif_planes
from image_engine.picture.color_coding import ColorCoding
from image_engine.picture.open_errors import rejection_of
from image_engine.picture.stored_picture import StoredPicture, shrink_factor, with_coding, with_profile
from image_engine.picture.yuv_planes import rgb_of_planes


def open_heic(descriptor: int) -> StoredPicture:
    """Read the header of the primary picture. Only pictures of more than 8 bits are decoded to a reduced size.

    libheif rotates and mirrors while it decodes, so nothing is left to apply; EXIF's orientation is ignored.

    Raises:
        PictureRejected: The file is broken, or HEIC is not installed here (`image-format-not-allowed`).
    """
    heif = _read_container(descriptor)
    width_px, height_px = heif.size
    bit_depth = heif.info.get("bit_depth", 8)
    coding = None if heif.info.get("icc_profile") else _coding(descriptor)

    def open_pixels(longest_side_px: int) -> pyvips.Image:
        if bit_depth > 8 and heif_planes.is_available:
            return _decode_deep(descriptor, heif, coding, shrink_factor(width_px, height_px, longest_side_px))
        return _decode(heif, coding)

    return StoredPicture(
        format="heic",
        width_px=width_px,
        height_px=height_px,
        frames=1,
        delays_ms=(),
        loop_count=None,
        bit_depth=bit_depth,
        has_alpha=heif.has_alpha,
        color_space="gray" if heif.mode.startswith("L") else "rgb",
        bytes_per_pixel=4 if heif.has_alpha else 3,
        orientation=1,
        icc_profile=heif.info.get("icc_profile") or None,
        exif_block=heif.info.get("exif") or None,
        xmp_block=heif.info.get("xmp") or None,
        open_pixels=open_pixels,
    )


def _read_container(descriptor: int) -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise PictureRejected("image-format-not-allowed", "Format not allowed: HEIC.") from None
    for extra in ("THUMBNAILS", "DEPTH_IMAGES", "AUX_IMAGES"):
        setattr(pillow_heif.options, extra, False)
    pillow_heif.options.DECODE_THREADS = 1
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor has no path
            return pillow_heif.open_heif(file)
    except IndexError as error:
        # Its list of decodable pictures is empty.
        raise unsupported("HEIF without a picture that can be decoded") from error
    except (ValueError, RuntimeError, EOFError, OSError, SyntaxError) as error:
        raise rejection_of(str(error)) from error


def _coding(descriptor: int) -> ColorCoding | None:
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        declared = read_items(content).colors_of_primary()
    return None if declared is None else ColorCoding(*declared)


def _decode(heif: Any, coding: ColorCoding | None) -> pyvips.Image:
    try:
        pixels = np.asarray(heif)
    except (ValueError, RuntimeError, EOFError, OSError) as error:
        raise rejection_of(str(error)) from error
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    image = image.copy(interpretation="srgb" if image.bands >= 3 else "b-w")
    profile = heif.info.get("icc_profile")
    return with_profile(image, profile) if profile else with_coding(image, coding)


def _decode_deep(descriptor: int, heif: Any, coding: ColorCoding | None, shrink: int) -> pyvips.Image:
    image = rgb_of_planes(heif_planes.decode_heif_planes(descriptor), shrink)
    profile = heif.info.get("icc_profile")
    return with_profile(image, profile) if profile else with_coding(image, coding)

"""Read the frames of animations that libvips treats as still pictures: PNG (APNG) and AVIF."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from mmap import ACCESS_READ, mmap

import numpy as np
import pyvips
from PIL import Image

from image_core.images.picture_header import PictureFormat
from image_engine.picture import avif_planes
from image_engine.picture.avif_planes import AvifDecoder
from image_engine.picture.open_errors import rejection_of
from image_engine.picture.png_color import png_color_coding
from image_engine.picture.resize import render_srgb_at
from image_engine.picture.stored_picture import with_coding, with_profile
from image_engine.picture.yuv_planes import rgb_of_planes


@dataclass(frozen=True, slots=True)
class Animation:
    """The frames that a file declares.

    Attributes:
        delays_ms: how long each frame is shown; there are at least two.
        loop_count: runs; 0 for endless.
    """

    delays_ms: tuple[int, ...]
    loop_count: int


def read_animation(descriptor: int, picture_format: PictureFormat) -> Animation | None:
    """Return the animation in a PNG or AVIF file; None for a still picture.

    Raises:
        PictureRejected: The header is broken.
    """
    if picture_format == "png":
        with mmap(descriptor, 0, access=ACCESS_READ) as content:
            return _png_animation(content)
    if picture_format != "avif" or not avif_planes.is_available:
        return None
    decoder = AvifDecoder(descriptor)
    return Animation(decoder.delays_ms, decoder.loop_count) if decoder.frames > 1 else None


def render_frames(
    descriptor: int, picture_format: PictureFormat, frames: int, size: tuple[int, int], profile: bytes | None
) -> pyvips.Image:
    """Decode the first frames, stacked vertically, in sRGB; `size` is the width and height of each in pixels.

    Raises:
        PictureRejected, pyvips.Error: A frame is broken.
    """
    animation = read_animation(descriptor, picture_format)
    if animation is None:
        raise ValueError("a still picture has no frames to render")
    images = _png_frames(descriptor, profile) if picture_format == "png" else _avif_frames(descriptor, profile)
    parts = [render_srgb_at(image, *size) for image in islice(images, frames)]
    strip = pyvips.Image.arrayjoin(parts, across=1).copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", parts[0].height)
    strip.set_type(pyvips.GValue.gint_type, "n-pages", len(parts))
    strip.set_type(pyvips.GValue.gint_type, "loop", animation.loop_count)
    strip.set_type(pyvips.GValue.array_int_type, "delay", list(animation.delays_ms[: len(parts)]))
    return strip


def _avif_frames(descriptor: int, profile: bytes | None) -> Iterator[pyvips.Image]:
    decoder = AvifDecoder(descriptor)
    for _ in range(decoder.frames):
        planes = decoder.next_planes()
        image = rgb_of_planes(planes)
        yield with_profile(image, profile) if profile else with_coding(image, planes.coding)


def _png_frames(descriptor: int, profile: bytes | None) -> Iterator[pyvips.Image]:
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        coding = png_color_coding(content, has_profile=profile is not None)
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor has no path
        try:
            with Image.open(file, formats=["PNG"]) as picture:
                # A default image outside the animation comes first.
                first = 1 if getattr(picture, "default_image", False) else 0
                for number in range(first, getattr(picture, "n_frames", 1)):
                    picture.seek(number)
                    image = pyvips.Image.new_from_array(_rgba(picture)).copy(interpretation="srgb")
                    yield with_profile(image, profile) if profile and coding is None else with_coding(image, coding)
        except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
            raise rejection_of(str(error)) from error


def _rgba(picture: Image.Image) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    if picture.mode == "I;16":
        # Pillow would clip what it should scale.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGBA"))


def _png_animation(content: mmap) -> Animation | None:
    """Source: PNG (Third Edition), 11.3.6: acTL declares the frames, an fcTL precedes each."""
    announced, plays, delays, position = 0, 0, list[int](), 8
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"acTL":
            announced, plays = struct.unpack_from(">II", content, position + 8)
        elif kind == b"IDAT" and not announced:
            return None
        elif kind == b"fcTL" and length >= 26:
            above, below = struct.unpack_from(">HH", content, position + 28)
            delays.append(round(1000 * above / (below or 100)))
        position += 12 + length
    count = min(announced, len(delays))
    return Animation(tuple(delays[:count]), plays) if count > 1 else None

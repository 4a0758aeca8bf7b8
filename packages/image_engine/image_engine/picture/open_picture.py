"""Open a picture with libvips: only headers at first, pixels on demand."""

import os
from mmap import ACCESS_READ, mmap
from typing import Any

import pyvips

from image_core.images.picture_header import PictureFormat
from image_engine.picture import avif_planes
from image_engine.picture.animation_frames import read_animation
from image_engine.picture.color_coding import ColorCoding
from image_engine.picture.exif_orientation import orientation_of
from image_engine.picture.icc_profile import profile_color_space
from image_engine.picture.mended_file import mended_bytes
from image_engine.picture.open_avif import decode_avif
from image_engine.picture.open_tiff import open_tiff_pixels
from image_engine.picture.png_blocks import read_png_blocks
from image_engine.picture.png_color import png_color_coding
from image_engine.picture.stored_picture import StoredPicture, shrink_factor, with_coding, with_profile

_LOADERS: dict[PictureFormat, str] = {
    "jpeg": "jpegload",
    "png": "pngload",
    "webp": "webpload",
    "gif": "gifload",
    "avif": "heifload",
}
_ANIMATED_FORMATS = {"gif", "webp"}
_COLOR_SPACES = {
    **dict.fromkeys(("srgb", "rgb", "rgb16", "scrgb"), "rgb"),
    **dict.fromkeys(("b-w", "grey16"), "gray"),
    "cmyk": "cmyk",
}
_BITS_AND_BYTES = {"uchar": (8, 1), "ushort": (16, 2)}


def open_picture(descriptor: int, picture_format: PictureFormat, *, may_need_mending: bool) -> StoredPicture:
    """Read the header of any format but HEIC and TIFF.

    Raises:
        pyvips.Error: The header is broken, or the loader is blocked.
    """
    mended = mended_bytes(descriptor, picture_format) if may_need_mending else None
    image = _load(descriptor, picture_format, mended)
    delays_ms, loop_count = _animation(descriptor, picture_format, image)
    frames = max(1, len(delays_ms))
    bits, sample_bytes = _BITS_AND_BYTES.get(image.format, (32, 4))
    profile = _metadata(image, "icc-profile-data", None)

    sides = image.width, image.height
    # An open WebP takes a decoder's memory, so it is opened again when that of the header is gone.
    header = None if picture_format == "webp" else image

    def open_pixels(longest_side_px: int) -> pyvips.Image:
        if picture_format == "avif" and avif_planes.is_available:
            return _decode_avif(descriptor, shrink_factor(*sides, longest_side_px), profile)
        options = _shrink_options(sides, picture_format, longest_side_px, frames)
        # The header's image is read no further where a smaller one is: two readers would share one file position.
        is_read_again = header is None or options
        pixels = _load(descriptor, picture_format, mended, **options) if is_read_again else header
        return with_coding(pixels, _png_coding(descriptor, pixels)) if picture_format == "png" else pixels

    return StoredPicture(
        format=picture_format,
        width_px=image.width,
        height_px=image.height,
        frames=frames,
        delays_ms=delays_ms,
        loop_count=loop_count,
        # For a palette image the field is the bit depth of an index, not of the colours.
        bit_depth=bits if _metadata(image, "palette", 0) else _metadata(image, "bits-per-sample", bits),
        has_alpha=bool(image.hasalpha()),
        color_space=_COLOR_SPACES.get(image.interpretation, "other"),
        bytes_per_pixel=image.bands * sample_bytes,
        orientation=_orientation(descriptor, picture_format, image),
        icc_profile=profile,
        exif_block=_metadata(image, "exif-data", None),
        xmp_block=_metadata(image, "xmp-data", None),
        iptc_block=_metadata(image, "iptc-data", None),
        open_pixels=open_pixels,
    )


def open_full_size(descriptor: int, picture_format: PictureFormat) -> pyvips.Image:
    """Open the first frame at its stored size; decoded as it is read, from the top down.

    Raises:
        pyvips.Error: The header is broken.
    """
    if picture_format == "tiff":
        return open_tiff_pixels(descriptor)
    image = _load(descriptor, picture_format, mended_bytes(descriptor, picture_format))
    if picture_format == "png":
        return with_coding(image, _png_coding(descriptor, image))
    if picture_format == "avif" and avif_planes.is_available:
        return _decode_avif(descriptor, 1, _metadata(image, "icc-profile-data", None))
    return image


def open_frames(descriptor: int, picture_format: PictureFormat, frames: int) -> pyvips.Image:
    """Open the first frames of an animation, stacked vertically; decoded as they are read.

    Raises:
        pyvips.Error: A frame is broken.
    """
    return _load(descriptor, picture_format, mended_bytes(descriptor, picture_format), n=frames)


def _load(descriptor: int, picture_format: PictureFormat, mended: bytes | None, **options: Any) -> pyvips.Image:
    # Without fail_on, half a file gives half a picture and grey below it.
    options = {"access": "sequential", "fail_on": "error", **options}
    if mended is not None:
        return getattr(pyvips.Image, f"{_LOADERS[picture_format]}_buffer")(mended, **options)
    os.lseek(descriptor, 0, os.SEEK_SET)
    source = pyvips.Source.new_from_descriptor(descriptor)
    return getattr(pyvips.Image, f"{_LOADERS[picture_format]}_source")(source, **options)


def _decode_avif(descriptor: int, shrink: int, profile: bytes | None) -> pyvips.Image:
    image, coding = decode_avif(descriptor, shrink)
    return with_coding(image, coding) if profile is None else with_profile(image, profile)


def _animation(
    descriptor: int, picture_format: PictureFormat, image: pyvips.Image
) -> tuple[tuple[int, ...], int | None]:
    """Return how long each frame is shown and how often; an empty tuple and None for a still picture."""
    if picture_format in _ANIMATED_FORMATS:
        frames = _metadata(image, "n-pages", 1)
        if frames == 1:
            return (), None
        delays = tuple(_metadata(image, "delay", []))
        return (delays + (0,) * frames)[:frames], _metadata(image, "loop", 0)
    animation = read_animation(descriptor, picture_format)
    return ((), None) if animation is None else (animation.delays_ms, animation.loop_count)


def _png_coding(descriptor: int, image: pyvips.Image) -> ColorCoding | None:
    profile = _metadata(image, "icc-profile-data", b"")
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        return png_color_coding(content, has_profile=profile_color_space(profile) is not None)


def _shrink_options(
    sides: tuple[int, int], picture_format: PictureFormat, longest_side_px: int, frames: int
) -> dict[str, Any]:
    factor = max(sides) / longest_side_px
    if picture_format == "jpeg":
        # The decoder rounds down, so a thin picture's short side must not vanish.
        shrink = next((step for step in (8, 4, 2) if factor >= step and min(sides) >= step), 1)
        return {"shrink": shrink} if shrink > 1 else {}
    # Twice the required size, for the better filter of the resize step.
    if picture_format == "webp" and frames == 1 and factor > 2 and min(sides) >= factor:
        return {"scale": 2 / factor}
    return {}


def _orientation(descriptor: int, picture_format: PictureFormat, image: pyvips.Image) -> int:
    if picture_format == "avif":
        # The decoder has applied the file's own orientation; EXIF's is ignored. Source: ISO/IEC 23000-22, 7.2.1.
        return 1
    if picture_format == "png":
        # libvips misses EXIF after the pixels, and in text chunks.
        with mmap(descriptor, 0, access=ACCESS_READ) as content:
            return orientation_of(read_png_blocks(content).get("exif", b""))
    orientation = _metadata(image, "orientation", 1)
    return orientation if 1 <= orientation <= 8 else 1


def _metadata(image: pyvips.Image, name: str, default: Any) -> Any:
    return image.get(name) if image.get_typeof(name) != 0 else default

"""Decode AVIF to planes with Pillow's libavif, because libheif returns whole pixels in three times the memory.

See decision 19.
"""

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from image_engine.contract.rejections import PictureRejected
from image_engine.picture.color_coding import ColorCoding
from image_engine.picture.open_errors import rejection_of
from image_engine.picture.yuv_planes import YuvPlanes, plane_image

# The version number that every binary-compatible libavif 1.x has.
_LIBRARIES = ("../pillow.libs/libavif*.so.16*", ".dylibs/libavif.16*.dylib")
_OUT_OF_MEMORY = 26
_SHIFTS = {1: (0, 0), 2: (1, 0), 3: (1, 1)}
_GRAY = 4
_MAX_TIMINGS = 4096


class _Image(ctypes.Structure):
    """The first fields of `avifImage`. Source: avif/avif.h, which only appends fields."""

    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("depth", c_uint32),
        ("format", c_int),
        ("range", c_int),
        ("chroma_position", c_int),
        ("planes", c_void_p * 3),
        ("row_bytes", c_uint32 * 3),
        ("owns_planes", c_int),
        ("alpha", c_void_p),
        ("alpha_row_bytes", c_uint32),
        ("owns_alpha", c_int),
        ("alpha_premultiplied", c_int),
        ("icc_data", c_void_p),
        ("icc_bytes", c_size_t),
        ("primaries", c_uint16),
        ("transfer", c_uint16),
        ("matrix", c_uint16),
    )


class _Timing(ctypes.Structure):
    """`avifImageTiming`."""

    _fields_ = (
        ("timescale", c_uint64),
        ("start", c_double),
        ("start_in_timescales", c_uint64),
        ("duration", c_double),
        ("duration_in_timescales", c_uint64),
    )


class _Decoder(ctypes.Structure):
    """The first fields of `avifDecoder`, likewise."""

    _fields_ = (
        ("codec", c_int),
        ("threads", c_int),
        ("source", c_int),
        ("progressive", c_int),
        ("incremental", c_int),
        ("ignore_exif", c_int),
        ("ignore_xmp", c_int),
        ("size_limit", c_uint32),
        ("side_limit", c_uint32),
        ("count_limit", c_uint32),
        ("strict_flags", c_uint32),
        ("image", POINTER(_Image)),
        ("image_index", c_int),
        ("image_count", c_int),
        ("progressive_state", c_int),
        ("timing", _Timing),
        ("timescale", c_uint64),
        ("duration", c_double),
        ("duration_in_timescales", c_uint64),
        ("repetition_count", c_int),
    )


@cache
def _library() -> Any:
    """Load libavif; None if Pillow bundles none of the expected version."""
    try:
        import PIL
    except ImportError:
        return None
    folder = Path(PIL.__file__).parent
    path = next((path for pattern in _LIBRARIES for path in folder.glob(pattern)), None)
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    library.avifDecoderCreate.restype = POINTER(_Decoder)
    library.avifDecoderDestroy.argtypes = [POINTER(_Decoder)]
    library.avifDecoderSetIOMemory.argtypes = [POINTER(_Decoder), c_void_p, c_size_t]
    library.avifDecoderParse.argtypes = library.avifDecoderNextImage.argtypes = [POINTER(_Decoder)]
    library.avifDecoderNthImageTiming.argtypes = [POINTER(_Decoder), c_uint32, POINTER(_Timing)]
    library.avifResultToString.restype = c_char_p
    return library


# Loaded with the codecs, because a worker may not open files later.
is_available = _library() is not None


class AvifDecoder:
    """An AVIF file whose pictures are decoded in sequence. Planes are valid until the next call."""

    def __init__(self, descriptor: int) -> None:
        """Read the header.

        Raises:
            PictureRejected: It is broken.
        """
        self._library = _library()
        self._decoder = self._library.avifDecoderCreate()
        if not self._decoder:
            raise MemoryError
        os.lseek(descriptor, 0, os.SEEK_SET)
        self._content = np.frombuffer(mmap(descriptor, 0, access=ACCESS_READ), dtype=np.uint8)
        settings = self._decoder.contents
        settings.threads, settings.ignore_exif, settings.ignore_xmp, settings.strict_flags = 1, 1, 1, 0
        self._check(self._library.avifDecoderSetIOMemory(self._decoder, self._content.ctypes.data, self._content.size))
        self._check(self._library.avifDecoderParse(self._decoder))

    def __del__(self) -> None:
        """Release the planes."""
        if getattr(self, "_decoder", None):
            self._library.avifDecoderDestroy(self._decoder)
            self._decoder = None

    @property
    def frames(self) -> int:
        """The number of pictures in a sequence; one for a still picture."""
        count: int = self._decoder.contents.image_count
        return count if self._decoder.contents.progressive_state == 0 else 1

    @property
    def delays_ms(self) -> tuple[int, ...]:
        """How long each picture of a sequence is shown."""
        count, timing = self.frames, _Timing()
        if count > _MAX_TIMINGS:
            seconds: float = self._decoder.contents.duration
            return (round(1000 * seconds / count),) * count
        delays = []
        for number in range(count):
            self._check(self._library.avifDecoderNthImageTiming(self._decoder, number, byref(timing)))
            delays.append(round(timing.duration * 1000))
        return tuple(delays)

    @property
    def loop_count(self) -> int:
        """Runs of a sequence; 0 for endless, or if the file does not say."""
        repetitions: int = self._decoder.contents.repetition_count
        return max(0, repetitions + 1)

    def next_planes(self) -> YuvPlanes:
        """Decode the next picture.

        Raises:
            PictureRejected: It is broken, or needs more memory than available.
        """
        self._check(self._library.avifDecoderNextImage(self._decoder))
        image = self._decoder.contents.image.contents
        luma_size, depth = (image.width, image.height), image.depth
        sizes = [luma_size]
        if image.format != _GRAY:
            across, down = _SHIFTS[image.format]
            chroma_size = (image.width + across >> across, image.height + down >> down)
            sizes += [chroma_size, chroma_size]
        planes = tuple(
            plane_image(image.planes[index], self, image.row_bytes[index], size, depth)
            for index, size in enumerate(sizes)
        )
        alpha = plane_image(image.alpha, self, image.alpha_row_bytes, luma_size, depth) if image.alpha else None
        full_range, premultiplied = image.range == 1, bool(image.alpha_premultiplied)
        coding = ColorCoding(image.primaries, image.transfer)
        return YuvPlanes(planes, alpha, depth, image.matrix, full_range, premultiplied, coding)

    def _check(self, result: int) -> None:
        if result == _OUT_OF_MEMORY:
            raise PictureRejected("picture-too-much-memory")
        if result != 0:
            raise rejection_of(self._library.avifResultToString(result).decode())

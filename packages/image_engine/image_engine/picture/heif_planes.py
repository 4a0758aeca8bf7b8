"""Decode HEIC of more than 8 bits to planes with pillow-heif's libheif.

See decision 19.
"""

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint8, c_void_p
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from image_engine.contract.rejections import PictureRejected
from image_engine.picture.open_errors import rejection_of
from image_engine.picture.yuv_planes import YuvPlanes, plane_image

_LIBRARIES = ("../pillow_heif.libs/libheif*.so.1*", ".dylibs/libheif.1*.dylib")
# Source: libheif/heif_image.h and heif_error.h.
_ANY_COLOR_SPACE, _ANY_CHROMA = 99, 99
_LUMA, _CHROMA_BLUE, _CHROMA_RED, _ALPHA = 0, 1, 2, 6
_RED, _GREEN, _BLUE = 3, 4, 5
_MEMORY_ERROR = 6
_IDENTITY, _REC601 = 0, 6


class _Error(ctypes.Structure):
    _fields_ = (("code", c_int), ("detail", c_int), ("message", c_char_p))


class _Nclx(ctypes.Structure):
    _fields_ = (
        ("version", c_uint8),
        ("primaries", c_int),
        ("transfer", c_int),
        ("matrix", c_int),
        ("full_range", c_uint8),
    )


@cache
def _library() -> Any:
    """Load libheif; None if pillow-heif bundles none."""
    try:
        import pillow_heif
    except ImportError:
        return None
    folder = Path(pillow_heif.__file__).parent
    path = next((path for pattern in _LIBRARIES for path in folder.glob(pattern)), None)
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    library.heif_context_alloc.restype = c_void_p
    library.heif_context_read_from_memory_without_copy.argtypes = [c_void_p, c_void_p, c_size_t, c_void_p]
    library.heif_context_get_primary_image_handle.argtypes = [c_void_p, POINTER(c_void_p)]
    library.heif_decode_image.argtypes = [c_void_p, POINTER(c_void_p), c_int, c_int, c_void_p]
    for name in ("context_read_from_memory_without_copy", "context_get_primary_image_handle", "decode_image"):
        getattr(library, f"heif_{name}").restype = _Error
    library.heif_context_set_max_decoding_threads.argtypes = [c_void_p, c_int]
    library.heif_context_free.argtypes = [c_void_p]
    library.heif_image_handle_release.argtypes = library.heif_image_release.argtypes = [c_void_p]
    library.heif_image_handle_is_premultiplied_alpha.argtypes = [c_void_p]
    library.heif_image_get_plane_readonly.argtypes = [c_void_p, c_int, POINTER(c_int)]
    library.heif_image_get_plane_readonly.restype = c_void_p
    for name in ("width", "height", "bits_per_pixel_range"):
        getattr(library, f"heif_image_get_{name}").argtypes = [c_void_p, c_int]
    library.heif_image_has_channel.argtypes = [c_void_p, c_int]
    library.heif_image_get_nclx_color_profile.argtypes = [c_void_p, POINTER(POINTER(_Nclx))]
    library.heif_image_get_nclx_color_profile.restype = _Error
    library.heif_nclx_color_profile_free.argtypes = [POINTER(_Nclx)]
    return library


# Loaded with the codecs, because a worker may not open files later.
is_available = _library() is not None


class _DecodedImage:
    """A picture in libheif's memory, released with the last view of its planes."""

    def __init__(self, library: Any, pointer: c_void_p) -> None:
        self.pointer = pointer
        self._library = library

    def __del__(self) -> None:
        self._library.heif_image_release(self.pointer)


def decode_heif_planes(descriptor: int) -> YuvPlanes:
    """Decode the primary picture, rotated, mirrored and cropped as the file specifies.

    Raises:
        PictureRejected: It is broken, or needs more memory than available.
    """
    library = _library()
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = np.frombuffer(mmap(descriptor, 0, access=ACCESS_READ), dtype=np.uint8)
    context, handle, image = library.heif_context_alloc(), c_void_p(), c_void_p()
    try:
        library.heif_context_set_max_decoding_threads(context, 0)
        _check(library.heif_context_read_from_memory_without_copy(context, content.ctypes.data, content.size, None))
        _check(library.heif_context_get_primary_image_handle(context, byref(handle)))
        _check(library.heif_decode_image(handle, byref(image), _ANY_COLOR_SPACE, _ANY_CHROMA, None))
        premultiplied = bool(library.heif_image_handle_is_premultiplied_alpha(handle))
    finally:
        if handle.value is not None:
            library.heif_image_handle_release(handle)
        library.heif_context_free(context)
    return _planes(library, _DecodedImage(library, image), premultiplied=premultiplied)


def _planes(library: Any, image: _DecodedImage, *, premultiplied: bool) -> YuvPlanes:
    matrix, full_range = _coding(library, image.pointer)
    names = [_LUMA, _CHROMA_BLUE, _CHROMA_RED]
    if library.heif_image_has_channel(image.pointer, _RED):
        names, matrix, full_range = [_GREEN, _BLUE, _RED], _IDENTITY, True
    names = [name for name in names if library.heif_image_has_channel(image.pointer, name)]
    depth = int(library.heif_image_get_bits_per_pixel_range(image.pointer, names[0]))
    planes = tuple(_plane(library, image, name, depth) for name in names)
    alpha = None
    if library.heif_image_has_channel(image.pointer, _ALPHA):
        alpha = _plane(library, image, _ALPHA, depth)
    return YuvPlanes(planes, alpha, depth, matrix, full_range, premultiplied)


def _plane(library: Any, image: _DecodedImage, name: int, depth: int) -> Any:
    row_bytes = c_int()
    address = library.heif_image_get_plane_readonly(image.pointer, name, byref(row_bytes))
    if library.heif_image_get_bits_per_pixel_range(image.pointer, name) != depth:
        raise PictureRejected("image-variant-not-supported", "Not supported: planes of different depths.")
    size = (library.heif_image_get_width(image.pointer, name), library.heif_image_get_height(image.pointer, name))
    return plane_image(address, image, row_bytes.value, size, depth)


def _coding(library: Any, image: c_void_p) -> tuple[int, bool]:
    """Return matrix coefficients and whether the range is full; libheif's assumption if the file specifies neither."""
    found = POINTER(_Nclx)()
    error = library.heif_image_get_nclx_color_profile(image, byref(found))
    if error.code != 0:
        return _REC601, True
    coding = found.contents.matrix, bool(found.contents.full_range)
    library.heif_nclx_color_profile_free(found)
    return coding


def _check(error: _Error) -> None:
    if error.code == _MEMORY_ERROR:
        raise PictureRejected("picture-too-much-memory")
    if error.code != 0:
        raise rejection_of((error.message or b"").decode("utf-8", "replace"))

"""What libvips may open, and what it caches. Called once in each worker, before its first picture."""

from collections.abc import Iterable

import pyvips

from image_core.images.picture_header import PictureFormat

# Source: the release notes; older versions accept thumbnails of broken files and bundle a libheif with known holes.
MINIMAL_VERSION = (8, 18, 7)

_LOADERS: dict[PictureFormat, str] = {
    "jpeg": "VipsForeignLoadJpeg",
    "png": "VipsForeignLoadPng",
    "webp": "VipsForeignLoadWebp",
    "gif": "VipsForeignLoadNsgif",
    "avif": "VipsForeignLoadHeif",
    "tiff": "VipsForeignLoadTiff",
}


def restrict_libvips(formats: Iterable[PictureFormat]) -> None:
    """Block every loader except those of the given formats, and disable caches.

    Raises:
        RuntimeError: This libvips is too old for untrusted files.
    """
    version = tuple(pyvips.version(part) for part in range(3))
    if version < MINIMAL_VERSION:
        raise RuntimeError(f"libvips {version} is installed, at least {MINIMAL_VERSION} is needed")
    pyvips.operation_block_set("VipsForeignLoad", True)
    for picture_format in formats:
        if picture_format in _LOADERS:
            pyvips.operation_block_set(_LOADERS[picture_format], False)
    # Last, because the lines above would also unblock a loader that libvips itself calls untrusted.
    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)
    pyvips.cache_set_max_mem(0)
    pyvips.cache_set_max_files(0)

"""One scene in every format and kind of samples, all of which must look the same."""

import io
from collections.abc import Callable

import numpy as np
import pyvips
from PIL import Image

from image_engine.testing.pictures import heic, scene

SCENE = scene()


def pil(mode: str, picture_format: str, **options: object) -> bytes:
    """Return the scene as Pillow writes it."""
    target = io.BytesIO()
    Image.fromarray(SCENE.numpy()).convert(mode).save(target, picture_format, **options)
    return target.getvalue()


def display_p3() -> pyvips.Image:
    """Return the scene in Display P3, with the embedded profile."""
    return SCENE.icc_transform("p3")


STILLS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: SCENE.jpegsave_buffer(Q=92),
    "progressive jpeg": lambda: SCENE.jpegsave_buffer(Q=92, interlace=True),
    "gray jpeg": lambda: pil("L", "JPEG", quality=92),
    "cmyk jpeg": lambda: SCENE.icc_transform("cmyk").jpegsave_buffer(Q=95, keep="none"),
    "cmyk jpeg with profile": lambda: SCENE.icc_transform("cmyk").jpegsave_buffer(Q=95),
    "display p3 jpeg": lambda: display_p3().jpegsave_buffer(Q=95),
    "png": SCENE.pngsave_buffer,
    "interlaced png": lambda: SCENE.pngsave_buffer(interlace=True),
    "16-bit png": lambda: SCENE.colourspace("rgb16").pngsave_buffer(),
    "16-bit display p3 png": lambda: SCENE.icc_transform("p3", depth=16).copy(interpretation="rgb16").pngsave_buffer(),
    "16-bit gray png": lambda: (
        (pyvips.Image.new_from_array(np.array(Image.fromarray(SCENE.numpy()).convert("L"))) * 257.0)
        .cast("ushort")
        .copy(interpretation="grey16")
        .pngsave_buffer()
    ),
    "gray png with alpha": lambda: pil("LA", "PNG"),
    "webp": lambda: SCENE.webpsave_buffer(Q=92),
    "lossless webp": lambda: SCENE.webpsave_buffer(lossless=True),
    "gif": lambda: pil("P", "GIF"),
    "tiff": lambda: SCENE.tiffsave_buffer(compression="deflate"),
    "big tiff": lambda: SCENE.tiffsave_buffer(bigtiff=True),
    "lab tiff": lambda: SCENE.colourspace("lab").tiffsave_buffer(),
    "tiff with many bands": lambda: SCENE.bandjoin([255, SCENE]).copy(interpretation="srgb").tiffsave_buffer(),
    "avif": lambda: SCENE.heifsave_buffer(compression="av1", Q=80, effort=0),
    "10-bit avif": lambda: SCENE.heifsave_buffer(compression="av1", Q=80, effort=0, bitdepth=10),
    "heic": lambda: heic(SCENE),
    "display p3 heic": lambda: heic(display_p3(), icc_profile=display_p3().get("icc-profile-data")),
}

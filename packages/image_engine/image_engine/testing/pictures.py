"""Generated pictures for tests: every format and every oddity that the service must handle."""

import io
import struct
import time
import zlib
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest
from image_engine.worker.analysis import analyze_picture

ORIENTATIONS = range(1, 9)


def scene(width_px: int = 320, height_px: int = 240) -> pyvips.Image:
    """Return an sRGB picture, shape (height, width, 3), that looks different in each of the eight orientations."""
    x, y = np.meshgrid(np.linspace(0, 1, width_px), np.linspace(0, 1, height_px))
    pixels = np.stack([40 + 180 * x, 60 + 120 * y, 200 - 150 * x * y], axis=2)
    pixels += 12 * np.sin(40 * x + 23 * y)[..., np.newaxis]
    pixels[(x < 0.35) & (y < 0.25)] = (220, 30, 40)
    pixels[(x > 0.7) & (y > 0.1) & (y < 0.5)] = (20, 160, 60)
    pixels[(x - 0.35) ** 2 + (y - 0.7) ** 2 < 0.02] = (245, 240, 220)
    return pyvips.Image.new_from_array(np.clip(pixels, 0, 255).astype(np.uint8)).copy(interpretation="srgb")


def photograph(width_px: int = 4000, height_px: int = 3000, seed: int = 7) -> bytes:
    """Return a JPEG with detail on every scale and some noise, about as hard to encode as a photograph."""
    random = np.random.default_rng(seed)
    image = scene(width_px, height_px).cast("float")
    for cells, strength in ((24, 60.0), (96, 40.0), (384, 26.0), (1200, 14.0)):
        coarse = random.normal(0, strength, (max(2, cells * height_px // width_px), cells, 1)).astype(np.float32)
        layer = pyvips.Image.new_from_array(coarse).resize(width_px / cells, kernel="cubic")
        image += layer.gravity("centre", width_px, height_px, extend="mirror")
    noise = pyvips.Image.gaussnoise(width_px, height_px, sigma=5, seed=seed)
    return cast("bytes", (image + noise).cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=92, keep="none"))


def animation(picture_format: str, frames: int = 5, *, loop: int = 3, delay_ms: int = 80, side_px: int = 120) -> bytes:
    """Return a GIF or WebP in which a square moves over a scene."""
    background = scene(side_px * 4 // 3, side_px).numpy()
    drawn = []
    for index in range(frames):
        pixels = background.copy()
        pixels[20:50, 10 + 8 * index % side_px : 40 + 8 * index % side_px] = (250, 250, 0)
        drawn.append(Image.fromarray(pixels))
    target = io.BytesIO()
    drawn[0].save(target, picture_format, save_all=True, append_images=drawn[1:], duration=delay_ms, loop=loop)
    return target.getvalue()


def heic(image: pyvips.Image, *, turned_by: bytes | None = None, **options: Any) -> bytes:
    """Return a HEIC file of 8-bit RGB; with an EXIF block in `turned_by` it is also rotated, as by phones."""
    import pillow_heif

    container = pillow_heif.from_pillow(Image.fromarray(image.numpy()))
    if turned_by is not None:
        container[0].info["exif"] = turned_by
    target = io.BytesIO()
    container.save(target, quality=80, **options)
    return target.getvalue()


def palette_png(image: pyvips.Image, transparent_part: float = 0.5) -> bytes:
    """Return a PNG of 8-bit palette colours whose upper part is transparent."""
    with_alpha = Image.fromarray(image.numpy()).convert("RGBA")
    alpha = np.full((image.height, image.width), 255, dtype=np.uint8)
    alpha[: int(image.height * transparent_part)] = 0
    with_alpha.putalpha(Image.fromarray(alpha))
    target = io.BytesIO()
    with_alpha.quantize(64, method=Image.Quantize.FASTOCTREE).save(target, "PNG")
    return target.getvalue()


def png_header(width_px: int, height_px: int) -> bytes:
    """Return the first bytes of a grey PNG of any size, including zero and absurd ones."""
    content = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", content)


def png_bomb(width_px: int, height_px: int) -> bytes:
    """Return a valid grey PNG of about a thousandth of a byte per pixel."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width_px)
    rows = b"".join(packer.compress(row) for _ in range(height_px)) + packer.flush()
    return png_header(width_px, height_px) + _png_chunk(b"IDAT", rows) + _png_chunk(b"IEND", b"")


def exif_block(orientation: int = 1, *, place: tuple[float, float] | None = None) -> bytes:
    """Return an EXIF block as a camera writes it, with control characters as left by a careless one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker\x00junk"
    exif[0x0110] = "Model\x07 One"
    details = exif.get_ifd(0x8769)
    details.update({0x829A: IFDRational(1, 125), 0x829D: IFDRational(28, 10), 0x8827: 400, 0x920A: 35.0})
    details.update({0xA434: "Lens 35 mm", 0x9003: "2024:05:06 07:08:09", 0x9011: "+02:00"})
    if place is not None:
        latitude, longitude = place
        gps = exif.get_ifd(0x8825)
        gps.update({1: "N" if latitude >= 0 else "S", 2: (abs(latitude), 0.0, 0.0)})
        gps.update({3: "E" if longitude >= 0 else "W", 4: (abs(longitude), 0.0, 0.0), 5: b"\x01", 6: 12.5})
    return exif.tobytes()


def with_metadata(image: pyvips.Image, **blocks: bytes) -> pyvips.Image:
    """Attach `exif`, `xmp`, `icc` or `iptc` blocks for a saver to write."""
    dressed = image.copy()
    names = {"exif": "exif-data", "xmp": "xmp-data", "icc": "icc-profile-data", "iptc": "iptc-data"}
    for name, content in blocks.items():
        dressed.set_type(pyvips.GValue.blob_type, names[name], content)
    return dressed


def jpeg(image: pyvips.Image, *, exif: bytes | None = None, icc: bytes | None = None, **options: Any) -> bytes:
    """Return a JPEG written by Pillow, which writes EXIF blocks unchanged."""
    target = io.BytesIO()
    extra = {name: value for name, value in (("exif", exif), ("icc_profile", icc)) if value is not None}
    Image.fromarray(image.numpy()).save(target, "JPEG", quality=92, **extra, **options)
    return target.getvalue()


def turned_for(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """Return what a camera stores so that a viewer that applies the orientation sees the image."""
    pixels: npt.NDArray[np.uint8] = image.numpy()
    # A viewer rotates clockwise and then mirrors; the camera's file is the inverse. Source: Exif 2.32, tag 0x0112.
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels, -1),
    }[orientation]
    return pyvips.Image.new_from_array(np.ascontiguousarray(stored)).copy(interpretation="srgb")


def difference(first: pyvips.Image, second: pyvips.Image) -> float:
    """Return how different two pictures look: mean difference of 8-bit samples at 64 by 64 pixels, on white."""
    small = []
    for image in (first, second):
        flat = image.flatten(background=[255, 255, 255]) if image.hasalpha() else image
        srgb = flat.colourspace("srgb").cast("uchar")
        small.append(srgb.thumbnail_image(64, height=64, size="force", no_rotate=True).numpy().astype(np.float64))
    return float(np.abs(small[0] - small[1]).mean())


def png(pixels: npt.NDArray[Any]) -> bytes:
    """Return a PNG in sRGB of pixels of shape (height, width, bands), rounded and clipped to 8 bits."""
    samples = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    image = pyvips.Image.new_from_array(samples).copy(interpretation="srgb" if samples.shape[2] > 2 else "b-w")
    return cast("bytes", image.pngsave_buffer(compression=1))


def analyzed(content: bytes, analyzer: str, **parameters: Any) -> dict[str, Any]:
    """Return the result of an analyzer on a picture, computed in this process."""
    with open_picture_file() as picture:
        picture.write(content)
        request = AnalysisRequest((AnalysisOrder(analyzer, parameters),))
        (outcome,) = analyze_picture(picture.fileno(), request, time.monotonic() + 60).outcomes
    if outcome.result is None:
        raise ValueError(f"{outcome.failure} {outcome.place}")
    return outcome.result


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

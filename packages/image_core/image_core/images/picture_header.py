"""Detection of format and size from the first bytes of a file, without any codec.

The API calls it before it accepts an upload, the processor before it decodes. Only the bytes count: a filename's
extension and a declared content type are never consulted.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from image_core.images.heif_items import read_items
from image_core.images.tiff_directory import MAGICS as TIFF_MAGICS
from image_core.images.tiff_directory import full_size_page, is_raw_photograph, read_pages
from image_core.images.tiff_support import unsupported_tiff
from image_core.images.variant_limits import heif_limit, jpeg_limit, png_limit

PictureFormat = Literal["jpeg", "png", "webp", "gif", "avif", "heic", "tiff"]

PREFIX_BYTES = 65_536
"""A prefix of this size holds the dimensions of nearly every picture; 32 bytes are enough for the format of most."""

_CONTENT_TYPES: dict[PictureFormat, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "heic": "image/heic",
    "tiff": "image/tiff",
}
_FORMATS = {content_type: name for name, content_type in _CONTENT_TYPES.items()}
_EXTENSIONS: dict[PictureFormat, str] = {"jpeg": "jpg", "tiff": "tif"}

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_CONTAINER_BRANDS = frozenset({b"mif1", b"msf1"})
_MAX_BOX_DEPTH = 4
_HEIF_CODINGS: dict[bytes | None, PictureFormat] = {b"av01": "avif", b"hvc1": "heic"}
_OTHER_CODINGS = {
    b"avc1": "AVC (H.264)",
    b"vvc1": "VVC (H.266)",
    b"j2k1": "JPEG 2000",
    b"jpeg": "JPEG",
    b"unci": "uncompressed pixels",
    b"mski": "a mask",
}


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """The format of a picture and, if the prefix reaches that far, its size as stored.

    Attributes:
        format: determined by the bytes alone.
        width_px: as stored, before any orientation is applied; None if the prefix ends before it.
        height_px: as `width_px`.
        unsupported: a feature of the picture that cannot be decoded here; None if the prefix shows none.
        max_pixels: a limit for this kind of picture, below the general one; None if it has none.
    """

    format: PictureFormat
    width_px: int | None
    height_px: int | None
    unsupported: str | None = None
    max_pixels: int | None = None

    @property
    def content_type(self) -> str:
        """The media type to store and serve the bytes with."""
        return _CONTENT_TYPES[self.format]

    @property
    def extension(self) -> str:
        """The customary filename extension, without a dot."""
        return _EXTENSIONS.get(self.format, self.format)


def format_of(content_type: str) -> PictureFormat | None:
    """Return the format with this media type; None if there is none."""
    return _FORMATS.get(content_type)


def detect(prefix: bytes) -> PictureHeader | None:
    """Return format and size from the first bytes; None for anything but the seven formats. Never raises."""
    picture_format = _detect_format(prefix)
    if picture_format is None:
        return None
    try:
        size = _SIZE_READERS[picture_format](prefix)
    except (struct.error, IndexError, OverflowError):
        size = None
    width_px, height_px = size or (None, None)
    return PictureHeader(
        picture_format,
        width_px,
        height_px,
        _unsupported(picture_format, prefix),
        _variant_limit(picture_format, prefix),
    )


def _variant_limit(picture_format: PictureFormat, prefix: bytes) -> int | None:
    try:
        if picture_format == "png":
            return png_limit(prefix)
        if picture_format == "jpeg":
            return jpeg_limit(prefix, _jpeg_frame(prefix))
        return heif_limit(prefix) if picture_format in {"avif", "heic"} else None
    except (struct.error, IndexError):
        return None


def _unsupported(picture_format: PictureFormat, prefix: bytes) -> str | None:
    if picture_format == "tiff":
        return _tiff_unsupported(prefix)
    if picture_format == "png" and prefix[12:16] == b"CgBI":
        return "Apple's own variant of PNG (CgBI), which Xcode puts into apps"
    if picture_format == "jpeg":
        return _jpeg_unsupported(prefix)
    return _heif_unsupported(prefix) if picture_format in {"avif", "heic"} else None


def describe_unknown(prefix: bytes) -> str | None:
    """Name the type of a file that `detect` does not recognise, with its article: "a PDF document".

    Return None if that type is not recognised either. Never raises.
    """
    for signature, offset, name in _OTHER_KINDS:
        if prefix[offset : offset + len(signature)] == signature:
            return name
    if prefix.startswith(TIFF_MAGICS) and is_raw_photograph(prefix):
        return "a camera raw file"
    if prefix[4:8] == b"ftyp":
        return _describe_iso_media(prefix)
    return _describe_text(prefix)


def _detect_format(prefix: bytes) -> PictureFormat | None:
    if prefix.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if prefix.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if prefix.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if prefix.startswith(b"RIFF") and prefix[8:12] == b"WEBP":
        return "webp"
    if prefix.startswith(TIFF_MAGICS):
        return None if is_raw_photograph(prefix) else "tiff"
    return _detect_heif(prefix)


# --- JPEG ---------------------------------------------------------------------------------------------------------


# Source: ITU-T T.81, table B.1: hierarchical processes, and arithmetic coding without a sequential or progressive one.
_UNDECODED_JPEG_PROCESSES = {0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}


def _jpeg_size(prefix: bytes) -> tuple[int, int] | None:
    position = _jpeg_frame(prefix)
    if position is None:
        return None
    height_px, width_px = struct.unpack_from(">HH", prefix, position + 5)
    return width_px, height_px


def _jpeg_unsupported(prefix: bytes) -> str | None:
    position = _jpeg_frame(prefix)
    if position is None or position + 5 > len(prefix):
        return None
    if prefix[position + 1] in _UNDECODED_JPEG_PROCESSES:
        return "JPEG of a hierarchical or arithmetic-coded lossless process"
    return None if prefix[position + 4] == 8 else f"JPEG with samples of {prefix[position + 4]} bits"


def _jpeg_frame(prefix: bytes) -> int | None:
    """Find the frame header. Source: ITU-T T.81, B.1.1.3 (markers) and B.2.2 (frame header)."""
    position = 2
    while position + 4 <= len(prefix):
        if prefix[position] != 0xFF:
            return None
        marker = prefix[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        elif marker in {0xD9, 0xDA}:
            return None
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return position
        else:
            position += 2 + max(2, struct.unpack_from(">H", prefix, position + 2)[0])
    return None


# --- PNG, GIF, WebP -----------------------------------------------------------------------------------------------


def _png_size(prefix: bytes) -> tuple[int, int] | None:
    # Apple's variant puts a CgBI chunk before IHDR; it cannot be decoded here, and its size stays unknown.
    if prefix[12:16] != b"IHDR":
        return None
    width_px, height_px = struct.unpack_from(">II", prefix, 16)
    return width_px, height_px


def _gif_size(prefix: bytes) -> tuple[int, int]:
    width_px, height_px = struct.unpack_from("<HH", prefix, 6)
    return width_px, height_px


def _webp_size(prefix: bytes) -> tuple[int, int] | None:
    """Source: RFC 9649, sections 2.5 to 2.7 and 3.4; RFC 6386, section 9.1."""
    chunk = prefix[12:16]
    if chunk == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", prefix, 24)
        return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1
    if chunk == b"VP8L" and prefix[20:21] == b"\x2f":
        bits = struct.unpack_from("<I", prefix, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and prefix[23:26] == b"\x9d\x01\x2a":
        width_px, height_px = struct.unpack_from("<HH", prefix, 26)
        return width_px & 0x3FFF, height_px & 0x3FFF
    return None


# --- TIFF ---------------------------------------------------------------------------------------------------------


def _tiff_size(prefix: bytes) -> tuple[int, int] | None:
    """Return the size of the page to show; None if its directory is beyond the prefix."""
    place = full_size_page(read_pages(prefix))
    return None if place is None or place.page.is_reduced else place.page.size


def _tiff_unsupported(prefix: bytes) -> str | None:
    place = full_size_page(read_pages(prefix))
    return None if place is None or place.page.is_reduced else unsupported_tiff(place.page)


# --- HEIF: AVIF and HEIC ------------------------------------------------------------------------------------------


def _detect_heif(prefix: bytes) -> PictureFormat | None:
    if prefix[4:8] != b"ftyp":
        return None
    coding = read_items(prefix).coding_of_primary()
    if coding in _HEIF_CODINGS:
        return _HEIF_CODINGS[coding]
    brands = _iso_media_brands(prefix)
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIC_BRANDS:
        return "heic"
    if brands & _CONTAINER_BRANDS:
        # The brand only says that there is a picture; the codec is named in the item's configuration.
        return "avif" if b"av01" in prefix or b"av1C" in prefix else "heic"
    return None


def _heif_unsupported(prefix: bytes) -> str | None:
    coding = read_items(prefix).coding_of_primary()
    if coding is None or coding in _HEIF_CODINGS:
        return None
    return f"HEIF coded with {_OTHER_CODINGS.get(coding, 'something else than HEVC or AV1')}"


def _iso_media_brands(prefix: bytes) -> set[bytes]:
    box_bytes = min(int.from_bytes(prefix[:4], "big"), 256, len(prefix))
    compatible = {prefix[offset : offset + 4] for offset in range(16, box_bytes - 3, 4)}
    return {prefix[8:12], *compatible}


def _heif_size(prefix: bytes) -> tuple[int, int] | None:
    """Return the largest `ispe`: a tiled picture lists the size of one tile and of the whole.

    Source: ISO/IEC 23008-12, 6.5.3 (image spatial extents).
    """
    sizes = list(_spatial_extents(prefix, 0, len(prefix), 0))
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _spatial_extents(prefix: bytes, start: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
    position = start
    while position + 8 <= end:
        box_bytes, kind = struct.unpack_from(">I4s", prefix, position)
        box_end = min(end, position + box_bytes) if box_bytes >= 8 else end
        if kind == b"ispe" and position + 20 <= box_end:
            width_px, height_px = struct.unpack_from(">II", prefix, position + 12)
            yield width_px, height_px
        elif kind in {b"meta", b"iprp", b"ipco"} and depth < _MAX_BOX_DEPTH:
            # Of these, only `meta` is a full box, with four bytes of version and flags before its content.
            content = position + (12 if kind == b"meta" else 8)
            yield from _spatial_extents(prefix, content, box_end, depth + 1)
        position = box_end


_SIZE_READERS: dict[PictureFormat, Callable[[bytes], tuple[int, int] | None]] = {
    "jpeg": _jpeg_size,
    "png": _png_size,
    "webp": _webp_size,
    "gif": _gif_size,
    "avif": _heif_size,
    "heic": _heif_size,
    "tiff": _tiff_size,
}


# --- Kinds that are known by name only ----------------------------------------------------------------------------

_OTHER_KINDS: tuple[tuple[bytes, int, str], ...] = (
    (b"%PDF-", 0, "a PDF document"),
    (b"8BPS", 0, "a Photoshop document"),
    (b"\xff\x0a", 0, "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a", 0, "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a", 0, "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000 picture"),
    (b"\x00\x00\x01\x00", 0, "a Windows icon"),
    (b"\x00\x00\x02\x00", 0, "a Windows cursor"),
    (b"BM", 0, "a BMP picture"),
    (b"qoif", 0, "a QOI picture"),
    (b"\x76\x2f\x31\x01", 0, "an OpenEXR picture"),
    (b"#?RADIANCE", 0, "a Radiance HDR picture"),
    (b"DDS ", 0, "a DirectDraw surface"),
    (b"gimp xcf", 0, "a GIMP picture"),
    (b"FUJIFILMCCD-RAW", 0, "a camera raw file"),
    (b"IIU\x00", 0, "a camera raw file"),
    (b"IIRO", 0, "a camera raw file"),
    (b"IIRS", 0, "a camera raw file"),
    (b"MMOR", 0, "a camera raw file"),
    (b"\x00MRM", 0, "a camera raw file"),
    (b"FOVb", 0, "a camera raw file"),
    (b"HEAPCCDR", 6, "a camera raw file"),
    (b"ARRI", 0, "a camera raw file"),
    (b"NOKIARAW", 0, "a camera raw file"),
    (b"%!PS", 0, "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", 0, "a PostScript document"),
    (b"\x1aE\xdf\xa3", 0, "a Matroska or WebM video"),
    (b"AVI ", 8, "an AVI video"),
    (b"WAVE", 8, "a WAVE sound file"),
    (b"ID3", 0, "an MP3 sound file"),
    (b"OggS", 0, "an Ogg sound or video file"),
    (b"fLaC", 0, "a FLAC sound file"),
    (b"PK\x03\x04", 0, "a ZIP archive or an Office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "an Office document"),
    (b"\x1f\x8b", 0, "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive"),
    (b"Rar!\x1a\x07", 0, "a RAR archive"),
    (b"\x7fELF", 0, "a program"),
    (b"MZ", 0, "a program"),
)

_VIDEO_BRANDS = (b"isom", b"iso", b"mp4", b"M4V", b"avc1", b"3gp", b"3g2", b"dash", b"MSNV")
_MARKUP = re.compile(rb"<(svg|!doctype\s+svg|html|!doctype\s+html|head|body|script)\b", re.IGNORECASE)


def _describe_iso_media(prefix: bytes) -> str:
    brand = prefix[8:12]
    if brand == b"crx ":
        return "a camera raw file"
    if brand == b"qt  ":
        return "a QuickTime video"
    if brand.startswith(b"M4A"):
        return "an MPEG-4 sound file"
    return "an MP4 video" if brand.startswith(_VIDEO_BRANDS) else "a media file"


def _describe_text(prefix: bytes) -> str | None:
    text = prefix[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"<"):
        return None
    markup = _MARKUP.search(text)
    if markup is None:
        return "an XML document" if text.startswith(b"<?xml") else None
    return "an SVG drawing" if b"svg" in markup.group(1).lower() else "an HTML page"

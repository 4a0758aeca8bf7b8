"""Find EXIF, XMP and IPTC in a PNG file: in their own chunks, and in the text chunks that older writers use.

The whole file is searched: libvips reads a header only up to the first pixels, but editors append chunks.
"""

import struct
import zlib
from collections.abc import Iterator
from mmap import mmap

_MAX_CHUNKS = 10_000
# Each may be two thousand times as large as in the file. Writers leave one of a kind.
_MAX_TEXTS = 16
_MAX_BLOCK_BYTES = 2 * 1024 * 1024
_XMP = b"XML:com.adobe.xmp"
# The format of ImageMagick and its successors: the block's bytes in hexadecimal digits.
_RAW_PROFILE = b"Raw profile type "
_RAW_KINDS = {b"exif": "exif", b"APP1": "exif", b"xmp": "xmp", b"iptc": "iptc", b"8bim": "iptc"}
_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\x00"


def read_png_blocks(content: bytes | mmap) -> dict[str, bytes]:
    """Return the first `exif`, `xmp` and `iptc` block. Never raises."""
    found: dict[str, bytes] = {}
    texts = 0
    for kind, chunk in _chunks(content):
        if kind == b"eXIf":
            # EXIF's own chunk takes precedence over text.
            found["exif"] = chunk
            continue
        keyword, text = _text(kind, chunk)
        texts += bool(keyword)
        if texts > _MAX_TEXTS:
            break
        if keyword == _XMP:
            found["xmp"] = text
        elif keyword.startswith(_RAW_PROFILE):
            name, block = _raw_profile(keyword.removeprefix(_RAW_PROFILE), text)
            found.setdefault(name, block)
    return {name: block for name, block in found.items() if block}


def _chunks(content: bytes | mmap) -> Iterator[tuple[bytes, bytes]]:
    """Source: PNG (Third Edition), 5.3: length, type, data and check of each chunk."""
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(content):
            return
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind in {b"eXIf", b"tEXt", b"zTXt", b"iTXt"} and length <= _MAX_BLOCK_BYTES:
            yield kind, bytes(content[position + 8 : position + 8 + length])
        position += 12 + length


def _text(kind: bytes, chunk: bytes) -> tuple[bytes, bytes]:
    """Return keyword and text. Source: PNG (Third Edition), 11.3.3."""
    keyword, _, rest = chunk.partition(b"\x00")
    if keyword != _XMP and not keyword.startswith(_RAW_PROFILE):
        return b"", b""
    compressed = kind == b"zTXt"
    if kind == b"iTXt":
        compressed = rest[:1] == b"\x01"
        rest = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    elif compressed:
        rest = rest[1:]
    return keyword, _inflate(rest) if compressed else rest


def _inflate(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, _MAX_BLOCK_BYTES)
    except zlib.error:
        return b""


def _raw_profile(name: bytes, text: bytes) -> tuple[str, bytes]:
    """Decode a line with the kind, a line with the length, and digits."""
    lines = text.strip().split(b"\n", 2)
    try:
        block = bytes.fromhex(lines[2].decode("ascii")) if len(lines) == 3 else b""
    except ValueError:
        block = b""
    if block.startswith(_XMP_SEGMENT):
        return "xmp", block.removeprefix(_XMP_SEGMENT)
    return _RAW_KINDS.get(name, ""), block

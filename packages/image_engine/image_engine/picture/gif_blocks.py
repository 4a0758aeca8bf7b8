"""Walk the blocks of a GIF file, to recognise a complete one that lacks its trailer."""

from dataclasses import dataclass
from mmap import mmap

_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
_XMP_EXTENSION, _XMP_TRAILER = b"\x21\xff\x0bXMP DataXMP", b"\x01\xff\xfe\xfd"
_MAX_CODE_BITS = 12


def gif_has_pixels(content: mmap) -> bool:
    """Return whether every frame that begins has its pixels.

    Raises:
        IndexError: The file ends within a block that is not a frame's data.
    """
    last = _last_block(content)
    if last.kind == _FRAME and last.end > len(content):
        return _breaks_off_behind_pixels(content, last.start)
    # A control block precedes a frame.
    return last.kind in {_TRAILER, None} or (last.frames > 0 and not last.controls_frame)


def missing_end(content: mmap) -> bytes:
    """Return what a file lacks after its pixels: the rest of a block, and the trailer. Empty for a complete file."""
    try:
        last = _last_block(content)
    except IndexError:
        return b""
    if last.kind in {_TRAILER, None}:
        return b""
    return bytes(max(0, last.end - len(content))) + bytes([_TRAILER])


def read_gif_xmp(content: mmap) -> bytes:
    """Return the XMP packet, empty if there is none. It is stored contiguously, not in sub-blocks.

    Source: XMP Specification Part 3, 1.1.2; the trailer leads readers without XMP support to its end.
    """
    extension = content.find(_XMP_EXTENSION)
    start = extension + len(_XMP_EXTENSION)
    return content[start : content.find(_XMP_TRAILER, start)] if extension >= 0 else b""


@dataclass(frozen=True, slots=True)
class _Block:
    """The last block of a file: the trailer, one at which the file ends, or None for invalid data.

    Attributes:
        end: for a truncated frame, where it would end if its data had no further part.
        frames: how many complete frames precede the end.
    """

    kind: int | None
    start: int
    end: int
    frames: int
    controls_frame: bool = False


def _last_block(content: mmap) -> _Block:
    """Source: GIF89a specification, 15 to 27: blocks of chains of sub-blocks, up to the trailer."""
    position, frames = 13 + _color_table_bytes(content[10]), 0
    last = _Block(_EXTENSION, position, position, 0)
    while position < len(content):
        kind, start = content[position], position
        if kind == _EXTENSION:
            controls_frame = content[start + 1] == _GRAPHIC_CONTROL
            position = _skip_sub_blocks(content, start + 2)
            if position > len(content):
                raise IndexError
            last = _Block(kind, start, position, frames, controls_frame)
        elif kind == _FRAME:
            position = _skip_sub_blocks(content, _frame_data(content, start) + 1)
            frames += position <= len(content)
            last = _Block(kind, start, position, frames)
        else:
            # Invalid data is damage, which the decoder reports, not truncation.
            return _Block(_TRAILER if kind == _TRAILER else None, start, start + 1, frames)
    return last


def _frame_data(content: mmap, frame: int) -> int:
    return frame + 10 + _color_table_bytes(content[frame + 9])


def _breaks_off_behind_pixels(content: mmap, frame: int) -> bool:
    data = _frame_data(content, frame)
    width_px = content[frame + 5] | content[frame + 6] << 8
    height_px = content[frame + 7] | content[frame + 8] << 8
    parts, position = bytearray(), data + 1
    while position < len(content) and content[position]:
        parts += content[position + 1 : position + 1 + content[position]]
        position += 1 + content[position]
    return _count_pixels(bytes(parts), content[data], width_px * height_px) >= width_px * height_px


def _count_pixels(data: bytes, least_bits: int, enough: int) -> int:
    """Count the pixels that an LZW stream gives, as far as it goes. Source: GIF89a specification, appendix F."""
    if not 1 <= least_bits < _MAX_CODE_BITS:
        return 0
    clear, end = 1 << least_bits, (1 << least_bits) + 1
    lengths = [1] * (clear + 2)
    code_bits, pixels, before = least_bits + 1, 0, 0
    held, held_bits = 0, 0
    for byte in data:
        held |= byte << held_bits
        held_bits += 8
        while held_bits >= code_bits:
            code, held, held_bits = held & ((1 << code_bits) - 1), held >> code_bits, held_bits - code_bits
            if code == clear:
                del lengths[clear + 2 :]
                code_bits, before = least_bits + 1, 0
                continue
            if code == end:
                return pixels
            if before and len(lengths) < 1 << _MAX_CODE_BITS:
                lengths.append(before + 1)
            if code >= len(lengths):
                return pixels
            before = lengths[code]
            pixels += before
            if pixels >= enough:
                return pixels
            if len(lengths) == 1 << code_bits and code_bits < _MAX_CODE_BITS:
                code_bits += 1
    return pixels


def _color_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(content: mmap, position: int) -> int:
    """Find the end of a chain; if the file ends within it, return an offset beyond the file."""
    while position < len(content) and content[position]:
        position += 1 + content[position]
    return position + 1

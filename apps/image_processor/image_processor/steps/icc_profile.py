"""Read name and colour space of an ICC profile."""

import struct

from image_processor.steps.text import clean_text

_SRGB_NAMES = ("srgb iec61966-2.1", "srgb iec61966-2-1", "srgb built-in", "srgb2014", "iec 61966-2.1 default rgb")
_SRGB_EXACT_NAMES = ("srgb", "c2", "c2ci")


def profile_color_space(profile: bytes) -> str | None:
    """The space of the data that the profile describes, four characters; None for what is no profile.

    Source: ICC.1:2022, 7.2.
    """
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("latin-1")


def describe_profile(profile: bytes) -> str | None:
    """The profile's description, None for a broken one.

    Source: ICC.1:2022, 9.2.41 and 10.15 (version 4); ICC.1:2001-04, 6.5.17 (version 2).
    """
    try:
        content = _find_tag(profile, b"desc")
        return None if content is None else _decode_description(content)
    except struct.error:
        return None


def is_srgb(description: str | None) -> bool:
    """Tell by its name whether a profile is the space that derivatives are in."""
    name = (description or "").lower()
    return name.startswith(_SRGB_NAMES) or name in _SRGB_EXACT_NAMES


def _find_tag(profile: bytes, wanted: bytes) -> bytes | None:
    tag_count = struct.unpack_from(">I", profile, 128)[0]
    for index in range(min(tag_count, 100)):
        signature, offset, size_bytes = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if signature == wanted:
            return profile[offset : offset + min(size_bytes, 4096)]
    return None


def _decode_description(content: bytes) -> str | None:
    if content[:4] == b"desc":
        length = struct.unpack_from(">I", content, 8)[0]
        return clean_text(content[12 : 12 + length])
    if content[:4] == b"mluc":
        length, offset = struct.unpack_from(">II", content, 20)
        return clean_text(content[offset : offset + length].decode("utf-16-be", "replace"))
    return None

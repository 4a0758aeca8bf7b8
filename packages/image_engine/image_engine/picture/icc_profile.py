"""Read name, colour space and content of an ICC profile."""

import struct

import numpy as np

from image_engine.picture.color_coding import Floats
from image_engine.picture.text import clean_text

# The columns of sRGB's matrix under D50, and the tolerance for a profile's. Source: IEC 61966-2-1, adapted.
_SRGB_COLUMNS = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_COLUMN_TOLERANCE = 0.003
# A smaller deviation of a curve, in its output samples, cannot be seen in 8 bits.
_CURVE_TOLERANCE = 1.5 / 255
_CURVE_SAMPLES = np.linspace(0.04, 1, 25)
_LOOK_UP_TABLES = (b"A2B0", b"A2B1", b"D2B0")
_MAX_TAG_BYTES = 65_536


def profile_color_space(profile: bytes) -> str | None:
    """Return the colour space of the profile's data, four characters; None if it is not a profile.

    Source: ICC.1:2022, 7.2.
    """
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("latin-1")


def describe_profile(profile: bytes) -> str | None:
    """Return the profile's description; None for a broken profile.

    Source: ICC.1:2022, 9.2.41 and 10.15 (version 4); ICC.1:2001-04, 6.5.17 (version 2).
    """
    try:
        content = _find_tag(profile, b"desc")
        return None if content is None else _decode_description(content[:4096])
    except struct.error:
        return None


def is_srgb(profile: bytes) -> bool:
    """Return whether a profile's primaries and curves are those of sRGB, whatever its name."""
    try:
        if profile_color_space(profile) != "RGB " or any(_find_tag(profile, tag) for tag in _LOOK_UP_TABLES):
            return False
        for name, column in _SRGB_COLUMNS.items():
            content = _find_tag(profile, name) or b""
            values = np.array(struct.unpack_from(">3i", content, 8)) / 65_536
            if np.abs(values - column).max() > _COLUMN_TOLERANCE:
                return False
        return all(_is_srgb_curve(_find_tag(profile, name) or b"") for name in (b"rTRC", b"gTRC", b"bTRC"))
    except struct.error:
        return False


def _is_srgb_curve(content: bytes) -> bool:
    with np.errstate(all="ignore"):
        light = _light(content)
    if light is None:
        return False
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)
    return bool(np.abs(shown - _CURVE_SAMPLES).max() < _CURVE_TOLERANCE)


def _light(content: bytes) -> Floats | None:
    """Apply a curve to some samples. Source: ICC.1:2022, 10.6 and 10.18."""
    if content[:4] == b"curv":
        (count,) = struct.unpack_from(">I", content, 8)
        if count == 0:
            return _CURVE_SAMPLES
        if count == 1:
            return np.asarray(_CURVE_SAMPLES ** (struct.unpack_from(">H", content, 12)[0] / 256), dtype=np.float64)
        table = np.array(struct.unpack_from(f">{count}H", content, 12)) / 65_535
        return np.interp(_CURVE_SAMPLES, np.linspace(0, 1, count), table)
    if content[:4] != b"para":
        return None
    (kind,) = struct.unpack_from(">H", content, 8)
    if kind != 3:
        # Of the other types only those with a linear beginning resemble sRGB.
        return _light_of_other_kinds(content, kind)
    g, a, b, c, d = (value / 65_536 for value in struct.unpack_from(">5i", content, 12))
    light: Floats = np.where(d <= _CURVE_SAMPLES, np.maximum(a * _CURVE_SAMPLES + b, 0) ** g, c * _CURVE_SAMPLES)
    return light


def _light_of_other_kinds(content: bytes, kind: int) -> Floats | None:
    if kind == 0:
        return np.asarray(_CURVE_SAMPLES ** (struct.unpack_from(">i", content, 12)[0] / 65_536), dtype=np.float64)
    if kind != 4:
        return None
    g, a, b, c, d, e, f = (value / 65_536 for value in struct.unpack_from(">7i", content, 12))
    curved, straight = np.maximum(a * _CURVE_SAMPLES + b, 0) ** g + e, c * _CURVE_SAMPLES + f
    light: Floats = np.where(d <= _CURVE_SAMPLES, curved, straight)
    return light


def _find_tag(profile: bytes, tag: bytes) -> bytes | None:
    tag_count = struct.unpack_from(">I", profile, 128)[0]
    for index in range(min(tag_count, 100)):
        signature, offset, size_bytes = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if signature == tag:
            return profile[offset : offset + min(size_bytes, _MAX_TAG_BYTES)]
    return None


def _decode_description(content: bytes) -> str | None:
    if content[:4] == b"desc":
        length = struct.unpack_from(">I", content, 8)[0]
        return clean_text(content[12 : 12 + length])
    if content[:4] == b"mluc":
        length, offset = struct.unpack_from(">II", content, 20)
        return clean_text(content[offset : offset + length].decode("utf-16-be", "replace"))
    return None

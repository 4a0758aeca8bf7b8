"""Numeric colour codings of files, converted to ICC profiles, so that there is one way to sRGB for all of them.

Light beyond white (PQ, HLG) is mapped to the screen's range by the profile's curve. See decision 20.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

_D65, _C, _E = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3)
# Red, green, blue and white by colour primaries. Source: ITU-T H.273, table 2.
_PRIMARIES: dict[int, Chromaticities] = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
SRGB_PRIMARIES = _PRIMARIES[1]
_UNSPECIFIED, _LINEAR, _SRGB, _PQ, _CINEMA, _HLG = 2, 8, 13, 16, 17, 18
_GAMMAS = {4: 2.2, 5: 2.8}
# Source: ITU-R BT.2408: graphics white, and the usual peak of a master.
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
_CURVE_POINTS = 4096
_VERSION = 0x02400000
# Source: ICC.1:2022, 6.3.4.3, and the Bradford matrix of its annex E.
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True, slots=True)
class ColorCoding:
    """The colours that a file declares without a profile, numbered as in ITU-T H.273.

    Attributes:
        full_range: False if black is 16 and white is 235 of 255, in RGB samples.
        gamma: replaces the transfer: light is the sample to this power.
        chromaticities: replace the primaries.
    """

    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED
    full_range: bool = True
    gamma: float | None = None
    chromaticities: Chromaticities | None = None

    def profile(self, *, gray: bool) -> bytes | None:
        """Return a profile for RGB or grey samples; None for sRGB and for unknown codings."""
        return _profile(self, gray)


def srgb_to_light(values: Floats) -> Floats:
    """Source: IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=16)
def _profile(coding: ColorCoding, gray: bool) -> bytes | None:
    chromaticities = coding.chromaticities or _PRIMARIES.get(coding.primaries, SRGB_PRIMARIES)
    to_light = _transfer(coding)
    if to_light is None:
        return None
    is_srgb_curve = to_light is srgb_to_light and coding.full_range
    if is_srgb_curve and (gray or _is_srgb(chromaticities)):
        return None
    samples = np.linspace(0, 1, _CURVE_POINTS)
    if not coding.full_range:
        samples = np.clip((samples * 255 - 16) / 219, 0, 1)
    curve = _curve(np.clip(to_light(samples), 0, 1))
    white = _tag_xyz(_D50)
    if gray:
        return _file(b"GRAY", {b"wtpt": white, b"kTRC": curve})
    matrix = _to_d50(chromaticities)
    columns = {name: _tag_xyz(matrix[:, index]) for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return _file(b"RGB ", {b"wtpt": white, **columns, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def _is_srgb(chromaticities: Chromaticities) -> bool:
    return bool(np.abs(np.array(chromaticities) - np.array(SRGB_PRIMARIES)).max() < 0.002)


# --- Curves -------------------------------------------------------------------------------------------------------


def _transfer(coding: ColorCoding) -> Callable[[Floats], Floats] | None:
    """Return the function that converts samples to light, 1 for white; None for unknown transfers.

    Broadcast curves (1, 6, 14, 15) describe cameras; screens, and so browsers, show them as sRGB.
    """
    gamma = coding.gamma or _GAMMAS.get(coding.transfer)
    if gamma is not None:
        return lambda values: values**gamma
    curves: dict[int, Callable[[Floats], Floats]] = {
        **dict.fromkeys((1, 6, _UNSPECIFIED, _SRGB, 14, 15), srgb_to_light),
        _LINEAR: lambda values: values,
        _CINEMA: lambda values: values**2.6 * (52.37 / 48),
        _PQ: lambda values: _tone_mapped(_pq_to_nits(values)),
        _HLG: lambda values: _tone_mapped(_hlg_to_nits(values)),
    }
    return curves.get(coding.transfer)


def _pq_to_nits(values: Floats) -> Floats:
    """Source: SMPTE ST 2084."""
    root = values ** (1 / 78.84375)
    return 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)


def _nits_to_pq(nits: Floats) -> Floats:
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _hlg_to_nits(values: Floats) -> Floats:
    """Source: ITU-R BT.2100, tables 5 and 6, with the display's gamma of 1.2 for each channel separately."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    return _PEAK_NITS * scene**1.2


def _tone_mapped(nits: Floats) -> Floats:
    """Keep dark values and roll off bright ones. Source: ITU-R BT.2390, 5.4.1."""
    peak, white = _nits_to_pq(np.array(_PEAK_NITS)), _nits_to_pq(np.array(_WHITE_NITS))
    top = white / peak
    knee = 1.5 * top - 0.5
    values = np.minimum(_nits_to_pq(nits) / peak, 1)
    t = np.clip((values - knee) / (1 - knee), 0, 1)
    rolled = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * top
    return _pq_to_nits(np.where(values < knee, values, rolled) * peak) / _WHITE_NITS


# --- The profile's file -------------------------------------------------------------------------------------------


def _to_d50(chromaticities: Chromaticities) -> Floats:
    """Convert RGB light to XYZ under D50, the reference white of profiles. Source: ICC.1:2022, annex E."""
    points = np.array([[x / max(y, 1e-6), 1, (1 - x - y) / max(y, 1e-6)] for x, y in chromaticities])
    colors, white = points[:3].T, points[3]
    matrix = colors * np.linalg.solve(colors, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: Floats = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ matrix
    return adapted


def _tag_xyz(values: Floats) -> bytes:
    return b"XYZ \x00\x00\x00\x00" + struct.pack(">3i", *(round(float(value) * 65_536) for value in values))


def _curve(light: Floats) -> bytes:
    table = np.rint(light * 65_535).astype(">u2").tobytes()
    return b"curv\x00\x00\x00\x00" + struct.pack(">I", len(light)) + table


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Source: ICC.1:2022, 7: header, table of tags, their data."""
    name = b"desc\x00\x00\x00\x00" + struct.pack(">I", 6) + b"coded\x00" + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": name, b"cprt": b"text\x00\x00\x00\x00CC0\x00", **tags}
    table, data, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        # The three curves are the same.
        if content not in places:
            places[content] = start + len(data)
            data += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", tag, places[content], len(content))
    white = tuple(round(float(value) * 65_536) for value in _D50)
    head = struct.pack(">I4xI4s4s4s12x4s28x3i", start + len(data), _VERSION, b"mntr", space, b"XYZ ", b"acsp", *white)
    return head.ljust(128, b"\x00") + struct.pack(">I", len(tags)) + table + data

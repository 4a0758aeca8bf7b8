"""A placeholder of about thirty characters, to be shown while the picture loads."""

from functools import cache

import numpy as np
import numpy.typing as npt

from image_engine.picture.pixels import ANALYSIS_SIDE_PX, Pixels

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_Floats = npt.NDArray[np.float64]


def blurhash(square: Pixels, width_px: int, height_px: int) -> str:
    """Encode a picture of shape (32, 32, 3), sRGB; the true size decides which direction gets finer detail.

    Source: https://github.com/woltapp/blurhash, Algorithm.md.
    """
    columns, rows = (4, 3) if width_px >= height_px else (3, 4)
    factors = _cosines(rows) @ np.moveaxis(_linear_table()[square], 2, 0) @ _cosines(columns).T
    factors = np.moveaxis(factors, 0, 2).reshape(-1, 3) / ANALYSIS_SIDE_PX**2
    average, details = factors[0], factors[1:] * 2
    strongest = float(np.abs(details).max())
    step = max(0, min(82, int(strongest * 166 - 0.5)))
    quantised = _quantise(details / ((step + 1) / 166))
    head = _base83(columns - 1 + (rows - 1) * 9, 1) + _base83(step, 1) + _base83(_average_color(average), 4)
    return head + "".join(_base83(int(value), 2) for value in quantised)


def _quantise(details: _Floats) -> npt.NDArray[np.int64]:
    levels = np.clip(np.floor(np.sign(details) * np.sqrt(np.abs(details)) * 9 + 9.5), 0, 18).astype(np.int64)
    return np.asarray(levels @ np.array([361, 19, 1]), dtype=np.int64)


def _average_color(linear: _Floats) -> int:
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in np.clip(encoded * 255 + 0.5, 0, 255))
    return red << 16 | green << 8 | blue


def _base83(value: int, length: int) -> str:
    return "".join(_ALPHABET[value // 83**place % 83] for place in reversed(range(length)))


@cache
def _cosines(count: int) -> _Floats:
    position = np.arange(ANALYSIS_SIDE_PX) / ANALYSIS_SIDE_PX
    return np.asarray(np.cos(np.pi * np.arange(count)[:, np.newaxis] * position), dtype=np.float64)


@cache
def _linear_table() -> _Floats:
    """Return linear light for each of the 256 sRGB values. Source: IEC 61966-2-1."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)

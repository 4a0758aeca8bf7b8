"""A fingerprint that stays nearly the same when a picture is scaled, compressed or slightly retouched."""

from functools import cache

import numpy as np
import numpy.typing as npt

from image_engine.picture.pixels import ANALYSIS_SIDE_PX, Pixels

_LOW_FREQUENCIES = 8
_REC601_LUMA = np.array([0.299, 0.587, 0.114])


def perceptual_hash(square: Pixels) -> str:
    """Hash a picture of shape (32, 32, 3): 64 bits as 16 hexadecimal digits, low frequencies first.

    Pictures are alike if few bits differ (a Hamming distance up to about 10). A change to any constant here is a new
    algorithm and needs a new `PERCEPTUAL_HASH_ALGORITHM`.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, 3.2.1.
    """
    luma = square @ _REC601_LUMA
    basis = _dct_basis()
    # Coefficients that should be zero, as in a flat picture, must not depend on the machine's rounding.
    coefficients = np.round((basis @ luma @ basis.T).ravel(), 3)
    # The constant term only represents brightness; it would shift the median.
    bits = coefficients > np.median(coefficients[1:])
    return np.packbits(bits).tobytes().hex()


@cache
def _dct_basis() -> npt.NDArray[np.float64]:
    """Return the first eight rows of the DCT-II, shape (8, 32)."""
    frequency = np.arange(_LOW_FREQUENCIES)[:, np.newaxis]
    position = np.arange(ANALYSIS_SIDE_PX)[np.newaxis, :]
    return np.asarray(np.cos(np.pi * frequency * (2 * position + 1) / (2 * ANALYSIS_SIDE_PX)), dtype=np.float64)

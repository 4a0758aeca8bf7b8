"""Synthetic faces with known colours, for tests and benchmarks."""

import numpy as np
import numpy.typing as npt
import pyvips

Lab = tuple[float, float, float]

WIDTH_PX, HEIGHT_PX = 900, 1200


def skin_lab(ita_degrees: float) -> Lab:
    """Return a skin colour in CIELAB with that individual typology angle, and with a typical a* and b*."""
    b = float(np.interp(ita_degrees, [-60, -30, 10, 40, 70], [10, 15, 20, 17, 12]))
    a = float(np.interp(ita_degrees, [-60, -30, 10, 40, 70], [8, 11, 13, 10, 7]))
    return 50 + b * float(np.tan(np.radians(ita_degrees))), a, b


def face(
    ita_degrees: float, *, shine: float = 0.0, redness: float = 0.0, grain: float = 0.8, seed: int = 3
) -> tuple[pyvips.Image, npt.NDArray[np.bool_]]:
    """Return an sRGB picture of 900 by 1,200 pixels with a face before a grey wall, and a mask of the skin.

    Args:
        ita_degrees: of the skin where it is neither shiny nor red.
        shine: share of the skin under highlights.
        redness: added to a* on the cheeks, two tenths of the skin.
        grain: standard deviation of L* from pixel to pixel, at 450 by 600 pixels.
        seed: for the grain.
    """
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    u, v = (x - WIDTH_PX / 2) / 300, (y - HEIGHT_PX / 2) / 400
    is_face = u**2 + v**2 < 1
    features = [(-0.38, -0.2, 0.16, 0.06), (0.38, -0.2, 0.16, 0.06), (0.0, 0.52, 0.3, 0.06)]
    is_feature = np.any([((u - du) / w) ** 2 + ((v - dv) / h) ** 2 < 1 for du, dv, w, h in features], axis=0)
    is_skin = is_face & ~is_feature
    lab = np.empty((HEIGHT_PX, WIDTH_PX, 3), dtype=np.float32)
    lab[...] = (60, 0, -2)
    lab[(u / 1.15) ** 2 + ((v + 0.2) / 1.1) ** 2 < 1] = (16, 1, 2)
    lab[is_face] = skin_lab(ita_degrees)
    lab[is_feature] = (28, 14, 8)
    # Light from the left: a matt face is darker on the other side.
    lab[..., 0] -= np.where(is_face, 3 * u, 0)
    if redness:
        lab[..., 1] += np.where(((np.abs(u) - 0.48) / 0.32) ** 2 + ((v - 0.18) / 0.32) ** 2 < 1, redness, 0)
    if shine:
        is_shiny = ((u / 0.6) ** 2 + ((v + 0.58) / 0.2) ** 2 < shine / 0.11) & is_skin
        lab[is_shiny] *= (1, 0.3, 0.3)
        lab[is_shiny, 0] += min(20.0, 95 - skin_lab(ita_degrees)[0])
    coarse = np.random.default_rng(seed).normal(0, grain, (HEIGHT_PX // 2, WIDTH_PX // 2)).astype(np.float32)
    lab[..., 0] += coarse.repeat(2, axis=0).repeat(2, axis=1)
    image = pyvips.Image.new_from_array(lab).copy(interpretation="lab").colourspace("srgb").cast("uchar")
    return image.copy_memory(), is_skin

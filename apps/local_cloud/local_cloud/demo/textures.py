"""Surfaces: cloth, stone, tiles, terrazzo, wood and contour lines."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from local_cloud.demo.canvas import Canvas, ramp, rgb


def woven(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Weave a plaid of threads over and under each other."""
    thread = max(6, canvas.unit // 110)
    column, row = (canvas.x // thread).astype(int), (canvas.y // thread).astype(int)
    stripes = np.array([0] * 9 + [1] * 4 + [0] * 2 + [2] * 7 + [3] + [2] * 7 + [0] * 2 + [1] * 4)
    colors = np.stack([rgb(color) for color in palette])
    warp, weft = colors[stripes[column % len(stripes)]], colors[stripes[row % len(stripes)]]
    over = ((column + row) // 2 % 2 == 0)[..., None]
    canvas.pixels = np.where(over, warp, weft)
    across = np.sin((canvas.x % thread + 0.5) / thread * math.pi)
    along = np.sin((canvas.y % thread + 0.5) / thread * math.pi)
    light = np.where(over[..., 0], across * (0.85 + 0.15 * along), along * (0.85 + 0.15 * across))
    canvas.pixels *= (0.62 + 0.42 * light + 0.12 * (canvas.noise(60, 2) - 0.5)).astype(np.float32)[..., None]
    return canvas.finish(0.02)


def marble(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Fold veins through stone."""
    warp = canvas.noise(2, 6)
    veins = np.abs(np.sin((canvas.x / canvas.unit * 2 + canvas.y / canvas.unit * 1.2 + warp * 3.6) * math.pi))
    fine = np.abs(np.sin((canvas.y / canvas.unit - warp * 2.7) * 9))
    canvas.pixels = ramp(palette, np.clip(veins**0.45 * 0.8 + 0.2 * fine**0.3, 0, 1).astype(np.float32))
    return canvas.finish(0.006)


def terrazzo(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Scatter chips of stone over plaster; the first colour is the plaster."""
    canvas.pixels[:] = rgb(palette[0])
    spacing = canvas.unit / 11
    for row in range(int(canvas.height / spacing) + 2):
        for column in range(int(canvas.width / spacing) + 2):
            x, y = (np.array([column, row]) + canvas.rng.uniform(-0.4, 0.4, 2)) * spacing
            radius = spacing * canvas.rng.uniform(0.12, 0.48)
            turns = np.sort(canvas.rng.uniform(0, math.tau, int(canvas.rng.integers(5, 8))))
            lengths = radius * canvas.rng.uniform(0.75, 1.0, len(turns))
            points = [(x + math.cos(a) * r, y + math.sin(a) * r) for a, r in zip(turns, lengths, strict=True)]
            canvas.polygon(points, palette[1 + int(canvas.rng.integers(len(palette) - 1))])
    return canvas.finish(0.022)


def tiles(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Lay quarter circles and diamonds in a grid."""
    side = canvas.unit / 6
    for row in range(math.ceil(canvas.height / side)):
        for column in range(math.ceil(canvas.width / side)):
            x, y = column * side, row * side
            ground, shape, dot = canvas.rng.choice(len(palette), 3, replace=False)
            canvas.box((x, y), (side, side), palette[ground])
            corner = [(x, y), (x + side, y), (x, y + side), (x + side, y + side)][int(canvas.rng.integers(4))]
            _quarter(canvas, corner, (x, y), side, palette[shape])
            center = (2 * x + side - corner[0], 2 * y + side - corner[1])
            _quarter(canvas, center, (x, y), side * 0.36, palette[dot], side)
    return canvas.finish(0.012)


def _quarter(
    canvas: Canvas, center: tuple[float, float], cell: tuple[float, float], radius: float, color: str,
    side: float | None = None,
) -> None:  # fmt: skip
    left, top = round(cell[0]), round(cell[1])
    side = radius if side is None else side
    right, bottom = min(canvas.width, round(cell[0] + side)), min(canvas.height, round(cell[1] + side))
    distance = np.hypot(canvas.x[:, left:right] - center[0], canvas.y[top:bottom] - center[1])
    canvas.blend(color, np.clip(radius - distance + 0.5, 0, 1).astype(np.float32), (left, top, right, bottom))


def wood(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Cut planks with grain."""
    plank = canvas.height / 5
    index = np.floor(canvas.y / plank)
    shift = canvas.rng.uniform(0, 30, 6)[index.astype(int)]
    # Grain runs along the plank: its noise is stretched across the picture.
    few = canvas.noise(5, 2)[:, : max(2, canvas.width // 8)]
    warp = np.asarray(Image.fromarray(few).resize((canvas.width, canvas.height), Image.Resampling.BICUBIC))
    lines = np.sin((canvas.y / canvas.unit * 34 + shift + warp * 7) * 2)
    pores = np.asarray(
        Image.fromarray(canvas.rng.random((canvas.height, max(2, canvas.width // 60)), np.float32)).resize(
            (canvas.width, canvas.height), Image.Resampling.BICUBIC
        )
    )
    tone = 0.45 + 0.28 * lines + 0.25 * (pores - 0.5) + 0.25 * (np.sin(shift * 5) * 0.5)
    canvas.pixels = ramp(palette, tone.astype(np.float32))
    edge = np.minimum(canvas.y % plank, plank - canvas.y % plank)
    canvas.pixels *= (1 - 0.55 * np.exp(-edge / (canvas.unit * 0.004))).astype(np.float32)[..., None]
    return canvas.finish(0.012)


def contours(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Draw height lines of an invented land."""
    height = canvas.noise(2.2, 3) * 14
    canvas.pixels = ramp(palette[:-1], (np.floor(height) / 14).astype(np.float32))
    slope = np.hypot(*np.gradient(height)) + 1e-4
    away = np.abs(height - np.round(height)) / slope
    canvas.blend(palette[-1], np.clip(1.6 - away, 0, 1).astype(np.float32) * np.float32(0.7))
    return canvas.finish(0.006)

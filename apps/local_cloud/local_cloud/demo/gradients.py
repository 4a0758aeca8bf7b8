"""Soft colour: meshes of light, rings and flowing bands."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from local_cloud.demo.canvas import Canvas, Floats, ramp, rgb


def mesh(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Blend lights of several colours into each other."""
    small = (96, max(2, round(96 * canvas.height / canvas.width)))
    x = np.linspace(0, 1, small[0])[None, :]
    y = np.linspace(0, 1, small[1])[:, None]
    total, weights = np.zeros((small[1], small[0], 3)), np.zeros((small[1], small[0], 1))
    for color in [*palette, *palette]:
        cx, cy = canvas.rng.uniform(-0.1, 1.1, 2)
        weight = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) * 9)[..., None] + 1e-4
        total += rgb(color) * weight
        weights += weight
    canvas.pixels = _enlarged((total / weights).astype(np.float32), canvas)
    return canvas.finish(0.012)


def flow(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Fold bands of colour along smooth noise."""
    height = canvas.noise(1.6, 2) * 2.4 + canvas.y / canvas.height * 0.8
    folded = np.abs((height * 1.5) % 2 - 1)
    canvas.pixels = ramp(palette, folded)
    shade = np.gradient(height, axis=1) * canvas.unit * 0.07 + np.gradient(height, axis=0) * canvas.unit * 0.05
    canvas.pixels *= 1 + np.clip(shade, -0.25, 0.25).astype(np.float32)[..., None]
    return canvas.finish(0.01)


def rings(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Draw rings around a point outside the middle."""
    center = (canvas.width * 0.64, canvas.height * 0.58)
    distance = np.hypot(canvas.x - center[0], canvas.y - center[1]) / canvas.unit
    step = np.floor(distance * 9)
    inside = distance * 9 - step
    canvas.pixels = ramp(palette, (step / 11 + inside * 0.06).astype(np.float32))
    canvas.pixels *= (1 - 0.28 * np.exp(-inside * 5)).astype(np.float32)[..., None]
    return canvas.finish(0.008)


def _enlarged(small: Floats, canvas: Canvas) -> Floats:
    size = (canvas.width, canvas.height)
    bands = [Image.fromarray(small[..., band]).resize(size, Image.Resampling.BICUBIC) for band in range(3)]
    return np.stack([np.asarray(band) for band in bands], axis=-1)

"""Landscapes in layers: mountains, nights, seas, dunes and forests."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from local_cloud.demo.canvas import Canvas, mix, ramp, ridge

GRAIN = 0.008


def mountains(canvas: Canvas, palette: Sequence[str], sun: tuple[float, float] | None = None) -> Image.Image:
    """Draw ranges that turn darker towards the viewer. Palette: top of the sky, middle, horizon, nearest range."""
    canvas.sky(palette[:3], 0.7)
    if sun is not None:
        _sun(canvas, sun, mix(palette[2], "#ffffff", 0.6))
    layers = 6
    for layer in range(layers):
        near = layer / (layers - 1)
        base = canvas.height * (0.46 + 0.44 * near)
        relief = canvas.height * (0.24 - 0.08 * near)
        heights = ridge(canvas.rng, canvas.width, _bumps(canvas, 2.2 + 1.6 * near), 8, 0.47)
        color = mix(palette[2], palette[3], 0.18 + 0.82 * near**0.9)
        canvas.below(base - heights * relief, color, mix(color, palette[2], 0.45 * (1 - near)))
    return canvas.finish(GRAIN)


def night(canvas: Canvas, palette: Sequence[str], aurora: str | None = None) -> Image.Image:
    """Draw a starry sky over dark hills. Palette: top, middle, horizon, hills."""
    canvas.sky(palette[:3], 0.85)
    band = (canvas.x / canvas.width - 0.5) * 0.9 + canvas.y / canvas.height - 0.42
    clouds = canvas.noise(4, 5)
    canvas.blend(mix(palette[2], "#ffffff", 0.35), np.exp(-((band / 0.16) ** 2)) * clouds**2 * np.float32(0.5))
    if aurora is not None:
        _aurora(canvas, aurora)
    _stars(canvas)
    for layer in range(3):
        heights = ridge(canvas.rng, canvas.width, _bumps(canvas, 2 + layer), 7, 0.45)
        skyline = canvas.height * (0.80 + 0.08 * layer) - heights * canvas.height * 0.13
        canvas.below(skyline, mix(palette[2], palette[3], 0.6 + 0.2 * layer))
    _trees(canvas, 0.99, 0.12, mix(palette[3], "#000000", 0.4))
    return canvas.finish(GRAIN)


def sea(canvas: Canvas, palette: Sequence[str], sun: float = 0.5) -> Image.Image:
    """Draw a sun over water. Palette: top of the sky, middle, horizon, deep water."""
    horizon = round(canvas.height * 0.56)
    canvas.sky(palette[:3], 0.56)
    center, light = canvas.width * sun, mix(palette[2], "#fff6dd", 0.7)
    _sun(canvas, (sun, 0.47), light)
    streaks = canvas.noise(3, 5)[::3]
    stretched = np.asarray(Image.fromarray(streaks).resize((canvas.width * 2, canvas.height // 3)))
    clouds = np.zeros((canvas.height, canvas.width), np.float32)
    clouds[: canvas.height // 3] = np.clip(stretched[:, : canvas.width] * 2.2 - 1.1, 0, 1)
    canvas.blend(light, clouds * np.linspace(0.75, 0, canvas.height, dtype=np.float32)[:, None] ** 2)
    depth = np.clip((canvas.y[horizon:] - horizon) / (canvas.height - horizon), 0, 1)
    phase = canvas.noise(2, 3)[horizon:] * 14
    waves = np.sin((depth + 0.05) ** 0.45 * 260 + phase + canvas.x / canvas.unit * 2) * (0.02 + 0.06 * depth)
    water = ramp([mix(palette[2], palette[3], 0.25), palette[3], mix(palette[3], "#000000", 0.3)], depth + waves)
    canvas.pixels[horizon:] = water
    spread = canvas.unit * (0.05 + 0.3 * depth)
    path = np.exp(-(((canvas.x - center) / spread) ** 2))
    glitter = np.clip(np.sin((depth + 0.05) ** 0.45 * 260 + phase * 2.3) * 1.6 - 0.2, 0, 1)
    canvas.blend(light, path * glitter * (0.9 - 0.5 * depth), (0, horizon, canvas.width, canvas.height))
    for layer in range(2):
        heights = ridge(canvas.rng, canvas.width, _bumps(canvas, 2), 7, 0.5)
        fall = np.clip((canvas.x[0] / canvas.width - 0.5) * (1.6 if layer else -1.5), 0, 1)
        skyline = horizon + 1 - heights * fall * canvas.height * 0.22
        edge = np.where((canvas.y < horizon) & (canvas.y > skyline), np.float32(1), np.float32(0))
        canvas.blend(mix(palette[2], palette[3], 0.55 + 0.25 * layer), edge)
    return canvas.finish(GRAIN)


def dunes(canvas: Canvas, palette: Sequence[str], sun: tuple[float, float] | None = None) -> Image.Image:
    """Draw dunes with a lit and a shaded side. Palette: top of the sky, horizon, lit sand, shade."""
    canvas.sky(palette[:2], 0.55)
    if sun is not None:
        _sun(canvas, sun, "#fff4d6")
    along = canvas.x[0] / canvas.width * max(1.0, canvas.width / canvas.height)
    for layer in range(5):
        near = layer / 4
        swing = canvas.rng.uniform(0, math.tau, 3)
        wave = np.sin(along * (2.2 - near) + swing[0]) + 0.5 * np.sin(along * (4.1 - near) + swing[1])
        skyline = canvas.height * (0.5 + 0.37 * near + (0.05 + 0.02 * near) * wave)
        lit = mix(palette[1], palette[2], 0.35 + 0.65 * near)
        canvas.below(skyline, mix(lit, "#ffffff", 0.12), lit)
        crest = canvas.height * (0.06 + 0.12 * near) * (1.2 + np.sin(along * (3.1 - near) + swing[2]))
        depth = (canvas.y - skyline[None, :]) / np.maximum(crest, 1)[None, :]
        slope = np.gradient(skyline)[None, :] * canvas.width / canvas.height
        shade = np.clip(depth * 8, 0, 1) * np.exp(-np.maximum(depth, 0) * 1.3) * np.clip(slope * 2.2 + 0.25, 0, 1)
        canvas.blend(palette[3], (shade * (depth > 0) * (0.4 + 0.5 * near)).astype(np.float32))
    return canvas.finish(0.018)


def forest(canvas: Canvas, palette: Sequence[str]) -> Image.Image:
    """Draw rows of firs in mist. Palette: top of the sky, mist, far trees, near trees."""
    canvas.sky(palette[:2], 0.6)
    _sun(canvas, (0.68, 0.2), mix(palette[1], "#ffffff", 0.7))
    for layer in range(5):
        near = layer / 4
        color = mix(mix(palette[1], palette[2], 0.35 + 0.4 * near), palette[3], near**1.4)
        base = 0.52 + 0.46 * near
        heights = ridge(canvas.rng, canvas.width, _bumps(canvas, 2), 5)
        skyline = canvas.height * (base - 0.06 * heights)
        canvas.below(skyline, color, mix(color, palette[1], 0.55 * (1 - near)))
        _trees(canvas, base - 0.01, 0.09 + 0.2 * near, color)
    return canvas.finish(GRAIN)


def _bumps(canvas: Canvas, count: float) -> float:
    return count * max(0.7, canvas.width / canvas.height)


def _sun(canvas: Canvas, place: tuple[float, float], color: str) -> None:
    center = (canvas.width * place[0], canvas.height * place[1])
    canvas.glow(center, canvas.unit * 0.45, color, 0.55)
    radius = canvas.unit * 0.055
    canvas.ellipse(center, (radius, radius), mix(color, "#ffffff", 0.5), softness=1.5)


def _stars(canvas: Canvas) -> None:
    count = canvas.width * canvas.height // 2600
    rng = canvas.rng
    for x, y, light in zip(
        rng.integers(2, canvas.width - 2, count), rng.integers(2, canvas.height - 2, count), rng.random(count) ** 5,
        strict=True,
    ):  # fmt: skip
        spot = canvas.pixels[y - 1 : y + 2, x - 1 : x + 2]
        shape = np.array([[0.1, 0.35, 0.1], [0.35, 1, 0.35], [0.1, 0.35, 0.1]], np.float32)
        spot += (1 - spot) * shape[..., None] * np.float32(0.2 + 0.8 * light)


def _aurora(canvas: Canvas, color: str) -> None:
    for curtain in range(3):
        along = canvas.x[0] / canvas.width
        swing = canvas.rng.uniform(0, math.tau, 2)
        foot = canvas.height * (0.36 + 0.09 * curtain + 0.07 * np.sin(along * 5 + swing[0]) + 0.03 * np.sin(along * 13))
        rays = 0.55 + 0.45 * ridge(canvas.rng, canvas.width, 40, 3)
        above = (foot[None, :] - canvas.y) / (canvas.height * 0.3)
        light = np.where(above > 0, np.exp(-above * 2.6), np.exp(above * 26)) * rays[None, :]
        tint = mix(color, "#b07cff", 0.25 * curtain)
        canvas.blend(tint, (light * (0.5 - 0.1 * curtain)).astype(np.float32))


def _trees(canvas: Canvas, base: float, size: float, color: str) -> None:
    tall = canvas.height * size
    x = -tall * 0.2
    while x < canvas.width + tall * 0.2:
        height = tall * float(canvas.rng.uniform(0.55, 1.0))
        foot = canvas.height * base + tall * 0.15
        _fir(canvas, (x, foot), height, color)
        x += tall * float(canvas.rng.uniform(0.13, 0.42))


def _fir(canvas: Canvas, foot: tuple[float, float], height: float, color: str) -> None:
    x, y = foot
    steps = 7
    left, right = [], []
    for step in range(1, steps + 1):
        width = height * 0.2 * step / steps
        row = y - height * (1 - step / steps)
        left += [(x - width, row), (x - width * 0.62, row - height * 0.015)]
        right += [(x + width, row), (x + width * 0.62, row - height * 0.015)]
    canvas.polygon([(x, y - height), *left, *reversed(right)], color)

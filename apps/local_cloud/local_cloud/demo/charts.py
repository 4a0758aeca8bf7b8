"""Charts of figures that nobody measured: bars, lines, a ring and points."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from local_cloud.demo.canvas import Canvas, mix, rgb

MONTHS = "JFMAMJJASOND"
Frame = tuple[float, float, float, float]


def bars(canvas: Canvas, palette: Sequence[str], title: str) -> Image.Image:
    """Draw twelve months as bars. Palette of every chart: paper, ink, then the series."""
    left, top, right, bottom = frame = _frame(canvas, palette, title)
    _grid(canvas, frame, palette)
    step = (right - left) / 12
    season = 0.55 + 0.35 * np.sin(np.linspace(-1.4, 4.4, 12)) + canvas.rng.uniform(-0.08, 0.08, 12)
    for month, share in enumerate(season):
        tall = (bottom - top) * float(np.clip(share, 0.06, 0.97))
        second = tall * float(canvas.rng.uniform(0.25, 0.5))
        x = left + step * (month + 0.18)
        canvas.box((x, bottom - tall), (step * 0.64, tall), palette[2], radius=step * 0.1)
        canvas.box((x, bottom - second), (step * 0.64, second), palette[3])
        canvas.text((left + step * (month + 0.5), bottom + step * 0.5), MONTHS[month], step * 0.34, palette[1], "ms")
    return canvas.finish()


def lines(canvas: Canvas, palette: Sequence[str], title: str) -> Image.Image:
    """Draw three series over time, the last with an area below it."""
    left, top, right, bottom = frame = _frame(canvas, palette, title)
    _grid(canvas, frame, palette)
    count = 48
    xs = np.linspace(left, right, count)
    for number, color in enumerate(palette[2:]):
        walk = np.cumsum(canvas.rng.normal(0.03, 0.16, count)) + np.sin(np.linspace(0, 9, count) + number) * 0.6
        smooth = np.convolve(np.pad(walk, 2, mode="edge"), np.ones(5) / 5, "valid")
        spread = (smooth - smooth.min()) / max(float(np.ptp(smooth)), 1e-6)
        ys = bottom - (bottom - top) * (0.08 + 0.22 * number + spread * 0.38)
        points = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
        canvas.polygon([*points, (right, bottom), (left, bottom)], color, 0.12)
        canvas.line(points, canvas.unit * 0.006, color)
        end = canvas.unit * 0.013
        canvas.ellipse(points[-1], (end, end), color)
    return canvas.finish()


def ring(canvas: Canvas, palette: Sequence[str], title: str) -> Image.Image:
    """Draw shares of a whole as a ring with a key beside or below it."""
    left, top, right, bottom = _frame(canvas, palette, title)
    shares = np.sort(canvas.rng.dirichlet(np.full(len(palette) - 2, 4.0)))[::-1]
    wide = right - left > (bottom - top) * 1.2
    radius = min(right - left, bottom - top) * (0.46 if wide else 0.36)
    cx, cy = (left + radius, (top + bottom) / 2) if wide else ((left + right) / 2, top + radius)
    turn = (np.arctan2(canvas.x - cx, cy - canvas.y) / math.tau) % 1
    distance = np.hypot(canvas.x - cx, canvas.y - cy)
    edge = np.clip(radius - distance + 0.5, 0, 1) * np.clip(distance - radius * 0.58 + 0.5, 0, 1)
    ends = np.cumsum(shares)
    for number, color in enumerate(palette[2:]):
        inside = (turn >= (ends[number] - shares[number] + 0.003)) & (turn < ends[number] - 0.003)
        canvas.blend(color, (edge * inside).astype(np.float32))
    size = canvas.unit * 0.038
    x, y = (cx + radius * 1.25, cy - size * len(shares)) if wide else (left, cy + radius * 1.15)
    for number, share in enumerate(shares):
        row = y + (2.0 if wide else 1.7) * size * number
        canvas.box((x, row), (size, size), palette[2 + number], radius=size * 0.25)
        canvas.text((x + size * 1.7, row + size * 0.9), f"{share:.0%}", size * 1.1, palette[1])
    canvas.text((cx, cy + radius * 0.12), "100", radius * 0.4, palette[1], "ms")
    return canvas.finish()


def points(canvas: Canvas, palette: Sequence[str], title: str) -> Image.Image:
    """Draw three clouds of points."""
    left, top, right, bottom = frame = _frame(canvas, palette, title)
    _grid(canvas, frame, palette)
    for number, color in enumerate(palette[2:]):
        middle = (0.24 + 0.26 * number, 0.3 + 0.2 * number)
        for _ in range(70):
            x, y = canvas.rng.normal(middle, (0.1, 0.11))
            size = canvas.unit * float(canvas.rng.uniform(0.005, 0.018))
            place = (left + (right - left) * float(np.clip(x, 0.02, 0.98)),
                     bottom - (bottom - top) * float(np.clip(y, 0.02, 0.98)))  # fmt: skip
            canvas.ellipse(place, (size, size), color, opacity=0.75)
    return canvas.finish()


def heat(canvas: Canvas, palette: Sequence[str], title: str) -> Image.Image:
    """Draw a year of days as cells, weeks across."""
    left, top, right, bottom = _frame(canvas, palette, title)
    weeks = 26 if canvas.width > canvas.height else 13
    step = min((right - left) / weeks, (bottom - top) / 7)
    rows = int((bottom - top) / step)
    for week in range(weeks):
        for day in range(rows):
            level = np.clip(0.5 + 0.4 * math.sin(week / 4 + day / 9) + canvas.rng.normal(0, 0.2), 0, 1)
            color = mix(mix(palette[0], palette[2], 0.15), palette[2 + (level > 0.72)], float(level))
            canvas.box((left + week * step, top + day * step), (step * 0.84, step * 0.84), color, radius=step * 0.16)
    return canvas.finish()


def _frame(canvas: Canvas, palette: Sequence[str], title: str) -> Frame:
    """Fill the paper and write the title; return left, top, right and bottom of the space that is left."""
    canvas.pixels[:] = rgb(palette[0])
    margin = canvas.unit * 0.09
    size = min(canvas.unit * 0.06, (canvas.width - 2 * margin) / max(1, len(title)) * 1.7)
    canvas.text((margin, margin + size * 0.8), title, size, palette[1])
    canvas.text((margin, margin + size * 1.75), "invented figures", size * 0.5, mix(palette[0], palette[1], 0.55))
    return margin, margin + size * 2.7, canvas.width - margin, canvas.height - margin * 1.1


def _grid(canvas: Canvas, frame: Frame, palette: Sequence[str]) -> None:
    left, top, right, bottom = frame
    for number in range(5):
        y = bottom - (bottom - top) * number / 4
        faint = mix(palette[0], palette[1], 0.5 if number == 0 else 0.15)
        canvas.box((left, y - 1), (right - left, max(1.5, canvas.unit / 700)), faint)

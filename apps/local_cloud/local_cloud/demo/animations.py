"""Animations in a loop, as lists of frames."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from local_cloud.demo.canvas import Canvas, mix, ramp

FRAMES = 12


def orbit(canvas: Canvas, palette: Sequence[str]) -> list[Image.Image]:
    """Move planets around a sun. Palette: space, sun, then the planets."""
    frames = []
    middle, unit = (canvas.width / 2, canvas.height / 2), canvas.unit
    canvas.sky([palette[0], mix(palette[0], "#000000", 0.35)])
    canvas.glow(middle, unit * 0.22, palette[1], 0.7)
    canvas.ellipse(middle, (unit * 0.085, unit * 0.085), palette[1])
    distance = np.hypot(canvas.x - middle[0], canvas.y - middle[1])
    for planet in range(len(palette) - 2):
        track = np.abs(distance - unit * (0.17 + 0.09 * planet))
        canvas.blend("#ffffff", (np.clip(1.2 - track, 0, 1) * 0.15).astype(np.float32))
    still = canvas.pixels
    for number in range(FRAMES):
        canvas.pixels = still.copy()
        for planet, color in enumerate(palette[2:]):
            radius = unit * (0.17 + 0.09 * planet)
            angle = math.tau * (number / FRAMES * (3 - planet if planet < 2 else 1) + planet * 0.37)
            place = (middle[0] + math.cos(angle) * radius, middle[1] + math.sin(angle) * radius)
            size = unit * (0.022 + 0.008 * planet)
            canvas.ellipse(place, (size, size), color)
        frames.append(canvas.finish())
    return frames


def ripples(canvas: Canvas, palette: Sequence[str]) -> list[Image.Image]:
    """Let two drops make rings that cross."""
    sources = [(canvas.width * 0.35, canvas.height * 0.4), (canvas.width * 0.68, canvas.height * 0.64)]
    distances = [np.hypot(canvas.x - x, canvas.y - y) / canvas.unit for x, y in sources]
    frames = []
    for number in range(FRAMES):
        phase = math.tau * number / FRAMES
        waves = sum(np.sin(distance * 44 - phase) * np.exp(-distance * 1.6) for distance in distances)
        canvas.pixels = ramp(palette, (0.5 + 0.32 * np.asarray(waves)).astype(np.float32))
        frames.append(canvas.finish())
    return frames


def bouncing(canvas: Canvas, palette: Sequence[str]) -> list[Image.Image]:
    """Let balls bounce one after the other. Palette: wall, floor, then the balls."""
    frames, unit = [], canvas.unit
    floor = canvas.height * 0.8
    balls = palette[2:]
    for number in range(FRAMES):
        canvas.sky([palette[0], palette[0]])
        canvas.box((0, floor), (canvas.width, canvas.height - floor), palette[1])
        for ball, color in enumerate(balls):
            share = (number / FRAMES + ball / len(balls)) % 1
            lift = 4 * share * (1 - share)
            x = canvas.width * (ball + 0.75) / (len(balls) + 0.5)
            size, squash = unit * 0.075, 0.18 * max(0.0, 1 - lift * 6)
            shadow = size * (1.1 - 0.5 * lift)
            canvas.ellipse((x, floor + unit * 0.02), (shadow, unit * 0.014), mix(palette[1], "#000000", 0.3))
            y = floor - size * (1 - squash) - lift * canvas.height * 0.55
            canvas.ellipse((x, y), (size * (1 + squash), size * (1 - squash)), color)
            canvas.ellipse((x - size * 0.3, y - size * 0.35), (size * 0.2, size * 0.16), mix(color, "#ffffff", 0.6))
        frames.append(canvas.finish())
    return frames

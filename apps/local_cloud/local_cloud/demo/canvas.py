"""A canvas of linear coordinates: soft-edged shapes over arrays of shape (height, width, 3), float32 from 0 to 1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

# Pictures are float32; what is computed on the way may be wider.
Floats = npt.NDArray[np.floating[Any]]
Point = tuple[float, float]


def rgb(color: str) -> Floats:
    """Return a colour given as `#rrggbb`, shape (3,)."""
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)], np.float32) / 255


def mix(first: str, second: str, share: float) -> str:
    """Return the colour that lies at a share of the way from the first to the second."""
    blended = rgb(first) * (1 - share) + rgb(second) * share
    return "#" + "".join(f"{round(float(part) * 255):02x}" for part in blended)


def ramp(colors: Sequence[str], positions: Floats) -> Floats:
    """Return colours between evenly spaced stops, for positions from 0 to 1; the shape gains a last axis of 3."""
    # A table of 1,024 steps is many times faster than three interpolations over a whole picture.
    steps = np.linspace(0, len(colors) - 1, 1024)
    stops = np.stack([rgb(color) for color in colors])
    table = np.stack([np.interp(steps, np.arange(len(colors)), stops[:, band]) for band in range(3)], axis=1)
    found: Floats = table.astype(np.float32)[(np.clip(positions, 0, 1) * 1023).astype(np.int16)]
    return found


def noise(rng: np.random.Generator, width_px: int, height_px: int, cells: float, octaves: int = 4) -> Floats:
    """Return smooth noise from 0 to 1, shape (height, width), with `cells` bumps along the shorter side."""
    total = np.zeros((height_px, width_px), np.float32)
    unit, weight = min(width_px, height_px), 1.0
    for octave in range(octaves):
        count = cells * 2**octave
        rows, columns = (max(2, round(side / unit * count)) for side in (height_px, width_px))
        grid = Image.fromarray(rng.random((rows, columns), np.float32))
        total += weight * np.asarray(grid.resize((width_px, height_px), Image.Resampling.BICUBIC))
        weight /= 2
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def ridge(rng: np.random.Generator, length_px: int, bumps: float, octaves: int = 6, roughness: float = 0.5) -> Floats:
    """Return the heights of a skyline from 0 to 1, shape (length,)."""
    along = np.linspace(0, 1, length_px)
    total = np.zeros(length_px)
    for octave in range(octaves):
        knots = max(2, round(bumps * 2**octave)) + 1
        total += roughness**octave * np.interp(along, np.linspace(0, 1, knots), rng.random(knots))
    total -= total.min()
    return (total / max(float(total.max()), 1e-6)).astype(np.float32)


class Canvas:
    """A picture that is being drawn; lengths are in pixels, `unit` is the shorter side."""

    def __init__(self, width_px: int, height_px: int, seed: int) -> None:
        self.width, self.height, self.unit = width_px, height_px, min(width_px, height_px)
        self.rng = np.random.default_rng(seed)
        self.pixels: Floats = np.zeros((height_px, width_px, 3), np.float32)
        self.x: Floats = np.arange(width_px, dtype=np.float32)[None, :]
        self.y: Floats = np.arange(height_px, dtype=np.float32)[:, None]

    def sky(self, colors: Sequence[str], until: float = 1.0) -> None:
        """Fill with colours from the top down to a share of the height."""
        self.pixels[:] = ramp(colors, self.y[:, 0] / (self.height * until))[:, None, :]

    def noise(self, cells: float, octaves: int = 4) -> Floats:
        """Return noise of the canvas's size."""
        return noise(self.rng, self.width, self.height, cells, octaves)

    def blend(self, color: str | Floats, alpha: Floats, box: tuple[int, int, int, int] | None = None) -> None:
        """Lay a colour over the picture, or over the box (left, top, right, bottom) that alpha describes."""
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        part = self.pixels[top:bottom, left:right]
        part += (np.asarray(rgb(color) if isinstance(color, str) else color) - part) * alpha[..., None]

    def below(self, skyline: Floats, color: str, fade_to: str | None = None) -> None:
        """Fill below a skyline, given as the row of each column, fading to a second colour at the bottom."""
        top = max(0, int(skyline.min()) - 1)
        alpha = np.clip(self.y[top:] - skyline[None, :] + 0.5, 0, 1)
        filled: str | Floats = color
        if fade_to is not None:
            span = max(1.0, self.height - top)
            filled = ramp([color, fade_to], (self.y[top:, 0] - top) / span)[:, None, :]
        self.blend(filled, alpha, (0, top, self.width, self.height))

    def ellipse(
        self, center: Point, radii: Point, color: str, *, softness: float = 1.0, opacity: float = 1.0, rows: str = "all"
    ) -> None:
        """Draw an ellipse, or its upper or lower half; softness is the width of its edge in pixels."""
        (cx, cy), (rx, ry) = center, radii
        left, right = max(0, int(cx - rx - softness)), min(self.width, int(cx + rx + softness) + 2)
        top, bottom = max(0, int(cy - ry - softness)), min(self.height, int(cy + ry + softness) + 2)
        top = max(top, int(cy)) if rows == "lower" else top
        bottom = min(bottom, int(cy)) if rows == "upper" else bottom
        if left >= right or top >= bottom:
            return
        distance = np.hypot((self.x[:, left:right] - cx) / rx, (self.y[top:bottom] - cy) / ry)
        alpha = np.clip((1 - distance) * min(rx, ry) / softness + 0.5, 0, 1) * opacity
        self.blend(color, alpha.astype(np.float32), (left, top, right, bottom))

    def glow(self, center: Point, radius: float, color: str, strength: float) -> None:
        """Add light that fades with the square of the distance."""
        distance = np.hypot(self.x - center[0], self.y - center[1]) / radius
        self.blend(color, (strength / (1 + distance * distance * 3)).astype(np.float32))

    def box(self, corner: Point, size: Point, color: str, *, radius: float = 0.0, opacity: float = 1.0) -> None:
        """Draw a rectangle with rounded corners."""
        (x, y), (width, height) = corner, size
        left, right = max(0, int(x) - 1), min(self.width, int(x + width) + 2)
        top, bottom = max(0, int(y) - 1), min(self.height, int(y + height) + 2)
        if left >= right or top >= bottom:
            return
        across = np.abs(self.x[:, left:right] - x - width / 2) - width / 2 + radius
        down = np.abs(self.y[top:bottom] - y - height / 2) - height / 2 + radius
        outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) + np.minimum(np.maximum(across, down), 0)
        self.blend(color, np.clip(radius - outside + 0.5, 0, 1) * np.float32(opacity), (left, top, right, bottom))

    def polygon(self, points: Sequence[Point], color: str, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        box = (max(0, int(min(xs))), max(0, int(min(ys))), int(max(xs)) + 2, int(max(ys)) + 2)
        left, top, right, bottom = box[0], box[1], min(self.width, box[2]), min(self.height, box[3])
        if left >= right or top >= bottom:
            return
        # Drawn at twice the size, because Pillow's own edges are not smooth.
        mask = Image.new("L", (2 * (right - left), 2 * (bottom - top)))
        ImageDraw.Draw(mask).polygon([(2 * (x - left), 2 * (y - top)) for x, y in points], fill=255)
        alpha = np.asarray(mask.reduce(2), np.float32) * np.float32(opacity / 255)
        self.blend(color, alpha, (left, top, right, bottom))

    def line(self, points: Sequence[Point], width_px: float, color: str) -> None:
        """Draw a line through points, with round joints."""
        mask = Image.new("L", (2 * self.width, 2 * self.height))
        pen = ImageDraw.Draw(mask)
        pen.line([(2 * x, 2 * y) for x, y in points], fill=255, width=round(2 * width_px), joint="curve")
        self.blend(color, np.asarray(mask.reduce(2), np.float32) / np.float32(255))

    def text(self, at: Point, text: str, size_px: float, color: str, anchor: str = "ls") -> None:
        """Write a line in Pillow's built-in font, so that it looks the same on every machine."""
        font = ImageFont.load_default(size_px)
        left, top, right, bottom = (int(side) for side in font.getbbox(text, anchor=anchor))
        x, y = int(at[0]) + left - 2, int(at[1]) + top - 2
        mask = Image.new("L", (right - left + 4, bottom - top + 4))
        ImageDraw.Draw(mask).text((2 - left, 2 - top), text, fill=255, font=font, anchor=anchor)
        x0, y0, x1, y1 = max(0, x), max(0, y), min(self.width, x + mask.width), min(self.height, y + mask.height)
        if x0 < x1 and y0 < y1:
            alpha = np.asarray(mask, np.float32)[y0 - y : y1 - y, x0 - x : x1 - x] / np.float32(255)
            self.blend(color, alpha, (x0, y0, x1, y1))

    def finish(self, grain: float = 0.0) -> Image.Image:
        """Return the picture in RGB; a little grain keeps gradients from showing bands."""
        if grain:
            tile = self.rng.standard_normal((256, 256), np.float32) * np.float32(grain)
            repeats = (-(-self.height // 256), -(-self.width // 256))
            self.pixels += np.tile(tile, repeats)[: self.height, : self.width, None]
        return Image.fromarray((np.clip(self.pixels, 0, 1) * 255 + 0.5).astype(np.uint8))

"""Portraits of nobody, in flat shapes."""

from collections.abc import Sequence

from PIL import Image

from local_cloud.demo.canvas import Canvas, Point, mix, rgb

DARK = "#2b2430"


def portrait(canvas: Canvas, palette: Sequence[str], hair: str, extra: str = "") -> Image.Image:
    """Draw a bust. Palette: background, skin, hair, clothes. Hair: short, long, bun, curls, bald or hijab."""
    background, skin, hair_color, clothes = palette
    canvas.pixels[:] = rgb(background)
    unit = canvas.unit
    x, y = canvas.width / 2, canvas.height * 0.47
    canvas.ellipse((x, y), (unit * 0.43, unit * 0.43), mix(background, "#ffffff", 0.22))
    _behind(canvas, (x, y), hair, hair_color)
    _body(canvas, (x, y), skin, clothes)
    if hair == "hijab":
        canvas.ellipse((x, y + unit * 0.03), (unit * 0.22, unit * 0.27), hair_color)
    else:
        for side in (-1, 1):
            canvas.ellipse((x + side * unit * 0.168, y + unit * 0.02), (unit * 0.03, unit * 0.045), skin)
    canvas.ellipse((x, y + unit * 0.01), (unit * 0.165, unit * 0.21), skin)
    _front(canvas, (x, y), hair, hair_color, skin)
    _face(canvas, (x, y), skin, hair_color if hair not in {"hijab", "bald"} else DARK)
    _extras(canvas, (x, y), extra, hair_color)
    return canvas.finish(0.006)


def _behind(canvas: Canvas, middle: Point, hair: str, color: str) -> None:
    (x, y), unit = middle, canvas.unit
    if hair == "long":
        canvas.ellipse((x, y - unit * 0.02), (unit * 0.215, unit * 0.24), color)
        canvas.box((x - unit * 0.215, y - unit * 0.03), (unit * 0.43, unit * 0.34), color, radius=unit * 0.06)
    elif hair == "bun":
        canvas.ellipse((x, y - unit * 0.27), (unit * 0.085, unit * 0.08), color)
        canvas.ellipse((x, y - unit * 0.03), (unit * 0.185, unit * 0.21), color)
    elif hair == "curls":
        for dx, dy in ((-0.17, 0.02), (0.17, 0.02), (-0.19, -0.08), (0.19, -0.08), (-0.13, -0.18), (0.13, -0.18),
                       (0, -0.22)):  # fmt: skip
            canvas.ellipse((x + dx * unit, y + dy * unit), (unit * 0.095, unit * 0.095), color)
    elif hair == "hijab":
        canvas.box((x - unit * 0.22, y), (unit * 0.44, unit * 0.36), color, radius=unit * 0.12)


def _body(canvas: Canvas, middle: Point, skin: str, clothes: str) -> None:
    (x, y), unit = middle, canvas.unit
    shoulders, floor = y + unit * 0.31, canvas.height - y - unit * 0.31 + unit
    canvas.box((x - unit * 0.31, shoulders), (unit * 0.62, floor), clothes, radius=unit * 0.17)
    canvas.box((x - unit * 0.07, y + unit * 0.12), (unit * 0.14, unit * 0.2), mix(skin, DARK, 0.14), radius=unit * 0.05)
    canvas.ellipse((x, y + unit * 0.31), (unit * 0.095, unit * 0.075), mix(skin, DARK, 0.14), rows="lower")
    for side in (-1, 1):
        collar = [
            (x + side * unit * 0.095, shoulders - unit * 0.015),
            (x + side * unit * 0.16, shoulders + unit * 0.01),
            (x + side * unit * 0.035, shoulders + unit * 0.15),
        ]
        canvas.polygon(collar, mix(clothes, "#ffffff", 0.25))


def _front(canvas: Canvas, middle: Point, hair: str, color: str, skin: str) -> None:
    (x, y), unit = middle, canvas.unit
    if hair in {"hijab", "bald"}:
        return
    canvas.ellipse((x, y - unit * 0.075), (unit * 0.175, unit * 0.155), color, rows="upper")
    if hair in {"long", "bun"}:
        # A parting: the forehead shows between two curtains.
        canvas.ellipse((x + unit * 0.02, y - unit * 0.075), (unit * 0.12, unit * 0.06), skin, rows="upper")
    elif hair == "short":
        canvas.ellipse((x + unit * 0.05, y - unit * 0.075), (unit * 0.1, unit * 0.045), skin, rows="upper")
    else:
        for number in range(5):
            canvas.ellipse((x + unit * (number - 2) * 0.07, y - unit * 0.12), (unit * 0.055, unit * 0.055), color)


def _face(canvas: Canvas, middle: Point, skin: str, brow: str) -> None:
    (x, y), unit = middle, canvas.unit
    for side in (-1, 1):
        eye = (x + side * unit * 0.062, y + unit * 0.005)
        canvas.ellipse(eye, (unit * 0.0155, unit * 0.019), DARK)
        canvas.ellipse((eye[0] + unit * 0.005, eye[1] - unit * 0.006), (unit * 0.005, unit * 0.005), "#ffffff")
        canvas.box((eye[0] - unit * 0.03, eye[1] - unit * 0.05), (unit * 0.06, unit * 0.012), brow, radius=unit * 0.006)
        blush = (x + side * unit * 0.1, y + unit * 0.075)
        canvas.ellipse(blush, (unit * 0.035, unit * 0.024), "#e0604f", softness=unit * 0.03, opacity=0.32)
    shade = mix(skin, DARK, 0.22)
    nose = [(0.002, 0.02), (0.026, 0.075), (-0.008, 0.078)]
    canvas.polygon([(x + dx * unit, y + dy * unit) for dx, dy in nose], shade)
    canvas.ellipse((x, y + unit * 0.115), (unit * 0.05, unit * 0.032), "#a8373f", rows="lower")
    canvas.ellipse((x, y + unit * 0.115), (unit * 0.042, unit * 0.011), "#ffffff", rows="lower")


def _extras(canvas: Canvas, middle: Point, extra: str, hair_color: str) -> None:
    (x, y), unit = middle, canvas.unit
    if extra == "glasses":
        for side in (-1, 1):
            center, thin = (x + side * unit * 0.065, y + unit * 0.008), unit * 0.05
            distance = ((canvas.x - center[0]) ** 2 + (canvas.y - center[1]) ** 2) ** 0.5
            canvas.blend(DARK, (1 - abs(distance - thin) / (unit * 0.006)).clip(0, 1))
        canvas.box((x - unit * 0.017, y), (unit * 0.034, unit * 0.008), DARK)
    elif extra == "beard":
        canvas.ellipse((x, y + unit * 0.1), (unit * 0.162, unit * 0.135), hair_color, rows="lower")
        canvas.ellipse((x, y + unit * 0.1), (unit * 0.075, unit * 0.02), hair_color, rows="upper")
        canvas.ellipse((x, y + unit * 0.125), (unit * 0.048, unit * 0.026), "#f4e6de", rows="lower")
    elif extra == "earrings":
        for side in (-1, 1):
            canvas.ellipse((x + side * unit * 0.178, y + unit * 0.085), (unit * 0.016, unit * 0.022), "#f2c14e")
    elif extra == "hat":
        canvas.ellipse((x, y - unit * 0.1), (unit * 0.175, unit * 0.17), "#d9573f", rows="upper")
        canvas.box((x - unit * 0.19, y - unit * 0.14), (unit * 0.38, unit * 0.065), "#f0efe8", radius=unit * 0.03)
        canvas.ellipse((x, y - unit * 0.28), (unit * 0.035, unit * 0.035), "#f0efe8")

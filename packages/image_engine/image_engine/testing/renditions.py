"""What delivery makes of a file, decoded by another library than the one that encoded it."""

import io
import time

from PIL import Image

from image_core.delivery.spec import Format, Recipe
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.renditions import RenditionRequest
from image_engine.worker.rendition import render_picture

WHOLE = Recipe(width_px=4096)
"""Nothing is enlarged, so that a small picture keeps its size."""


def rendered(content: bytes, image_format: Format = "png", recipe: Recipe = WHOLE) -> Image.Image:
    """Return a rendition of a file as Pillow decodes it."""
    with open_picture_file() as picture:
        picture.write(content)
        made = render_picture(picture.fileno(), RenditionRequest(recipe, image_format), time.monotonic() + 60)
    image = Image.open(io.BytesIO(made.content))
    if (image.size, getattr(image, "n_frames", 1)) != ((made.width_px, made.height_px), made.frames):
        raise AssertionError("the rendition is not what its description says")
    return image


def middles(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the sample values in the middle of each quarter, in RGBA."""
    whole = image.convert("RGBA")
    points = [(image.width * x // 4, image.height * y // 4) for y in (1, 3) for x in (1, 3)]
    return [tuple(whole.getpixel(point)) for point in points]  # type: ignore[arg-type]

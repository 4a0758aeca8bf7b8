"""Cut, blur, pad and flatten a picture that has been scaled for a recipe."""

from functools import partial

import pyvips

from image_core.delivery.spec import Recipe
from image_engine.picture.frame_strip import each_frame

_WHITE = (255, 255, 255)
_SIGMA_TENTHS = 10
_THOUSANDTHS = 1000


def compose(
    image: pyvips.Image, recipe: Recipe, size: tuple[int, int], frames: int, *, keeps_alpha: bool
) -> pyvips.Image:
    """Make what a recipe asks for of upright sRGB pixels in memory that have its `scaled_size`.

    Args:
        image: 8 bits, 3 or 4 bands; frames stand below one another.
        recipe: a focal point stands in the place of `fo`.
        size: the recipe's `output_size`.
        frames: in the image.
        keeps_alpha: False flattens what is transparent, on white where the recipe has no background.
    """
    background = _rgb(recipe.background)
    if image.hasalpha() and (background is not None or not keeps_alpha):
        image = image.flatten(background=background or _WHITE)
    if recipe.fit == "cover":
        left, top = _corner(image.crop(0, 0, image.width, image.height // frames), recipe.gravity, size)
        image = each_frame(image, frames, lambda frame: frame.crop(left, top, *size))
    if recipe.blur_tenths is not None:
        image = each_frame(image, frames, partial(_blur, sigma=recipe.blur_tenths / _SIGMA_TENTHS))
    if recipe.fit == "pad" and (image.width, image.height // frames) != size:
        if keeps_alpha and background is None and not image.hasalpha():
            image = image.addalpha()
        border = [0, 0, 0, 0] if image.hasalpha() else [*(background or _WHITE)]
        image = each_frame(image, frames, partial(_pad, size=size, border=border))
    return image


def _rgb(background: str | None) -> tuple[int, ...] | None:
    return None if background is None else tuple(bytes.fromhex(background))


def _corner(frame: pyvips.Image, gravity: str, size: tuple[int, int]) -> tuple[int, int]:
    """Choose the left upper corner of what is kept."""
    spare = frame.width - size[0], frame.height - size[1]
    if spare == (0, 0) or gravity == "ce":
        return spare[0] // 2, spare[1] // 2
    if gravity == "at":
        _, found = frame.smartcrop(*size, interesting="attention", attention_x=True, attention_y=True)
        middle = found["attention_x"], found["attention_y"]
    else:
        across, down = (int(number) for number in gravity.removeprefix("x").split("y"))
        middle = round(frame.width * across / _THOUSANDTHS), round(frame.height * down / _THOUSANDTHS)
    left, top = (max(0, min(spare[axis], middle[axis] - size[axis] // 2)) for axis in (0, 1))
    return left, top


def _blur(frame: pyvips.Image, sigma: float) -> pyvips.Image:
    if not frame.hasalpha():
        return frame.gaussblur(sigma)
    # What cannot be seen has a colour all the same, and may not show.
    return frame.premultiply().gaussblur(sigma).unpremultiply().rint().cast("uchar").copy(interpretation="srgb")


def _pad(frame: pyvips.Image, size: tuple[int, int], border: list[int]) -> pyvips.Image:
    left, top = (size[0] - frame.width) // 2, (size[1] - frame.height) // 2
    return frame.embed(left, top, *size, extend="background", background=border)

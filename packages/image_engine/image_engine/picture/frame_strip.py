"""Change the frames of an animation, which stand below one another in one image."""

from collections.abc import Callable

import pyvips


def each_frame(strip: pyvips.Image, frames: int, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """Change every frame of a picture in memory; all of them have to come out at the same size."""
    if frames == 1:
        return change(strip)
    height_px = strip.height // frames
    changed = [change(strip.crop(0, index * height_px, strip.width, height_px)) for index in range(frames)]
    joined = pyvips.Image.arrayjoin(changed, across=1).copy(interpretation="srgb")
    joined.set_type(pyvips.GValue.gint_type, "page-height", changed[0].height)
    return joined

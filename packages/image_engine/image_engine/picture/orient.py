"""Apply a picture's orientation to its pixels."""

import pyvips

from image_engine.picture.frame_strip import each_frame

# The clockwise rotation comes first, mirroring second.
_TURN_THEN_MIRROR: dict[int, tuple[str | None, str | None]] = {
    1: (None, None),
    2: (None, "horizontal"),
    3: ("d180", None),
    4: (None, "vertical"),
    5: ("d90", "horizontal"),
    6: ("d90", None),
    7: ("d90", "vertical"),
    8: ("d270", None),
}


def swaps_sides(orientation: int) -> bool:
    """Return whether width and height are swapped."""
    return orientation >= 5


def orient(image: pyvips.Image, orientation: int, frames: int = 1) -> pyvips.Image:
    """Apply EXIF's orientation, 1 to 8, to every frame of a picture in memory.

    Frames are stacked vertically, each of the same height.

    Source: Exif 2.32, tag 0x0112.
    """
    if orientation == 1:
        return image
    return each_frame(image, frames, lambda frame: _orient_frame(frame, orientation))


def _orient_frame(image: pyvips.Image, orientation: int) -> pyvips.Image:
    turn, mirror = _TURN_THEN_MIRROR[orientation]
    if turn is not None:
        image = image.rot(turn)
    return image if mirror is None else image.flip(mirror)

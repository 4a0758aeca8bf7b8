"""Open the pixels of an AVIF picture; libvips reads its header."""

from mmap import ACCESS_READ, mmap

import pyvips

from image_core.images.heif_items import Property, read_items
from image_engine.picture.avif_planes import AvifDecoder
from image_engine.picture.color_coding import ColorCoding
from image_engine.picture.yuv_planes import rgb_of_planes

_TURNS = ("d0", "d270", "d180", "d90")


def decode_avif(descriptor: int, shrink: int) -> tuple[pyvips.Image, ColorCoding]:
    """Decode the primary picture, cropped, rotated and mirrored as the file specifies, and reduced by a whole number.

    Also return its colour coding, which applies if it has no profile.

    Raises:
        PictureRejected: It is broken, or needs more memory than available.
    """
    planes = AvifDecoder(descriptor).next_planes()
    image = rgb_of_planes(planes, shrink)
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        properties = read_items(content).properties_of_primary()
    for found in properties:
        image = _transform(image, found, shrink)
    return image, planes.coding


def _transform(image: pyvips.Image, found: Property, shrink: int) -> pyvips.Image:
    """Source: ISO/IEC 23008-12, 6.5.10 (counterclockwise rotation, in quarters) and 6.5.12 (mirroring)."""
    if found.kind == b"irot" and found.content[0] & 3:
        return image.copy_memory().rot(_TURNS[found.content[0] & 3])
    if found.kind == b"imir":
        return image.copy_memory().flip("horizontal" if found.content[0] & 1 else "vertical")
    if found.kind == b"clap" and len(found.content) >= 32:
        return _crop(image, found.content, shrink)
    return image


def _crop(image: pyvips.Image, clean_aperture: bytes, shrink: int) -> pyvips.Image:
    """Source: ISO/IEC 14496-12, 12.1.4: sizes, and the offset of the centre from the picture's, as fractions."""
    numbers = [int.from_bytes(clean_aperture[at : at + 4], "big", signed=at >= 16) for at in range(0, 32, 4)]
    if 0 in numbers[1::2]:
        return image
    wide, high, right, down = (above / below / shrink for above, below in zip(numbers[::2], numbers[1::2], strict=True))
    left, top = round((image.width - wide) / 2 + right), round((image.height - high) / 2 + down)
    width_px, height_px = round(wide), round(high)
    fits = left >= 0 and top >= 0 and 0 < width_px <= image.width - left and 0 < height_px <= image.height - top
    return image.crop(left, top, width_px, height_px) if fits else image

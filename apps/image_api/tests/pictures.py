"""Small pictures, made on the spot; `seed` makes their bytes differ."""

import functools

import pyvips


@functools.cache
def picture(seed: int = 0, picture_format: str = "png", width: int = 40, height: int = 30) -> bytes:
    """A whole picture of one colour."""
    color = [seed % 256, seed // 256 % 256, seed // 65536 % 256]
    image = (pyvips.Image.black(width, height, bands=3) + color).cast("uchar").copy(interpretation="srgb")
    saved: bytes = image.write_to_buffer(f".{picture_format}")
    return saved


@functools.cache
def large_picture(size_bytes: int, seed: int = 0) -> bytes:
    """A PNG that is followed by as many bytes as it takes; what comes after its end belongs to no picture."""
    whole = picture(seed)
    return whole + bytes(size_bytes - len(whole))

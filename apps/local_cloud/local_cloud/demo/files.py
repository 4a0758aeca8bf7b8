"""Files of pictures: encoded, with what a camera would have written into them."""

import io
from dataclasses import dataclass
from datetime import datetime

from PIL import ExifTags, Image

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}
FRAME_MS = 70


@dataclass(frozen=True)
class Shot:
    """When, where and with which camera a picture was "taken": a time with its offset, degrees north and east."""

    taken_at: datetime
    place: tuple[float, float] | None
    camera: tuple[str, str]


def encode(frames: list[Image.Image], extension: str, shot: Shot | None) -> bytes:
    """Return the bytes of a file; several frames become an animation that repeats."""
    output = io.BytesIO()
    options: dict[str, object] = {} if shot is None else {"exif": _exif(shot)}
    if extension == "jpg":
        options |= {"quality": 84, "progressive": True}
    elif extension == "webp":
        options |= {"quality": 80, "method": 2}
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": frames[1:], "duration": FRAME_MS, "loop": 0}
    elif extension == "png":
        options |= {"compress_level": 4}
    frames[0].save(output, {"jpg": "JPEG"}.get(extension, extension.upper()), **options)
    return output.getvalue()


def _exif(shot: Shot) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = shot.camera
    exif[ExifTags.Base.Software] = "image-manager demo"
    taken_at = f"{shot.taken_at:%Y:%m:%d %H:%M:%S}"
    offset = f"{shot.taken_at:%z}"
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.DateTimeOriginal] = taken_at
    inner[ExifTags.Base.OffsetTimeOriginal] = f"{offset[:3]}:{offset[3:]}"
    if shot.place is not None:
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        north, east = shot.place
        gps[ExifTags.GPS.GPSLatitudeRef] = "N" if north >= 0 else "S"
        gps[ExifTags.GPS.GPSLatitude] = _sexagesimal(north)
        gps[ExifTags.GPS.GPSLongitudeRef] = "E" if east >= 0 else "W"
        gps[ExifTags.GPS.GPSLongitude] = _sexagesimal(east)
    return exif


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    whole, rest = divmod(abs(degrees), 1)
    minutes, rest = divmod(rest * 60, 1)
    return whole, minutes, round(rest * 60, 2)

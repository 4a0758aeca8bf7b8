"""Read camera data from EXIF, and from XMP and IPTC.

The blocks are parsed here and not by a codec: they are the same in every format, including HEIC, and codecs return
their values as text for people. EXIF takes precedence over XMP, and XMP over IPTC.
"""

import struct
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap

from image_engine.picture.camera_fields import (
    CHANGED_TIME,
    DIGITISED_TIME,
    ORIGINAL_TIME,
    FactValue,
    Lookup,
    facts_of,
    time_of,
)
from image_engine.picture.camera_values import Value, text_of
from image_engine.picture.gif_blocks import read_gif_xmp
from image_engine.picture.iptc import read_iptc
from image_engine.picture.place import place_of_exif
from image_engine.picture.png_blocks import read_png_blocks
from image_engine.picture.stored_picture import StoredPicture
from image_engine.picture.taken_time import read_gps_time
from image_engine.picture.tiff_directories import IPTC_TAG, PHOTOSHOP_TAG, XMP_TAG, Directories, Tags
from image_engine.picture.xmp import read_xmp

_GPS_TIME, _GPS_DATE = 7, 29


@dataclass(frozen=True, slots=True)
class CameraData:
    """The data that a camera recorded.

    Attributes:
        exif: by name; units are mm, s and f-numbers.
        location: degrees and metres; None if the camera did not know.
    """

    exif: dict[str, FactValue] = field(default_factory=dict)
    location: dict[str, float] | None = None

    @property
    def without_place(self) -> dict[str, FactValue]:
        """The values that do not come from satellites; beside the camera's clock, their time tells the zone."""
        return {name: value for name, value in self.exif.items() if name != "gps_time"}


def camera_data_of(descriptor: int, stored: StoredPicture) -> CameraData:
    """Read the blocks of an open picture. Never raises."""
    exif, xmp, iptc = stored.exif_block or b"", stored.xmp_block or b"", stored.iptc_block or b""
    if stored.format not in {"gif", "png", "tiff"}:
        return read_camera_data(exif, xmp, iptc)
    with mmap(descriptor, 0, access=ACCESS_READ) as whole_file:
        if stored.format == "tiff":
            return read_camera_data(whole_file)
        if stored.format == "gif":
            return read_camera_data(exif, read_gif_xmp(whole_file))
        found = {"exif": exif, "xmp": xmp, "iptc": iptc} | read_png_blocks(whole_file)
    return read_camera_data(found["exif"], found["xmp"], found["iptc"])


def read_camera_data(block: bytes | mmap, xmp: bytes = b"", iptc: bytes = b"") -> CameraData:
    """Read an EXIF block or a whole TIFF file, and separate packets; broken parts are skipped. Never raises.

    Source: Exif 2.32 (JEITA CP-3451E), 4.6; MWG Guidelines for Handling Image Metadata 2.0, 5.
    """
    tags, gps = _read_directories(block)
    from_xmp, place_in_xmp = read_xmp(xmp or _packet(tags, XMP_TAG))
    from_iptc = read_iptc(iptc or _packet(tags, IPTC_TAG) or _packet(tags, PHOTOSHOP_TAG))
    sources: tuple[Lookup, ...] = (tags.get, from_xmp.get, from_iptc.get)
    facts: dict[str, FactValue] = {}
    for lookup in reversed(sources):
        facts |= facts_of(lookup)
    taken_at = _taken_at(sources)
    if taken_at is not None:
        facts["taken_at"] = taken_at
    gps_time = read_gps_time(text_of(gps.get(_GPS_DATE)), _numbers(gps.get(_GPS_TIME)))
    if gps_time is not None:
        facts["gps_time"] = gps_time
    return CameraData(facts, place_of_exif(gps) or place_in_xmp)


def _numbers(value: Value) -> tuple[float, ...] | None:
    return value if isinstance(value, tuple) else None


def _read_directories(block: bytes | mmap) -> tuple[Tags, Tags]:
    try:
        directories = Directories(block)
    except (struct.error, ValueError, OverflowError):
        return {}, {}
    return directories.picture, directories.gps


def _packet(tags: Tags, tag: int) -> bytes:
    value = tags.get(tag)
    return value if isinstance(value, bytes) else b""


def _taken_at(sources: tuple[Lookup, ...]) -> str | None:
    """Return when the picture was taken, else digitized, else changed."""
    for tag in (ORIGINAL_TIME, DIGITISED_TIME, CHANGED_TIME):
        times = [time for lookup in sources if (time := time_of(lookup, tag))]
        if times:
            # Another source may have the same time with its fraction and time zone.
            return max((time for time in times if time.startswith(times[0])), key=len)
    return None

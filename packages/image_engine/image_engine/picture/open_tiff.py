"""Open the page of a TIFF file that is to be shown."""

import os
from functools import partial
from mmap import ACCESS_READ, mmap

import pyvips

from image_core.images import tiff_directory as tags
from image_core.images.tiff_directory import PagePlace, TiffPage, full_size_page, is_raw_photograph, read_pages
from image_core.images.tiff_support import unsupported_tiff
from image_engine.contract.rejections import PictureRejected, unsupported
from image_engine.picture.stored_picture import StoredPicture
from image_engine.picture.tiff_samples import alpha_index, plain_samples

_COLOR_SPACES = {0: "gray", 1: "gray", 2: "rgb", 3: "rgb", 5: "cmyk", 6: "rgb", 8: "lab", 9: "lab"}
_PALETTE = 3


def open_tiff(descriptor: int) -> StoredPicture:
    """Read the header of the page to show.

    Raises:
        PictureRejected: It is a camera's raw file, or uses an unsupported feature.
        pyvips.Error: The header is broken.
    """
    place = _find_page(descriptor)
    image = _load(descriptor, place)
    page = place.page
    orientation = page.number(tags.ORIENTATION, 1)
    photometric = page.number(tags.PHOTOMETRIC, 1)
    return StoredPicture(
        format="tiff",
        width_px=image.width,
        height_px=image.height,
        frames=1,
        delays_ms=(),
        loop_count=None,
        # A palette's index has fewer bits than its colours.
        bit_depth=8 if photometric == _PALETTE else page.number(tags.BITS_PER_SAMPLE, 1),
        has_alpha=alpha_index(page) is not None,
        color_space=_COLOR_SPACES.get(photometric, "other"),
        bytes_per_pixel=image.bands * _sample_bytes(image),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        icc_profile=image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None,
        exif_block=None,
        open_pixels=lambda _longest_side_px: _plain(descriptor, place, image),
    )


def open_tiff_pixels(descriptor: int) -> pyvips.Image:
    """Open the page to show at its stored size; decoded as it is read, from the top down.

    Raises:
        PictureRejected, pyvips.Error: As `open_tiff`.
    """
    place = _find_page(descriptor)
    return _plain(descriptor, place, _load(descriptor, place))


def _plain(descriptor: int, place: PagePlace, image: pyvips.Image) -> pyvips.Image:
    return plain_samples(image, place.page, partial(_load, descriptor, place))


def _find_page(descriptor: int) -> PagePlace:
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        if is_raw_photograph(content):
            raise PictureRejected("image-format-not-allowed", "Format not supported: the file is a camera raw file.")
        place = full_size_page(read_pages(content))
    if place is None:
        # The codec gives the more precise error.
        _load(descriptor, PagePlace(0, -1, TiffPage({}, frozenset())))
        raise PictureRejected("image-undecodable")
    missing = unsupported_tiff(place.page)
    if missing is not None:
        raise unsupported(missing)
    return place


def _load(descriptor: int, place: PagePlace) -> pyvips.Image:
    os.lseek(descriptor, 0, os.SEEK_SET)
    source = pyvips.Source.new_from_descriptor(descriptor)
    options = {"page": place.number} | ({"subifd": place.sub_number} if place.sub_number >= 0 else {})
    return pyvips.Image.tiffload_source(source, access="sequential", fail_on="error", **options)


def _sample_bytes(image: pyvips.Image) -> int:
    return {"uchar": 1, "char": 1, "ushort": 2, "short": 2}.get(image.format, 4)

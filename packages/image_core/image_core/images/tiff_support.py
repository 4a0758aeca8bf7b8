"""Name the features of a TIFF page that cannot be decoded here, so that an intact file is not reported as damaged."""

from image_core.images import tiff_directory as tags
from image_core.images.tiff_directory import TiffPage

# The schemes that the bundled libtiff decodes. Source: TIFF 6.0 and libtiff's tiff.h.
_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32771, 32773, 32946, 50001}
_COMPRESSION_NAMES = {
    6: "old-style JPEG (compression 6)",
    32766: "NeXT",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogL",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    34926: "Zstandard",
    50000: "Zstandard",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_SAMPLE_FORMAT_NAMES = {1: "unsigned", 2: "signed", 3: "floating-point"}
_DEPTHS = {1: {1, 2, 4, 8, 16, 32}, 2: {8, 16, 32}, 3: {16, 32}}
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3}
_JUDGED = {
    tags.BITS_PER_SAMPLE,
    tags.PHOTOMETRIC,
    tags.SAMPLES_PER_PIXEL,
    tags.PLANAR_CONFIGURATION,
    tags.INK_SET,
    tags.EXTRA_SAMPLES,
    tags.SAMPLE_FORMAT,
}
_JPEG = 7
_ASSOCIATED_ALPHA = 1
_LAB, _ICC_LAB, _YCBCR, _CMYK = 8, 9, 6, 5


def unsupported_tiff(page: TiffPage) -> str | None:
    """Name the feature that prevents a page from being decoded; None if there is none or too few bytes are at hand."""
    compression = page.number(tags.COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        name = _COMPRESSION_NAMES.get(compression, f"compression {compression}")
        return f"TIFF compressed with {name}"
    if not page.is_legible(_JUDGED):
        return None
    return _unsupported_samples(page) or _unsupported_colors(page)


def color_samples(page: TiffPage) -> int:
    """Return the number of colour samples per pixel (the rest are extra samples); 0 for an unknown colour type."""
    return _COLORS.get(_photometric(page), 0)


def _photometric(page: TiffPage) -> int:
    return page.number(tags.PHOTOMETRIC, 1 if page.number(tags.SAMPLES_PER_PIXEL, 1) < 3 else 2)


def _unsupported_samples(page: TiffPage) -> str | None:
    depths = set(page.tags.get(tags.BITS_PER_SAMPLE, (1,)))
    kinds = set(page.tags.get(tags.SAMPLE_FORMAT, (1,)))
    if len(depths) > 1 or len(kinds) > 1:
        return "TIFF with samples of different kinds"
    bits, kind = int(depths.pop()), int(kinds.pop())
    # 4 means "undefined", which every reader treats as unsigned.
    kind = 1 if kind == 4 else kind
    samples = f"{_SAMPLE_FORMAT_NAMES.get(kind, 'complex')} samples of {bits} bits"
    planar, several = page.number(tags.PLANAR_CONFIGURATION, 1) != 1, page.number(tags.SAMPLES_PER_PIXEL, 1) > 1
    premultiplied = _ASSOCIATED_ALPHA in page.tags.get(tags.EXTRA_SAMPLES, ())
    variants = (
        (bits not in _DEPTHS.get(kind, set()), f"TIFF with {samples}"),
        (page.number(tags.COMPRESSION, 1) == _JPEG and bits != 8, f"TIFF compressed with JPEG of {bits} bits"),
        (
            premultiplied and (kind, bits) not in {(1, 8), (1, 16)},
            f"TIFF of colours multiplied by alpha with {samples}",
        ),
        (planar and (kind, bits) == (3, 16), f"TIFF in planes with {samples}"),
        (several and bits < 8, f"TIFF with several {samples}"),
    )
    return next((variant for applies, variant in variants if applies), None)


def _unsupported_colors(page: TiffPage) -> str | None:
    photometric = _photometric(page)
    bits, kind = page.number(tags.BITS_PER_SAMPLE, 1), page.number(tags.SAMPLE_FORMAT, 1)
    planar, count = page.number(tags.PLANAR_CONFIGURATION, 1) != 1, page.number(tags.SAMPLES_PER_PIXEL, 1)
    variants = (
        (count < _COLORS.get(photometric, count + 1), f"TIFF of photometric interpretation {photometric}"),
        (photometric == _CMYK and page.number(tags.INK_SET, 1) != 1, "TIFF of inks other than CMYK"),
        (photometric == _CMYK and (kind == 2 or bits > 16), f"TIFF of CMYK with signed samples or {bits} bits"),
        (photometric == _YCBCR and (bits != 8 or planar), "TIFF of YCbCr in planes, or not of 8 bits"),
        (photometric == _LAB and bits == 8 and count == 3, "TIFF of 8-bit Lab"),
    )
    return next((variant for applies, variant in variants if applies), None)

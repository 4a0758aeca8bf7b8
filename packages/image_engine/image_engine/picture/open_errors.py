"""Classification of codecs' error messages."""

import re

from image_engine.contract.rejections import PictureRejected

_TRUNCATION = re.compile(
    r"premature end|unexpected end|end[ -]of[ -](?:file|data)|truncat|bad seek|not enough data|short read",
    re.IGNORECASE,
)
_OUT_OF_MEMORY = re.compile(
    r"(?:out of|insufficient) memory|(?:unable|cannot|failed) to allocate|memory allocation|no space for"
    r"|error creating thread",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|not configured|not implemented|no decoding plugin|unhandled|cannot handle",
    re.IGNORECASE,
)


def is_truncation(message: str) -> bool:
    """Return whether a codec met a premature end of the file."""
    return _TRUNCATION.search(message) is not None


def rejection_of(message: str) -> PictureRejected:
    """Return the rejection for a codec's failure; its message, which may quote the file, is not passed on."""
    if _OUT_OF_MEMORY.search(message):
        return PictureRejected("picture-too-much-memory")
    if is_truncation(message):
        return PictureRejected("image-truncated")
    return PictureRejected("image-variant-not-supported" if _UNSUPPORTED.search(message) else "image-undecodable")

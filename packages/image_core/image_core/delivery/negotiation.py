"""Which format the extension `auto` stands for, by what a client names in its `Accept` header."""

import re
from functools import lru_cache

from image_core.delivery.spec import FORMATS, Format

_MOST_ACCEPT_LENGTH = 4096
_NAMES: dict[str, Format] = {f"image/{name}": name for name in FORMATS}
# Source: RFC 9110, 12.4.2.
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)


# Browsers send few different ones.
@lru_cache(maxsize=256)
def named_formats(accept: str | None) -> frozenset[Format]:
    """Return the formats that an `Accept` header names with a weight above zero. `*/*` and `image/*` name none.

    Of a format that is named twice the last one counts. What is malformed, or longer than 4,096 characters, names
    nothing.

    Source: RFC 9110, 12.5.1.
    """
    named: dict[Format, bool] = {}
    if accept is not None and len(accept) <= _MOST_ACCEPT_LENGTH:
        for part in accept.lower().split(","):
            media_type, *parameters = (each.strip() for each in part.split(";"))
            if media_type in _NAMES:
                named[_NAMES[media_type]] = _is_wanted(parameters)
    return frozenset(name for name, is_wanted in named.items() if is_wanted)


def _is_wanted(parameters: list[str]) -> bool:
    weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    return _WEIGHT.fullmatch(weight) is not None and float(weight) > 0


def choose_format(
    named: frozenset[Format], *, has_alpha: bool, is_animated: bool, avif_is_stored_and_smaller: bool
) -> Format:
    """Return the format to answer with.

    Args:
        named: what `named_formats` gives.
        has_alpha: something of the picture is transparent and the recipe has no background.
        is_animated: the picture moves and the recipe keeps its frames.
        avif_is_stored_and_smaller: than the other format that would be chosen. AVIF is never made for `auto`.
    """
    if "avif" in named and avif_is_stored_and_smaller and not is_animated:
        return "avif"
    if "webp" in named:
        return "webp"
    return "png" if has_alpha else "jpeg"

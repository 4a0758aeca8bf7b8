"""Sizes in bytes as people read them."""

import re

_UNITS = ("KiB", "MiB", "GiB", "TiB")
_SIZE = re.compile(r"(\d{1,16})(?:\.(\d{1,2}))? ?(B|KiB|MiB|GiB|TiB)?", re.ASCII)


def format_size(size_bytes: int) -> str:
    """Return a size in the largest binary unit that fits, to two decimals unless it is whole: `1.45 MiB`, `20 MiB`."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    power = min((size_bytes.bit_length() - 1) // 10, len(_UNITS))
    if round(size_bytes / (1 << 10 * power), 2) >= 1024 and power < len(_UNITS):
        # 1,048,575 bytes are 1 MiB rather than 1024.00 KiB.
        power += 1
    value = f"{size_bytes / (1 << 10 * power):.2f}".removesuffix(".00")
    return f"{value} {_UNITS[power - 1]}"


def parse_size(text: str) -> int | None:
    """Return the bytes of a size such as `20 MiB`, or of a number of bytes; None if the text is neither."""
    match = _SIZE.fullmatch(text.replace(",", ""))
    if match is None:
        return None
    whole, decimals, unit = match.groups()
    power = _UNITS.index(unit) + 1 if unit in _UNITS else 0
    # In hundredths, as a float would not be exact.
    return int(whole + (decimals or "").ljust(2, "0")) * (1 << 10 * power) // 100

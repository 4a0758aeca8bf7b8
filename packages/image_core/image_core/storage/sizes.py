"""Sizes in bytes as people read them."""

_UNITS = ("KiB", "MiB", "GiB", "TiB")


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

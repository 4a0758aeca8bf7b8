"""Find out whether memory is left, before a codec has to do without it."""

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap


def has_room_for(size_bytes: int) -> bool:
    """Tell whether the process may have so much more memory; none of it is touched."""
    try:
        mmap(-1, size_bytes, MAP_PRIVATE | MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True

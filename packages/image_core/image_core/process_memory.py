"""Memory settings of a service's process: the allocator's thresholds, and the scope of garbage collection."""

import ctypes
import gc
import sys

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # Source: malloc.h of glibc
_MMAP_THRESHOLD_BYTES = 1024 * 1024
_ARENAS = 2
_YOUNG_OBJECTS = 50_000


def bound_allocator() -> None:
    """Return freed buffers of 1 MiB and more to the system at once, and let threads share two arenas.

    glibc raises its threshold to the largest block that was ever freed, after which upload buffers come from the heap
    and keep it large. Without glibc this does nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)


def freeze_long_lived_objects() -> None:
    """Exclude objects loaded so far from garbage collection, and let it run less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])

"""How the process of a service holds memory: what the allocator gives back, and what garbage collection looks at."""

import ctypes
import gc
import sys

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # Source: malloc.h of glibc
_MMAP_THRESHOLD_BYTES = 1024 * 1024
_ARENAS = 2
_YOUNG_OBJECTS = 50_000


def bound_allocator() -> None:
    """Have buffers of 1 MiB and more returned to the system when they are freed, and threads share two arenas.

    glibc raises its threshold to the largest block that was ever freed, after which the buffers of uploads come from
    the heap and keep it large. Elsewhere than on glibc nothing changes.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)


def freeze_long_lived_objects() -> None:
    """Keep garbage collection from walking what a service has loaded, and let it walk the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])

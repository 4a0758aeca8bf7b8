"""What a worker process takes away from itself before it meets a stranger's bytes."""

import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from image_processor.wire import EXIT_OVER_MEMORY

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_MAX_FILE_BYTES = 1024 * 1024
# Code is resident without being data (30 MiB were measured), untouched stacks are data without being resident (60 MiB).
# The margin is for pages of the picture's own file, which count as resident while a codec maps them.
_DATA_MARGIN_BYTES = 32 * 1024 * 1024
_WATCH_SECONDS = 0.05


def confine(parent_process_id: int, memory_limit_bytes: int) -> None:
    """Give up core dumps, files, new privileges and memory beyond the limit; die with the parent.

    On macOS the system enforces no limit on data, and the watch of `MemoryWatch` stands alone.
    """
    _lower(resource.RLIMIT_CORE, 0)
    # A file that grows further fails to be written: codecs have no business with temporary files.
    _lower(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_DATA, memory_limit_bytes - _DATA_MARGIN_BYTES)
        process_control = ctypes.CDLL(None, use_errno=True).prctl
        process_control(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        process_control(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_process_id:
        # The parent was gone before its death could be noticed.
        os._exit(0)


def resident_bytes() -> int:
    """Resident memory now; on macOS the peak so far, which is all that the system tells without a library."""
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read many times a second
            return int(file.read().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class MemoryWatch:
    """Ends the process when its resident memory goes beyond the limit while a picture is in work."""

    def __init__(self, memory_limit_bytes: int) -> None:
        self._limit_bytes = memory_limit_bytes
        self._busy = threading.Event()
        threading.Thread(target=self._watch, name="memory-watch", daemon=True).start()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs."""
        self._busy.set()
        try:
            yield
        finally:
            self._busy.clear()

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            self._busy.wait()
            if resident_bytes() > self._limit_bytes:
                os._exit(EXIT_OVER_MEMORY)
            pause.wait(_WATCH_SECONDS)


def return_free_memory() -> None:
    """Give the allocator's free pages back, so that pictures leave nothing behind. Only glibc needs to be told."""
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (allowed, allowed))

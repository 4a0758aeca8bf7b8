"""Privileges that a worker process drops before it reads untrusted bytes."""

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

from image_engine.contract.framing import EXIT_OVER_MEMORY
from image_engine.worker.landlock import restrict_files
from image_engine.worker.syscall_filter import install_syscall_filter

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_MAX_FILE_BYTES = 1024 * 1024
# An idle worker maps 70 MiB that it never touches: buffers of OpenBLAS and stacks. The watch counts touched pages; the
# system's own limit is for what allocates faster than the watch looks.
_UNTOUCHED_BYTES = 64 * 1024 * 1024
_STACK_BYTES, _THREAD_ATTRIBUTES_BYTES = 2 * 1024 * 1024, 256
_WATCH_SECONDS = 0.05


# Paths that code reads late, besides its own folders: libraries, locales, time zones, the number of cores.
_READABLE = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime"),
    *("/usr/share/zoneinfo", "/dev/null", "/dev/urandom", "/proc/cpuinfo", "/sys/devices/system/cpu"),
)


@dataclass(frozen=True)
class Confinement:
    """The effective isolation of code in a codec, as verified at start.

    Attributes:
        system_calls: a filter denies sockets, programs and other processes' memory.
        landlock: version of the interface that denies access to files; 0 if the kernel has none.
    """

    system_calls: bool = False
    landlock: int = 0


class ConfinementRefused(Exception):
    """The system offers less confinement than the service requires."""


def deny_inspection() -> None:
    """Deny other processes of the same user access to this one's memory, environment and descriptors."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def confine_code(*, required: bool) -> Confinement:
    """Give up access to files, sockets, programs and other processes permanently, and verify it.

    Call it before any thread is started: Landlock restricts the calling thread and its children.

    Raises:
        ConfinementRefused: `required` is set, and the system has no filter for system calls.
    """
    if sys.platform != "linux":
        return _enough(Confinement(), required=required)
    landlock, filtered = 0, False
    try:
        if len(os.listdir("/proc/self/task")) == 1:  # noqa: PTH208 - names are enough
            landlock = restrict_files([*_own_folders(), *_READABLE])
    except OSError as error:
        logger.info("landlock_missing", extra={"reason": str(error)})
    try:
        install_syscall_filter()
        filtered = True
    except OSError as error:
        logger.info("syscall_filter_missing", extra={"reason": str(error)})
    found = Confinement(
        system_calls=filtered and not _can_open_socket(), landlock=landlock if not _can_open_root() else 0
    )
    return _enough(found, required=required)


def _enough(found: Confinement, *, required: bool) -> Confinement:
    if required and not found.system_calls:
        raise ConfinementRefused("the system gives workers no filter for system calls (seccomp)")
    return found


def _own_folders() -> list[str]:
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return [folder for folder in (*sys.path, sys.prefix, sys.base_prefix, *libraries) if folder.startswith("/")]


def _can_open_socket() -> bool:
    with suppress(OSError), socket.socket():
        return True
    return False


def _can_open_root() -> bool:
    with suppress(OSError):
        os.close(os.open("/", os.O_RDONLY))
        return True
    return False


def confine(parent_process_id: int, memory_limit_bytes: int) -> None:
    """Give up core dumps, inspection, files, new privileges and memory beyond the limit; die with the parent.

    On macOS the system enforces no limit on data, so `MemoryWatch` is the only limit.
    """
    _lower(resource.RLIMIT_CORE, 0)
    deny_inspection()
    # Files cannot grow: codecs have no business with temporary files.
    _lower(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    if sys.platform == "linux":
        _shorten_stacks()
        _lower(resource.RLIMIT_DATA, memory_limit_bytes + _UNTOUCHED_BYTES)
        process_control = ctypes.CDLL(None, use_errno=True).prctl
        process_control(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        process_control(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_process_id:
        # The parent was gone before its death could be noticed.
        os._exit(0)
    # While files can still be opened.
    resident_bytes()


def resident_bytes() -> int:
    """Return resident memory; on macOS the peak so far, which is all that is available without a library."""
    if sys.platform == "linux":
        return int(os.pread(_own_statm(), 128, 0).split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@cache
def _own_statm() -> int:
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


class MemoryWatch:
    """End the process if its resident memory exceeds the limit while a picture is in progress.

    On systems that do not end it with its parent, the watch does; an idle worker sees its channel closed.
    """

    def __init__(self, memory_limit_bytes: int) -> None:
        self._limit_bytes = memory_limit_bytes
        self._parent_process_id = os.getppid()
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
        try:
            while True:
                self._busy.wait()
                if resident_bytes() > self._limit_bytes:
                    os._exit(EXIT_OVER_MEMORY)
                if os.getppid() != self._parent_process_id:
                    os._exit(0)
                pause.wait(_WATCH_SECONDS)
        finally:
            # An unsupervised worker must not continue.
            os._exit(1)


def return_free_memory() -> None:
    """Return the allocator's free pages to the system, so that pictures leave nothing behind. Only glibc needs it."""
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _shorten_stacks() -> None:
    """Give future threads stacks of the size that libvips requests; only glibc's default is larger."""
    with suppress(AttributeError):
        threads, attributes = ctypes.CDLL(None), ctypes.create_string_buffer(_THREAD_ATTRIBUTES_BYTES)
        threads.pthread_attr_init(attributes)
        threads.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_BYTES))
        threads.pthread_setattr_default_np(attributes)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (allowed, allowed))

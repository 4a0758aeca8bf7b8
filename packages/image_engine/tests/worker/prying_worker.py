"""Code that took a worker over, and what it gets at: `prying_worker.py LAYERS SECRET_FILE PORT` prints its outcomes.

LAYERS is a comma-separated list of `inspection` (the parent denies it), `files` (Landlock), `system_calls`, or `none`.
The parent starts itself again as the child that pries. Neither has a capability, as in a container.
"""

import contextlib
import ctypes
import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from image_engine.worker import confinement, landlock, syscall_filter

_PTRACE_SEIZE, _IO_URING_SETUP, _SET_DUMPABLE = 0x4206, 425, 4
libc = ctypes.CDLL(None, use_errno=True)


class _Span(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))


def checked(answer: int) -> None:
    # A wrong address is what an unhindered call complains of.
    if answer < 0 and ctypes.get_errno() != errno.EFAULT:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    checked(libc.capset(header, (ctypes.c_uint32 * 6)()))


def attempts(parent: int, secret: Path, port: int) -> dict[str, Callable[[], object]]:
    span = _Span(1, 1)
    return {
        "parent_environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "parent_memory": lambda: os.close(os.open(f"/proc/{parent}/mem", os.O_RDONLY)),
        "parent_memory_to_write": lambda: os.close(os.open(f"/proc/{parent}/mem", os.O_RDWR)),
        "parent_descriptors": lambda: Path(f"/proc/{parent}/fd/0").readlink(),
        "read_process": lambda: checked(
            libc.process_vm_readv(parent, ctypes.byref(span), 1, ctypes.byref(span), 1, 0)
        ),
        "trace": lambda: checked(libc.ptrace(_PTRACE_SEIZE, parent, None, None)),
        "signal": lambda: os.kill(parent, 0),
        "connect": lambda: socket.create_connection(("127.0.0.1", port), 5).close(),
        "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "socket_pair": lambda: [each.close() for each in socket.socketpair()],
        "program": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        "fork": lambda: os.waitpid(os.fork() or os._exit(0), 0),
        "io_uring": lambda: checked(libc.syscall(_IO_URING_SETUP, 1, None)),
        "dumpable_again": lambda: checked(libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0)),
        "secret_file": secret.read_bytes,
        "folder": lambda: list(secret.parent.iterdir()),
        "written_file": lambda: secret.open("ab").close(),
        "new_file": lambda: tempfile.TemporaryFile().close(),
        "own_library": lambda: Path(os.__file__).read_bytes(),
        "own_thread": lambda: threading.Thread(target=int).start(),
    }  # fmt: skip


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return f"refused: {errno.errorcode.get(error.errno or 0, 'unknown')}"
    except RuntimeError as error:
        return f"refused: {error}"
    return "done"


def be_child(layers: list[str], secret: Path, port: int) -> None:
    drop_capabilities()
    parent = os.getppid()
    libc.prctl(38, 1, 0, 0, 0)
    version = 0
    if "files" in layers:
        with contextlib.suppress(OSError):
            version = landlock.restrict_files([*confinement._own_folders(), *confinement._READABLE])
    if "system_calls" in layers:
        syscall_filter.install_syscall_filter()
    found = {name: outcome(attempt) for name, attempt in attempts(parent, secret, port).items()}
    sys.stdout.write(json.dumps({"landlock": version, **found}))


def main() -> None:
    layers, secret, port = sys.argv[1].split(","), Path(sys.argv[2]), int(sys.argv[3])
    if sys.argv[4:] == ["child"]:
        be_child(layers, secret, port)
        return
    drop_capabilities()
    if "inspection" in layers:
        confinement.deny_inspection()
    child = subprocess.run([sys.executable, "-P", *sys.argv, "child"], check=False)
    sys.exit(child.returncode)


if __name__ == "__main__":
    main()

"""Restrict a worker's access to files and the network with Landlock, if the kernel has it.

Source: landlock(7), https://docs.kernel.org/userspace-api/landlock.html.
"""

import ctypes
import os
import stat
from collections.abc import Iterable

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# The rights that each version of the interface can deny; all are denied, except reading where a rule allows it.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_BIND_AND_CONNECT, _NETWORK_SINCE = 0b11, 4
_ABSTRACT_SOCKETS_AND_SIGNALS, _SCOPES_SINCE = 0b11, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict_files(readable: Iterable[str]) -> int:
    """Allow this thread, and those it starts, only to read files beneath these paths.

    Return the version of the interface, which determines what it denies: files from 1 on, TCP from 4 on, signals to
    others from 6 on. Files and sockets that are open stay open. It cannot be undone. New privileges must have been
    ruled out before (`PR_SET_NO_NEW_PRIVS`).

    Raises:
        OSError: The kernel has no Landlock, or denies it here.
    """
    version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    rules = _Ruleset(
        _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)],
        _TCP_BIND_AND_CONNECT if version >= _NETWORK_SINCE else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPES_SINCE else 0,
    )
    # An older kernel takes as much of the structure as it knows.
    size_bytes = 8 if version < _NETWORK_SINCE else 16 if version < _SCOPES_SINCE else 24
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), size_bytes, 0)
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # Absent paths need not be readable.
        return
    try:
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        rule = _PathBeneath(_READ_FILE | _READ_DIR if is_folder else _READ_FILE, opened)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    # As wide as the kernel reads them: a plain int fills only half a register.
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    answer: int = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *words)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer

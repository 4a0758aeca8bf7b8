"""The system calls that a worker may make: a seccomp filter, written as the kernel's classic BPF.

Every call that is not listed fails with `ENOSYS`, for which C libraries have fallbacks. So there are no sockets, no
programs, no access to other processes' memory, no io_uring, and no calls that later kernels add.

Source: seccomp(2), https://docs.kernel.org/userspace-api/seccomp_filter.html; numbers: arch/x86/entry/syscalls and
include/uapi/asm-generic/unistd.h of the kernel.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence
from typing import NamedTuple

_ANY = 0xFFFFFFFF


class _Condition(NamedTuple):
    """The lower 32 bits of an argument, masked, must be one of these values."""

    argument: int
    mask: int
    values: tuple[int, ...]


class _Machine(NamedTuple):
    audit_arch: int
    seccomp_number: int
    column: int
    # Higher numbers belong to another calling convention of the same machine.
    first_foreign_number: int | None


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, 0, 0x40000000),
    "aarch64": _Machine(0xC00000B7, 277, 1, None),
}

# Name: number on x86_64, on arm64. The most frequent calls come first.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "futex": (202, 98), "lseek": (8, 62), "read": (0, 63), "madvise": (28, 233), "mmap": (9, 222),
    "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "brk": (12, 214), "write": (1, 64),
    "close": (3, 57), "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66),
    # The channel to the parent, which existed before the filter.
    "recvfrom": (45, 207), "recvmsg": (47, 212), "sendto": (44, 206), "getsockopt": (55, 209),
    "getsockname": (51, 204), "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    # Files: Landlock decides which ones, and `_conditions` that they are only read.
    "fstat": (5, 80), "stat": (4, None), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17), "fadvise64": (221, 223),
    "dup": (32, 23), "dup3": (292, 24), "memfd_create": (319, 279), "ftruncate": (77, 46),
    # Threads, signals to oneself, time.
    "rseq": (334, 293), "set_robust_list": (273, 99), "set_tid_address": (218, 96), "membarrier": (324, 283),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
    "exit": (60, 93), "exit_group": (231, 94),
    # Information about the process itself.
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getrusage": (98, 165), "getrlimit": (97, 163), "uname": (63, 160),
    "sysinfo": (99, 179), "getrandom": (318, 278),
}  # fmt: skip

_CLONE_THREAD, _CLONE_NEW_NAMESPACES = 0x00010000, 0x7E020080
_PR_SET_NAME, _PR_SET_VMA = 15, 0x53564D41
_TCGETS, _FIONCLEX, _FIOCLEX, _FIONREAD = 0x5401, 0x5450, 0x5451, 0x541B
_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC = 0, 1, 2, 3, 4, 1030

# struct sock_filter, and the operations used here: load a word, compare, mask, return.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _EQUAL, _NOT_BELOW, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install_syscall_filter() -> None:
    """Restrict all current and future threads of this process to the listed calls. It cannot be undone.

    New privileges must have been ruled out before (`PR_SET_NO_NEW_PRIVS`).

    Raises:
        OSError: The kernel has no such filters, or denies them here.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != 8:
        raise OSError(errno.ENOSYS, f"no system call numbers are known for {platform.machine()}")
    code = filter_program(machine, os.getpid())
    program = _Program(len(code) // _INSTRUCTION.size, code)
    words = [ctypes.c_long(word) for word in (machine.seccomp_number, _SET_MODE_FILTER, _ALL_THREADS)]
    # A positive number is a thread that could not be synchronized.
    if ctypes.CDLL(None, use_errno=True).syscall(*words, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno() or errno.EPERM, "the kernel refuses the system call filter")


def filter_program(machine: _Machine, process_id: int) -> bytes:
    """Assemble the filter of a process."""
    code = [
        _instruction(_LOAD, _ARCH_OFFSET),
        _instruction(_EQUAL, machine.audit_arch, skip_if_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_OFFSET),
    ]
    if machine.first_foreign_number is not None:
        code += [
            _instruction(_NOT_BELOW, machine.first_foreign_number, skip_if_false=1),
            _instruction(_RETURN, _KILL),
        ]
    for numbers in _ALLOWED.values():
        number = numbers[machine.column]
        if number is not None:
            code += _allowed_if(number, [_instruction(_RETURN, _ALLOW)])
    for numbers, condition in _conditions(process_id):
        code += _allowed_if(numbers[machine.column], _checked(condition))
    code.append(_instruction(_RETURN, _ERRNO | errno.ENOSYS))
    return b"".join(code)


def _conditions(process_id: int) -> Sequence[tuple[tuple[int, int], _Condition]]:
    """Return the calls that are allowed only with certain arguments, by their numbers on x86_64 and arm64."""
    return (
        # openat reads only: written files would reach other processes or stay on a disk.
        ((257, 56), _Condition(2, os.O_ACCMODE | os.O_CREAT | os.O_TRUNC, (os.O_RDONLY,))),
        # clone makes threads, not processes. clone3, whose arguments a filter cannot see, is denied.
        ((56, 220), _Condition(0, _CLONE_THREAD | _CLONE_NEW_NAMESPACES, (_CLONE_THREAD,))),
        # kill and tgkill only to this process: abort() uses the latter.
        ((62, 129), _Condition(0, _ANY, (process_id,))),
        ((234, 131), _Condition(0, _ANY, (process_id,))),
        # prctl names threads and mappings; it could also make a process dumpable.
        ((157, 167), _Condition(0, _ANY, (_PR_SET_NAME, _PR_SET_VMA))),
        # ioctl and fcntl could have signals sent to other processes.
        ((16, 29), _Condition(1, _ANY, (_TCGETS, _FIOCLEX, _FIONCLEX, _FIONREAD))),
        ((72, 25), _Condition(1, _ANY, (_F_GETFL, _F_SETFL, _F_GETFD, _F_SETFD, _F_DUPFD, _F_DUPFD_CLOEXEC))),
        # prlimit64 of this process only.
        ((302, 261), _Condition(0, _ANY, (0,))),
    )


def _allowed_if(number: int, body: list[bytes]) -> list[bytes]:
    return [_instruction(_EQUAL, number, skip_if_false=len(body)), *body]


def _checked(condition: _Condition) -> list[bytes]:
    tests = [
        _instruction(_EQUAL, value, skip_if_true=len(condition.values) - place)
        for place, value in enumerate(condition.values)
    ]
    return [
        _instruction(_LOAD, _ARGUMENTS_OFFSET + 8 * condition.argument),
        _instruction(_AND, condition.mask),
        *tests,
        _instruction(_RETURN, _ERRNO | errno.EPERM),
        _instruction(_RETURN, _ALLOW),
    ]


def _instruction(operation: int, value: int, *, skip_if_true: int = 0, skip_if_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(operation, skip_if_true, skip_if_false, value)

"""Identifiers: UUID version 7, which sort by creation time."""

import os
import time
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_LOW_BITS = 62


class _Greatest:
    """The greatest id that this process has generated."""

    value = 0


def new_id() -> UUID:
    """Return a new UUIDv7 that is greater than every earlier one of this process.

    It consists of 48 bits of Unix milliseconds and 74 random bits; within one millisecond it is the previous id plus a
    random step.

    Source: RFC 9562, sections 5.7 and 6.2 (method 2).
    """
    while True:
        value = _from_clock()
        if value <= _Greatest.value:
            # A step that would overflow into the variant's bits waits for the next millisecond.
            value = _Greatest.value + 1 + int.from_bytes(os.urandom(4), "big")
            if value >> _LOW_BITS != _Greatest.value >> _LOW_BITS:
                continue
        _Greatest.value = value
        return UUID(int=value)


def _from_clock() -> int:
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) | _VERSION
    return value & ~(0x3 << 62) | _VARIANT

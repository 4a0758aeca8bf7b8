"""Identifiers: UUID version 7, so that ids sort by the time they were made."""

import os
import time
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_LOW_BITS = 62


class _Greatest:
    """The greatest id of this process so far."""

    value = 0


def new_id() -> UUID:
    """A fresh UUIDv7, greater than every earlier one of this process.

    48 bits of Unix milliseconds, then 74 random bits; within a millisecond, the former id and a random step.

    Source: RFC 9562, sections 5.7 and 6.2 (method 2).
    """
    while True:
        value = _of_now()
        if value <= _Greatest.value:
            # A step that would reach the variant's bits waits for the next millisecond.
            value = _Greatest.value + 1 + int.from_bytes(os.urandom(4), "big")
            if value >> _LOW_BITS != _Greatest.value >> _LOW_BITS:
                continue
        _Greatest.value = value
        return UUID(int=value)


def _of_now() -> int:
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) | _VERSION
    return value & ~(0x3 << 62) | _VARIANT

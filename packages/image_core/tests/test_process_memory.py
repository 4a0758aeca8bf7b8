"""Tried in processes of their own, as what is set holds for the whole process."""

import subprocess
import sys

import pytest


def run(program: str) -> list[int]:
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return [int(word) for word in output.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has these settings")
def test_freed_buffers_go_back_to_the_system() -> None:
    program = """
from image_core import process_memory
if {bounded}:
    process_memory.bound_allocator()
def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
# glibc raises its threshold when a large block is freed; later blocks then come from the heap.
first = bytearray(b"x" * (24 << 20))
del first
before = resident_mib()
blocks = [bytearray(b"x" * (4 << 20)) for _ in range(16)]
pin = bytearray(b"x" * (100 << 10))
del blocks
print(resident_mib() - before)
"""
    (bounded,), (unbounded,) = (run(program.format(bounded=bounded)) for bounded in (True, False))
    assert bounded < 8 < unbounded


def test_what_was_loaded_is_not_walked_any_more() -> None:
    program = """
import gc
from image_core import process_memory
before = len(gc.get_objects())
process_memory.freeze_long_lived_objects()
print(before, len(gc.get_objects()), gc.get_freeze_count(), gc.get_threshold()[0])
"""
    before, after, frozen, young = run(program)
    assert after < before / 10
    assert frozen > before / 2
    assert young > 700

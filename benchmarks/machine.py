"""What every benchmark prints first, and how CPU time of other processes is read."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def describe(*packages: str) -> str:
    """One line: processor, cores, Python, and the versions of the packages that matter here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line] or [platform.machine()]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{models[0]}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process and of its children that have ended."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def child_cpu_seconds(process_id: int) -> float:
    """User and system time of a process's children, living and ended: the sessions of a PostgreSQL server."""
    of_living = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == process_id:
            of_living += sum(int(field) for field in fields[11:15]) / _TICKS
    return of_living + cpu_seconds(process_id)


def resident_bytes(process_id: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes(process_id: int) -> int:
    """The most that a process has ever had resident."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

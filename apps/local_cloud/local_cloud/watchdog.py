"""Ends the registered processes as soon as its parent is gone, however the parent ended.

Run as a script by `Watchdog`: it reads lines from standard input, which ends when the parent's end of the pipe closes;
the kernel closes it even after SIGKILL.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 5.0


class Watchdog:
    """Owns a small process that outlives this one just long enough to end the registered processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # -I and -S skip site-packages: the script needs only the standard library and starts in 20 ms.
        command = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603

    def watch(self, pid: int, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Register the process group led by `pid`: it gets `stop_signal` first when this process is gone."""
        self._send(f"+ {pid} {int(stop_signal)}\n")

    def forget(self, pid: int) -> None:
        """Unregister `pid`, because it has ended and its id may be reused."""
        self._send(f"- {pid}\n")

    def close(self) -> None:
        """Close the watchdog; what is still registered is ended."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _end(watched: dict[int, int]) -> None:
    alive = {pid for pid, number in watched.items() if _signal_group(pid, number)}
    deadline = time.monotonic() + GRACE_SECONDS
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = {pid for pid in alive if _signal_group(pid, 0)}
    for pid in alive:
        _signal_group(pid, signal.SIGKILL)


def main() -> None:
    """Track the registered processes until the pipe closes, then end them."""
    # A terminal's hang-up must not end the process that cleans up after it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watched: dict[int, int] = {}
    for line in sys.stdin:
        match line.split():
            case ["+", pid, number]:
                watched[int(pid)] = int(number)
            case ["-", pid]:
                watched.pop(int(pid), None)
    _end(watched)


if __name__ == "__main__":
    main()

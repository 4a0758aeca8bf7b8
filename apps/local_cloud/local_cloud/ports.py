"""TCP ports of the loopback address."""

import atexit
import random
import socket

from local_cloud.errors import NoFreePort

HOST = "127.0.0.1"
CHOSEN_PORTS = range(20_000, 32_768)
"""Below the range that Linux and macOS use for outgoing connections, so that none takes a port before its use."""


_taken: dict[int, socket.socket] = {}


@atexit.register
def _release_ports() -> None:
    for holder in _taken.values():
        holder.close()


def free_port(host: str = HOST) -> int:
    """Take a port on which nothing listens, for a process that is about to start.

    Raises:
        NoFreePort: Every port of `CHOSEN_PORTS` is in use.
    """
    # The system's randomness: processes with the same seed, as in tests, would choose the same ports.
    for port in random.SystemRandom().sample(CHOSEN_PORTS, len(CHOSEN_PORTS)):
        if port not in _taken and take_port(port, host):
            return port
    raise NoFreePort(
        f"No port from {CHOSEN_PORTS[0]} to {CHOSEN_PORTS[-1]} on {host} is free: stop a process that uses one."
    )


def take_port(port: int, host: str = HOST) -> bool:
    """Take a port until this process ends, and return whether it was possible.

    A server may start seconds later. Until then, only the UDP port of the same number shows that the port is taken:
    unlike the TCP port it can be held here without being in the server's way.
    """
    if not is_free(port, host):
        return False
    if port in _taken:
        return True
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        holder.bind((host, port))
    except OSError:
        holder.close()
        return False
    _taken[port] = holder
    return True


def is_free(port: int, host: str = HOST) -> bool:
    """Return whether a server could listen on a port now."""
    with socket.socket() as probe:
        # As servers do: a previous connection in TIME_WAIT does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True

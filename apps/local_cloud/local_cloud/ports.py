"""TCP ports of the loopback address."""

import random
import socket

from local_cloud.errors import NoFreePort

HOST = "127.0.0.1"
CHOSEN_PORTS = range(20_000, 32_768)
"""Below what Linux and macOS give to outgoing connections: none takes a port between its choice and its use."""


def free_port(host: str = HOST) -> int:
    """Choose a port that nobody listens on, for a process that is to start soon.

    Raises:
        NoFreePort: each port of `CHOSEN_PORTS` is in use.
    """
    # The system's randomness: two processes with one seed, as tests set it, would choose the same ports.
    for port in random.SystemRandom().sample(CHOSEN_PORTS, len(CHOSEN_PORTS)):
        if is_free(port, host):
            return port
    raise NoFreePort(
        f"No port from {CHOSEN_PORTS[0]} to {CHOSEN_PORTS[-1]} on {host} is free: stop a process that uses one."
    )


def is_free(port: int, host: str = HOST) -> bool:
    """Return whether a server could listen on a port now."""
    with socket.socket() as probe:
        # As servers do: a connection of a former one that is still winding down is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True

"""TCP ports of the loopback address."""

import socket

HOST = "127.0.0.1"


def free_port(host: str = HOST) -> int:
    """Ask the kernel for a port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether one could listen on a port now."""
    with socket.socket() as probe:
        # As servers do: a connection of a former one that is still winding down is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True

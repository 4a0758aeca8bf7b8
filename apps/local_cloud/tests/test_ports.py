"""Ports chosen for processes that are to start."""

import random
import socket
import subprocess
import sys

import pytest

from local_cloud import ports
from local_cloud.errors import NoFreePort
from local_cloud.ports import HOST, free_port, take_port
from local_cloud.testing import GuardedProcess


def test_no_port_is_one_that_outgoing_connections_get() -> None:
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()) as connection:
        assert max(free_port() for _ in range(100)) < connection.getsockname()[1]


def test_programs_with_one_seed_choose_different_ports() -> None:
    chosen = []
    for _ in range(10):
        random.seed(0)
        chosen.append(free_port())
    assert len(set(chosen)) > 1


def test_a_port_that_another_process_has_chosen_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "from local_cloud.ports import free_port; print(free_port(), flush=True); input()"
    other = GuardedProcess([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    chosen = int(other.stdout.readline())
    monkeypatch.setattr(ports, "CHOSEN_PORTS", range(chosen, chosen + 1))
    with pytest.raises(NoFreePort):
        free_port()
    assert not take_port(chosen)
    # The port itself is left to the server that is about to start.
    socket.create_server((HOST, chosen)).close()
    other.communicate(b"\n")
    assert free_port() == chosen


def test_no_two_ports_of_one_process_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CHOSEN_PORTS", range(first := free_port(), first + 1))
    with pytest.raises(NoFreePort):
        free_port()
    assert take_port(first)


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, free_port())) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "CHOSEN_PORTS", range(taken, taken + 1))
        with pytest.raises(NoFreePort, match=f"{taken} to {taken}"):
            free_port()

"""Exempt local and emulator traffic from the environment's proxy, which can reach neither."""

from collections.abc import MutableMapping
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# The variables that hold emulator addresses: a proxy to the internet does not lead to an emulator.
_EMULATORS = ("STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "VISION_EMULATOR_HOST")


def keep_local_traffic_direct(environment: MutableMapping[str, str]) -> None:
    """Add this machine and the emulators to `no_proxy`; call it before any client is created.

    Clients differ in how they read the variable: requests, urllib and gRPC prefer the lower-case name or read only
    that. Both names are therefore set to the union of both values.
    """
    listed = [environment[name] for name in ("no_proxy", "NO_PROXY") if environment.get(name)]
    known = [host for text in listed for host in text.replace(",", " ").split()]
    hosts = dict.fromkeys([*known, *LOOPBACK, *_emulator_hosts(environment)])
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(hosts)


def _emulator_hosts(environment: MutableMapping[str, str]) -> list[str]:
    found = []
    for name in _EMULATORS:
        address = environment.get(name)
        if address:
            host = urlsplit(address if "://" in address else f"//{address}").hostname
            found += [host] if host else []
    return found

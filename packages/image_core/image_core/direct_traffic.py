"""Keeps what talks to this machine, or to an emulator, away from the environment's proxy, which cannot reach either."""

from collections.abc import MutableMapping
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Where emulators are: a proxy that leads out never leads to one.
_EMULATORS = ("STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "VISION_EMULATOR_HOST")


def keep_local_traffic_direct(environment: MutableMapping[str, str]) -> None:
    """Add this machine and the emulators to `no_proxy`; call it before any client is made.

    Every client reads that variable, and each in its own way: requests, urllib and gRPC the lower-case name first, or
    only that, so both names get the union of both.
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

"""The limits that a key passes on: what it creates may not outlive it, nor be used from other networks.

Admins who manage other users are exempt, and so are users who have signed in.
"""

from collections.abc import Mapping
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any, NamedTuple

from image_api.actor import Actor
from image_core import errors
from image_core.db import Record


class Limits(NamedTuple):
    """The expiry of a key and its networks; null means no limit."""

    expires_at: datetime | None
    address_ranges: list[str] | None


def limits_of(actor: Actor) -> Limits:
    """Return the limits of the caller's key."""
    return Limits(actor.key_expires_at, actor.address_ranges)


def check_within_limits(actor: Actor, row: Record, changes: Mapping[str, Any] | None = None) -> None:
    """Check a credential of the caller itself, as it is or as `changes` would leave it.

    The calling key's own credential is compared with its own limits: a previous key, which expires earlier, may still
    replace a new key whose response was lost.

    Raises:
        errors.KeyLimitExceeded: The credential lacks a limit of the calling key, or has a wider one.
    """
    if row["user_id"] != actor.user_id:
        return
    own = row["id"] == actor.credential_id
    limits = Limits(row["expires_at"], row["address_ranges"]) if own else limits_of(actor)
    after = dict(row) | dict(changes or {})
    check_limits(limits, after["expires_at"], after["address_ranges"])


def check_limits(limits: Limits, expires_at: datetime | None, address_ranges: list[str] | None) -> None:
    """Check an expiry and networks against limits.

    Raises:
        errors.KeyLimitExceeded: They exceed the limits, which the error names.
    """
    exceeded = []
    if limits.expires_at is not None and (expires_at is None or expires_at > limits.expires_at):
        exceeded.append(("expires_at", f"it ends at {limits.expires_at.isoformat()}"))
    if limits.address_ranges is not None and not _are_within(address_ranges, limits.address_ranges):
        exceeded.append(("address_ranges", f"it may be used from {', '.join(limits.address_ranges)}"))
    if exceeded:
        reasons = " and ".join(reason for _, reason in exceeded)
        raise errors.KeyLimitExceeded(
            f"The calling key is limited: {reasons}. Keys that it creates, changes or rotates must stay "
            "within these limits. Sign in, or ask an admin.",
            exceeded=[name for name, _ in exceeded],
            limits={name: getattr(limits, name) for name, _ in exceeded},
        )


def _are_within(ranges: list[str] | None, limit: list[str]) -> bool:
    if ranges is None:
        return False
    allowed = _networks(limit)
    return all(any(_is_within(network, outer) for outer in allowed) for network in _networks(ranges))


def _networks(ranges: list[str]) -> list[IPv4Network | IPv6Network]:
    """Return networks with adjacent ones merged."""
    networks = [ip_network(text) for text in ranges]
    ipv4 = [network for network in networks if isinstance(network, IPv4Network)]
    ipv6 = [network for network in networks if isinstance(network, IPv6Network)]
    return [*collapse_addresses(ipv4), *collapse_addresses(ipv6)]


def _is_within(network: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv4Network) and isinstance(other, IPv4Network):
        return network.subnet_of(other)
    return isinstance(network, IPv6Network) and isinstance(other, IPv6Network) and network.subnet_of(other)

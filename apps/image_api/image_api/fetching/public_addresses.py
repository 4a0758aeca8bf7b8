"""Classification of network addresses: which ones may be fetched on behalf of a caller."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `ipaddress.is_global` is not sufficient: it accepts NAT64 and multicast, and before Python 3.12 also 6to4. Source:
# IANA's special-purpose address registries for IPv4 and IPv6, as of 2025.
_REFUSED_IPV4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' NAT, and Alibaba's metadata server
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata server of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata server
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "168.63.129.16/32",  # Azure's host, public by its number only
    )
]
# Public IPv6 is within this network. Outside of it: loopback, mapped and compatible IPv4 (::/8), NAT64 (64:ff9b::/96,
# 64:ff9b:1::/48), discard (100::/64), segment routing (5f00::/16), unique-local, link-local, site-local, multicast.
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_REFUSED_IPV6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]
# Access to these yields the machine's own credentials, so no list of allowed networks can include them.
_NEVER: list[Network] = [
    IPv4Network("169.254.0.0/16"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("100.100.100.200/32"),
    IPv4Network("192.0.0.192/32"),
    IPv6Network("fe80::/10"),
    IPv6Network("fd00:ec2::/64"),  # Amazon's
    IPv6Network("fd20:ce::/64"),  # Google's
    IPv6Network("fd00:c1::/64"),  # Oracle's
    IPv6Network("fd00:42::42/128"),  # Scaleway's
]
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


def is_public(address: Address) -> bool:
    """Return whether an address is public, as far as its number shows."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_IPV4)
    if address.scope_id is not None or address not in _PUBLIC_IPV6:
        return False
    return not any(address in network for network in _REFUSED_IPV6)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether an operator has allowed this address; a metadata server never is, in any notation."""
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.ipv4_mapped is not None):
        return False
    if not any(address in network for network in allowed):
        return False
    targets = [address, *_embedded_ipv4(address)] if isinstance(address, IPv6Address) else [address]
    return not any(target in network for target in targets for network in _NEVER)


def _embedded_ipv4(address: IPv6Address) -> list[IPv4Address]:
    """Return every IPv4 address that a gateway might extract from an IPv6 address."""
    number = int(address)
    # The last 32 bits: compatible and translated IPv4, NAT64 with any prefix of 96 bits, ISATAP.
    found = [IPv4Address(number & 0xFFFFFFFF)]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    if address in _LOCAL_NAT64:
        # Source: RFC 6052, section 2.2. Bits 64 to 71 are skipped, wherever the prefix of 48, 56 or 64 bits ends.
        bits = (number >> 64 & 0xFFFF) << 56 | number & 0xFFFFFFFFFFFFFF
        found.extend(IPv4Address(bits >> shift & 0xFFFFFFFF) for shift in (40, 32, 24))
    return found

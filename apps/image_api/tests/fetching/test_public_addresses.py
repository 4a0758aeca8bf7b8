from ipaddress import ip_address

import pytest

from image_api.fetching.public_addresses import is_public

# The first and the last address of what is refused, and their neighbours that are not.
EDGES = {
    "0.255.255.255": False, "1.0.0.0": True, "9.255.255.255": True, "10.255.255.255": False, "11.0.0.0": True,
    "100.63.255.255": True, "100.127.255.255": False, "100.128.0.0": True, "126.255.255.255": True,
    "127.255.255.255": False, "128.0.0.0": True, "169.253.255.255": True, "169.254.0.0": False, "169.255.0.0": True,
    "172.15.255.255": True, "172.31.255.255": False, "172.32.0.0": True, "192.0.1.0": True, "192.167.255.255": True,
    "192.169.0.0": True, "198.17.255.255": True, "198.19.255.255": False, "198.20.0.0": True,
    "223.255.255.255": True, "224.0.0.0": False, "255.255.255.255": False, "8.8.8.8": True,
    "1fff:ffff::1": False, "2000::1": True, "2001:1ff:ffff::1": False, "2001:200::1": True, "2001:db7::1": True,
    "2001:db9::1": True, "2003::1": True, "3ffe::1": True, "3fff:fff::1": False, "3fff:1000::1": True,
    "4000::1": False, "2a00:1450:4001::200e": True, "2a00:1450:4001::200e%eth0": False,
}  # fmt: skip


@pytest.mark.parametrize(("text", "public"), EDGES.items())
def test_public_ends_exactly_where_the_registries_say(text: str, public: bool) -> None:
    assert is_public(ip_address(text)) is public

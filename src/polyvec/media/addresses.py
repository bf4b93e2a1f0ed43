"""Which IP addresses a fetch may reach."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address

# Written out, since `ipaddress.is_global` changes between Python versions and lets multicast,
# 6to4, NAT64 and embedded IPv4 addresses through.
# Source: IANA IPv4 and IPv6 Special-Purpose Address Registries.
_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service is 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's metadata service, a public address
        "169.254.0.0/16",  # link-local; most clouds' metadata service is 169.254.169.254
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service is 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# All of IPv6 that is given out; whatever is outside (loopback, mapped, NAT64, private, link-local,
# site-local, multicast) is refused without being listed.
_GIVEN_OUT_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address is inside
        "3fff::/20",  # documentation
    )
)
_ISATAP = 0x5EFE
_LOCAL_BIT = 0x0200


def is_public(address: Address) -> bool:
    """Whether an address belongs to a host of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if address not in _GIVEN_OUT_V6 or _embeds_v4(address):
        return False
    return not any(address in network for network in _REFUSED_V6)


def is_allowed(address: Address, networks: Iterable[str], *, public: bool) -> bool:
    """Whether a fetch may reach an address.

    Args:
        address: As it would be connected to. One that has another inside is taken as it stands.
        networks: CIDR networks that may be reached whatever is in them.
        public: Whether public addresses may be reached.
    """
    if any(address in _network(network) for network in networks):
        return True
    return public and is_public(address)


def _embeds_v4(address: IPv6Address) -> bool:
    """Whether a tunnel (ISATAP, RFC 5214) would hand the packet to an IPv4 address."""
    return (int(address) >> 32) & 0xFFFFFFFF & ~(_LOCAL_BIT << 16) == _ISATAP


@lru_cache(maxsize=256)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)

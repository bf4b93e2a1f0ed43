"""No address but a public one is reached, unless its network is named."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.media.addresses import is_allowed, is_public

# `ipaddress.is_global` of Python 3.11 says True for each of these.
TRAPS = """224.0.0.1 233.252.0.1 192.88.99.1 192.0.0.9 192.0.0.10 ::127.0.0.1 ::ffff:8.8.8.8
64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 3fff::1 5f00::1 fec0::1 ff02::1""".split()
METADATA = """169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192
fd00:ec2::254""".split()
OTHERS = """0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1
127.255.255.255 169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.168.0.1
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1:ffff::1
2002:a9fe:a9fe::1 2002:808:808::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1
2001:10::1 2001:20::1 2001:db8::1 100::1 fc00::1 fdff::1 fe80::1 fe80::1%2 febf::1 ff0e::1
4000::1 2606:4700::5efe:7f00:1 2606:4700::200:5efe:a00:1""".split()
PUBLIC = """1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255
128.0.0.1 168.63.129.15 168.63.129.17 169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0
192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450::1
2001:4860:4860::8888 2001:200::1 3ffe::1 2606:4700::5eff:7f00:1""".split()


@pytest.mark.parametrize("text", [*TRAPS, *METADATA, *OTHERS])
def test_addresses_that_are_not_public_hosts_are_refused(text):
    assert not is_public(ip_address(text))
    assert not is_allowed(ip_address(text), (), public=True)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_hosts_are_allowed_when_public_ones_are(text):
    assert is_allowed(ip_address(text), (), public=True)
    assert not is_allowed(ip_address(text), (), public=False)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1"),
        ("169.254.169.254", "169.254.169.254/32"),
        ("fd00::5", "fd00::/8"),
        ("64:ff9b::808:808", "64:ff9b::/96"),
    ],
)
def test_an_allowed_network_opens_what_is_inside(text, network):
    for public in (True, False):
        assert is_allowed(ip_address(text), ("192.168.7.0/24", network), public=public)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.2.3", "10.0.0.0/16"),
        ("::ffff:10.0.0.1", "10.0.0.0/8"),  # it is no IPv4 address as it stands
        ("10.0.0.1", "::ffff:0:0/96"),
        ("64:ff9b::a00:1", "10.0.0.0/8"),
        ("fd00::5", "10.0.0.0/8"),
    ],
)
def test_an_allowed_network_opens_nothing_else(text, network):
    assert not is_allowed(ip_address(text), (network,), public=True)


@given(st.integers(0, 2**32 - 1))
def test_no_address_that_python_calls_local_is_public(number):
    address = ip_address(number)
    local = address.is_private or address.is_loopback or address.is_multicast or address.is_reserved
    assert not (local and is_public(address))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["::ffff:0:0", "::", "64:ff9b::", "2002::"]))
def test_no_ipv4_address_gets_through_inside_another(number, prefix):
    base = ip_network(prefix).network_address
    shift = 80 if prefix == "2002::" else 0
    assert not is_public(base + (number << shift))

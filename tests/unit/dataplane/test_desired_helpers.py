"""Keys and addresses as the maps hold them: what needs no kernel."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.desired import EDGE_DTYPE, HOP_DTYPE, RefusedError, mac_bytes, prefix_key, prefix_of
from dataplane.maps import EDGE_CIRCUIT, HOP, PREFIX_KEY


@given(st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_prefix_comes_back_from_its_key(engine: int, address: int, length: int) -> None:
    prefix = str(ipaddress.IPv4Network((address, length), strict=False))
    assert prefix_of(prefix_key(engine, prefix)) == (engine, prefix)


@given(st.integers(0, 255), st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_ipv6_prefix_comes_back_from_its_key(engine: int, address: int, length: int) -> None:
    prefix = str(ipaddress.IPv6Network((address, length), strict=False))
    assert prefix_of(prefix_key(engine, prefix)) == (engine, prefix)


def test_key_has_engine_and_address_most_significant_byte_first() -> None:
    key = prefix_key(3, "10.2.0.0/16")
    assert key == (32 + 16).to_bytes(4, "little") + b"\0\0\0\3" + bytes([10, 2, 0, 0])
    assert len(key) == PREFIX_KEY.size


def test_two_engines_have_different_keys_for_one_prefix() -> None:
    assert prefix_key(1, "10.2.0.0/16") != prefix_key(2, "10.2.0.0/16")


@pytest.mark.parametrize("prefix", ["", "10.2.0.1/16", "10.2.0.0/33", "fd00::1/16", "ten"])
def test_what_is_no_prefix_is_refused_by_name(prefix: str) -> None:
    with pytest.raises(RefusedError, match="is no IP prefix"):
        prefix_key(1, prefix)


def test_mac_becomes_six_bytes() -> None:
    assert mac_bytes("02:f0:00:00:00:0A") == bytes([2, 0xF0, 0, 0, 0, 10])


@pytest.mark.parametrize("mac", ["", "02:f0", "02:f0:00:00:00:01:02", "02:f0:00:00:00:zz", "host"])
def test_what_is_no_mac_is_refused_by_name(mac: str) -> None:
    with pytest.raises(RefusedError, match="is no MAC address"):
        mac_bytes(mac)


def test_table_rows_are_as_long_as_the_maps_values() -> None:
    assert EDGE_DTYPE.itemsize == EDGE_CIRCUIT.size
    assert HOP_DTYPE.itemsize == HOP.size


def test_table_rows_hold_the_fields_where_the_maps_have_them() -> None:
    import numpy as np

    edge = np.array([(1, 2, 3, 4, 5)], EDGE_DTYPE)
    assert edge.tobytes() == EDGE_CIRCUIT.pack(1, 2, 3, 4, 5)
    hop = np.array([(2, 7, 28, list(b"abcdef"), list(b"ghijkl"))], HOP_DTYPE)
    assert hop.tobytes() == HOP.pack(2, 7, 28, b"abcdef", b"ghijkl")

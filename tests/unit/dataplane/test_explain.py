"""Frames explained: every byte, every check, in the engines' order."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from dataplane.explain import checks, dissect, explain
from dataplane.explain.checks import State, malformed
from dataplane.pcap import Frame
from dataplane.twin import Tables
from dataplane.twin.steer import read
from dataplane.twin.tables import Hop
from headers.packet import SteeringHeader, steer_frame, tag
from headers.packet.steering import Echo, echo_frame

KEY = bytes(range(16))
OTHER_KEY = bytes(range(16, 32))


def steered(**changes: int | bool) -> bytes:
    fields: dict[str, int | bool] = {"circuit": 5, "si": 1, "engine": 2, "epoch": 3, **changes}
    header = SteeringHeader(**fields)  # type: ignore[arg-type]
    if "tag" not in changes:
        header = header.tagged(KEY, "10.1.0.1", "10.2.0.1")
    inner = Ether() / IP(src="10.1.0.1", dst="10.2.0.1") / UDP(sport=7, dport=9) / b"hello"
    return steer_frame(bytes(inner), header)


def echo() -> bytes:
    header = SteeringHeader(5, 1, 2, epoch=3)
    macs = {"source_mac": bytes(6), "target_mac": bytes(6)}
    return echo_frame(KEY, header, Echo(21, 1, 7, 99), **macs)


def of(frame: bytes, keys: Callable[[int], bytes | None] | None = None) -> dict[str, str]:
    return {x.reason: x.state.value for x in checks(frame, key_of=keys)}


PACKETS = {
    "ipv4": steered(),
    "echo": echo(),
    "nested": steered()[:14] + SteeringHeader(5, 1, next_protocol=4).encode() + steered()[14:],
    "ethernet": steered()[:14] + SteeringHeader(5, 1, next_protocol=3).encode() + steered(),
    "tagged": bytes(Ether() / Dot1Q(vlan=7) / IP() / TCP(options=[("MSS", 1460)]) / b"x"),
    "ipv6": bytes(Ether() / IPv6() / UDP() / b"xyz"),
    "options": bytes(Ether() / IP(options=b"\x94\x04\x00\x00") / UDP()) + b"padding",
}


def covered(frame: bytes) -> None:
    seen = [0] * len(frame)
    for layer in dissect(frame):
        for field in layer.fields:
            for at in range(field.offset, field.offset + field.size):
                seen[at] += 1
    assert all(seen), [at for at, times in enumerate(seen) if not times]


@pytest.mark.parametrize("name", PACKETS)
def test_every_byte_at_every_length_belongs_to_a_field(name: str) -> None:
    whole = PACKETS[name]
    for length in range(len(whole) + 1):
        covered(whole[:length])
        found = explain(Frame(0, whole[:length], length))
        assert list(found.lines())
        found.as_dict()


@given(st.binary(max_size=200), st.sampled_from(sorted(PACKETS)), st.integers(0, 120))
def test_any_bytes_are_explained(noise: bytes, name: str, at: int) -> None:
    known = PACKETS[name]
    for frame in (noise, known[:at] + noise, known[:at] + noise + known[at + len(noise) :]):
        covered(frame)
        assert list(explain(Frame(0, frame, len(frame)), key_of=lambda _: KEY).lines())


@given(st.binary(max_size=120), st.integers(0, 60))
def test_malformed_in_words_is_what_the_twin_refuses(noise: bytes, at: int) -> None:
    inside = PACKETS["ipv4"][14:]
    for data in (noise, inside[:at] + noise, inside[:at] + noise + inside[at + len(noise) :]):
        assert bool(malformed(data)) == (read(data) is None)


def test_right_tag_is_told_from_a_wrong_one_and_from_one_without_a_key() -> None:
    assert of(PACKETS["ipv4"], {3: KEY}.get)["tag"] == "ok"
    assert of(PACKETS["ipv4"], {3: OTHER_KEY}.get)["tag"] == "wrong"
    assert of(PACKETS["ipv4"], {4: KEY}.get)["tag"] == "open"
    assert of(PACKETS["ipv4"])["tag"] == "open"
    assert of(echo(), {3: KEY}.get)["tag"] == "ok"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (steered(version=2, ttl=0, tag=1), "version"),
        (steered(ttl=0, si=0, tag=1), "nsh_ttl"),
        (steered(si=0, tag=1), "unknown_circuit"),
        (steered(si=4, tag=1), "unknown_circuit"),
        (steered(circuit=16384, tag=1), "unknown_circuit"),
        (steered(tag=1), "tag"),
        (steered()[:30], "malformed"),
        (steered(next_protocol=9), "malformed"),
    ],
)
def test_refused_header_is_counted_under_the_first_check_that_fails(
    frame: bytes, reason: str
) -> None:
    found = explain(Frame(0, frame, len(frame)), key_of={3: KEY}.get)
    assert found.counted == reason
    assert f"refused as {reason}" in found.summary


def test_all_that_is_wrong_is_seen_at_once() -> None:
    found = checks(steered(version=2, ttl=0, si=0, tag=1), key_of={3: KEY}.get)
    wrong = [x.reason for x in found if x.state is State.WRONG]
    assert wrong == ["version", "nsh_ttl", "unknown_circuit", "tag"]


def test_tables_say_which_circuits_and_epochs_are_known() -> None:
    tables = Tables(keys={3: KEY}, hops={(5, 1): Hop(1, 2, 8, bytes(6), bytes(6))})
    assert {x.state for x in checks(steered(), tables=tables)} == {State.OK}
    tables.hops[5, 1] = Hop(2, 2, 8, bytes(6), bytes(6))
    last = [x for x in checks(steered(ttl=1), tables=tables) if x.state is State.WRONG]
    assert [(x.reason, x.text) for x in last] == [("nsh_ttl", "TTL 1: it cannot be forwarded")]
    tables = Tables(customers={(9, 3): KEY}, keys={2: KEY})
    found = {x.reason: x for x in checks(steered(), tables=tables, key_of={3: OTHER_KEY}.get)}
    assert found["unknown_circuit"].state is found["epoch"].state is State.WRONG
    assert found["epoch"].text == "key epoch 3; valid here: 2"
    assert "customer 9" in found["tag"].text


def test_frame_captured_in_part_is_checked_as_if_zeros_followed() -> None:
    found = explain(Frame(0, steered()[:60], len(steered())), key_of={3: KEY}.get)
    assert not found.counted
    assert any("11 bytes were not captured" in remark for remark in found.remarks)


def test_wrong_checksum_and_length_are_told_at_their_field() -> None:
    frame = bytearray(steered())
    frame[38 + 10] ^= 1
    frame[38 + 2 : 38 + 4] = (200).to_bytes(2, "big")
    text = "\n".join(explain(Frame(0, bytes(frame), len(frame))).lines())
    assert "the receiving host drops the packet" in text
    assert "only 33 bytes of 200 are there" in text


GOLDEN = """\
40 bytes: steered, refused as malformed
Ethernet
        0-5  destination           ff:ff:ff:ff:ff:ff
       6-11  source                00:00:00:00:00:00
      12-13  type                  0x894f  (NSH)
NSH
         14  version               0
         14  O                     0
         14  unassigned            0
      14-15  TTL                   63
         15  length                6  (24 bytes)
         16  unassigned            0
         16  MD type               1
         17  next protocol         1  (IPv4)
         18  P                     0
      18-20  circuit               5
         21  SI                    1
C1: predicted destination
      22-23  engine                2
      24-25  port or instance      0
C2: what it is
         26  format version        1
         26  priority              0
      27-28  application type      0
         29  flags                 0x00
C3: key and forecast
         30  key epoch             3
      31-33  forecast              0
C4: tag
      34-37  tag                   {tag}
IPv4
         38  version               4
         38  header length         5  (20 bytes)
         39  DSCP                  0
         39  ECN                   0
         40  cut off                 (2 of 20 bytes are there)
Checks at a fabric port, in order
  wrong  malformed: the packet inside is no IPv4 packet that is whole
Only the header is explained: no tables were given"""


def test_explanation_of_a_frame_that_is_cut_off() -> None:
    frame = b"\xff" * 6 + bytes(6) + steered()[12:40]
    made = tag(KEY, SteeringHeader(5, 1, 2, epoch=3), "10.1.0.1", "10.2.0.1")
    text = "\n".join(explain(Frame(0, frame, 40), key_of={3: KEY}.get).lines())
    assert text == GOLDEN.format(tag=f"0x{made:08x}")

"""shape: a packet's priority becomes its queueing class."""

import struct
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from dataplane import syscall
from headers.packet import SteeringHeader, steer_frame

_SKB = 192
_PRIORITY = 32


def shaped(plane: Any, frame: bytes) -> tuple[int, int, bytes]:
    """Run shape; return its verdict, the packet's class and the frame as it leaves."""
    data, out = syscall.Buf(frame), syscall.Buf(2048)
    before, after = syscall.Buf(_SKB), syscall.Buf(_SKB)
    attributes = struct.pack(
        "<IIIIQQIIIIQQ",
        plane.programs["shape"],
        0,
        len(frame),
        out.size,
        data.address,
        out.address,
        1,
        0,
        _SKB,
        _SKB,
        before.address,
        after.address,
    )
    _, answer = syscall.bpf(syscall.PROG_TEST_RUN, attributes)
    _, verdict, _, size = struct.unpack_from("<IIII", answer)
    return verdict, struct.unpack_from("<I", after.bytes(), _PRIORITY)[0], out.bytes()[:size]


def frame(**fields: int) -> bytes:
    packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP() / UDP() / (b"x" * 40)
    whole: bytes = steer_frame(bytes(packet), SteeringHeader(5, 1, **fields))  # type: ignore[arg-type]
    return whole


@pytest.mark.parametrize("priority", range(16))
def test_priority_of_the_header_names_the_class(plane: Any, priority: int) -> None:
    sent = frame(priority=priority, application=0xFFFF, flags=0xFF, engine=0xFFFF, port=0xABCD)
    assert shaped(plane, sent) == (0, 0x10010 + priority, sent)


def test_packet_without_a_header_is_of_the_lowest_class(plane: Any) -> None:
    packet = bytes(Ether() / IP(dst="10.2.0.1") / UDP() / (b"\xff" * 60))
    assert shaped(plane, packet)[:2] == (0, 0x10010)


def test_header_is_read_when_it_is_whole_and_not_when_it_is_cut(plane: Any) -> None:
    sent = frame(priority=9)
    assert shaped(plane, sent[:38])[:2] == (0, 0x10019)
    assert shaped(plane, sent[:37])[:2] == (0, 0x10010)


def test_pass_all_passes(plane: Any) -> None:
    assert plane.run("pass_all", frame(), plane.engines[1].fabric) == (2, frame())

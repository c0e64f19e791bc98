"""What the engines of a machine would do with a frame, by tables held in memory."""

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from dataplane.capture import SampledPort
from dataplane.errors import DataplaneError
from dataplane.explain import Fate, Plane, explain
from dataplane.maps import CONNECTION, CONNECTION_OPEN, DEMAND_VIRTUAL
from dataplane.pcap import Frame
from dataplane.twin import Tables
from dataplane.twin.tables import (
    Backend,
    Domain,
    EdgeCircuit,
    Hop,
    Neighbour,
    Port,
    Service,
)
from headers.packet import SteeringHeader, steer_frame

KEY = bytes(range(16))
ROUTER = bytes.fromhex("02f000000001")
HOST = bytes.fromhex("020000000007")
VERSION = 1 << 28
PORTS = (SampledPort("e1", "e1f", 10), SampledPort("e1", "e1h", 11), SampledPort("e2", "e2f", 20))


def plane(**changes: object) -> Plane:
    tables = Tables(
        domain=Domain(0, 3 << 24, 0, 0),
        ports={
            10: Port(1, 4, 1614, 1, ROUTER, 0),
            11: Port(1, 4, 1614, 0, ROUTER, 0),
            20: Port(2, 8, 1614, 1, ROUTER, 0),
        },
        prefixes={
            (1, 4): {(10 << 24 | 2 << 16, 16): 0, (10 << 24 | 9 << 16 | 1, 32): DEMAND_VIRTUAL}
        },
        buckets=np.full((3, 256), 5, np.uint64),
        edges={5: EdgeCircuit(1, 2 << 16, VERSION, 1)},
        hops={(5, 1): Hop(1, 2, 8, bytes(6), bytes(6))},
        keys={3: KEY},
        neighbours={(2, bytes((10, 2, 0, 1))): Neighbour(HOST, 0, 9)},
        services={(1, bytes((10, 9, 0, 1)), 6, 80): Service(1, 0)},
        backends={5: Backend(2, 2 << 16 | 7), 6: Backend(2, 2 << 16 | 8)},
    )
    return Plane(tables, PORTS, {4: 10, 5: 11, 8: 20}, **changes)  # type: ignore[arg-type]


def plain(destination: str = "10.2.0.1") -> bytes:
    return bytes(Ether() / IP(src="10.1.0.1", dst=destination) / UDP(sport=7, dport=9))


def steered(**changes: int) -> bytes:
    fields = {"circuit": 5, "si": 1, "engine": 2, "epoch": 3, **changes}
    header = SteeringHeader(**fields)  # type: ignore[arg-type]
    if "tag" not in changes:
        header = header.tagged(KEY, "10.1.0.1", "10.2.0.1")
    return steer_frame(plain(), header)


def only(fates: tuple[Fate, ...]) -> Fate:
    assert len(fates) == 1
    return fates[0]


def test_steered_packet_is_looked_at_where_its_circuit_ends() -> None:
    fate = only(plane().fates(steered()))
    assert (fate.engine, fate.port, fate.program) == ("e2", "e2f", "steer")
    assert (fate.verdict, fate.reasons) == ("redirect", ("delivered",))
    assert fate.frame == HOST + ROUTER + plain()[12:]


def test_plain_packet_is_looked_at_where_hosts_are() -> None:
    fate = only(plane().fates(plain()))
    assert (fate.port, fate.program, fate.reasons) == ("e1h", "mark", ("marked",))
    assert fate.text == "it leaves by e1f"
    assert only(plane().fates(fate.frame)).reasons == ("delivered",)


def test_refused_packet_is_returned_and_the_kernels_routing_is_named() -> None:
    fate = only(plane().fates(steered(tag=1)))
    assert (fate.verdict, fate.reasons) == ("tx", ("tag", "returned"))
    assert "goes back out of e2f" in fate.text
    assert "unless the kernel has a route" in fate.text


def test_named_port_is_the_one_looked_at() -> None:
    assert only(plane().fates(steered(), "e1f")).reasons == ("unknown_circuit", "returned")
    assert only(plane().fates(steered(), "e1:e1h")).reasons == ("foreign_nsh",)
    with pytest.raises(DataplaneError, match="no engine here has a port e9"):
        plane().fates(steered(), "e9")


def test_customers_header_is_told_from_the_domains() -> None:
    one = plane()
    one.tables.customers[9, 3] = bytes(range(16, 32))
    header = SteeringHeader(70, 1, 2, epoch=3)
    frame = steer_frame(plain(), header.tagged(bytes(range(16, 32)), "10.1.0.1", "10.2.0.1"))
    assert "by customer 9" in explain(Frame(0, frame, len(frame)), plane=one).summary
    assert "refused as" in explain(Frame(0, steered(tag=1), 66), plane=one).summary


def test_unknown_circuit_is_looked_at_where_c1_says_else_at_all_fabric_ports() -> None:
    assert [x.port for x in plane().fates(steered(circuit=6))] == ["e2f"]
    assert [x.port for x in plane().fates(steered(circuit=6, engine=9))] == ["e1f", "e2f"]
    assert [x.port for x in plane().fates(steered()[:20])] == ["e1f", "e2f"]


def test_held_connection_goes_where_it_is_held() -> None:
    frame = bytes(Ether() / IP(src="10.1.0.1", dst="10.9.0.1") / TCP(sport=7, dport=80, flags="A"))
    new = only(plane().fates(frame))
    held = CONNECTION.pack(1, 1, 5, 5, 6, CONNECTION_OPEN, 0, 0, 0, 0, 0, 0)
    old = only(plane(held=lambda _key: held).fates(frame))
    ports = [SteeringHeader.decode(fate.frame[14:]).port for fate in (new, old)]
    assert ports == [7, 8]


def test_nothing_is_remembered_from_one_packet_to_the_next() -> None:
    one = plane()
    assert one.fates(steered()) == one.fates(steered())

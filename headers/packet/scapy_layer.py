"""The steering header for scapy: ``Ether()/NSH()/Steering()/IP()`` builds, shows and dissects."""

from typing import Any

from scapy.fields import BitField, ByteEnumField, ShortField, XIntField
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, bind_layers

from headers.packet.steering import ETHERTYPE, LENGTH, TTL, VERSION, SteeringHeader, tag

_NEXT = {0: "None", 1: "IPv4", 2: "IPv6", 3: "Ethernet"}


class NSH(Packet):
    """NSH's base and service path headers (RFC 8300), without the context."""

    name = "NSH"
    fields_desc = (
        BitField("version", 0, 2),
        BitField("oam", 0, 1),
        BitField("unassigned1", 0, 1),
        BitField("ttl", TTL, 6),
        BitField("length", LENGTH // 4, 6),
        BitField("unassigned2", 0, 4),
        BitField("md_type", 1, 4),
        ByteEnumField("next_protocol", 1, _NEXT),
        BitField("protected", 0, 1),
        BitField("circuit", 0, 23),
        BitField("si", 1, 8),
    )


class Steering(Packet):
    """The four context words as Foresteer fills them; without a tag until ``tagged`` sets one."""

    name = "Steering"
    fields_desc = (
        ShortField("engine", 0),
        ShortField("port", 0),
        BitField("version", VERSION, 4),
        BitField("priority", 0, 4),
        BitField("application", 0, 16),
        BitField("flags", 0, 8),
        BitField("epoch", 0, 8),
        BitField("forecast", 0, 24),
        XIntField("tag", 0),
    )

    def guess_payload_class(self, payload: bytes) -> Any:
        """Return what NSH's next protocol says comes next."""
        nsh = self.underlayer
        kinds = {1: IP, 2: IPv6, 3: Ether}
        if isinstance(nsh, NSH) and nsh.next_protocol in kinds:
            return kinds[nsh.next_protocol]
        return Packet.guess_payload_class(self, payload)


def tagged(packet: Packet, key: bytes) -> Packet:
    """Return a copy of an ``…/NSH()/Steering()/IP()`` packet with its tag under a 16-byte key."""
    packet = packet.copy()
    nsh, steering = packet[NSH], packet[Steering]
    inner = steering.payload
    header = SteeringHeader(
        circuit=nsh.circuit,
        si=nsh.si,
        **{
            name: getattr(steering, name)
            for name in (
                "engine",
                "port",
                "version",
                "priority",
                "application",
                "flags",
                "epoch",
                "forecast",
            )
        },
    )
    steering.tag = tag(key, header, inner.src, inner.dst)
    return packet


bind_layers(Ether, NSH, type=ETHERTYPE)
bind_layers(NSH, Steering, md_type=1)

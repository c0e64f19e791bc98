"""Steering packets made by hand: UDP behind a header, and echoes."""

import ipaddress

from headers.packet import SteeringHeader
from headers.packet.steering import Echo, echo_frame

SOURCE_MAC, TARGET_MAC = "02:f0:00:00:00:02", "02:f0:00:00:00:01"
SOURCE_PORT, DESTINATION_PORT = 20000, 9


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def echo_packet(key: bytes, header: SteeringHeader, echo: Echo) -> bytes:
    """Return a frame with an echo, tagged with a 16-byte key.

    Raises:
        PacketError: a field does not fit its bits.
    """
    return echo_frame(key, header, echo, source_mac=_mac(SOURCE_MAC), target_mac=_mac(TARGET_MAC))


def udp_packet(
    key: bytes, header: SteeringHeader, source: str, destination: str, payload: bytes
) -> bytes:
    """Return a frame with a UDP packet behind a header, tagged with a 16-byte key.

    Raises:
        ValueError: no addresses, or not both of one family.
    """
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    from headers.packet.scapy_layer import NSH, Steering, tagged

    families = {ipaddress.ip_address(address).version for address in (source, destination)}
    if len(families) != 1:
        raise ValueError(f"{source} and {destination} are not of one family")
    family = families.pop()
    frame = (
        Ether(src=SOURCE_MAC, dst=TARGET_MAC)
        / NSH(circuit=header.circuit, si=header.si, next_protocol=1 if family == 4 else 2)
        / Steering(engine=header.engine, epoch=header.epoch, forecast=header.forecast)
        / (IP if family == 4 else IPv6)(src=source, dst=destination)
        / UDP(sport=SOURCE_PORT, dport=DESTINATION_PORT)
        / payload
    )
    return bytes(tagged(frame, key))

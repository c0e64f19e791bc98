"""Hosts behind edge ports: learned from their ARP, asked for by ARP, packets held meanwhile."""

import ipaddress
import struct
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from headers.messages import EdgePort, Host

HELD_PER_HOST = 4
HELD_HOSTS = 256
HOSTS_PER_PORT = 1024
ASK_AGAIN_S = 1.0
REFRESH_S = 10.0

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET = 14


def mac_text(mac: bytes) -> str:
    """Return ``aa:bb:cc:dd:ee:ff``."""
    return ":".join(f"{byte:02x}" for byte in mac)


def parse_arp(frame: bytes) -> tuple[int, str, str] | None:
    """Return operation, sender's MAC and sender's address of an ARP frame; None if it is none."""
    if len(frame) < _ETHERNET + _ARP.size:
        return None
    kind, protocol, hlen, plen, operation, sha, spa, _tha, _tpa = _ARP.unpack_from(frame, _ETHERNET)
    if (kind, protocol, hlen, plen) != (1, 0x0800, 6, 4) or sha[0] & 1:
        return None
    return operation, mac_text(sha), str(ipaddress.IPv4Address(spa))


def arp_request(router_mac: str, gateway: str, address: str) -> bytes:
    """Return the frame with which the gateway asks for a host."""
    mac = bytes.fromhex(router_mac.replace(":", ""))
    return (
        b"\xff" * 6
        + mac
        + b"\x08\x06"
        + _ARP.pack(
            1,
            0x0800,
            6,
            4,
            1,
            mac,
            ipaddress.IPv4Address(gateway).packed,
            bytes(6),
            ipaddress.IPv4Address(address).packed,
        )
    )


def destination(frame: bytes) -> str | None:
    """Return the destination of an IPv4 frame, None for others."""
    if len(frame) < _ETHERNET + 20 or frame[12:14] != b"\x08\x00":
        return None
    return str(ipaddress.IPv4Address(frame[_ETHERNET + 16 : _ETHERNET + 20]))


@dataclass(slots=True)
class Hosts:
    """Known hosts by address, and packets that wait for one to be found."""

    known: dict[str, Host] = field(default_factory=dict)
    asked_s: dict[str, float] = field(default_factory=dict)
    held: OrderedDict[str, deque[bytes]] = field(default_factory=OrderedDict)

    def learn(self, host: Host, edge: EdgePort) -> bool:
        """Note a host; return whether it is new or moved. One outside the prefix is not noted."""
        address = ipaddress.IPv4Address(host.address)
        if address not in ipaddress.IPv4Network(edge.prefix) or host.address == edge.gateway:
            return False
        changed = self.known.get(host.address) != host
        self.known[host.address] = host
        self.asked_s.pop(host.address, None)
        return changed

    def crowded(self, address: str, dpid: int, port: int) -> bool:
        """Whether a port has claimed as many addresses as it may, and this is yet another."""
        if address in self.known:
            return False
        here = sum((h.dpid, h.port) == (dpid, port) for h in self.known.values())
        return here >= HOSTS_PER_PORT

    def hold(self, address: str, frame: bytes, now_s: float) -> bool:
        """Keep a packet for an unknown host; return whether to ask for the host now."""
        frames = self.held.setdefault(address, deque(maxlen=HELD_PER_HOST))
        frames.append(frame)
        while len(self.held) > HELD_HOSTS:
            old, _ = self.held.popitem(last=False)
            self.asked_s.pop(old, None)
        if now_s - self.asked_s.get(address, -ASK_AGAIN_S) < ASK_AGAIN_S:
            return False
        self.asked_s[address] = now_s
        return True

    def release(self, address: str) -> list[bytes]:
        """Return the packets that waited for a host."""
        return list(self.held.pop(address, ()))

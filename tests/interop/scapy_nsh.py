"""scapy's own NSH layer: ``python -m tests.interop.scapy_nsh read|write``, JSON in, JSON out.

A process of its own: our layer is bound to the same EtherType.
"""

import json
import sys
from typing import Any

from scapy.contrib.nsh import NSH
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

BASE = ("ver", "oam", "ttl", "length", "mdtype", "nextproto", "spi", "si")


def read(wire: str) -> dict[str, Any]:
    """Return what scapy sees in a frame."""
    packet = Ether(bytes.fromhex(wire))
    nsh = packet[NSH]
    inner = nsh.payload
    return {
        **{name: getattr(nsh, name) for name in BASE},
        "context": nsh.context_header.hex(),
        "inner": type(inner).__name__,
        "src": getattr(inner, "src", None),
        "dst": getattr(inner, "dst", None),
        "payload": bytes(inner).hex(),
        "same": bytes(packet).hex() == wire,
    }


def write(fields: dict[str, Any]) -> str:
    """Return the frame that scapy builds."""
    kind = IP if fields["nextproto"] == 1 else IPv6
    packet = (
        Ether(src="02:f0:00:00:00:02", dst="02:f0:00:00:00:01")
        / NSH(
            **{name: fields[name] for name in BASE if name in fields},
            context_header=bytes.fromhex(fields["context"]),
        )
        / kind(src=fields["src"], dst=fields["dst"])
        / UDP(sport=20000, dport=9)
        / b"hello"
    )
    return bytes(packet).hex()


def main() -> int:
    """Treat every item of the list that comes in."""
    job = {"read": read, "write": write}[sys.argv[1]]
    json.dump([job(item) for item in json.load(sys.stdin)], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

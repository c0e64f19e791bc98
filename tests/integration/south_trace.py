"""Asking Open vSwitch where packets go, and following them from switch to switch."""

import re
import subprocess
from dataclasses import dataclass, replace

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet

from headers.packet.steering import ETHERTYPE, SteeringHeader

KEY = bytes(range(16))


@dataclass(frozen=True, slots=True)
class Steered:
    """A packet on a circuit."""

    header: SteeringHeader
    inner: Packet

    def frame(self) -> bytes:
        """Return it as an Ethernet frame."""
        ethernet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=ETHERTYPE)
        return bytes(ethernet) + self.header.encode() + bytes(self.inner)


def steered(circuit: int, inner: Packet) -> Steered:
    """Return a packet as an edge marks it: with a tag."""
    header = SteeringHeader(circuit, 1, engine=4, forecast=77, epoch=3, priority=2)
    return Steered(header.tagged(KEY, inner.src, inner.dst), inner)


def packet(
    source: str, destination: str, protocol: str = "udp", to: int = 53, by: int = 4000
) -> Packet:
    """Return an IPv4 packet."""
    layers = {
        "tcp": lambda: TCP(sport=by, dport=to),
        "udp": lambda: UDP(sport=by, dport=to) / (b"x" * 30),
        "sctp": lambda: SCTP(sport=by, dport=to),
        "icmp": ICMP,
    }
    return IP(src=source, dst=destination) / layers[protocol]()


def _ask(*arguments: str) -> str:
    done = subprocess.run(["ovs-appctl", *arguments], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Left:
    """How a packet left a switch: by which port, with which header."""

    port: int
    header: SteeringHeader


def _outputs(text: str, in_port: int) -> list[int]:
    found = []
    for line in text.splitlines():
        if match := re.match(r"\s*output:(\d+)\s*$", line):
            found.append(int(match[1]))
        elif line.strip() == "IN_PORT":
            found.append(in_port)
    return found


def _final(text: str) -> dict[str, str]:
    line = re.findall(r"^Final flow: (.*)$", text, re.MULTILINE)[-1]
    return dict(part.split("=", 1) for part in re.split(r",(?![^(]*\))", line) if "=" in part)


def leaves(switch: str, in_port: int, sent: Steered) -> Left | None:
    """Return where a switch sends a packet, None when it drops it.

    Where it takes the packet out of its headers, the trace ends; it goes on in the next table with
    the registers of the first part and the packet that was inside.
    """
    text = _ask("ofproto/trace", switch, f"in_port={in_port}", sent.frame().hex())
    final = _final(text) if "Final flow: unchanged" not in text else {}
    header = sent.header
    if "recirc(" in text:
        registers = ",".join(
            f"{name}={value}" for name, value in final.items() if name.startswith("reg")
        )
        inner = sent.inner
        ports = ""
        if name := {6: "tcp", 17: "udp", 132: "sctp"}.get(inner.proto):
            ports = f",{name}_src={inner.sport},{name}_dst={inner.dport}"
        flow = (
            f"in_port={in_port},packet_type=(1,0x800),{registers},nw_src={inner.src},"
            f"nw_dst={inner.dst},nw_proto={inner.proto},nw_ttl={inner.ttl}{ports}"
        )
        text = _ask("ofproto/trace-packet-out", switch, flow, "resubmit(,1)")
        final = _final(text) if "nsh_spi" in text.split("Final flow:")[-1] else {}
    ports_out = _outputs(text, in_port)
    if not ports_out or "drop" in text.rsplit("Datapath actions:", 1)[-1]:
        return None
    assert len(ports_out) == 1, text
    numbers = {
        name: int(final[name], 0)
        for name in ("nsh_spi", "nsh_ttl", "nsh_si", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4")
    }
    # what a group's bucket changes is not in the final flow
    if set_later := re.findall(r"NXOXM_NSH_SPI\[\] is now (0x[0-9a-f]+)", text):
        numbers["nsh_spi"] = int(set_later[-1], 16)
    after = replace(
        header,
        circuit=numbers["nsh_spi"] & 0x7FFFFF,
        protected=bool(numbers["nsh_spi"] >> 23),
        ttl=numbers["nsh_ttl"],
        si=numbers["nsh_si"],
        tag=numbers["nsh_c4"],
    )
    assert (numbers["nsh_c1"], numbers["nsh_c2"], numbers["nsh_c3"]) == header.context(), text
    return Left(ports_out[0], after)

"""One cable between two ports: ``python -m tests.integration.wire_lab SCENARIO RESULT``.

Runs in namespaces of its own; what the scenario returns is written as JSON.
"""

import errno
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bus import Instance
from topologies.lab.namespaces import loopback_up
from topologies.lab.wire import DOWN, SILENT, UP, Cable, Wire, far_side

A, B = "left", "right"
DELAYS_MS = (0.7, 5.0, 20.0)
FRAMES = 500
PERIOD_S = 0.001
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33
SIOCGIFFLAGS, IFF_RUNNING = 0x8913, 0x40
ETHERTYPE = 0x88B7
HEADER = bytes(12) + ETHERTYPE.to_bytes(2, "big")


class Cabled:
    """Two ports with a wire between them."""

    def __init__(self, delay_ms: float, rate_bps: float = 1e9) -> None:
        self.instance = Instance(Path(tempfile.mkdtemp(prefix="wire")))
        for port in (A, B):
            subprocess.run(
                f"ip link add name {port} mtu 1600 type veth peer name {far_side(port)} mtu 1600;"
                f"sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1"
                f" net.ipv6.conf.{far_side(port)}.disable_ipv6=1;"
                f"ip link set {port} up",
                shell=True,
                check=True,
            )
        self.wire = Wire(
            self.instance.directory, [Cable(A, B, delay_ms, delay_ms, rate_bps, rate_bps)]
        )
        self.process = self.instance.start_once("wire", self.wire.command)
        self.wire.wait()
        until(lambda: all(carrier(port) for port in (A, B)), "carrier")
        self.sockets = {port: opened(port) for port in (A, B)}

    def cut(self, state: int, **options: Any) -> None:
        self.wire.cut(A, state, self.instance.pid("wire"), **options)

    def close(self) -> None:
        self.instance.stop("wire")
        for port in (A, B):
            self.sockets[port].close()
            subprocess.run(["ip", "link", "del", port], check=True)


def opened(port: str) -> socket.socket:
    """Return a packet socket with the kernel's time stamps, without what it sends itself."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    made.bind((port, ETHERTYPE))
    made.setblocking(False)
    return made


def carrier(port: str) -> bool:
    """Whether an interface is up and has carrier (/sys would tell of another namespace)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, SIOCGIFFLAGS, struct.pack("16sH22x", port.encode(), 0))
    return bool(struct.unpack("16sH22x", answer)[1] & IFF_RUNNING)


def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> float:
    """Wait for a condition; return how long it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.001)
    return time.monotonic() - began


def arrivals(there: socket.socket) -> list[tuple[bytes, int]]:
    """Return what has arrived: frames and when, in ns of the real-time clock."""
    found = []
    while True:
        try:
            frame, notes, _, _ = there.recvmsg(2048, 64)
        except OSError as error:
            if error.errno == errno.ENETDOWN:
                continue  # said once after the interface was lowered
            return found
        seconds, rest = struct.unpack("qq", notes[0][2])
        found.append((frame, seconds * 1_000_000_000 + rest))


def gathered(there: socket.socket, count: int, seconds: float) -> list[tuple[bytes, int]]:
    """Wait for so many frames, or until the time is over."""
    found = arrivals(there)
    deadline = time.monotonic() + seconds
    while len(found) < count and (rest := deadline - time.monotonic()) > 0:
        select.select([there], [], [], rest)
        found += arrivals(there)
    return found


def accuracy() -> dict[str, Any]:
    """Ask for delays, measure what frames get; the wire's own processor time beside it."""
    seen: dict[str, Any] = {}
    for delay_ms in DELAYS_MS:
        cabled = Cabled(delay_ms)
        pid = cabled.instance.pid("wire")
        began, spent = time.monotonic(), _cpu_s(pid)
        for number in range(FRAMES):
            due = began + number * PERIOD_S
            if (rest := due - time.monotonic()) > 0:
                time.sleep(rest)
            cabled.sockets[A].send(HEADER + struct.pack("!Iq", number, time.time_ns()) + bytes(60))
        got = gathered(cabled.sockets[B], FRAMES, 2.0)
        took = time.monotonic() - began
        delays = [(at - struct.unpack_from("!q", frame, 18)[0]) / 1e6 for frame, at in got]
        order = [struct.unpack_from("!I", frame, 14)[0] for frame, _ in got]
        busy = _cpu_s(pid) - spent
        began, spent = time.monotonic(), _cpu_s(pid)
        until(lambda began=began: time.monotonic() - began > 0.3, "an idle while")
        seen[f"{delay_ms:g}"] = {
            "received": len(got),
            "ordered": order == sorted(order),
            "p50": float(np.percentile(delays, 50)),
            "p99": float(np.percentile(delays, 99)),
            "least": min(delays),
            "busy_share": busy / took,
            "idle_share": (_cpu_s(pid) - spent) / 0.3,
        }
        cabled.close()
    return seen


def _cpu_s(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(fields[0]) / 1e9


def throughput() -> dict[str, Any]:
    """Send as fast as one process can, 1400 bytes at a time, over 20 ms."""
    cabled = Cabled(20.0, 1e10)
    frame = HEADER + bytes(1386)
    sender = cabled.sockets[A]
    sender.setblocking(True)
    pid = cabled.instance.pid("wire")
    began, spent, sent = time.monotonic(), _cpu_s(pid), 0
    while time.monotonic() - began < 1.0:
        for _ in range(64):
            sender.send(frame)
        sent += 64
    took = time.monotonic() - began
    until(
        lambda: sum(cabled.wire.counts(A)[x] for x in ("forwarded", "overflowed")) >= sent,
        "everything went or was counted",
    )
    counts = cabled.wire.counts(A)
    busy = _cpu_s(pid) - spent
    cabled.close()
    return {
        "sent": sent,
        "sent_gbps": sent * 1400 * 8 / took / 1e9,
        "forwarded_gbps": counts["forwarded"] * 1400 * 8 / took / 1e9,
        "cpu_share": busy / took,
        "us_per_frame": busy / max(counts["forwarded"], 1) * 1e6,
        **counts,
    }


def bounded() -> dict[str, Any]:
    """Put more on a cable than fits: the rest is dropped and counted."""
    cabled = Cabled(500.0, 1e5)
    sent = 1000
    for number in range(sent):
        cabled.sockets[A].send(HEADER + struct.pack("!I", number) + bytes(80))
    got = len(gathered(cabled.sockets[B], sent, 1.5))
    # the kernel tells of what it dropped with the next frame that it takes
    cabled.sockets[A].send(HEADER + bytes(84))
    got += len(gathered(cabled.sockets[B], 1, 2.0))
    counts = cabled.wire.counts(A)
    cabled.close()
    return {"sent": sent + 1, "received": got, **counts}


def tagged() -> dict[str, Any]:
    """A tagged frame comes out as it went in."""
    cabled = Cabled(1.0)
    frame = bytes(range(12)) + bytes.fromhex("8100 6005") + ETHERTYPE.to_bytes(2, "big") + b"x" * 60
    everything = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    everything.setsockopt(263, 8, 1)  # PACKET_AUXDATA: the tag comes beside the frame
    everything.bind((B, 3))
    cabled.sockets[A].send(frame)
    found: list[bytes] = []

    def arrived() -> bool:
        if select.select([everything], [], [], 0.01)[0]:
            data, notes, _, _ = everything.recvmsg(2048, 64)
            tag = struct.unpack_from("=IIIHHHH", notes[0][2])
            found.append(data[:12] + struct.pack("!HH", tag[6], tag[5]) + data[12:])
        return bool(found)

    until(arrived, "the frame arrives")
    cabled.close()
    return {"in": frame.hex(), "out": found[0].hex()}


def cuts() -> dict[str, Any]:
    """Cut loudly, silently and one way; lower a port; each time, what the ends see."""
    cabled = Cabled(2.0)
    wire = cabled.wire

    def passes(src: str, dst: str) -> bool:
        for port in (src, dst):
            arrivals(cabled.sockets[port])
        try:
            cabled.sockets[src].send(HEADER + bytes(60))
        except OSError:
            return False
        return bool(gathered(cabled.sockets[dst], 1, 0.1))

    def look() -> dict[str, bool]:
        return {
            "there": passes(A, B),
            "back": passes(B, A),
            "carrier_a": carrier(A),
            "carrier_b": carrier(B),
        }

    seen: dict[str, Any] = {"whole": look()}
    cabled.cut(SILENT)
    seen["silent"] = look()
    cabled.cut(UP)
    cabled.cut(SILENT, one_way=True)
    seen["one_way"] = look()
    cabled.cut(UP)
    seen["whole again"] = look()
    began = time.monotonic()
    cabled.cut(DOWN)
    until(lambda: not carrier(A) and not carrier(B), "both ends lose carrier")
    seen["down_s"] = time.monotonic() - began
    seen["down"] = look()
    cabled.cut(UP)
    until(lambda: carrier(A) and carrier(B), "both have it again")
    seen["up"] = look()
    subprocess.run(["ip", "link", "set", A, "down"], check=True)
    until(lambda: not carrier(B), "the other end loses carrier")
    subprocess.run(["ip", "link", "set", B, "down"], check=True)
    subprocess.run(["ip", "link", "set", A, "up"], check=True)
    subprocess.run(["ip", "link", "set", B, "up"], check=True)
    until(lambda: carrier(A) and carrier(B), "both have it after both were lowered")
    seen["raised"] = look()
    seen["counts"] = wire.counts(A)
    pid = cabled.instance.pid("wire")
    spent = _cpu_s(pid)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 0.2, "an idle while")
    seen["idle_share"] = (_cpu_s(pid) - spent) / 0.2
    cabled.close()
    return seen


def main() -> int:
    """Run one scenario."""
    scenario, result = sys.argv[1:]
    out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    loopback_up()
    try:
        found = globals()[scenario]()
    except BaseException:
        found = {"error": traceback.format_exc()}
    os.write(out, json.dumps(found).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A shaped link that keeps priorities: classes of a token bucket, chosen by the steering header.

XDP's redirects pass no queueing discipline, so priorities mean something only where a link is
shaped by TC: there ``shape`` puts each packet into the class that its header's priority names. What
carries no header is of priority 0.
"""

import os
import subprocess
from pathlib import Path

from dataplane import syscall
from dataplane.errors import AttachError, BpfError
from dataplane.netns import ifindex
from dataplane.ports import link_name

PRIORITIES = 16
_FIRST = 0x10
_SHARE = 100
_BURST_BYTES = 16_000
_QUANTUM_BYTES = 3_000
_QUEUE_PACKETS, _SHORT_QUEUE_PACKETS = 300, 50
"""What has a priority may come in a burst; what has none is better dropped than late."""


def shape_link(port: str, rate_bps: float, pins: Path) -> None:
    """Limit a port to ``rate_bps`` bit/s; what has a higher priority goes first.

    Every priority is sure of a hundredth of the rate, so that none starves; the rest goes to the
    highest that asks. What was on the port's egress before is replaced.

    Raises:
        AttachError: there is no such port, or the kernel lacks HTB or TC programs.
        ValueError: the rate is not above 0.
    """
    if not rate_bps > 0:
        raise ValueError(f"a rate of {rate_bps} bit/s")
    number = ifindex(port)
    # a root of this kind is not replaced in place: away with it first, if there is one
    subprocess.run(["tc", "qdisc", "del", "dev", port, "root"], capture_output=True, check=False)
    done = subprocess.run(
        ["tc", "-batch", "-"],
        input="\n".join(tc_lines(port, rate_bps)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise AttachError(f"{port} cannot be shaped: {words[0] if words else 'tc failed'}")
    _attach(port, number, pins)


def tc_lines(port: str, rate_bps: float) -> list[str]:
    """Return what tc is to do: one class for each priority below one of the whole rate."""
    whole, share = int(rate_bps), max(int(rate_bps / _SHARE), 8000)
    lines = [
        f"qdisc add dev {port} root handle 1: htb default {_FIRST:x}",
        f"class add dev {port} parent 1: classid 1:1 htb rate {whole} burst {_BURST_BYTES}",
    ]
    for priority in range(PRIORITIES):
        number = _FIRST + priority
        queue = _QUEUE_PACKETS if priority else _SHORT_QUEUE_PACKETS
        shares = f"rate {share} ceil {whole} burst {_BURST_BYTES} quantum {_QUANTUM_BYTES}"
        order = f"prio {7 - priority // 2}"
        lines += [
            f"class add dev {port} parent 1:1 classid 1:{number:x} htb {shares} {order}",
            # it drops its oldest: a queue that refused would have Open vSwitch throw away what it
            # was to send after that packet, of whatever priority
            f"qdisc add dev {port} parent 1:{number:x} pfifo_head_drop limit {queue}",
        ]
    return lines


def _attach(port: str, number: int, pins: Path) -> None:
    link = pins / "links" / link_name("shape", port)
    program = syscall.get(pins / "shape")
    try:
        if link.exists():
            link.unlink()
        held = syscall.attach_egress(program, number)
        link.parent.mkdir(exist_ok=True)
        syscall.pin(held, link)
        os.close(held)
    except BpfError as error:
        raise AttachError(
            f"shape cannot be attached to {port}: {error.strerror}: it needs TC links (Linux 6.6)"
        ) from error
    finally:
        os.close(program)

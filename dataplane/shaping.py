"""A shaped link that keeps priorities: classes of a token bucket, chosen by the steering header.

XDP's redirects pass no queueing discipline, so priorities mean something only where a link is
shaped by TC: there ``shape`` puts each packet into the class that its header's priority names. What
carries no header is of priority 0.
"""

import os
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from dataplane import syscall
from dataplane.errors import AttachError, BpfError
from dataplane.netns import ifindex

PRIORITIES = 16
_ROOT, _WHOLE, _FIRST = 0x10000, 0x10001, 0x10010
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
    rate = int(rate_bps / 8)
    try:
        with IPRoute() as route:
            unshape(route, number)
            route.tc("add", "htb", number, _ROOT, default=_FIRST & 0xFFFF)
            route.tc(
                "add-class",
                "htb",
                number,
                _WHOLE,
                parent=_ROOT,
                rate=rate,
                ceil=rate,
                burst=_BURST_BYTES,
            )
            for priority in range(PRIORITIES):
                handle = _FIRST + priority
                route.tc(
                    "add-class",
                    "htb",
                    number,
                    handle,
                    parent=_WHOLE,
                    rate=max(rate // _SHARE, 1000),
                    ceil=rate,
                    burst=_BURST_BYTES,
                    prio=7 - priority // 2,
                    quantum=_QUANTUM_BYTES,
                )
                route.tc(
                    "add",
                    "pfifo",
                    number,
                    (0x100 + priority) << 16,
                    parent=handle,
                    limit=_QUEUE_PACKETS if priority else _SHORT_QUEUE_PACKETS,
                )
    except NetlinkError as error:
        raise AttachError(f"{port} cannot be shaped: {error}: does the kernel have HTB?") from error
    _attach(port, number, pins)


def unshape(route: IPRoute, number: int) -> None:
    """Remove the egress discipline of an interface, if it has one of its own."""
    try:
        route.tc("del", "htb", number, _ROOT, root=True)
    except NetlinkError as error:
        if error.code not in (2, 22):
            raise


def _attach(port: str, number: int, pins: Path) -> None:
    link = pins / "links" / f"shape:{port}"
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

"""Frames sampled by the programs themselves, since tcpdump does not see what XDP redirects.

A port's rate in the map ``ports`` says that one frame in so many is copied to the ring buffer
``samples``: as it came in, and as it leaves with the program's verdict. One capture at a time: the
ring buffer has one reader.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dataplane import syscall
from dataplane.errors import BpfError, DataplaneError
from dataplane.maps import (
    PORT,
    REASON_SLOTS,
    REASONS,
    SAMPLE,
    SAMPLE_CAME_IN,
    U32,
    Map,
    Maps,
    read_counters,
)
from dataplane.pcap import PcapWriter
from dataplane.ringbuf import RingBuffer

POLL_S = 0.01  # a ring of 1 MiB holds 3,600 samples: enough for 360,000 in a second
VERDICTS = ("aborted", "drop", "pass", "tx", "redirect")
_RATE = -1  # the last field of PORT


@dataclass(frozen=True, slots=True)
class SampledPort:
    """A port that programs are on: its engine's name, its own, and its interface number."""

    engine: str
    name: str
    ifindex: int


@dataclass(slots=True)
class Captured:
    """How many frames were written, by what they were: ``in`` or a verdict; how many were lost."""

    written: Counter[str] = field(default_factory=Counter)
    lost: int = 0


def attached_ports(pins: Path) -> tuple[SampledPort, ...]:
    """Return the ports whose links are pinned below ``pins``.

    Raises:
        DataplaneError: none are.
    """
    folder, found = pins / "links", []
    try:
        for path in sorted(folder.iterdir()):
            engine, _, name = path.name.replace("%", ".").rpartition(":")
            held = syscall.get(path)
            try:
                found.append(SampledPort(engine, name, syscall.link_ifindex(held)))
            finally:
                os.close(held)
    except FileNotFoundError as error:
        raise DataplaneError(
            f"no engine is attached below {pins}: start one with `foresteer engine`, or name the"
            " instance with --instance"
        ) from error
    except (BpfError, PermissionError) as error:
        raise DataplaneError(f"the pins below {pins}: {error.strerror}: run it as root") from error
    return tuple(found)


def find_port(ports: Sequence[SampledPort], name: str) -> SampledPort:
    """Find an attached port by its name, or by ``ENGINE:PORT`` where several have that name.

    Raises:
        DataplaneError: there is none, or more than one; the sentence names those there are.
    """
    fitting = [x for x in ports if name in (x.name, f"{x.engine}:{x.name}")]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(f"{x.engine}:{x.name}" for x in fitting or ports)
    if fitting:
        raise DataplaneError(f"more than one engine has a port {name}: say which: {names}")
    raise DataplaneError(f"no engine here has a port {name}; there are: {names}")


def _engine_of(ports: Map, ifindex: int) -> int:
    """Return the number of the engine that an interface is a port of, 0 where it is none's."""
    known = ports.get(U32.pack(ifindex))
    return 0 if known is None else int(PORT.unpack(known)[0])


def _set_rate(ports: Map, ifindex: int, rate: int) -> None:
    """Set the rate of a port, if it is one."""
    key = U32.pack(ifindex)
    known = ports.get(key)
    if known is None or not _engine_of(ports, ifindex):
        return
    fields = [*PORT.unpack(known)]
    if fields[_RATE] != rate:
        fields[_RATE] = rate
        ports.set(key, PORT.pack(*fields))


@contextmanager
def sampling(ports: Map, port: SampledPort, rate: int) -> Iterator[None]:
    """Have one frame in ``rate`` of a port sampled, and none afterwards."""
    try:
        _set_rate(ports, port.ifindex, rate)
        yield
    finally:
        _set_rate(ports, port.ifindex, 0)


@contextmanager
def until_signalled() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether this process was asked to end; the capture is finished first."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: asked.append(number)) for number in numbers]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _lost(maps: Maps, engine: int) -> int:
    slot = engine * REASON_SLOTS + REASONS.index("sample_lost")
    return int(read_counters(maps.reason_counters)[slot][0])


def capture(
    maps: Maps,
    port: SampledPort,
    writer: PcapWriter,
    *,
    others: Sequence[SampledPort],
    rate: int,
    count: int | None,
    seconds: float,
    stopped: Callable[[], bool] = lambda: False,
) -> Captured:
    """Write samples of a port until there are ``count``, or for so many seconds, or until stopped.

    ``rate``: one frame in so many. ``count``: of written frames, arrivals and departures alike.
    ``others``: the attached ports. A capture that was killed left its rate there, and samples in
    the ring buffer: they are taken away first.

    Raises:
        DataplaneError: no program that samples is on the port.
        OSError: the file cannot be written.
    """
    engine = _engine_of(maps.ports, port.ifindex)
    if not engine:
        raise DataplaneError(
            f"{port.name} carries a program that passes everything on and samples nothing"
        )
    ring = RingBuffer(maps.samples, SAMPLE.size)
    for other in others:
        _set_rate(maps.ports, other.ifindex, 0)
    ring.read()
    done = Captured()
    # the kernel stamps with the monotonic clock
    epoch_ns = time.time_ns() - time.monotonic_ns()

    def take() -> None:
        for row in ring.read():
            stamp, ifindex, length, verdict, held, data = SAMPLE.unpack(row.tobytes())
            if ifindex != port.ifindex or sum(done.written.values()) == count:
                continue
            writer.write(epoch_ns + stamp, data[:held], length)
            done.written[_kind(verdict)] += 1
        writer.flush()

    deadline = time.monotonic() + seconds
    before = _lost(maps, engine)
    with sampling(maps.ports, port, rate):
        while True:
            take()
            if stopped() or time.monotonic() >= deadline or sum(done.written.values()) == count:
                break
            time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))
    take()
    done.lost = _lost(maps, engine) - before
    return done


def _kind(verdict: int) -> str:
    if verdict == SAMPLE_CAME_IN:
        return "in"
    return VERDICTS[verdict] if verdict < len(VERDICTS) else f"verdict {verdict}"

"""Cables with a length where the kernel cannot delay packets: the wire's side in Python.

Writes which ends there are and how long their cables, reads what was counted, and cuts: a cable's
state is a word in the shared file, which the wire looks at when it gets a signal.
"""

import mmap
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from topologies.errors import LabError
from topologies.lab.compiler import compile_program

SOURCE = Path(__file__).with_name("wire.c")
MAGIC = 0x46535457
MAX_ENDS = 1024
UP, DOWN, SILENT = 0, 1, 2
"""A cable's states: whole; both ends lose carrier; carrier stays and frames vanish."""

LEAST_FRAME_BITS = 8 * 60
SPARE_FRAMES = 64
MOST_FRAMES = 8192
READY_S = 10.0
COUNTERS = (
    "forwarded",
    "bytes",
    "silenced",
    "cut",
    "overflowed",
    "too_long",
    "late",
    "late_ns",
    "late_max_ns",
)

_HEADER = np.dtype([("magic", "<u4"), ("ends", "<u4"), ("ready", "<u4"), ("unused", "<u4")])
_END = np.dtype(
    [
        ("ifname", "S16"),
        ("port", "S16"),
        ("delay_ns", "<i8"),
        ("other", "<u4"),
        ("frames", "<u4"),
        ("state", "<u4"),
        ("unused", "<u4"),
        *((name, "<u8") for name in COUNTERS),
    ]
)


@dataclass(frozen=True, slots=True)
class Cable:
    """Two switch ports and what is between them; each direction has its delay and its rate."""

    port: str
    peer: str
    delay_ms: float = 0.0
    back_delay_ms: float = 0.0
    rate_bps: float = 0.0
    back_rate_bps: float = 0.0


def far_side(port: str) -> str:
    """Return the name of the wire's end of a switch port."""
    return f"{port}w"


def _frames(delay_ms: float, rate_bps: float) -> int:
    """Return how many frames can be on their way: the shortest ones, one behind the other."""
    return min(SPARE_FRAMES + int(rate_bps * delay_ms / 1000 / LEAST_FRAME_BITS), MOST_FRAMES)


class Wire:
    """All cables of a lab, and what is in the shared file of the process that serves them."""

    def __init__(self, directory: Path, cables: Sequence[Cable]) -> None:
        """Compile the wire and lay its shared file out.

        Raises:
            LabError: too many cables, or it cannot be compiled.
        """
        if not 0 < 2 * len(cables) <= MAX_ENDS:
            raise LabError(f"{len(cables)} cables; the wire takes 1 to {MAX_ENDS // 2}")
        self.program = compile_program(SOURCE, directory)
        self.path = directory / "wire.mem"
        self.path.write_bytes(bytes(_HEADER.itemsize + 2 * len(cables) * _END.itemsize))
        with self.path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._head = np.frombuffer(self._memory, _HEADER, 1)[0:1]
        self._ends = np.frombuffer(self._memory, _END, 2 * len(cables), _HEADER.itemsize)
        self.number = {}
        for position, cable in enumerate(cables):
            for side, (port, delay_ms, rate_bps) in enumerate(
                (
                    (cable.port, cable.delay_ms, cable.rate_bps),
                    (cable.peer, cable.back_delay_ms, cable.back_rate_bps),
                )
            ):
                row = 2 * position + side
                self.number[port] = row
                end = self._ends[row]
                end["ifname"], end["port"] = far_side(port).encode(), port.encode()
                end["delay_ns"], end["other"] = int(delay_ms * 1e6), row ^ 1
                end["frames"] = _frames(delay_ms, rate_bps)
        self._head[0]["ends"] = 2 * len(cables)
        self._head[0]["magic"] = MAGIC
        self.command = [str(self.program), str(self.path)]

    def wait(self) -> None:
        """Wait until the wire carries frames.

        Raises:
            LabError: it does not come up.
        """
        deadline = time.monotonic() + READY_S
        while not self._head[0]["ready"]:
            if time.monotonic() > deadline:
                raise LabError("the wire does not come up: read logs/wire.log")
            time.sleep(0.005)

    def cut(self, port: str, state: int, pid: int | None, *, one_way: bool = False) -> None:
        """Set the state of the cable at a switch port: UP, DOWN or SILENT.

        ``one_way``: only frames that leave by this port vanish (SILENT). ``pid``: of the wire.
        """
        row = self.number[port]
        for end in (row,) if one_way else (row, row ^ 1):
            self._ends[end]["state"] = state
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)

    def counts(self, port: str) -> dict[str, int]:
        """Return what was counted of the frames that left by a switch port (see COUNTERS)."""
        end = self._ends[self.number[port]]
        return {name: int(end[name]) for name in COUNTERS}

    def totals(self) -> dict[str, int]:
        """Return the same over all ports; ``late_max_ns`` is the largest."""
        return {
            name: int(self._ends[name].max() if name == "late_max_ns" else self._ends[name].sum())
            for name in COUNTERS
        }

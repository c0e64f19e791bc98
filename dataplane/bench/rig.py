"""The test bench: veth pairs in a network namespace, a generator before them and a sink behind.

generator -> (x0) x1 engine y0 -> (y1) sink, once for each way of forwarding that needs interfaces
set up in its own way; all XDP engines take turns on one pair.
"""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataplane import syscall
from dataplane.bench import compile as compiler
from dataplane.bench import kernel
from dataplane.bench.traffic import ROUTER_MAC, TEMPLATE, Block, Frames
from dataplane.errors import BpfError, LoadError
from dataplane.maps import processors
from dataplane.netns import ifindex

FRAME_SET = np.dtype(
    [
        ("sent", "<u8"),
        ("base", "<u4"),
        ("count", "<u4"),
        ("position", "<u4"),
        ("pass", "<u4"),
        ("renewing", "<u4"),
        ("unused", "<u4"),
    ]
)
GENERATOR = np.dtype(
    [
        ("sent", "<u8"),
        ("stop", "<u8"),
        ("first_ns", "<u8"),
        ("last_ns", "<u8"),
        ("rate", "<u8"),
        ("main", FRAME_SET),
        ("side", FRAME_SET),
        ("every", "<u4"),
        ("run", "<u4"),
        ("phase", "<u4"),
        ("out", "<u4"),
        ("burst", "<u4"),
        ("credit", "<u4"),
        ("length", "<u4"),
        ("chained", "<u4"),
    ]
)
SEEN = np.dtype([("backend", "<u4"), ("packets", "<u4"), ("moved", "<u4")])
MAX_HELD = 131_072
_LEAVING_S = 2.0
_NEVER = (1 << 32) - 1
BURST = 32
GRACE_S = 0.05
"""How long after the last frame is sent the sink is read."""


@contextlib.contextmanager
def cut_after(seconds: float) -> Iterator[None]:
    """Interrupt system calls of this, the main, thread after a while."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True, slots=True)
class Way:
    """The four ends of a way through the bench: generator's, engine's in and out, sink's."""

    slot: int
    letter: str

    @property
    def ends(self) -> tuple[str, str, str, str]:
        """Return the interfaces' names in the order that a frame meets them."""
        return (f"{self.letter}g0", f"{self.letter}g1", f"{self.letter}s0", f"{self.letter}s1")


XDP, ROUTED, BRIDGED, SWITCHED = (Way(n, letter) for n, letter in enumerate("xrbo"))


@dataclass(frozen=True, slots=True)
class Run:
    """What one run gave: frames sent and delivered, and how long it took in nanoseconds.

    ``waited_ns``: how long others had our processor meanwhile.
    """

    sent: int
    delivered: int
    elapsed_ns: int
    waited_ns: int = 0

    @property
    def mpps(self) -> float:
        """Return millions of frames per second that arrived."""
        return self.delivered * 1e3 / max(self.elapsed_ns, 1)

    @property
    def disturbed(self) -> float:
        """Return the share of the time that others took."""
        return self.waited_ns / max(self.elapsed_ns, 1)

    @property
    def lost(self) -> float:
        """Return the share of frames that did not arrive."""
        return 1 - self.delivered / max(self.sent, 1)


@dataclass(frozen=True, slots=True)
class Side:
    """Frames that are mixed in: of ``every`` frames, ``run`` are of this block."""

    block: Block
    every: int
    run: int
    renewing: bool = False


def turns() -> tuple[int, int]:
    """Return how long this process has run, and waited for its turn, in nanoseconds."""
    try:
        ran, waited = Path("/proc/self/schedstat").read_text().split()[:2]
    except (OSError, ValueError):
        return 0, 0
    return int(ran), int(waited)


def command(*words: str, text: str | None = None) -> str:
    """Run a command that must succeed; return what it prints.

    Raises:
        LoadError: it fails; its last words are in the message.
    """
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, input=text, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadError(f"{words[0]} cannot be run: {error}") from error
    if done.returncode:
        raise LoadError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def compile_child(job: str, pins: Path, stub: Path, number: int) -> None:
    """Have a compiler's child do its job, and end before anything is measured.

    Raises:
        LoadError: it fails; its words are in the message.
    """
    child = subprocess.run(
        [
            *(sys.executable, "-m", "dataplane.bench.compile", job),
            *(str(pins), str(stub), str(number)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        raise LoadError(f"the benchmark's programs could not be loaded: {child.stderr[-2000:]}")


def mac_text(address: bytes) -> str:
    """Return six bytes as ``aa:bb:cc:dd:ee:ff``."""
    return address.hex(":")


def sysctl(name: str, value: int) -> None:
    """Set a number below /proc/sys of this network namespace."""
    Path("/proc/sys", *name.split(".")).write_text(str(value))


class Rig:
    """The bench, set up in the present network namespace; bpffs must be there at ``pins``."""

    def __init__(self, pins: Path, stub: Path, templates: int) -> None:
        self.pins = pins / "bench"
        self.processors = processors()
        self.pins.mkdir()
        compile_child("peers", self.pins, stub, templates)
        self.programs = {name: syscall.get(self.pins / name) for name in compiler.PROGRAMS}
        tables = {name: kernel.Table.open(self.pins / "maps" / name) for name in compiler.MAPS}
        self._tables = tables
        self._state = tables["generators"].map(GENERATOR)
        self._seen = tables["seen"].map(SEEN)
        self._templates = tables["templates"].map(np.dtype(("u1", TEMPLATE)))
        self._links: dict[str, int] = {}
        self._places: dict[Block, tuple[int, int]] = {}
        self._present: dict[str, Block] = {}
        self._chained: dict[int, int] = {}
        self._make_ways()

    def fill(self, base: int, frames: Frames) -> None:
        """Put templates into the generator's table."""
        count = len(frames)
        self._templates[base : base + count] = frames.view("u1").reshape(count, TEMPLATE)

    def _make_ways(self) -> None:
        sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        for way in (XDP, ROUTED, BRIDGED, SWITCHED):
            into, engine, out, end = way.ends
            for near, far in ((into, engine), (out, end)):
                command("ip", "link", "add", near, "type", "veth", "peer", "name", far)
            if way is not BRIDGED:
                command("ip", "link", "set", engine, "address", mac_text(ROUTER_MAC))
            for name in way.ends:
                command("ip", "link", "set", name, "mtu", "1600", "up")
            self.attach("sink", end)
            self._tables["ports_out"].set(way.slot, ifindex(into))
        out = XDP.ends[2]
        self._tables["ports_in"].set(0, ifindex(out))
        self._tables["ports_in"].set(ifindex(out), ifindex(out))

    def attach(self, program: str, name: str) -> None:
        """Put one of the benchmark's programs on an interface, in the place of another."""
        self.attach_fd(self.programs[program], name)

    def attach_fd(self, fd: int, name: str) -> None:
        """Put a program on an interface, in the place of the one that this bench put there.

        Raises:
            BpfError: there is another's program on it.
        """
        held = self._links.get(name)
        if held is not None:
            syscall.replace_program(held, fd)
            return
        self._links[name] = syscall.attach_xdp(fd, ifindex(name))

    def wait_free(self, name: str) -> None:
        """Wait until a program that was taken off an interface is off: that is a moment later.

        Raises:
            BpfError: another's program stays on it.
        """
        deadline = time.monotonic() + _LEAVING_S
        while True:
            try:
                os.close(syscall.attach_xdp(self.programs["drop"], ifindex(name)))
            except BpfError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _sunk(self) -> int:
        return self._tables["sunk"].total(self.processors)

    def _load_set(self, name: str, block: Block, *, renewing: bool = False) -> None:
        """Have the generator send a set; it goes on from where it was left."""
        part = self._state[0][name]
        present = self._present.get(name)
        if present is not None:
            self._places[present] = int(part["position"]), int(part["pass"])
        self._present[name] = block
        part["position"], part["pass"] = self._places.get(block, (0, 0))
        part["base"], part["count"], part["sent"] = block.base, block.count, 0
        part["renewing"] = renewing

    def _start(self, block: Block, way: Way, stop: int, *, renewing: bool = False) -> None:
        self._load_set("main", block, renewing=renewing)
        state = self._state[0]
        for name in ("sent", "first_ns", "last_ns", "credit", "every", "run", "phase"):
            state[name] = 0
        state["out"], state["stop"], state["length"] = way.slot, stop, block.length

    def flood(self, block: Block, way: Way, frames: int, generator: str = "generate") -> Run:
        """Send frames as fast as they are taken."""
        self._start(block, way, frames)
        before = self._sunk()
        waited = turns()[1]
        cut = kernel.run_live(self.programs[generator], block.length, frames)
        waited = turns()[1] - waited
        state = self._state[0]
        last = int(state["last_ns"])
        if cut or not last:
            raise InterruptedError("the generator was cut short")
        elapsed = last - int(state["first_ns"])
        return Run(int(state["sent"]), self._sunk() - before, elapsed, waited)

    def pace(
        self,
        block: Block,
        way: Way,
        rate: float,
        seconds: float,
        *,
        renewing: bool = False,
        side: Side | None = None,
    ) -> Run:
        """Send ``rate`` frames per second, in bursts of BURST, for a while."""
        frames = int(rate * seconds) // BURST * BURST
        self._start(block, way, frames, renewing=renewing)
        state = self._state[0]
        state["rate"] = int(rate * (1 << 32) / 1e9)
        state["burst"] = BURST
        if side is not None:
            self._load_set("side", side.block, renewing=side.renewing)
            state["every"], state["run"] = side.every, side.run
        before = self._sunk()
        with cut_after(seconds + GRACE_S):
            kernel.run_live(self.programs["generate_paced"], block.length, _NEVER)
        sent = int(state["sent"])
        return Run(sent, self._sunk() - before, int(state["last_ns"]) - int(state["first_ns"]))

    def sent(self, name: str) -> int:
        """Return how many frames of the ``main`` or the ``side`` set the last run sent."""
        return int(self._state[0][name]["sent"])

    def seen(self) -> NDArray[np.void]:
        """Return what arrived of each connection, in place: [MAX_HELD] of SEEN."""
        return self._seen

    def alone(self, fd: int, block: Block, runs: int, *, renewing: bool = False) -> float:
        """Return the nanoseconds that a program takes for a frame, the wrapper's included."""
        slot = self._chained.setdefault(fd, len(self._chained))
        self._tables["chain"].set(slot, fd)
        self._start(block, XDP, 0)
        self._state[0]["chained"] = slot
        wrapper = self.programs["again_new" if renewing else "again"]
        return self._timed(wrapper, block, runs)

    def bare(self, fd: int, block: Block, runs: int) -> float:
        """Return the nanoseconds that a program takes that changes nothing, without wrapper."""
        return self._timed(fd, block, runs)

    @staticmethod
    def _timed(fd: int, block: Block, runs: int) -> float:
        began = time.thread_time_ns()
        kernel.run_alone(fd, block.length, runs, ifindex(XDP.ends[1]))
        return (time.thread_time_ns() - began) / runs

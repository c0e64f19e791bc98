"""The programs against their twin: verdict, bytes, counters, connections, events.

``python -m tests.fuzz.differential [PACKETS SEED]...``, in a network namespace of its own, as
``./run fuzz`` makes it.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.maps import REASONS
from dataplane.twin.machine import DROP, Outcome
from tests.fuzz.compare import Comparer, MismatchError
from tests.fuzz.frames import Frame, Frames
from tests.fuzz.rounds import Rounds
from tests.fuzz.world import Runner, World, make

PACKETS = 1_000_000
ROUND = 1000
CHANGE = 200
LEAST = 0.01
LONG_RUN = 200_000
ABORTED = 0
VERDICTS = {ABORTED: "aborted", 1: "drop", 2: "pass", 3: "tx", 4: "redirect"}
NEVER = ("aborted", "sample_lost")
"""Not asked for: a redirect to a slot that holds no port, which no agent leaves so; and frames
sampled for a person, which are copied at random."""


@dataclass
class Taken:
    """How often each verdict and each reason was taken."""

    packets: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class Session:
    """One world, and a stream of packets through it."""

    def __init__(self, base: Path, seed: int) -> None:
        self.world: World = make(base)
        self.comparer = Comparer(self.world)
        self.taken = Taken()
        self._runner = Runner()
        self._ports = self.world.ports()
        self.world.zero()
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Go on with other packets and states."""
        self.seed = seed
        self.frames = Frames(seed)
        self._rounds = Rounds(self.world, self.frames, self.comparer, seed)

    def run(self, packets: int, progress: Callable[[int], None] | None = None) -> Taken:
        """Run packets through both.

        Raises:
            MismatchError: they differ.
        """
        for number in range(packets):
            if number % ROUND == 0:
                self.comparer.compare()
                self._rounds.begin()
                if progress is not None:
                    progress(number)
            elif number % CHANGE == 0:
                self._rounds.change()
            frame = next(self.frames)
            found = self.differs(frame)
            if found:
                raise MismatchError(
                    f"packet {number} of seed {self.seed}: {found}\n{self.smallest(frame)}"
                )
        self.comparer.compare()
        self.comparer.events()
        return self.taken

    def differs(self, sent: Frame) -> str:
        """Run a packet through both; return how they differ, or nothing."""
        program, port, frame = sent
        frame = frame.ljust(14, b"\0")
        ifindex = self._ports[port]
        before = time.monotonic_ns()
        verdict, out = self._runner.run(self.world.programs[program], frame, ifindex)
        self.comparer.gap_ns = max(self.comparer.gap_ns, time.monotonic_ns() - before)
        outcome: Outcome = getattr(self.world.machine, program)(frame, ifindex, before)
        expected = ABORTED if outcome.slot in self.world.absent else outcome.verdict
        if verdict != expected or (verdict != DROP and out != outcome.frame):
            return (
                f"{program} at {port}: {frame.hex()}\n"
                f"program: {VERDICTS.get(verdict, verdict)} {out.hex()}\n"
                f"twin:    {VERDICTS[expected]} {outcome.frame.hex()} {outcome.reasons}"
            )
        self.taken.packets += 1
        self.taken.verdicts[VERDICTS[verdict]] += 1
        self.taken.reasons.update(set(outcome.reasons))
        return ""

    def smallest(self, sent: Frame) -> str:
        """Look for a smaller packet that still differs; return what was found."""
        program, port, frame = sent
        shrunk = True
        while shrunk:
            shrunk = False
            for smaller in _smaller(frame):
                if self.differs((program, port, smaller)):
                    frame, shrunk = smaller, True
                    break
        return f"smallest that differs now: {program} at {port}: {frame.hex()}"


def _smaller(frame: bytes) -> list[bytes]:
    """Return what is shorter than a frame, or holds fewer bytes that are not 0."""
    cuts = [frame[: max(14, len(frame) - step)] for step in (512, 128, 32, 8, 1)]
    zeroed = [frame[:at] + b"\0" + frame[at + 1 :] for at in range(len(frame)) if frame[at]]
    return [one for one in (*cuts, *zeroed) if one != frame]


def fuzz(
    runs: Sequence[tuple[int, int]], base: Path, progress: Callable[[int], None] | None = None
) -> Taken:
    """Run packets through both, so many of each seed; return what was taken how often.

    Raises:
        MismatchError: they differ.
    """
    session = Session(base, runs[0][1])
    for packets, seed in runs:
        session.reseed(seed)
        session.run(packets, progress)
    return session.taken


def report(taken: Taken) -> tuple[list[str], list[str]]:
    """Return a line for each verdict and reason, and the names that too few packets took."""
    lines, rare = [], []
    for kind, names, counted in (
        ("verdict", VERDICTS.values(), taken.verdicts),
        ("reason", REASONS, taken.reasons),
    ):
        for name in names:
            share = counted[name] / max(taken.packets, 1)
            low = share < LEAST and name not in NEVER
            lines.append(f"{kind:8} {name:16} {share:8.2%}{'   below 1 %' if low else ''}")
            if low:
                rare.append(name)
    return lines, rare


def main() -> int:
    """Fuzz for as long as asked."""
    asked = [int(word) for word in sys.argv[1:]] or [PACKETS]
    if len(asked) % 2:
        asked.append(time.time_ns() & 0xFFFFFF)
    runs = list(zip(asked[::2], asked[1::2], strict=True))
    packets = sum(count for count, _ in runs)
    seeds = ", ".join(str(seed) for _, seed in runs)
    began = said = time.monotonic()

    def progress(number: int) -> None:
        nonlocal said
        if time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"{number} packets, {said - began:.0f} s", flush=True)

    print(f"{packets} packets, seed {seeds}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            taken = fuzz(runs, Path(folder), progress)
        except MismatchError as error:
            print(error)
            return 1
        finally:
            subprocess.run(["umount", f"{folder}/bpf"], check=False)
    lines, rare = report(taken)
    print("\n".join(lines))
    print(f"{packets} packets, no mismatch, {time.monotonic() - began:.0f} s, seed {seeds}")
    return 1 if rare and packets >= LONG_RUN else 0


if __name__ == "__main__":
    sys.exit(main())

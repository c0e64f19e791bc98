"""The runs: all cases take turns, round after round, so that drift meets all alike."""

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.bench.cases import Case
from dataplane.bench.engines import EngineOnBench
from dataplane.bench.ovs import Switch
from dataplane.bench.rig import SWITCHED, XDP, Rig, Run, turns
from dataplane.bench.traffic import Block
from dataplane.errors import DataplaneError

_FIRST_FRAMES = 20_000
_RUNS_ALONE = 400_000
_ATTEMPTS = 5
_CALM = 0.01
"""A run in which others had less of our time than this is not taken again."""
_OPENINGS = 30_000
_OPENINGS_S = 0.05
_LOSS = 0.001
"""A run with no more lost than this share counts as free of loss: in the peer's favour."""
_SEARCH_STEPS = 7
_SEARCH_FROM_PPS, _SEARCH_TO_PPS = 20_000.0, 2_000_000.0
_BUSY = 0.03


@dataclass(slots=True)
class Figures:
    """All samples by name: million frames per second, nanoseconds, share of frames lost."""

    mpps: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ns: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lost: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def medians(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the medians of rates and of costs."""
        return _medians(self.mpps), _medians(self.ns)


def spread(values: Sequence[float]) -> float:
    """Return how far apart the middle half of the samples lies, as a share of the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / middle if middle else 0.0


def _medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in samples.items() if values}


class Bench:
    """Measures cases on a rig, round by round."""

    def __init__(
        self, rig: Rig, engine: EngineOnBench, large: EngineOnBench | None, seconds: float
    ) -> None:
        self.rig = rig
        self.engine = engine
        self._programs = {**rig.programs, **engine.programs}
        self._large = large
        self.seconds = seconds
        self.figures = Figures()
        self._rates: dict[str, float] = {}

    def warm(self, case: Case) -> None:
        """Run a case for a moment, for its rate; caches of known flows are full after it."""
        frames = max(_FIRST_FRAMES, 2 * case.block.count if case.block.count < 1 << 17 else 0)
        self._put(case)
        self._rates[case.name] = self.rig.flood(case.block, case.way, frames, case.generator).mpps
        if not self._rates[case.name]:
            raise DataplaneError(f"{case.name}: no frame arrives at the sink")

    def _program(self, case: Case) -> int | None:
        """Return the program that a case is of, or None where it needs none."""
        if case.program is None:
            return None
        if case.large and self._large is not None:
            return self._large.programs[case.program]
        return self._programs[case.program]

    def _put(self, case: Case) -> None:
        program = self._program(case)
        if program is not None:
            self.rig.attach_fd(program, XDP.ends[1])

    def pipeline(self, case: Case) -> None:
        """Take one sample of a case's rate."""
        self._put(case)
        if case.opening:
            self._openings(case)
            return
        frames = int(self._rates[case.name] * 1e6 * self.seconds)
        if case.block.count < 1 << 17:
            self.rig.flood(case.block, case.way, case.block.count + 1, case.generator)
        run = self._undisturbed(case, max(frames, _FIRST_FRAMES))
        self._rates[case.name] = max(run.mpps, 0.01)
        self.figures.mpps[case.name].append(run.mpps)
        self.figures.lost[case.name].append(run.lost)

    def _undisturbed(self, case: Case, frames: int) -> Run:
        """Return a run that others hardly disturbed; of a few, the one that they did least."""
        best: Run | None = None
        for _ in range(_ATTEMPTS):
            run = self.rig.flood(case.block, case.way, frames, case.generator)
            if best is None or run.disturbed < best.disturbed:
                best = run
            if best.disturbed < _CALM:
                break
        assert best is not None
        return best

    def _openings(self, case: Case) -> None:
        """Take one sample of connections entered per second, in as many as the event ring holds."""
        for _ in range(max(1, int(self.seconds / _OPENINGS_S))):
            self.engine.take_opened()
            run = self.rig.flood(case.block, case.way, 2 * _OPENINGS, case.generator)
            opened = self.engine.take_opened()
            self.figures.mpps[case.name].append(opened * 1e3 / run.elapsed_ns)
            self.figures.lost[case.name].append(1 - opened / _OPENINGS)

    def alone(self, case: Case) -> None:
        """Take one sample of what a case's program costs alone.

        As the kernel's own measurement of a program that finds each frame as it was: the wrapper
        that makes it so is measured with a program that drops, and taken off.
        """
        program = self._program(case)
        if program is None or not case.alone:
            return
        rig, block = self.rig, case.block
        drop = rig.programs["drop"]
        whole = rig.alone(program, block, _RUNS_ALONE, renewing=case.renewing)
        wrapper = rig.alone(drop, block, _RUNS_ALONE, renewing=case.renewing)
        self.figures.ns[case.name].append(whole - wrapper + rig.bare(drop, block, _RUNS_ALONE))


def lossfree(rig: Rig, block: Block, seconds: float, from_pps: float, to_pps: float) -> float:
    """Search the highest rate in million frames per second that arrives all the same.

    A rate that loses frames is tried once more: it may have been a neighbour's doing.
    """
    low, high, best = from_pps, to_pps, 0.0
    for _ in range(_SEARCH_STEPS):
        rate = (low * high) ** 0.5
        run = rig.pace(block, SWITCHED, rate, seconds)
        if run.lost > _LOSS:
            run = rig.pace(block, SWITCHED, rate, seconds)
        if run.lost <= _LOSS:
            low, best = rate, max(best, run.mpps)
        else:
            high = rate
    return best


def switch_sample(bench: Bench, switch: Switch, block: Block, end: str = "") -> None:
    """Take one sample of Open vSwitch's rates, without loss and when overrun.

    The figures' names end in ``end``.
    """
    rig, figures = bench.rig, bench.figures
    switch.go_on()
    try:
        rig.flood(block, SWITCHED, _FIRST_FRAMES)
        over = rig.flood(block, SWITCHED, int(2e6 * bench.seconds))
        figures.mpps[f"ovs_afxdp_overload{end}"].append(over.mpps)
        figures.lost[f"ovs_afxdp_overload{end}"].append(over.lost)
        found = lossfree(rig, block, bench.seconds, *_range(over.mpps))
        figures.mpps[f"ovs_afxdp_lossfree{end}"].append(found)
    finally:
        switch.stop()


def _range(mpps: float) -> tuple[float, float]:
    """Return between which rates to search, given the overload rate."""
    if not mpps:
        return _SEARCH_FROM_PPS, _SEARCH_TO_PPS
    return mpps * 1e6 / 4, mpps * 1e6 * 4


class Load:
    """Watches whether others use the processor while we measure what uses nothing but ours."""

    def __init__(self) -> None:
        self._totals = [0, 0, 0, 0]

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch meanwhile."""
        before = (*self._stolen(), *turns())
        try:
            yield
        finally:
            after = (*self._stolen(), *turns())
            self._totals = [
                total + now - then
                for total, now, then in zip(self._totals, after, before, strict=True)
            ]

    @staticmethod
    def _stolen() -> tuple[int, int]:
        fields = [int(x) for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        return fields[7], sum(fields[:8])

    def warning(self) -> str | None:
        """Return what to say of a busy machine, or None."""
        stolen, total, ran, waited = self._totals
        steal, aside = stolen / max(total, 1), waited / max(ran + waited, 1)
        if max(steal, aside) < _BUSY:
            return None
        return (
            f"the machine was busy (others had {aside:.0%} of our core's time, the hypervisor"
            f" {steal:.0%} of all): trust the ratios, not the rates"
        )


Progress = Callable[[str], None]


def run_rounds(
    bench: Bench,
    cases: Sequence[Case],
    rounds: int,
    switch: tuple[Switch, Block] | None,
    load: Load,
    progress: Progress,
) -> None:
    """Measure everything: ``rounds`` times each, Open vSwitch's search every third round."""
    for case in cases:
        bench.warm(case)
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        with load.watching():
            for case in cases:
                bench.pipeline(case)
                bench.alone(case)
        if switch is not None and number % 3 == 0:
            switch_sample(bench, *switch)

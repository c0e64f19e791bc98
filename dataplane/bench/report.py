"""The benchmark's results: a table to read, and JSON to keep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataplane.bench.bars import BARS, Bar

NOTES = """\
Mpps: generator, engine and sink on one core; lost: what the engine did not deliver. ns alone: the
program by BPF_PROG_TEST_RUN, on frames of the same set, made anew each time.

Frames are of one address pair, or of 10,000 (_10k), 100,000 (_100k) or 1,000,000 (_1m) random ones
in turn, or each of a new flow (_new, _syn). Up to 100,000 they are known flows; a million is more
than caches of flows hold. The generator copies headers from a table, and ratios are formed against
bare redirect of the same frames. Steered frames are forwarded, not delivered. balance_new: million
connections per second, each by two packets, entered and told of; balance_1m: in a table for two
millions. fib and kernel_forward: 10,000 routes in all cases.

Open vSwitch polls, and shares the core with the generator; _own_core gives it another one."""
_PEERS = ("redirect", "kernel_forward", "fib_10k", "ovs_afxdp_lossfree")


@dataclass(frozen=True, slots=True)
class Result:
    """Medians, in million frames per second and nanoseconds per frame, and what to know of them."""

    mpps: Mapping[str, float]
    ns_per_packet: Mapping[str, float]
    lost: Mapping[str, float]
    spread: Mapping[str, float]
    rounds: int
    warning: str | None = None

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        content = {
            "mpps": {name: round(x, 4) for name, x in self.mpps.items()},
            "ns_per_packet": {name: round(x, 1) for name, x in self.ns_per_packet.items()},
            "lost": {name: round(x, 5) for name, x in self.lost.items() if x > 0},
            "spread": {name: round(x, 4) for name, x in self.spread.items()},
            "bars": [
                {
                    "name": bar.name,
                    "peer": bar.peer,
                    "in": "ns" if bar.cost else "mpps",
                    "ratio": None if ratio is None else round(ratio, 3),
                    "wanted": bar.times,
                    "met": None if ratio is None else ratio >= bar.times,
                }
                for bar, ratio in self._bars()
            ],
            "rounds": self.rounds,
            "warning": self.warning,
        }
        path.write_text(json.dumps(content, indent=2) + "\n")

    def _bars(self) -> list[tuple[Bar, float | None]]:
        return [(bar, bar.ratio(self.mpps, self.ns_per_packet)) for bar in BARS]

    def table(self) -> str:
        """Return the table, the bars and the notes as text."""
        head = f"{'':26}{'Mpps':>8}{'ns alone':>10}{'lost':>8}   x " + "  ".join(
            f"{name:>14}" for name in _PEERS
        )
        lines = [head]
        for name, rate in self.mpps.items():
            cost = self.ns_per_packet.get(name)
            lost = self.lost.get(name, 0.0)
            ratios = "  ".join(self._ratio(rate, peer) for peer in _PEERS)
            lines.append(
                f"{name:26}{rate:8.3f}{'' if cost is None else f'{cost:.1f}':>10}"
                f"{f'{lost:.1%}' if lost > 1e-4 else '':>8}     {ratios}"
            )
        lines.append("")
        for bar, ratio in self._bars():
            if ratio is None:
                continue
            word = "met" if ratio >= bar.times else "MISSED"
            kind = "ns of" if bar.cost else ""
            lines.append(
                f"{word:7} {kind:6}{bar.name:16} {ratio:6.2f} x {bar.peer:24} wanted {bar.times:g}"
            )
        lines += ["", f"Medians of {self.rounds} rounds.", NOTES]
        if self.warning:
            lines += ["", f"warning: {self.warning}"]
        return "\n".join(lines)

    def _ratio(self, rate: float, peer: str) -> str:
        theirs = self.mpps.get(peer)
        return f"{rate / theirs:14.2f}" if theirs else " " * 14

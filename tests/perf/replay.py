"""``python -m tests.perf.replay``: an hour of decisions and of what goes wrong, made again."""

import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from controller.backtest.bench import find_network, questions
from controller.decide import plan
from controller.explain.replay import replay
from controller.journal import Journal, as_kept
from controller.state import Decision, Outcome, Plan, Policies

TICKS = 720
"""An hour at five seconds."""


def write(journal: Journal) -> None:
    """Decide for an hour: cables fail, the solver hits its limit, a model takes over."""
    snapshot, forecast = next(questions(find_network("abilene", None)))
    random = np.random.default_rng(1)
    wander = np.zeros(snapshot.demands_bps.shape)
    previous: Plan | None = None
    for tick in range(TICKS):
        wander = 0.98 * wander + 0.05 * random.normal(size=wander.shape)
        dead = snapshot.links[tick // 90 * 2 % len(snapshot.links)].name if tick % 90 < 20 else ""
        cable = {dead, ">".join(reversed(dead.split(">")))}
        links = tuple(replace(link, up=link.name not in cable) for link in snapshot.links)
        demands = snapshot.demands_bps * np.exp(wander)
        history = np.stack([snapshot.demands_bps, demands])
        seen = replace(snapshot, number=tick, links=links, demands_bps=demands, history_bps=history)
        fan = forecast.demands_bps * np.exp(wander)
        told = replace(
            forecast, number=tick, snapshot=tick, demands_bps=fan,
            model="before" if tick < TICKS // 2 else "after",
        )  # fmt: skip
        kept, expected = as_kept(seen, told)
        policies = Policies(iterations=2) if tick % 100 == 50 else Policies()
        made = plan(kept, expected, policies, previous)
        decision = Decision(
            tick, 5.0 * tick, tick, tick, made.number, made.reason, 0.0, 0.0, 0.0, Outcome()
        )
        journal.write(
            seen, told, made, decision, observed=True, link_rates_bps={}, applied_s=0.0,
            policies=policies, previous=previous, event="links changed" if dead else "",
        )  # fmt: skip
        previous = made


def main() -> int:
    """Write the hour, make it again, print what differs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        began = time.process_time()
        journal = Journal(path)
        write(journal)
        journal.close()
        wrote = time.process_time()
        found = Counter(one.how for one in replay(Journal(path).decisions()))
        took = time.process_time() - wrote
        methods = Counter(entry.plan.method for entry in Journal(path).decisions())
        size = path.stat().st_size / (1 << 20)
    print(f"{TICKS} decisions: {dict(methods)}; {size:.1f} MiB, decided in {wrote - began:.0f} s")
    print(f"made again in {took:.0f} s: {dict(found)}")
    return 0 if found == Counter(identical=TICKS) else 1


if __name__ == "__main__":
    sys.exit(main())

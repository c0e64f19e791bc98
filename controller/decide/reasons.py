"""The reason of a plan, in plain words: what would have happened, what moves, what it buys."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.decide.candidates import Floats
from controller.decide.graph import Graph, Path
from controller.decide.spread import Counts, Pair, moved
from controller.state import BUCKETS, Matrix

SAME = 1.001
"""Maximum utilisations that differ by less than this factor are told as the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """What a reason is told from.

    ``before``: utilisation [E] by this forecast if nothing moved; ``after``: as planned;
    ``observed``: in the last interval. ``lost``: links in use by the previous plan that are gone.
    """

    nodes: tuple[str, ...]
    graph: Graph
    demands_bps: Matrix
    held: Mapping[Pair, Counts]
    spread: Mapping[Pair, Counts]
    before: Floats
    after: Floats
    observed: Floats
    horizon_steps: int
    first: bool
    failed: bool
    lost: tuple[str, ...] = ()


def rate(bps: float) -> str:
    """Return a rate in the unit that suits it."""
    for unit, size in (("Gb/s", 1e9), ("Mb/s", 1e6), ("kb/s", 1e3)):
        if abs(bps) >= size:
            return f"{bps / size:.3g} {unit}"
    return f"{bps:.3g} b/s"


def percent(share: float) -> str:
    """Return a share as a percentage; one digit after the point below ten."""
    value = share * 100
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def when(horizon_steps: int) -> str:
    """Return the horizon in words."""
    return "in the next interval" if horizon_steps == 1 else f"{horizon_steps} intervals ahead"


def route(story: Story, path: Path) -> str:
    """Return a path as the locations it passes."""
    edges = [story.graph.edges[edge] for edge in path]
    stations = [story.nodes[edges[0].src], *(story.nodes[edge.dst] for edge in edges)]
    return "-".join(stations)


def tell(story: Story) -> str:
    """Return the reason."""
    if not story.graph.edges:
        return "No link is up: nothing can be steered."
    worst = int(story.after.argmax())
    now = f"{story.graph.edges[worst].name} with {percent(float(story.after[worst]))}"
    observed = f"{percent(float(story.observed[worst]))} observed"
    if story.first:
        return (
            f"The first plan places {len(story.spread)} demands; the worst link"
            f" {when(story.horizon_steps)} is then {now} ({observed})."
        )
    lost = f"{', '.join(story.lost)} {'is' if len(story.lost) == 1 else 'are'} gone. "
    opening = lost if story.lost else ""
    changed = [pair for pair in story.spread if story.spread[pair] != story.held.get(pair)]
    if not changed:
        why = (
            "the splits in force stand, since the solver found no answer"
            if story.failed
            else "no other spreading is better by enough to move traffic for"
        )
        return (
            f"{opening}Nothing moves: the worst link {when(story.horizon_steps)} is {now}"
            f" ({observed}), and {why}."
        )
    hot = int(story.before.argmax())
    pair = max(changed, key=lambda pair: (*_relief(story, pair, hot), pair))
    others = len(changed) - 1
    more = f", with {others} other demand{'s' * (others != 1)}" if others else ""
    move = _move(story, pair) + more
    if story.before[hot] <= story.after[worst] * SAME:
        return (
            f"{opening}The worst link {when(story.horizon_steps)} stays {now} ({observed});"
            f" {move}, so that the links close behind it have more room."
        )
    return (
        f"{opening}{story.graph.edges[hot].name} would reach {percent(float(story.before[hot]))}"
        f" {when(story.horizon_steps)} ({percent(float(story.observed[hot]))} observed);"
        f" {move}; the worst link is then {now}."
    )


def _relief(story: Story, pair: Pair, edge: int) -> tuple[float, float]:
    """Return how much traffic a demand's change takes off an edge, and how much it moves."""
    rate = float(story.demands_bps[pair]) / BUCKETS
    before, after = story.held.get(pair, {}), story.spread[pair]

    def through(counts: Counts) -> int:
        return sum(count for path, count in counts.items() if edge in path)

    return max(0.0, rate * (through(before) - through(after))), rate * moved(before, after)


def _move(story: Story, pair: Pair) -> str:
    before, after = story.held.get(pair, {}), story.spread[pair]
    name = f"{story.nodes[pair[0]]}→{story.nodes[pair[1]]}"
    gains = {path: count - before.get(path, 0) for path, count in after.items()}
    gaining = max(gains, key=lambda path: (gains[path], path))
    share = percent(moved(before, after) / BUCKETS)
    if not before:
        return f"{name} takes {route(story, gaining)}"
    return f"{share} of {name} moves, most of it to {route(story, gaining)}"

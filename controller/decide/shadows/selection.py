"""Which engines are whose shadows.

Of the same stage, healthy, in no risk group of the primary's where that can be avoided, near by
measured round trip, with room by predicted free capacity. Those that are stay until another one is
clearly better: each change costs a snapshot.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MOST = 3
STAYS = 1.5
"""A shadow stays until another one costs less by this factor."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine as a shadow of others.

    ``stage``: engines of one stage serve the same virtual addresses or demands. ``free``: predicted
    connections that it could still take, at a low quantile; ``risk_groups``: what fails together
    with it.
    """

    engine: int
    stage: str
    healthy: bool = True
    free: float = 0.0
    risk_groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Need:
    """What a primary asks of its shadows: ``connections`` that it holds, and how many shadows."""

    connections: float = 0.0
    count: int = 2


@dataclass(frozen=True, slots=True)
class Assignment:
    """An engine's shadows, the best first. ``generation`` grows when they change.

    ``shared``: shadows that share a risk group with it, for want of others; ``missing``: how many
    fewer there are than asked for.
    """

    engine: int
    shadows: tuple[int, ...]
    generation: int
    shared: tuple[int, ...] = ()
    missing: int = 0


def choose_shadows(
    engines: Iterable[Candidate],
    rtt_ms: Mapping[tuple[int, int], float],
    needs: Mapping[int, Need],
    previous: Mapping[int, Assignment],
) -> dict[int, Assignment]:
    """Return every engine's shadows by engine number.

    ``rtt_ms``: by ordered pair, the worst known one where a pair was not measured. An engine of
    several primaries counts each one's connections against its room, in the order of engine
    numbers, so that not all choose the same neighbour.
    """
    known = {one.engine: one for one in engines}
    worst = max(rtt_ms.values(), default=1.0)
    promised = dict.fromkeys(known, 0.0)
    found: dict[int, Assignment] = {}
    for number in sorted(known):
        primary, need = known[number], needs.get(number, Need())
        before = previous.get(number)
        held = before.shadows if before is not None else ()
        costs = {
            other.engine: _cost(
                primary,
                other,
                rtt_ms.get((number, other.engine), worst),
                need.connections,
                promised[other.engine],
            )
            / (STAYS if other.engine in held else 1.0)
            for other in known.values()
            if other.stage == primary.stage and other.engine != number and other.healthy
        }
        apart = {one for one in costs if not known[one].risk_groups & primary.risk_groups}
        order = sorted(costs, key=lambda one: (one not in apart, costs[one], one))
        chosen = tuple(order[: min(need.count, MOST)])
        for one in chosen:
            promised[one] += need.connections
        # the order alone is no reason for a new generation: the streams are the same
        if before is not None and set(held) == set(chosen):
            chosen, generation = held, before.generation
        else:
            generation = before.generation + 1 if before is not None else 1
        found[number] = Assignment(
            number,
            chosen,
            generation,
            tuple(one for one in chosen if one not in apart),
            max(0, min(need.count, MOST) - len(chosen)),
        )
    return found


def _cost(
    primary: Candidate, other: Candidate, rtt_ms: float, connections: float, promised: float
) -> float:
    """Return what a shadow costs: milliseconds, more the fuller it would be."""
    room = other.free - promised
    if room <= 0:
        return 1e6 + rtt_ms
    fill = connections / room
    groups = len(other.risk_groups & primary.risk_groups)
    return (0.1 + rtt_ms) * (1.0 + fill**2) * (1 + groups)

"""Where traffic to prefixes outside leaves the network.

Which neighbours' routes are equally good is BGP's own order (RFC 4271, 9.1.2.2: the shortest AS
path, and of one neighbouring network the lowest MED); among them each source takes the exit that
its circuits reach fastest at the load that is predicted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from controller.decide.policy import Ways
from controller.state import Exit, ExternalPath, Plan, Snapshot
from headers.prefixes import joined, network_of, within

STAYS = 1.25
"""A source keeps its exit until another one is faster by this factor."""

NAMED = 5
"""Changes that the notes name before they say "and others"."""

Gateways = tuple[tuple[str, str], ...]
"""Location and the neighbour's address there, by location."""


def places(external: Iterable[ExternalPath], nodes: Iterable[str]) -> frozenset[str]:
    """Return the locations where neighbours are attached that announce something."""
    return frozenset({path.location for path in external} & set(nodes))


def exits(
    snapshot: Snapshot, ways: Ways, previous: Plan | None
) -> tuple[tuple[Exit, ...], tuple[str, ...]]:
    """Return where each prefix that neighbours announce is left for, and what changed, in words.

    ``ways``: to all locations of ``places``. A source that reaches no exit has none.
    """
    groups: dict[Gateways, list[str]] = defaultdict(list)
    announced: dict[str, list[ExternalPath]] = defaultdict(list)
    known = set(snapshot.nodes)
    for path in snapshot.external:
        if path.location in known:
            announced[path.prefix].append(path)
    for prefix in sorted(announced):
        groups[_best(announced[prefix])].append(prefix)
    before = _before(previous)
    found = tuple(
        _exit(snapshot.nodes, ways, dict(gateways), joined(tuple(prefixes)), before)
        for gateways, prefixes in sorted(groups.items())
    )
    return found, _changes(found, before)


def _best(paths: Iterable[ExternalPath]) -> Gateways:
    """Return the gateways of the best routes, one per location."""
    shortest = min(len(path.as_path) for path in paths)
    held = [path for path in paths if len(path.as_path) == shortest]
    lowest: dict[tuple[int, ...], int] = {}
    for path in held:
        network = path.as_path[:1]
        lowest[network] = min(path.med or 0, lowest.get(network, path.med or 0))
    gateways: dict[str, str] = {}
    for path in sorted(held, key=lambda path: (path.location, path.next_hop, path.neighbour)):
        if (path.med or 0) == lowest[path.as_path[:1]]:
            gateways.setdefault(path.location, path.next_hop)
    return tuple(sorted(gateways.items()))


def _before(previous: Plan | None) -> Mapping[str, Exit]:
    """Return the exits in force by prefix."""
    there = previous.exits if previous else ()
    return {prefix: one for one in there for prefix in one.prefixes}


def _exit(
    nodes: tuple[str, ...],
    ways: Ways,
    gateways: Mapping[str, str],
    prefixes: tuple[str, ...],
    before: Mapping[str, Exit],
) -> Exit:
    index = {name: at for at, name in enumerate(nodes)}
    last = next((before[prefix] for prefix in prefixes if prefix in before), None)
    sources: dict[str, str] = {}
    for source, at in index.items():
        latency = {place: float(ways.latency_ms[at, index[place]]) for place in gateways}
        place = min(latency, key=lambda place: (latency[place], place))
        if latency[place] == float("inf"):
            continue
        kept = last.sources.get(source, "") if last else ""
        if kept in latency and latency[kept] <= STAYS * latency[place]:
            place = kept
        sources[source] = place
    stays = last is not None and last.location in gateways
    location = last.location if last is not None and stays else min(gateways)
    return Exit(prefixes, gateways, sources, location)


def _changes(found: tuple[Exit, ...], before: Mapping[str, Exit]) -> tuple[str, ...]:
    notes = []
    seen: set[str] = set()
    for one in found:
        seen.update(one.prefixes)
        old = next((before[prefix] for prefix in one.prefixes if prefix in before), None)
        what = one.prefixes[0] + (
            f" and {len(one.prefixes) - 1} more prefixes" if len(one.prefixes) > 1 else ""
        )
        if old is None:
            notes.append(f"{what} can be left for by {', '.join(one.gateways)}")
            continue
        moved: dict[tuple[str, str], list[str]] = defaultdict(list)
        for source, place in one.sources.items():
            was = old.sources.get(source, "")
            if was != place:
                moved[was, place].append(source)
        notes += [
            f"{what}: from {', '.join(those)} now by {place}"
            + (f" instead of {was}" if was else "")
            for (was, place), those in sorted(moved.items())
        ]
    gone = [
        prefix
        for prefix in sorted(before.keys() - seen)
        if not any(_covers(one, prefix) for one in found)
    ]
    if gone:
        more = f" and {len(gone) - 1} more prefixes" if len(gone) > 1 else ""
        notes.append(f"no neighbour announces {gone[0]}{more} any more")
    if len(notes) > NAMED:
        notes = [*notes[:NAMED], f"and {len(notes) - NAMED} more exits changed"]
    return tuple(notes)


def _covers(one: Exit, prefix: str) -> bool:
    """Return whether a prefix that was there is part of what was joined meanwhile."""
    return any(within(network_of(prefix), network_of(outer)) for outer in one.prefixes)

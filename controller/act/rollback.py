"""What remains of a plan when switches refused some of its circuits."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from controller.state import BUCKETS, UNSTEERED, Circuit, CircuitFilter, Plan, Refused, Split


def refusals(plan: Plan, reasons: Mapping[int, str]) -> tuple[Refused, ...]:
    """Return the plan's circuits that were refused, with the switches' reasons."""
    return tuple(
        Refused(c.src, c.dst, c.links, reasons[c.spi]) for c in plan.circuits if c.spi in reasons
    )


def without_refused(
    plan: Plan,
    previous: Plan | None,
    reasons: Mapping[int, str],
    in_use: Iterable[Circuit] = (),
    filters: Iterable[CircuitFilter] = (),
    *,
    lost: Collection[int] = (),
    dead: Collection[str] = (),
) -> Plan:
    """Return the plan without the circuits that switches refused.

    One that was there in another form stays as it was, in the new generation, with the firewall
    that it had (``filters``), unless it is ``lost``: refused as it was, too. A demand that was to
    use a refused one keeps its previous buckets if all their circuits are still there (``in_use``
    too) and carry packets without the ``dead`` links, else it uses what the plan leaves it, else
    it is not steered.
    """
    known = {c.spi: c for c in (*(previous.circuits if previous else ()), *in_use)}
    kept: dict[int, Circuit] = {}
    for circuit in plan.circuits:
        if circuit.spi not in reasons:
            kept[circuit.spi] = circuit
        elif (
            circuit.spi not in lost
            and circuit.spi in known
            and known[circuit.spi].links == circuit.links
        ):
            old = known[circuit.spi]
            kept[circuit.spi] = replace(old, generation=circuit.generation)
    gone = {spi for spi in reasons if spi not in kept}
    there = {
        spi: circuit
        for spi, circuit in {**known, **kept}.items()
        if (spi not in reasons or spi in kept) and _carries(circuit, set(dead))
    }
    before = {(s.src, s.dst): s for s in (previous.splits if previous else ())}
    splits = []
    for split in plan.splits:
        if not gone & set(split.buckets):
            splits.append(replace(split, backups=_alive(split.backups, gone)))
            continue
        old_split = before.get((split.src, split.dst))
        if old_split is not None and set(old_split.buckets) - {UNSTEERED} <= there.keys():
            splits.append(replace(old_split, backups=_alive(old_split.backups, there, keep=True)))
            for spi in {*old_split.buckets, *old_split.backups} & there.keys():
                kept.setdefault(spi, there[spi])
        elif remaining := _remaining(split, gone):
            splits.append(remaining)
    had = {one.spi: one for one in filters}
    notes = tuple(f"circuit {spi} refused: {why}" for spi, why in sorted(reasons.items()))
    return replace(
        plan,
        circuits=tuple(kept[spi] for spi in sorted(kept)),
        splits=tuple(splits),
        filters=tuple(
            had.get(one.spi, one) if one.spi in reasons else one
            for one in plan.filters
            if one.spi in kept
        ),
        notes=(*plan.notes, *notes),
    )


def _carries(circuit: Circuit, dead: set[str]) -> bool:
    """Whether a circuit gets packets through, by its backup if need be."""
    return not dead & set(circuit.links) or bool(circuit.backup and not dead & set(circuit.backup))


def _alive(
    backups: tuple[int, ...], circuits: Iterable[int], *, keep: bool = False
) -> tuple[int, ...]:
    """Return backups without these circuits, or with these only."""
    those = set(circuits)
    return tuple(spi if (spi in those) is keep else UNSTEERED for spi in backups)


def _remaining(split: Split, gone: set[int]) -> Split | None:
    """Return a split over the circuits that are left; only buckets that must move do."""
    left = [spi for spi in split.buckets if spi not in gone and spi != UNSTEERED]
    if not left:
        return None
    buckets = []
    for position, spi in enumerate(split.buckets):
        buckets.append(left[position % len(left)] if spi in gone else spi)
    counts = Counter(buckets)
    spis = tuple(spi for spi in split.spis if spi not in gone)
    return replace(
        split,
        spis=spis,
        shares=tuple(counts[spi] / BUCKETS for spi in spis),
        buckets=tuple(buckets),
        backups=_alive(split.backups, gone),
    )

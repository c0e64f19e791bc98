"""Circuit numbers: small, kept as long as the path is, never reused while packets may be about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from controller.state import Circuit

LIMIT = 16_383
"""Circuits of one network at a time: what the engines' tables hold. Numbers run up to it."""

LARGEST = (1 << 23) - 1
"""The largest number there is: 24 bits of NSH's SPI (RFC 8300) without the protection bit."""


Key = tuple[str, str, tuple[str, ...], str]


@dataclass(frozen=True, slots=True, order=True)
class Wish:
    """A circuit that a plan wants: ends and links by name, and how much it will carry.

    ``name``: what an operator calls it; ``backup``: the links that protect it.
    """

    src: str
    dst: str
    links: tuple[str, ...]
    rate_bps: float = 0.0
    name: str = ""
    backup: tuple[str, ...] = ()
    reserved_bps: float = 0.0

    @property
    def key(self) -> Key:
        """What makes it the same circuit as another."""
        return (self.src, self.dst, self.links, self.name)


def key_of(circuit: Circuit) -> Key:
    """Return what makes a circuit the same as another."""
    return (circuit.src, circuit.dst, circuit.links, circuit.name)


def allocate(
    previous: Iterable[Circuit],
    wishes: Sequence[Wish],
    generation: int,
    limit: int = LIMIT,
) -> tuple[Circuit, ...]:
    """Return circuits for the wishes, by number; a path that had a circuit keeps its number.

    One that is exactly as it was keeps its generation too. New ones get the lowest numbers that
    the previous plan did not use, so that a number rests for one whole plan before it names
    another path, and ``generation`` (the plan's number: larger than that of any earlier circuit of
    the same number), as do those whose backup or reservation changes. Where ``limit`` leaves too
    few numbers, operators' circuits and then the largest rates get them; others are left out.

    Raises:
        ValueError: the limit is not between 1 and LARGEST.
    """
    if not 0 < limit <= LARGEST:
        raise ValueError(f"the limit {limit} is not between 1 and {LARGEST}")
    before = {key_of(circuit): circuit for circuit in previous}
    taken = {circuit.spi for circuit in before.values()}
    wanted = {wish.key: wish for wish in wishes}
    kept = [_kept(before[key], wish, generation) for key, wish in wanted.items() if key in before]
    fresh = sorted(wish for key, wish in wanted.items() if key not in before)
    free = [spi for spi in range(1, min(limit, len(taken) + len(fresh)) + 1) if spi not in taken]
    if len(free) < len(fresh):
        first = sorted(fresh, key=lambda wish: (not wish.name, -wish.rate_bps, wish))[: len(free)]
        fresh = sorted(first)
    made = [
        Circuit(
            spi, wish.src, wish.dst, wish.links, generation, wish.backup, wish.name,
            wish.reserved_bps,
        )
        for spi, wish in zip(free, fresh, strict=False)
    ]  # fmt: skip
    return tuple(sorted({*kept, *made}, key=lambda circuit: circuit.spi))


def _kept(circuit: Circuit, wish: Wish, generation: int) -> Circuit:
    if (circuit.backup, circuit.reserved_bps) == (wish.backup, wish.reserved_bps):
        return circuit
    return replace(
        circuit, backup=wish.backup, reserved_bps=wish.reserved_bps, generation=generation
    )

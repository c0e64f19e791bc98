"""Circuit numbers: small, kept as long as the path is, never reused while packets may be about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.state import Circuit

LIMIT = 16_383
"""Circuits of one network at a time: what the engines' tables hold. Numbers run up to it."""

LARGEST = (1 << 23) - 1
"""The largest number there is: 24 bits of NSH's SPI (RFC 8300) without the protection bit."""


@dataclass(frozen=True, slots=True, order=True)
class Wish:
    """A circuit that a plan wants: ends and links by name, and how much it will carry."""

    src: str
    dst: str
    links: tuple[str, ...]
    rate_bps: float = 0.0

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """What makes it the same circuit as another."""
        return (self.src, self.dst, self.links)


def allocate(
    previous: Iterable[Circuit],
    wishes: Sequence[Wish],
    generation: int,
    limit: int = LIMIT,
) -> tuple[Circuit, ...]:
    """Return circuits for the wishes, by number; a path that had a circuit keeps it as it was.

    New ones get the lowest numbers that the previous plan did not use, so that a number rests for
    one whole plan before it names another path, and ``generation`` (the plan's number: larger than
    that of any earlier circuit of the same number). Where ``limit`` leaves too few numbers, the
    largest rates get them and the others are left out.

    Raises:
        ValueError: the limit is not between 1 and LARGEST.
    """
    if not 0 < limit <= LARGEST:
        raise ValueError(f"the limit {limit} is not between 1 and {LARGEST}")
    before = {(circuit.src, circuit.dst, circuit.links): circuit for circuit in previous}
    taken = {circuit.spi for circuit in before.values()}
    kept = [before[wish.key] for wish in wishes if wish.key in before]
    fresh = sorted({wish.key: wish for wish in wishes if wish.key not in before}.values())
    free = [spi for spi in range(1, min(limit, len(taken) + len(fresh)) + 1) if spi not in taken]
    if len(free) < len(fresh):
        largest = sorted(fresh, key=lambda wish: (-wish.rate_bps, wish))[: len(free)]
        fresh = sorted(largest)
    made = [
        Circuit(spi, wish.src, wish.dst, wish.links, generation)
        for spi, wish in zip(free, fresh, strict=False)
    ]
    return tuple(sorted({*kept, *made}, key=lambda circuit: circuit.spi))

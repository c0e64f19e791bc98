"""Bucket tables: shares of a demand as whole entries, changed with the fewest moves."""

from collections import Counter
from collections.abc import Mapping, Sequence

from controller.state import BUCKETS


def apportion(
    shares: Sequence[float], held: Sequence[int] | None = None, total: int = BUCKETS
) -> tuple[int, ...]:
    """Return how many of ``total`` entries each share gets: the largest remainders are rounded up.

    ``shares`` are weights: not negative, not all 0. ``held`` are the counts in force: among equal
    remainders those that are rounded up already stay so, then the first come first. Each count is
    within 1 of its exact value and the counts add up to ``total``.

    Raises:
        ValueError: a share is negative or not finite, or all are 0.
    """
    weight = sum(shares)
    if not 0 < weight < float("inf") or min(shares) < 0:
        raise ValueError(f"shares must be finite, not negative, and not all 0: {list(shares)}")
    exact = [share / weight * total for share in shares]
    counts = [int(value) for value in exact]

    def order(position: int) -> tuple[float, bool, int]:
        kept = held is not None and held[position] > counts[position]
        return (-round(exact[position] - counts[position], 9), not kept, position)

    for position in sorted(range(len(counts)), key=order)[: total - sum(counts)]:
        counts[position] += 1
    return tuple(counts)


def rebalance(previous: Sequence[int] | None, shares: Mapping[int, float]) -> tuple[int, ...]:
    """Return the table of BUCKETS circuit numbers that realises ``shares`` by circuit number.

    No more entries change against ``previous`` than the new counts need; a circuit that loses
    entries loses its last ones. Without a previous table circuits lie side by side.

    Raises:
        ValueError: a table of another length, or shares that ``apportion`` refuses.
    """
    if previous is not None and len(previous) != BUCKETS:
        raise ValueError(f"a table of {len(previous)} entries, not {BUCKETS}")
    spis = sorted(shares)
    before = Counter(previous or ())
    counts = apportion([shares[spi] for spi in spis], [before[spi] for spi in spis])
    missing = dict(zip(spis, counts, strict=True))
    table = []
    for spi in previous or (None,) * BUCKETS:
        stays = spi is not None and missing.get(spi, 0) > 0
        table.append(spi if stays else None)
        if stays and spi is not None:
            missing[spi] -= 1
    fill = (spi for spi in spis for _ in range(missing[spi]))
    return tuple(next(fill) if spi is None else spi for spi in table)


def moves(previous: Sequence[int], table: Sequence[int]) -> int:
    """Return how many entries differ between two tables."""
    return sum(a != b for a, b in zip(previous, table, strict=True))

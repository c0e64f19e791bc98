"""What a shift moves traffic with: anything that takes shares per location and can be read back."""

from collections.abc import Mapping
from typing import Protocol

Shares = Mapping[str, float]
"""By location, each from 0 to 1, adding up to 1; empty where nothing is known or wanted."""

NEAR = 1e-6


class Channel(Protocol):
    """One way by which clients of one service reach its locations (a VIP, a name, a prefix)."""

    name: str
    grain: float
    """How far what is read may be from what was asked for, since it cannot be finer."""

    async def apply(self, shares: Shares) -> None:
        """Have new clients spread so; what is right already is not touched.

        Raises:
            ControllerError: it is not so; the last good state is kept.
        """

    async def read(self) -> Shares:
        """Return how the outside sees it now.

        Raises:
            ControllerError: it cannot be read.
        """


def distance(one: Shares, other: Shares) -> float:
    """Return the largest difference in any location's share, 0 to 1."""
    return max(
        (abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in {*one, *other}), default=0.0
    )


def normal(shares: Shares) -> dict[str, float]:
    """Return shares that add up to 1, without those that are 0, in order of their names.

    Raises:
        ValueError: one is below 0 or not finite.
    """
    for name, share in shares.items():
        if not 0 <= share < float("inf"):
            raise ValueError(f"the share of {name} is {share}: it must not be below 0")
    total = sum(shares.values())
    if total <= 0:
        return {}
    return {name: shares[name] / total for name in sorted(shares) if shares[name] > NEAR * total}

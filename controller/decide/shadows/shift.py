"""How much of an engine's new traffic goes to its shadows, and when it comes back.

A function of what is predicted and of what is in force, a step per cycle: nothing waits here. What
is predicted must be the engine's own offered load, as if nothing were shifted: else every shift
would take away its own reason, and the traffic would swing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST, MOST, PER_SEVERITY = 0.10, 0.50, 0.10
GIVE_BACK = 0.01
"""Of all new traffic, per cycle."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is known of an engine's load.

    ``probability``: that it falls below its threshold of free connections within the horizon, 0 to
    1; ``expected_s``: in how many seconds; ``prediction``, ``anomaly``: severities from 0 to 5.
    ``flood``: new connections that never complete: they are limited where they come in, and are no
    reason to shift.
    """

    probability: float = 0.0
    expected_s: float | None = None
    prediction: float = 0.0
    anomaly: float = 0.0
    flood: bool = False


@dataclass(frozen=True, slots=True)
class ShiftLimits:
    """When traffic moves, and how fast.

    ``confident``: the probability from which on a breach counts; ``calm``: below which traffic may
    come back, after it was so for ``calm_cycles`` in a row; ``steps``: cycles that a ramp takes at
    most; ``most``: the share that policies allow.
    """

    confident: float = 0.7
    calm: float = 0.4
    calm_cycles: int = 10
    steps: int = 4
    most: float = MOST

    def __post_init__(self) -> None:
        """Refuse limits that would have traffic swing.

        Raises:
            ValueError: they are in no order, or not shares.
        """
        if not 0 <= self.calm < self.confident <= 1:
            raise ValueError(f"calm ({self.calm}) must be below confident ({self.confident})")
        if not 0 <= self.most <= 1 or self.steps < 1:
            raise ValueError("most is a share, and a ramp has at least a step")


@dataclass(frozen=True, slots=True)
class Shifted:
    """What is in force: ``share`` of new traffic now, ``target`` of the ramp, ``reason`` in words.

    ``quiet``: for how many cycles in a row it has been calm.
    """

    share: float = 0.0
    target: float = 0.0
    reason: str = ""
    quiet: int = 0


NOTHING = Shifted()


def wanted_share(prediction: float, anomaly: float) -> float:
    """Return min(50 %, max(10 %, (prediction severity + anomaly severity) x 10 %)) as a share."""
    return min(MOST, max(LEAST, (prediction + anomaly) * PER_SEVERITY))


def next_shift(now: Shifted, pressure: Pressure, limits: ShiftLimits | None = None) -> Shifted:
    """Return what is in force in the next cycle.

    An anomaly counts at once; a predicted breach from ``confident`` on. While either does, the
    target only grows, and the share follows it in steps. When it has been calm for long enough one
    per cent comes back a cycle; in between nothing changes.
    """
    limits = limits or ShiftLimits()
    breach = pressure.probability >= limits.confident
    if pressure.flood:
        # carried to the shadows it would fill them too
        breach, anomaly = False, 0.0
    else:
        anomaly = pressure.anomaly
    if breach or anomaly > 0:
        wanted = wanted_share(pressure.prediction if breach else 0.0, anomaly)
        target = min(limits.most, max(now.target, wanted))
        share = min(target, now.share + target / limits.steps)
        return Shifted(
            max(share, min(now.share, limits.most)), target, _why(pressure, breach, anomaly)
        )
    if now.share == 0:
        return NOTHING
    share = min(now.share, limits.most)
    if pressure.probability >= limits.calm:
        return Shifted(share, share, now.reason)
    if now.quiet + 1 < limits.calm_cycles:
        return Shifted(share, share, now.reason, now.quiet + 1)
    share = round(max(0.0, share - GIVE_BACK), 9)
    if share == 0:
        return NOTHING
    return Shifted(share, share, "calm again: given back step by step", now.quiet + 1)


def _why(pressure: Pressure, breach: bool, anomaly: float) -> str:
    parts = []
    if breach:
        when = f" in {pressure.expected_s:.0f} s" if pressure.expected_s is not None else ""
        parts.append(
            f"too few free connections{when} with {100 * pressure.probability:.0f} %,"
            f" severity {pressure.prediction:.1f}"
        )
    if anomaly > 0:
        parts.append(f"anomaly of severity {anomaly:.1f}")
    return " and ".join(parts)


def divided(share: float, free: Mapping[int, float]) -> dict[int, float]:
    """Return each healthy shadow's part of a share, by predicted free capacity; empty for none."""
    total = sum(max(0.0, room) for room in free.values())
    if share <= 0 or total <= 0:
        return {}
    return {one: share * max(0.0, room) / total for one, room in sorted(free.items()) if room > 0}

"""A neighbour whose session comes and goes is not believed until it has been quiet for a while."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Damping:
    """Penalties in flaps, which halve with time (RFC 2439, by session instead of by route).

    ``suppress``: not believed from so many on; ``reuse``: believed again from so many down.
    """

    half_life_s: float = 60.0
    suppress: float = 3.0
    reuse: float = 1.0
    most: float = 12.0


@dataclass(frozen=True, slots=True)
class Flaps:
    """How often a neighbour's session went down, weighed by how long ago, as of ``at_s``."""

    penalty: float = 0.0
    at_s: float = 0.0
    suppressed: bool = False

    def now(self, damping: Damping, now_s: float) -> "Flaps":
        """Return the same as of now."""
        passed_s = max(0.0, now_s - self.at_s)
        penalty = self.penalty * 0.5 ** (passed_s / damping.half_life_s)
        suppressed = self.suppressed and penalty > damping.reuse
        return replace(self, penalty=penalty, at_s=max(now_s, self.at_s), suppressed=suppressed)

    def flapped(self, damping: Damping, now_s: float) -> "Flaps":
        """Return them after the session went down once more."""
        present = self.now(damping, now_s)
        penalty = min(present.penalty + 1.0, damping.most)
        return replace(
            present,
            penalty=penalty,
            suppressed=present.suppressed or penalty >= damping.suppress,
        )

"""What the data plane promises: figures against their peers, from one run."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """``name`` must be at least ``times`` the figure of ``peer``.

    With ``cost`` the figures are nanoseconds, and the peer's must be the larger.
    """

    name: str
    peer: str
    times: float
    cost: bool = False

    def ratio(self, mpps: Mapping[str, float], ns: Mapping[str, float]) -> float | None:
        """Return the ratio, or None where a figure is missing."""
        table = ns if self.cost else mpps
        ours, theirs = table.get(self.name), table.get(self.peer)
        if not ours or not theirs:
            return None
        return theirs / ours if self.cost else ours / theirs


BARS = (
    Bar("steer_tag", "redirect_steered", 0.80),
    Bar("steer_tag", "kernel_forward", 2.8),
    Bar("steer_tag_10k", "redirect_steered_10k", 0.80),
    Bar("steer_tag_10k", "kernel_forward_10k", 2.8),
    Bar("steer_tag_1m", "redirect_steered_1m", 0.62),
    Bar("steer_tag_1m", "kernel_forward", 2.2),
    Bar("steer_tag_10k", "fib_10k", 1.1),
    Bar("steer_tag_10k", "fib_10k", 1.4, cost=True),
    Bar("steer_tag", "ovs_afxdp_lossfree", 12),
    Bar("steer_tag_10k", "ovs_afxdp_lossfree", 12),
    Bar("mark", "redirect", 0.70),
    Bar("mark_10k", "redirect_10k", 0.70),
    Bar("mark_1m", "redirect_1m", 0.50),
    Bar("mark_new", "redirect_new", 0.50),
    Bar("balance", "redirect_established", 0.70),
    Bar("balance_10k", "redirect_established_10k", 0.70),
    Bar("balance_100k", "redirect_established_100k", 0.70),
)

"""All engines of a machine: mark, steer and balance, one packet at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dataplane.twin.balance import balance
from dataplane.twin.mark import mark
from dataplane.twin.memory import DROP, PASS, REDIRECT, TX, Arrival, Memory, Outcome
from dataplane.twin.steer import steer


@dataclass
class Machine(Memory):
    """The programs with their tables and what they remember."""

    def mark(self, frame: bytes, ifindex: int, now_ns: int = 0) -> Outcome:
        """Do what mark does at an edge's host-facing port."""
        return self._run(mark, frame, ifindex, now_ns)

    def steer(self, frame: bytes, ifindex: int, now_ns: int = 0) -> Outcome:
        """Do what steer does at an engine's fabric port."""
        return self._run(steer, frame, ifindex, now_ns)

    def balance(self, frame: bytes, ifindex: int, now_ns: int = 0) -> Outcome:
        """Do what balance does, called by mark for a virtual address."""
        return self._run(balance, frame, ifindex, now_ns)

    def _run(
        self, program: Callable[[Arrival], Outcome], frame: bytes, ifindex: int, now_ns: int
    ) -> Outcome:
        port = self.tables.ports.get(ifindex)
        if port is None:
            return Outcome(PASS, frame)
        arrival = Arrival(self, port, ifindex, frame, now_ns)
        return replace(program(arrival), reasons=tuple(arrival.reasons))


__all__ = ["DROP", "PASS", "REDIRECT", "TX", "Machine", "Outcome"]

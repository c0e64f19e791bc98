"""A network of datagrams and its time, both made up: a run is repeated by its seed.

Thousands of protocol runs with faults take seconds, and the one that fails can be looked at again.
Nothing here waits: time is what the next event says.
"""

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass

Address = Hashable
Receive = Callable[[bytes, Address], None]


class Simulation:
    """Events in the order of their times; events of one time in the order they were given."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, time_s: float, call: Callable[[], None]) -> None:
        """Have something called at a time; at once, but not before this returns, if it is past."""
        self._number += 1
        heapq.heappush(self._events, (max(time_s, self.now_s), self._number, call))

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Have something called after a delay."""
        self.at(self.now_s + delay_s, call)

    def run(self, until_s: float) -> None:
        """Let everything happen up to a time, which is then the present."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, call = heapq.heappop(self._events)
            call()
        self.now_s = max(self.now_s, until_s)

    async def run_async(self, until_s: float) -> None:
        """Do the same, letting coroutines that sleep by a simulated clock go on in between."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, call = heapq.heappop(self._events)
            call()
            # twice: whoever is woken may await once before it sleeps again
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.now_s = max(self.now_s, until_s)


class SimulatedClock:
    """A node's clock (``bus.Clock``): off by an offset, and fast or slow by a rate.

    ``wall_s``: what the wall clock shows when the simulation begins.
    """

    def __init__(
        self,
        simulation: Simulation,
        *,
        offset_s: float = 0.0,
        rate: float = 1.0,
        wall_s: float = 1_000_000_000.0,
    ) -> None:
        self._simulation = simulation
        self._offset_s = offset_s
        self._rate = rate
        self._wall_s = wall_s

    def wall(self) -> float:
        """Return seconds since 1970."""
        return self._wall_s + self._simulation.now_s * self._rate

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._offset_s + self._simulation.now_s * self._rate

    async def sleep_until(self, monotonic_s: float) -> None:
        """Wait until this clock shows a time."""
        woken = asyncio.get_running_loop().create_future()
        time_s = (monotonic_s - self._offset_s) / self._rate
        self._simulation.at(time_s, lambda: None if woken.done() else woken.set_result(None))
        await woken


@dataclass(frozen=True, slots=True)
class Faults:
    """What the network does to a datagram.

    ``loss``, ``duplicate``, ``corrupt``: shares of all datagrams; a corrupt one arrives with one
    bit changed, or cut. ``delay_s``: of every datagram; ``jitter_s``: more than that at most, so
    that later ones overtake earlier ones.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay_s: float = 0.001
    jitter_s: float = 0.0


class SimulatedNetwork:
    """Carries datagrams between addresses, with faults that can be changed at any time."""

    def __init__(self, simulation: Simulation, faults: Faults | None = None) -> None:
        self._simulation = simulation
        self.faults = faults or Faults()
        self.counts: Counter[str] = Counter()
        self._nodes: dict[Address, Receive] = {}
        self._cut: set[tuple[Address, Address]] = set()

    def bind(self, address: Address, receive: Receive) -> None:
        """Have datagrams to an address given to ``receive(datagram, source)``."""
        self._nodes[address] = receive

    def unbind(self, address: Address) -> None:
        """Lose what goes to an address from now on: its node is gone."""
        self._nodes.pop(address, None)

    def cut(self, source: Address, target: Address) -> None:
        """Lose everything from one address to another, in this direction."""
        self._cut.add((source, target))

    def mend(self) -> None:
        """Undo all cuts."""
        self._cut.clear()

    def send(self, source: Address, target: Address, datagram: bytes) -> None:
        """Carry a datagram, as far as the faults let it."""
        chance = self._simulation.random.random
        self.counts["sent"] += 1
        if (source, target) in self._cut or chance() < self.faults.loss:
            self.counts["lost"] += 1
            return
        self._deliver(source, target, datagram)
        if chance() < self.faults.duplicate:
            self.counts["duplicated"] += 1
            self._deliver(source, target, datagram)

    def _deliver(self, source: Address, target: Address, datagram: bytes) -> None:
        faults = self.faults
        if self._simulation.random.random() < faults.corrupt:
            self.counts["corrupted"] += 1
            datagram = self._corrupted(datagram)
        delay_s = faults.delay_s + self._simulation.random.random() * faults.jitter_s

        def arrive() -> None:
            receive = self._nodes.get(target)
            if receive is not None:
                receive(datagram, source)

        self._simulation.after(delay_s, arrive)

    def _corrupted(self, datagram: bytes) -> bytes:
        place = self._simulation.random.randrange(len(datagram))
        if self._simulation.random.random() < 0.5:
            return datagram[:place]
        bit = 1 << self._simulation.random.randrange(8)
        return datagram[:place] + bytes([datagram[place] ^ bit]) + datagram[place + 1 :]

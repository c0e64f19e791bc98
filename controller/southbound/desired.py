"""The state that switches are held to: newest term, newest plan, newest generation per circuit."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from controller.southbound.labels import CIRCUIT
from headers.messages import ApplySwitches, EdgePort, Filter, Label, RefusedCircuit, SwitchDesired

Part = TypeVar("Part", Label, Filter)


class Desired:
    """What the brain wants; whatever is older than what was accepted is refused and counted."""

    def __init__(self, refused: Counter[str]) -> None:
        self.current: ApplySwitches | None = None
        self._refused = refused
        self._generations: dict[int, int] = {}
        self._switches: dict[int, SwitchDesired] = {}
        self._stale: dict[int, dict[int, int]] = {}

    def of(self, dpid: int) -> SwitchDesired | None:
        """Return what a switch should hold, None where nothing is known."""
        return self._switches.get(dpid)

    def edges(self, dpid: int) -> dict[int, EdgePort]:
        """Return a switch's ports that face engines."""
        state = self._switches.get(dpid)
        return {edge.port: edge for edge in state.edge_ports} if state else {}

    @property
    def inventory(self) -> frozenset[int] | None:
        """The datapath ids of the network, None while it is not known."""
        return frozenset(self._switches) if self._switches else None

    def accept(self, wanted: ApplySwitches) -> str:
        """Take a state; return why not, in words, or nothing.

        A single circuit that is older than the one in force stays as it is: stale() names it.
        """
        known = self.current
        if known is not None and wanted.term < known.term:
            self._refused["old_term"] += 1
            return f"term {wanted.term} is over; this is term {known.term}"
        same = known is not None and wanted.term == known.term
        if same and known is not None and wanted.generation < known.generation:
            self._refused["old_generation"] += 1
            return f"plan {wanted.generation} is older than {known.generation}, which is in force"
        if not same:
            self._generations.clear()
        self._stale = {}
        states = tuple(self._newest(state) for state in wanted.switches)
        for state in states:
            for label in state.labels:
                spi = label.spi & CIRCUIT
                self._generations[spi] = max(self._generations.get(spi, 0), label.generation)
        self.current = replace(wanted, switches=states)
        self._switches = {state.dpid: state for state in states}
        return ""

    def stale(self, dpid: int) -> tuple[RefusedCircuit, ...]:
        """Return the circuits of a switch that came older than those in force."""
        return tuple(
            RefusedCircuit(
                spi,
                f"generation {was} is older than {self._generations[spi]}, which is in force",
            )
            for spi, was in sorted(self._stale.get(dpid, {}).items())
        )

    def _newest(self, state: SwitchDesired) -> SwitchDesired:
        old = {
            label.spi & CIRCUIT: label.generation
            for label in state.labels
            if label.generation and label.generation < self._generations.get(label.spi & CIRCUIT, 0)
        }
        if not old:
            return state
        self._refused["old_circuit"] += len(old)
        self._stale[state.dpid] = old
        held = self._switches.get(state.dpid)
        return replace(
            state,
            labels=_exchanged(state.labels, held.labels if held else (), old),
            filters=_exchanged(state.filters, held.filters if held else (), old),
        )


def _exchanged(new: Iterable[Part], held: Iterable[Part], old: dict[int, int]) -> tuple[Part, ...]:
    kept = tuple(part for part in new if part.spi & CIRCUIT not in old)
    return kept + tuple(part for part in held if part.spi & CIRCUIT in old)

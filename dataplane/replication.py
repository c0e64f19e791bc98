"""The agent's replication of connections: nothing until somebody is said to have a shadow.

The machine itself, and the cryptography that it needs, are loaded then: most agents stay small.
"""

import ipaddress
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataplane.desired import State
from dataplane.errors import DataplaneError
from dataplane.maps import Maps
from headers.files.network import Network
from headers.messages import AssignShadows, StreamReport

if TYPE_CHECKING:
    from dataplane.shadow import Shadowing
    from headers.replication import Note


class Replication:
    """One agent's engines and their shadows, elsewhere and here.

    Where this agent takes datagrams is in the network file (``agents``); without, it can neither
    have nor be a shadow, and says so when it is asked to.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        engines: Collection[int],
        maps: Maps,
        secret: bytes,
        state: State,
    ) -> None:
        self._name = name
        self._place = next((one for one in network.agents if one.name == name), None)
        self._engines = tuple(engines)
        self._maps = maps
        self._secret = secret
        self._state = state
        self._machine: Shadowing | None = None

    @property
    def active(self) -> bool:
        """Whether anything is replicated from or to here."""
        return self._machine is not None and self._machine.active

    @property
    def problem(self) -> str:
        """Why nothing can be sent or taken, in words; empty while it can, or nothing is to be."""
        return self._machine.problem if self._machine is not None else ""

    def assign(self, wanted: AssignShadows) -> int:
        """Take who is whose shadow; return how many of the assignments were news.

        Raises:
            DataplaneError: it concerns engines here, and where this agent is, is not known.
            ValueError: an assignment cannot be, in words; none is taken then.
        """
        notes = _notes(wanted)
        mine = set(self._engines)
        concerned = any(
            one.engine in mine or mine & {shadow.engine for shadow in one.shadows}
            for one in wanted.assignments
            if one.shadows
        )
        if self._machine is None:
            if not concerned:
                return 0
            self._machine = self._start()
        return self._machine.take(notes)

    def _start(self) -> "Shadowing":
        if self._place is None:
            raise DataplaneError(
                f"the network file does not say where agent {self._name} takes datagrams"
                f' ("agents": [{{"name": "{self._name}", "host": ADDRESS}}])'
            )
        from dataplane.shadow import Shadowing, Where

        where = Where(str(ipaddress.ip_address(self._place.host)), self._place.port)
        machine = Shadowing(
            self._engines,
            self._secret,
            self._maps,
            where,
            lambda used: self._state.use_replicas(used=used),
            self._state.renew,
        )
        machine.use_ways(self._state.ways())
        machine.look_after(0.0)
        return machine

    def applied(self) -> None:
        """Say that the engines hold another state: backends may stand for something else."""
        if self._machine is not None:
            self._machine.use_ways(self._state.ways())

    def look_after(self, now_s: float) -> None:
        """Try again what failed; call it often."""
        if self._machine is not None:
            self._machine.look_after(now_s)

    def take_events(self, events: NDArray[np.void]) -> None:
        """Take events [n] (EVENT_DTYPE) of connections, as they happen."""
        if self._machine is not None:
            self._machine.take_events(events)

    def take_portion(self, keys: NDArray[np.void], rows: NDArray[np.void]) -> None:
        """Take a portion of the connection table: keys [n], rows [n] (CONNECTION_DTYPE)."""
        if self._machine is not None:
            self._machine.take_portion(keys, rows)

    def removed(self, keys: NDArray[np.void]) -> None:
        """Take connections out that were removed from the table: keys [n]."""
        if self._machine is not None:
            self._machine.removed(keys)

    def end_sweep(self) -> None:
        """Say that the whole table has been looked at."""
        if self._machine is not None:
            self._machine.end_sweep()

    def reports(self) -> tuple[StreamReport, ...]:
        """Return what is known of every stream from and to here."""
        return self._machine.status() if self._machine is not None else ()

    def refused(self) -> Counter[str]:
        """Return what was refused or failed, by reason."""
        if self._machine is None:
            return Counter()
        return Counter({f"replication_{k}": n for k, n in self._machine.refused().items()})


def _notes(wanted: AssignShadows) -> "list[Note]":
    """Return the assignments as notes.

    Raises:
        ValueError: one cannot be, in words.
    """
    from headers.replication import SHADOWS, Note, Shadows, pack_shadows

    return [
        Note(
            SHADOWS,
            one.engine,
            wanted.term,
            wanted.generation,
            round(wanted.expires_s * 1000),
            pack_shadows(Shadows(one.ownership, one.shadows)),
        )
        for one in wanted.assignments
    ]

"""What must fit besides the demands: a burst of any one of them, and other matrices.

There are too many such rows to write them all down, and few matter. So a solution is looked
through, what does not fit is added, and the program is solved on: cutting planes (Kelley, SIAM
J. 8 (1960)). The bursts are the budget of uncertainty of Bertsimas and Sim ("The price of
robustness", Operations Research 52 (2004)) with a budget of one demand per link.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from controller.decide.candidates import Candidates, Floats
from controller.decide.lp import Solver
from controller.state import Matrix

TOLERANCE = 1e-6
"""What is above the level by less than this share of it fits."""

Key = tuple[int, int, int]


class Guard:
    """Finds what does not fit, and adds it to a program.

    The program's first columns are ``paths`` [C] (which path each is), followed by u. A row says
    that the link's load in the given case, as a share of ``capacity`` [E], is at most u.
    """

    def __init__(
        self,
        options: Candidates,
        capacity: Floats,
        paths: NDArray[np.intp],
        demands_bps: Matrix,
        background_bps: Floats,
        bursts: Floats | None,
        scenarios: Sequence[Matrix],
    ) -> None:
        self._options = options
        self._capacity = capacity
        self._paths = paths
        self._background = background_bps
        self._rates = options.rates(demands_bps)
        self._bursts = bursts
        self._scenarios = [options.rates(matrix) for matrix in scenarios]
        self._by_edge = np.repeat(options.demand, options.hops)
        self._there: set[Key] = set()
        self._on: dict[int, NDArray[np.intp]] = {}

    def add(self, solver: Solver, shares: Floats, level: float) -> int:
        """Add a row for all that is above ``level`` with these shares [P]; return how many."""
        if self._bursts is None and not self._scenarios:
            return 0
        limit = level * (1.0 + TOLERANCE)
        wanted: list[tuple[int, Floats]] = []
        for number, rates in enumerate(self._scenarios):
            over = self._loads(shares, rates) > limit
            wanted += [(int(edge), rates) for edge in self._fresh(over, 0, number)]
        if self._bursts is not None:
            burst, whose = self._worst_bursts(shares)
            over = self._loads(shares, self._rates) + burst > limit
            for edge in np.flatnonzero(over):
                key = (1, int(whose[edge]), int(edge))
                if key not in self._there:
                    self._there.add(key)
                    rates = self._rates.copy()
                    rates[whose[edge]] += self._bursts[whose[edge]]
                    wanted.append((int(edge), rates))
        if wanted:
            self._write(solver, wanted)
        return len(wanted)

    def highest(self, shares: Floats) -> float:
        """Return the highest utilisation in any of the cases, in units of ``capacity``."""
        cases = [self._loads(shares, rates) for rates in self._scenarios]
        if self._bursts is not None:
            cases.append(self._loads(shares, self._rates) + self._worst_bursts(shares)[0])
        return max((float(case.max(initial=0.0)) for case in cases), default=0.0)

    def _fresh(self, over: NDArray[np.bool_], kind: int, number: int) -> list[int]:
        edges = [
            int(edge)
            for edge in np.flatnonzero(over)
            if (kind, number, int(edge)) not in self._there
        ]
        self._there.update((kind, number, edge) for edge in edges)
        return edges

    def _loads(self, shares: Floats, rates: Floats) -> Floats:
        options = self._options
        flows = np.repeat(shares * rates[options.demand], options.hops)
        loads = np.bincount(options.edges, flows, len(self._capacity)) + self._background
        result: Floats = loads / self._capacity
        return result

    def _worst_bursts(self, shares: Floats) -> tuple[Floats, NDArray[np.intp]]:
        """Return [E]: the largest burst that meets each link, and whose it is."""
        assert self._bursts is not None
        options, demands = self._options, len(self._options.pairs)
        flows = np.repeat(shares * self._bursts[options.demand], options.hops)
        place = options.edges * demands + self._by_edge
        table = np.bincount(place, flows, len(self._capacity) * demands).reshape(-1, demands)
        whose = table.argmax(axis=1)
        worst: Floats = table[np.arange(len(table)), whose] / self._capacity
        return worst, whose

    def _write(self, solver: Solver, wanted: list[tuple[int, Floats]]) -> None:
        columns, values, starts = [], [], [0]
        for edge, rates in wanted:
            on = self._columns_on(edge)
            demand = self._options.demand[self._paths[on]]
            columns.append(np.append(on, len(self._paths)))
            values.append(np.append(rates[demand] / self._capacity[edge], -1.0))
            starts.append(starts[-1] + len(on) + 1)
        edges = np.array([edge for edge, _ in wanted])
        solver.add_rows(
            -self._background[edges] / self._capacity[edges],
            np.array(starts, dtype=np.int32),
            np.concatenate(columns).astype(np.int32),
            np.concatenate(values),
        )

    def _columns_on(self, edge: int) -> NDArray[np.intp]:
        """Return the columns whose paths pass an edge."""
        found = self._on.get(edge)
        if found is None:
            passing = np.zeros(len(self._options.paths), dtype=np.bool_)
            of_paths = np.repeat(np.arange(len(self._options.paths)), self._options.hops)
            passing[of_paths[self._options.edges == edge]] = True
            found = self._on[edge] = np.flatnonzero(passing[self._paths])
        return found

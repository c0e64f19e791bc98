"""Linear programs for HiGHS: built with NumPy, handed over in one call, limited by iterations.

One thread, a fixed seed, no time limit: the same program gives the same answer anywhere with the
same version of the solver.
"""

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from controller.decide.errors import SolveError

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

INFINITY = float(highspy.kHighsInf)
ITERATIONS = 50_000
_DUAL_SIMPLEX, _PRIMAL_SIMPLEX = 1, 4
_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "random_seed": 1,
    "solver": "simplex",
}


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Minimise ``cost`` x with ``lower`` <= x <= ``upper``, ``row_lower`` <= A x <= ``row_upper``.

    A is given by columns: column j holds ``values[starts[j]:starts[j + 1]]`` in the rows of
    ``rows`` at the same places.
    """

    cost: Floats
    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    starts: Ints
    rows: Ints
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The columns' values, the objective, and the simplex iterations that it took."""

    columns: Floats
    objective: float
    iterations: int


class Solver:
    """One program inside HiGHS: solved, changed, and solved again from where it was."""

    def __init__(self, program: Program, iterations: int = ITERATIONS) -> None:
        """Hand the program over.

        Raises:
            SolveError: the program is malformed (not finite, for instance).
        """
        self._left = iterations
        self.spent = 0
        self._highs = highspy.Highs()
        for option, value in _OPTIONS.items():
            self._highs.setOptionValue(option, value)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(program.cost), len(program.row_lower)
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = program.cost, program.lower, program.upper
        lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = program.starts
        lp.a_matrix_.index_ = program.rows
        lp.a_matrix_.value_ = program.values
        if self._highs.passModel(lp) == highspy.HighsStatus.kError:
            raise SolveError("the program is malformed")

    def start_from(self, basic_columns: Ints, rows_at_lower: Ints, row_at_upper: int) -> None:
        """Begin at a known vertex with the primal simplex method.

        ``basic_columns`` are in the basis; of the rows all are but ``rows_at_lower`` and
        ``row_at_upper``. Together as many must be basic as there are rows.
        """
        status = highspy.HighsBasisStatus
        lp_columns, lp_rows = self._highs.getNumCol(), self._highs.getNumRow()
        columns, rows = [status.kLower] * lp_columns, [status.kBasic] * lp_rows
        for column in basic_columns:
            columns[column] = status.kBasic
        for row in rows_at_lower:
            rows[row] = status.kLower
        rows[row_at_upper] = status.kUpper
        basis = highspy.HighsBasis()
        basis.col_status, basis.row_status = columns, rows
        basis.valid, basis.alien = True, False
        self._highs.setBasis(basis)

    def fix(self, column: int, value: float) -> None:
        """Hold a column at a value and take it out of the objective."""
        self._highs.changeColCost(column, 0.0)
        self._highs.changeColBounds(column, value, value)

    def price(self, cost: Floats) -> None:
        """Set the cost of the first columns."""
        count = len(cost)
        self._highs.changeColsCost(count, np.arange(count, dtype=np.int32), cost)

    def add_columns(self, cost: Floats, upper: Floats, rows: Ints) -> None:
        """Add columns from 0 to ``upper``, each with a 1 in one row."""
        count = len(cost)
        self._highs.addCols(
            count,
            cost,
            np.zeros(count),
            upper,
            count,
            np.arange(count, dtype=np.int32),
            rows,
            np.ones(count),
        )

    def add_rows(self, upper: Floats, starts: Ints, columns: Ints, values: Floats) -> None:
        """Add rows A x <= ``upper``.

        Row i holds ``values[starts[i]:starts[i + 1]]`` in the columns of ``columns`` there.
        """
        count = len(upper)
        lower = np.full(count, -INFINITY)
        self._highs.addRows(count, lower, upper, len(columns), starts[:count], columns, values)

    def solve(self, *, dual: bool = False) -> Solution:
        """Solve what is there, from the last basis.

        ``dual``: by the dual simplex method, which goes on best after rows were added; else by the
        primal one, which goes on best after columns were.

        Raises:
            SolveError: there is no optimum, or the iterations were not enough.
        """
        self._highs.setOptionValue("simplex_iteration_limit", self._left)
        self._highs.setOptionValue("simplex_strategy", _DUAL_SIMPLEX if dual else _PRIMAL_SIMPLEX)
        self._highs.run()
        info = self._highs.getInfo()
        iterations = max(0, int(info.simplex_iteration_count))
        status = self._highs.getModelStatus()
        self._left = max(0, self._left - iterations)
        self.spent += iterations
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolveError(self._highs.modelStatusToString(status), iterations)
        columns = np.array(self._highs.getSolution().col_value, dtype=np.float64)
        return Solution(columns, float(info.objective_function_value), iterations)

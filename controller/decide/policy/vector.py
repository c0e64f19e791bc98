"""Conditions over all locations at once: those of one shape are evaluated as one.

Numbers that differ between the conditions of a shape are columns [R, 1], the locations' values
rows [L], so one walk over the expression gives [R, L]. What is not translated is asked of the
library, location by location.

Errors go with the values, as CEL wants it: ``false && error`` is false, ``true || error`` is true.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from cel_expr_python import cel
from numpy.typing import NDArray

from controller.decide.policy.condition import KEPT, Condition, Part, environment
from controller.decide.policy.tree import CONSTANT, DOUBLE, NAME, OPAQUE, STRING

Values = NDArray[Any]
Codes = NDArray[np.int16]
Probability = Callable[[Values, Values, bool], Values]
"""Of utilisation above (else below) thresholds within seconds [R, 1] each; gives [R, L]."""

_NOTHING = {DOUBLE: 0.0, STRING: ""}
UNKNOWN, DIVIDED = "is not known", "a division by zero"


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What conditions ask about: ``arrays`` [L] or [1] by name, NaN for what is not known."""

    size: int
    arrays: Mapping[str, Values]
    maps: Mapping[str, Mapping[str, float]]
    probability: Probability


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """[R, L]: whether conditions hold; where they could not be told, ``why`` says so."""

    holds: NDArray[np.bool_]
    codes: Codes
    reasons: Sequence[str]

    def why(self, rule: int, location: int) -> str:
        """Return why a condition could not be evaluated there; empty if it could."""
        return self.reasons[int(self.codes[rule, location])]


@dataclass(frozen=True, slots=True, eq=False)
class _Value:
    """Values, and codes of what is wrong with them (None: nothing is)."""

    values: Values
    bad: Codes | None = None


def evaluate(conditions: Sequence[Condition], facts: Facts) -> Verdicts:
    """Return which conditions hold where."""
    shape = len(conditions), facts.size
    holds = np.zeros(shape, dtype=np.bool_)
    codes = np.zeros(shape, dtype=np.int16)
    groups: dict[Any, list[int]] = {}
    for at, condition in enumerate(conditions):
        groups.setdefault(condition.shape, []).append(at)
    walk = _Walk(facts)
    for members in groups.values():
        numbers = np.array([conditions[at].numbers for at in members], dtype=np.float64)
        found = walk.value(conditions[members[0]].root, numbers.T[:, :, None])
        whole = (len(members), facts.size)
        values = np.broadcast_to(found.values, whole)
        if found.bad is not None:
            bad = np.broadcast_to(found.bad, whole)
            codes[members] = bad
            values = values & (bad == 0)
        holds[members] = values
    return Verdicts(holds, codes, tuple(walk.reasons))


class _Walk:
    """Evaluates parts over facts; collects what went wrong as numbered reasons."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.reasons = [""]
        self._numbers: dict[str, int] = {"": 0}

    def _code(self, reason: str) -> int:
        if reason not in self._numbers:
            self._numbers[reason] = len(self.reasons)
            self.reasons.append(reason)
        return self._numbers[reason]

    def value(self, part: Part, numbers: Values) -> _Value:
        """Return a part's values, [R, L] or what broadcasts to it."""
        if part.what == CONSTANT:
            return _Value(numbers[part.slot] if part.slot >= 0 else np.array(part.value))
        if part.what == NAME:
            return self._variable(part)
        if part.what == "at":
            return self._at(part)
        if part.what == OPAQUE:
            return self._asked(part)
        if part.name == "in_list":
            inner = self.value(part.parts[0], numbers)
            wanted = np.array(part.value or (), dtype=object if part.value else np.float64)
            among = np.zeros(np.shape(inner.values), dtype=np.bool_)
            for one in wanted:
                among = among | (inner.values == one)
            return _Value(among, inner.bad)
        if part.name.startswith("probability_"):
            utilisation, within = (self.value(one, numbers).values for one in part.parts)
            found = self._facts.probability(
                utilisation, within, part.name.startswith("probability_above")
            )
            return _Value(found, self._unknown(found, "the forecast"))
        inner_parts = [self.value(one, numbers) for one in part.parts]
        if part.name in ("logical_and", "logical_or"):
            return _logical(*inner_parts, absorbs=part.name == "logical_or")
        if part.name == "conditional":
            return _chosen(*inner_parts)
        return self._computed(part.name, inner_parts)

    def _variable(self, part: Part) -> _Value:
        values = self._facts.arrays[part.name]
        return _Value(values, self._unknown(values, part.name) if part.kind == DOUBLE else None)

    def _unknown(self, values: Values, name: str) -> Codes | None:
        missing = np.isnan(values)
        if not missing.any():
            return None
        code = self._code(f"{name} {UNKNOWN}")
        return np.where(missing, np.int16(code), np.int16(0))

    def _at(self, part: Part) -> _Value:
        found = self._facts.maps[part.name].get(str(part.value), np.nan)
        values = np.array(found)
        return _Value(values, self._unknown(values, f"{part.name}[{part.value!r}]"))

    def _computed(self, name: str, parts: list[_Value]) -> _Value:
        bad = _either(*(one.bad for one in parts))
        given = [one.values for one in parts]
        with np.errstate(all="ignore"):
            if name == "divide_double":
                zero = given[1] == 0.0
                if zero.any():
                    code = np.int16(self._code(DIVIDED))
                    bad = _either(bad, np.where(zero, code, np.int16(0)))
            return _Value(_OPERATIONS[name](*given), bad)

    def _asked(self, part: Part) -> _Value:
        """Ask the library, once for each location (once only where no variable is asked for)."""
        facts, program = self._facts, _program(part.program)
        arrays = {name: facts.arrays[name] for name in part.names if name in facts.arrays}
        fixed = {name: _known(facts.maps[name]) for name in part.names if name in facts.maps}
        size = max((len(values) for values in arrays.values()), default=1)
        found: list[Any] = []
        codes = np.zeros(size, dtype=np.int16)
        for at in range(size):
            data = {name: values[at if len(values) > 1 else 0] for name, values in arrays.items()}
            missing = next((n for n, x in data.items() if isinstance(x, float) and x != x), None)
            if missing is not None:
                codes[at] = self._code(f"{missing} {UNKNOWN}")
                found.append(_NOTHING.get(part.kind, False))
                continue
            data = {n: float(x) if isinstance(x, float) else x for n, x in data.items()}
            answer = program.eval(data={**data, **fixed})
            value = answer.value()
            if answer.type() == cel.Type.ERROR:
                codes[at] = self._code(_error(value))
                value = _NOTHING.get(part.kind, False)
            found.append(value)
        kind = object if part.kind == STRING else None
        return _Value(np.array(found, dtype=kind), codes if codes.any() else None)


def _known(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def _error(value: Any) -> str:
    return str(value).partition(": ")[2] or str(value)


@lru_cache(maxsize=KEPT)
def _program(serialised: bytes) -> Any:
    return environment().deserialize(serialised)


def _either(*codes: Codes | None) -> Codes | None:
    found: Codes | None = None
    for one in codes:
        if one is not None:
            found = one if found is None else np.where(found != 0, found, one)
    return found


def _logical(one: _Value, other: _Value, *, absorbs: bool) -> _Value:
    """``&&`` and ``||``: what ``absorbs`` decides alone, whatever is wrong with the other."""
    combined = one.values | other.values if absorbs else one.values & other.values
    bad = _either(one.bad, other.bad)
    if bad is None:
        return _Value(combined)
    fine_one = one.bad == 0 if one.bad is not None else True
    fine_other = other.bad == 0 if other.bad is not None else True
    decided = ((one.values == absorbs) & fine_one) | ((other.values == absorbs) & fine_other)
    return _Value(
        np.where(decided, absorbs, combined), np.where(decided, np.int16(0), bad)
    )  # fmt: skip


def _chosen(condition: _Value, yes: _Value, no: _Value) -> _Value:
    values = np.where(condition.values, yes.values, no.values)
    bad = condition.bad
    if yes.bad is not None or no.bad is not None:
        none = np.int16(0)
        inner = np.where(
            condition.values,
            yes.bad if yes.bad is not None else none,
            no.bad if no.bad is not None else none,
        )
        bad = _either(bad, inner)
    return _Value(values, bad)


_OPERATIONS: Mapping[str, Callable[..., Values]] = {
    "less_double": np.less,
    "less_equals_double": np.less_equal,
    "greater_double": np.greater,
    "greater_equals_double": np.greater_equal,
    "add_double": np.add,
    "subtract_double": np.subtract,
    "multiply_double": np.multiply,
    "divide_double": np.divide,
    "negate_double": np.negative,
    "logical_not": np.logical_not,
    "equals": np.equal,
    "not_equals": np.not_equal,
}

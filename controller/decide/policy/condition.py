"""Conditions: CEL expressions, their types checked when they are loaded.

What they may ask is in ``VARIABLES`` and ``FUNCTIONS``. Their length, depth and size are bounded,
and they hold no loops, so what one costs is bounded too. Beyond CEL, a division of numbers by zero
is an error and not infinity: a condition that divides by zero does not hold.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from controller.decide.policy.errors import ConditionError
from controller.decide.policy.tree import (
    BOOL,
    CALL,
    CONSTANT,
    DOUBLE,
    LIST,
    NAME,
    OPAQUE,
    STRING,
    Node,
    read,
)

MAP = "map"

VARIABLES = {
    "location": (STRING, "the location's name"),
    "region": (STRING, "its region, empty where none is declared"),
    "observed": (DOUBLE, "traffic to it in the last interval, as a share of its capacity"),
    "predicted": (DOUBLE, "likewise as forecast, at the quantile and horizon that is planned for"),
    "observed_bps": (DOUBLE, "traffic to it in the last interval, in bit/s"),
    "predicted_bps": (DOUBLE, "likewise as forecast"),
    "capacity_bps": (DOUBLE, "its capacity, in bit/s"),
    "instances": (DOUBLE, "healthy instances of all services there"),
    "max_utilisation": (DOUBLE, "of the busiest link under the plan in force"),
    "hour": (DOUBLE, "of the day in UTC, 0 to 24"),
    "weekday": (DOUBLE, "0 (Monday) to 6, in UTC"),
    "observed_at": (MAP, "``observed`` of every location by its name"),
    "predicted_at": (MAP, "``predicted`` of every location by its name"),
}
FUNCTIONS = {
    "probability_above": "P(utilisation > first argument within so many seconds as the second)",
    "probability_below": "P(utilisation < first argument within so many seconds as the second)",
}

LONGEST = 1000
"""Characters of a condition."""
DEEPEST = 24
LARGEST = 250
"""Nodes of a condition."""
KEPT = 20_000
"""Compiled conditions that are kept."""

_TOKENS = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![\w.])\d+\.\d+(?:[eE][-+]?\d+)?(?![\w.])")

_NUMBERS = (DOUBLE, DOUBLE)
OVERLOADS = {
    "less_double": (_NUMBERS, BOOL),
    "less_equals_double": (_NUMBERS, BOOL),
    "greater_double": (_NUMBERS, BOOL),
    "greater_equals_double": (_NUMBERS, BOOL),
    "add_double": (_NUMBERS, DOUBLE),
    "subtract_double": (_NUMBERS, DOUBLE),
    "multiply_double": (_NUMBERS, DOUBLE),
    "divide_double": (_NUMBERS, DOUBLE),
    "negate_double": ((DOUBLE,), DOUBLE),
    "logical_and": ((BOOL, BOOL), BOOL),
    "logical_or": ((BOOL, BOOL), BOOL),
    "logical_not": ((BOOL,), BOOL),
    **{f"{name}_double_double": (_NUMBERS, DOUBLE) for name in FUNCTIONS},
}
"""What is translated to vectors: the arguments' types and the result's."""

Shape = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A node with its type as ``kind``; ``what`` is OPAQUE for what the library is asked about.

    ``slot``: which of the shape's numbers a constant is, -1 for none. ``program``: of opaque ones,
    serialised; ``names``: the variables that it needs.
    """

    what: str
    name: str
    kind: str
    value: bool | float | str | tuple[float | str, ...] | None = None
    slot: int = -1
    parts: tuple["Part", ...] = ()
    program: bytes = b""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A checked condition.

    ``shape``: equal for conditions that differ in their numbers only; ``numbers``: these.
    """

    text: str
    root: Part
    shape: Shape
    numbers: tuple[float, ...]


@lru_cache(maxsize=1)
def environment() -> Any:
    """Return the library's environment, which knows the variables and their types."""
    types = {
        DOUBLE: cel.Type.DOUBLE,
        STRING: cel.Type.STRING,
        MAP: cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
    }
    numbers = [cel.Type.DOUBLE, cel.Type.DOUBLE]
    return cel.NewEnv(
        variables={name: types[kind] for name, (kind, _) in VARIABLES.items()},
        functions=[
            cel.FunctionDecl(
                name,
                [
                    cel.Overload(
                        id=f"{name}_double_double",
                        return_type=cel.Type.DOUBLE,
                        parameters=numbers,
                    )
                ],
            )
            for name in FUNCTIONS
        ],
    )


@lru_cache(maxsize=KEPT)
def compile_condition(text: str) -> Condition:
    """Return a checked condition.

    Raises:
        ConditionError: it is too long, too deep, no CEL, of a wrong type, or asks for what is not
            there.
    """
    if len(text) > LONGEST:
        raise ConditionError(f"it has {len(text)} characters; {LONGEST} may be")
    if not any(odd in text for odd in ("\\", "'''", '"""', "\n")):
        numbers: list[float] = []

        def marked(found: re.Match[str]) -> str:
            if found[0][0] in "'\"":
                return found[0]
            numbers.append(float(found[0]))
            return f"{len(numbers) - 1}.5"

        pattern = _TOKENS.sub(marked, text)
        alike = _pattern(pattern) if numbers else None
        # constants in lists and the like are no slots: such a condition stands for itself
        if alike is not None and len(alike.numbers) == len(numbers):
            given = tuple(
                numbers[int(abs(mark))] if mark > 0 else -numbers[int(abs(mark))]
                for mark in alike.numbers
            )
            return Condition(text, alike.root, alike.shape, given)
    return _compile(text)


@lru_cache(maxsize=KEPT)
def _pattern(text: str) -> Condition | None:
    """Return the condition with marks for numbers; None where it is wrong (told with its own)."""
    try:
        return _compile(text)
    except ConditionError:
        return None


def _compile(text: str) -> Condition:
    try:
        expression = environment().compile(text)
    except RuntimeError as error:
        raise ConditionError(_plainly(str(error))) from error
    if expression.return_type() != cel.Type.BOOL:
        kind = expression.return_type().name()
        raise ConditionError(f"it is {kind}, and a condition is true or false")
    checked = read(expression.serialize())
    depth, nodes = checked.root.depth(), list(checked.root.walk())
    if depth > DEEPEST:
        raise ConditionError(f"it is nested {depth} deep; {DEEPEST} may be")
    if len(nodes) > LARGEST:
        raise ConditionError(f"it has {len(nodes)} parts; {LARGEST} may be")
    if any(node.what == OPAQUE and node.name != "select" for node in nodes):
        raise ConditionError("loops (all, exists, map, filter), maps and messages are not allowed")
    numbers: list[float] = []
    root = _Translation(checked.program_of, numbers).part(checked.root)
    return Condition(text, root, _shape(root), tuple(numbers))


class _Translation:
    """Translates nodes; what cannot be is left to the library, whole."""

    def __init__(self, program_of: Any, numbers: list[float]) -> None:
        self._program_of = program_of
        self._numbers = numbers

    def part(self, node: Node) -> Part:
        before = len(self._numbers)
        found = self._try(node)
        if found is not None:
            return found
        del self._numbers[before:]
        return self._opaque(node)

    def _try(self, node: Node) -> Part | None:
        if node.what == CONSTANT:
            return self._constant(node)
        if node.what == NAME:
            kind = VARIABLES[node.name][0] if node.name in VARIABLES else MAP
            return Part(NAME, node.name, kind) if kind != MAP else None
        if node.what != CALL:
            return None
        if node.name in OVERLOADS:
            wanted, kind = OVERLOADS[node.name]
            parts = tuple(self.part(part) for part in node.parts)
            self._check_arguments(node, parts)
            fits = all(p.kind == k for p, k in zip(parts, wanted, strict=True))
            return Part(CALL, node.name, kind, parts=parts) if fits else None
        if node.name in ("equals", "not_equals"):
            parts = tuple(self.part(part) for part in node.parts)
            same = parts[0].kind == parts[1].kind and parts[0].kind in (DOUBLE, STRING, BOOL)
            return Part(CALL, node.name, BOOL, parts=parts) if same else None
        if node.name == "conditional":
            parts = tuple(self.part(part) for part in node.parts)
            same = parts[1].kind == parts[2].kind and parts[1].kind in (DOUBLE, STRING, BOOL)
            return Part(CALL, node.name, parts[1].kind, parts=parts) if same else None
        if node.name == "in_list":
            return self._among(node)
        if node.name == "index_map" and node.parts[0].what == NAME:
            key = node.parts[1].value
            if node.parts[1].what == CONSTANT and isinstance(key, str):
                return Part("at", node.parts[0].name, DOUBLE, key)
        return None

    def _constant(self, node: Node) -> Part | None:
        if isinstance(node.value, float):
            self._numbers.append(node.value)
            return Part(CONSTANT, "", DOUBLE, slot=len(self._numbers) - 1)
        if isinstance(node.value, bool):
            return Part(CONSTANT, "", BOOL, node.value)
        return Part(CONSTANT, "", STRING, node.value) if isinstance(node.value, str) else None

    def _among(self, node: Node) -> Part | None:
        wanted = self.part(node.parts[0])
        values = [one.value for one in node.parts[1].parts]
        kinds = {STRING: str, DOUBLE: float}
        constant = node.parts[1].what == LIST and all(
            one.what == CONSTANT for one in node.parts[1].parts
        )
        if not constant or wanted.kind not in kinds:
            return None
        listed = tuple(v for v in values if isinstance(v, float | str))
        fits = all(isinstance(v, kinds[wanted.kind]) for v in values)
        return Part(CALL, "in_list", BOOL, listed, parts=(wanted,)) if fits else None

    @staticmethod
    def _check_arguments(node: Node, parts: tuple[Part, ...]) -> None:
        for name in FUNCTIONS:
            if node.name.startswith(name) and any(part.what != CONSTANT for part in parts):
                raise ConditionError(f"{name} takes two numbers, like {name}(0.8, 60.0)")

    def _opaque(self, node: Node) -> Part:
        below = list(node.walk())
        for one in below:
            if one.name == "divide_double":
                raise ConditionError(
                    "a division may stand in comparisons, sums and products, not inside of other"
                    " functions"
                )
            if any(one.name.startswith(name) for name in FUNCTIONS):
                raise ConditionError("a probability may not stand inside of other functions")
        names = tuple(sorted({one.name for one in below if one.what == NAME}))
        return Part(OPAQUE, "", node.type, program=self._program_of(node), names=names)


def _shape(part: Part) -> Shape:
    return (
        part.what, part.name, part.kind, part.value, part.slot, part.program,
        tuple(_shape(one) for one in part.parts),
    )  # fmt: skip


def _plainly(said: str) -> str:
    """Return the library's first complaint in one line."""
    if "recursion" in said:
        return "it is nested too deeply"
    first = said.partition("ERROR: <input>:1:")[2].partition("\n")[0]
    column, _, what = first.partition(": ")
    if not what:
        return said.splitlines()[0].replace(" [INVALID_ARGUMENT]", "")
    if "applied to" in what and "int" in what and "double" in what:
        what += "; write numbers with a point, like 1.0"
    elif what.startswith("undeclared reference"):
        name = what.split("'")[1]
        known = ", ".join([*VARIABLES, *FUNCTIONS])
        if name in FUNCTIONS:
            return f"{name} takes two numbers, like {name}(0.8, 60.0)"
        what = f"there is no {name!r}; there are {known}"
    return f"at column {column}: {what.partition(' (in container')[0]}"

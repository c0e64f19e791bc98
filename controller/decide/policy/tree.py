"""A checked CEL expression as a tree, read from what the library gives out.

``Expression.serialize`` gives a ``cel.expr.CheckedExpr`` in protobuf's wire format
(google/cel-spec, proto/cel/expr/checked.proto and syntax.proto). Only what conditions are made of
is read here; everything else is an ``opaque`` node that keeps its bytes, so that the library can
be asked about it alone.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

Field = tuple[int, int | bytes]

DOUBLE, BOOL, STRING = "double", "bool", "string"
PRIMITIVES = {1: BOOL, 4: DOUBLE, 5: STRING}
"""``cel.expr.Type.PrimitiveType``, as far as conditions are made of them."""

CONSTANT, NAME, CALL, LIST, OPAQUE = "constant", "name", "call", "list", "opaque"


@dataclass(frozen=True, slots=True)
class Node:
    """A node: ``what`` it is, a call's overload or a name as ``name``, a constant's ``value``.

    ``type``: DOUBLE, BOOL, STRING, or empty for others. ``raw``: its own bytes.
    """

    type: str
    what: str
    name: str
    value: bool | int | float | str | None
    parts: tuple["Node", ...]
    raw: bytes

    def walk(self) -> Iterator["Node"]:
        """Yield the node and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def depth(self) -> int:
        """Return how many nodes lie on the longest way down."""
        return 1 + max((part.depth() for part in self.parts), default=0)


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked expression: its tree, and the bytes around it (references, types)."""

    root: Node
    around: bytes

    def program_of(self, node: Node) -> bytes:
        """Return a serialised expression that holds of this one only what ``node`` says."""
        body = self.around + _field(4, node.raw)
        return _field(1, b"type.googleapis.com/cel.expr.CheckedExpr") + _field(2, body)


def read(serialised: bytes) -> Checked:
    """Return the tree of a serialised expression.

    Raises:
        ValueError: these are no such bytes.
    """
    body = next(value for number, value in _fields(serialised) if number == 2)
    overloads: dict[int, str] = {}
    types: dict[int, str] = {}
    around, root = b"", b""
    for number, value in _fields(_bytes(body)):
        inner = _bytes(value)
        if number == 4:
            root = inner
            continue
        if number == 2:
            entry = dict(_fields(inner))
            given = [_bytes(x) for n, x in _fields(_bytes(entry[2])) if n == 3]
            if len(given) == 1:
                overloads[_number(entry.get(1, 0))] = given[0].decode()
        if number == 3:
            entry = dict(_fields(inner))
            primitive = dict(_fields(_bytes(entry[2]))).get(3, 0)
            types[_number(entry.get(1, 0))] = PRIMITIVES.get(_number(primitive), "")
        around += _field(number, inner)
    return Checked(_node(root, overloads, types), around)


def _node(raw: bytes, overloads: dict[int, str], types: dict[int, str]) -> Node:
    given = dict(_fields(raw))
    number = _number(given.get(2, 0))
    kind = types.get(number, "")
    if 3 in given:
        return Node(kind, CONSTANT, "", _constant(_bytes(given[3])), (), raw)
    if 4 in given:
        return Node(kind, NAME, _bytes(dict(_fields(_bytes(given[4])))[1]).decode(), None, (), raw)
    if 6 in given:
        inner = list(_fields(_bytes(given[6])))
        parts = tuple(_node(_bytes(x), overloads, types) for n, x in inner if n in (1, 3))
        return Node(kind, CALL, overloads.get(number, ""), None, parts, raw)
    if 7 in given:
        parts = tuple(
            _node(_bytes(x), overloads, types) for n, x in _fields(_bytes(given[7])) if n == 1
        )
        return Node(kind, LIST, "", None, parts, raw)
    if 5 in given:
        inner = list(_fields(_bytes(given[5])))
        parts = tuple(_node(_bytes(x), overloads, types) for n, x in inner if n == 1)
        return Node(kind, OPAQUE, "select", None, parts, raw)
    return Node(kind, OPAQUE, "comprehension" if 9 in given else "", None, (), raw)


def _constant(raw: bytes) -> bool | int | float | str | None:
    for number, value in _fields(raw):
        if number == 2:
            return bool(value)
        if number == 3:
            found = _number(value)
            return found - (1 << 64) if found >> 63 else found
        if number == 4:
            return _number(value)
        if number == 5:
            (double,) = struct.unpack("<d", _bytes(value))
            return float(double)
        if number == 6:
            return _bytes(value).decode()
    return None


def _fields(raw: bytes) -> Iterator[Field]:
    """Yield (number, value): numbers for varints, bytes for everything else."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(raw, at)
            yield tag >> 3, value
            continue
        if kind == 1:
            size = 8
        elif kind == 5:
            size = 4
        elif kind == 2:
            size, at = _varint(raw, at)
        else:
            raise ValueError(f"wire type {kind} is not known")
        yield tag >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _field(number: int, content: bytes) -> bytes:
    size, head = len(content), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + content


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes should be")  # noqa: TRY004
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number should be")  # noqa: TRY004
    return value

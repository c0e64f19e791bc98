"""The little of the ONNX file format that onnxruntime does not tell or do.

That is the operator set's version, and where the weights lie in the file. An ONNX file is one
protobuf message (onnx.proto). ModelProto: field 7 is the graph, field 8 the operator sets, each
with a domain (field 1, empty for ONNX itself) and a version (field 2). GraphProto: field 5 holds
the initialisers. TensorProto: dimensions in field 1, the type in 2 (1 is float), floats packed in
4, the name in 8, little-endian bytes in 9. Reading these takes a page, so the onnx package is
needed for training only; other weights of the same size are written where the old ones were.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _OPSET_IMPORT, _DOMAIN, _VERSION = 7, 8, 1, 2
_INITIALISER, _DIMENSIONS, _TYPE, _FLOATS, _NAME, _RAW = 5, 1, 2, 4, 8, 9
_FLOAT = 1

Weight = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a float initialiser's values lie: ``size`` bytes from ``at`` on, and its shape."""

    shape: tuple[int, ...]
    at: int
    size: int


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")


def _spans(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int | None]]:
    """Yield number, first and last byte of every field between two places; a varint's value."""
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            number, after = _varint(data, at)
            yield key >> 3, at, after, number
            at = after
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field has the unknown kind {kind}")
        if at + size > end:
            raise ValueError("the file ends in the middle of a field")
        yield key >> 3, at, at + size, None
        at += size


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of every field of a message; fixed-size ones as bytes."""
    for number, first, last, value in _spans(data, 0, len(data)):
        yield number, data[first:last] if value is None else value


def opset_of(content: bytes) -> int:
    """Return the version of ONNX's own operator set that a model file asks for.

    Raises:
        ValueError: the bytes are no ONNX file, or it names no operator set.
    """
    try:
        for number, value in _fields(content):
            if number == _OPSET_IMPORT and isinstance(value, bytes):
                entry = dict(_fields(value))
                version = entry.get(_VERSION)
                if entry.get(_DOMAIN, b"") == b"" and isinstance(version, int):
                    return version
    except IndexError as error:
        raise ValueError("the file ends in the middle of a number") from error
    raise ValueError("the file names no operator set")


def find_weights(content: bytes) -> dict[str, Place]:
    """Return where the float initialisers of a model file lie, by name.

    Raises:
        ValueError: the bytes are no ONNX file.
    """
    found = {}
    try:
        for number, first, last, _ in _spans(content, 0, len(content)):
            if number == _GRAPH:
                for inner, start, stop, _ in _spans(content, first, last):
                    if inner == _INITIALISER:
                        found.update(_tensor(content, start, stop))
    except IndexError as error:
        raise ValueError("the file ends in the middle of a number") from error
    return found


def _tensor(content: bytes, first: int, last: int) -> dict[str, Place]:
    """Return the place of one initialiser; nothing where it holds no packed floats."""
    name, kind, shape, at, size = "", 0, [], 0, 0
    for number, start, stop, value in _spans(content, first, last):
        if number == _DIMENSIONS and value is not None:
            shape.append(value)
        elif number == _DIMENSIONS:
            shape.extend(_packed(content, start, stop))
        elif number == _TYPE:
            kind = value or 0
        elif number == _NAME:
            name = content[start:stop].decode(errors="replace")
        elif number in (_RAW, _FLOATS) and value is None:
            at, size = start, stop - start
    count = int(np.prod(shape, dtype=np.int64))
    return {name: Place(tuple(shape), at, size)} if kind == _FLOAT and size == 4 * count else {}


def _packed(content: bytes, at: int, end: int) -> Iterator[int]:
    while at < end:
        value, at = _varint(content, at)
        yield value


def read_weights(content: bytes, names: tuple[str, ...]) -> dict[str, Weight]:
    """Return copies of the named initialisers.

    Raises:
        ValueError: the bytes are no ONNX file, or one is not among its float initialisers.
    """
    places = find_weights(content)
    return {
        name: np.frombuffer(content, "<f4", one.size // 4, one.at).reshape(one.shape).copy()
        for name, one in ((name, _known(places, name)) for name in names)
    }


def write_weights(content: bytes, weights: Mapping[str, Weight]) -> bytes:
    """Return the file with other values in some initialisers; everything else stays to the byte.

    Raises:
        ValueError: the bytes are no ONNX file, or an initialiser is not there or of another shape.
    """
    places = find_weights(content)
    changed = bytearray(content)
    for name, values in weights.items():
        one = _known(places, name)
        if values.shape != one.shape:
            raise ValueError(f"the weights {name!r} have the shape {one.shape}, not {values.shape}")
        changed[one.at : one.at + one.size] = np.ascontiguousarray(values, "<f4").tobytes()
    return bytes(changed)


def _known(places: Mapping[str, Place], name: str) -> Place:
    if name not in places:
        raise ValueError(f"the file has no float weights named {name!r}")
    return places[name]

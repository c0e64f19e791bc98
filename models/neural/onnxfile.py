"""The little of the ONNX file format that onnxruntime does not tell: the operator set's version.

An ONNX file is one protobuf message (onnx.proto, ModelProto); field 8 holds the operator sets,
each with a domain (field 1, empty for ONNX itself) and a version (field 2). Reading these takes a
page, so the onnx package is needed for training only.
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_OPSET_IMPORT, _DOMAIN, _VERSION = 8, 1, 2


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


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of every field of a message; fixed-size ones as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field has the unknown kind {kind}")
        if at + size > len(data):
            raise ValueError("the file ends in the middle of a field")
        yield key >> 3, data[at : at + size]
        at += size


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

"""Messages as msgpack: an envelope of version and kind around a dataclass's fields."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgpack
from pydantic import TypeAdapter, ValidationError

from headers.errors import MessageError

VERSION = 1
READS = (1,)
MAX_BYTES = 16 * 1024 * 1024

T = TypeVar("T")

_KINDS: dict[str, TypeAdapter[Any]] = {}
_NAMES: dict[type, str] = {}


def message(kind: str) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as the message of this kind."""

    def register(cls: type[T]) -> type[T]:
        _KINDS[kind] = TypeAdapter(cls)
        _NAMES[cls] = kind
        return cls

    return register


def encode(body: Any) -> bytes:
    """Return a registered message as bytes.

    Raises:
        MessageError: its class is not registered.
    """
    kind = _NAMES.get(type(body))
    if kind is None:
        raise MessageError(f"{type(body).__name__} is not a message")
    fields = _KINDS[kind].dump_python(body)
    packed: bytes = msgpack.packb([VERSION, kind, fields])
    return packed


def decode(data: bytes) -> Any:
    """Return the message that the bytes hold, checked field by field.

    Raises:
        MessageError: not msgpack, an unknown version or kind, too large, or a field that is wrong.
    """
    if len(data) > MAX_BYTES:
        raise MessageError(f"a message of {len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        envelope = msgpack.unpackb(data, strict_map_key=False)
    except Exception as error:  # msgpack raises a wide family of errors
        raise MessageError(f"not msgpack: {error}") from error
    if not isinstance(envelope, list) or len(envelope) != 3:
        raise MessageError("not an envelope of version, kind and body")
    version, kind, fields = envelope
    if version not in READS:
        raise MessageError(f"version {version!r}; this program reads {READS}")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise MessageError(f"unknown kind {kind!r}")
    try:
        return _KINDS[kind].validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MessageError(f"{kind}: {where}: {first['msg']}") from error

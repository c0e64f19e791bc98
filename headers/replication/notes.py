"""What the notes say that agents pass on to each other: an engine's shadows, and where they are."""

import ipaddress
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from headers.errors import PacketError
from headers.messages import ShadowPlace

SHADOWS: Final = "shadows"
"""The kind of the notes that name an engine's shadows; the subject is the engine's number."""

MAX_SHADOWS: Final = 8
_ENGINES, _PORTS, _GENERATIONS = 255, 0xFFFF, (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Shadows:
    """An engine's shadows, the best first.

    ``ownership``: the generation of the engine's right to its flows; it grows when another one has
    taken them over (docs/replication.md, "Generations").
    """

    ownership: int
    shadows: tuple[ShadowPlace, ...]


def pack_shadows(content: Shadows) -> bytes:
    """Return a note's content as bytes.

    Raises:
        ValueError: it is not one that the other end would take, in words.
    """
    packed: bytes = msgpack.packb(
        (content.ownership, [(one.engine, one.host, one.port) for one in content.shadows])
    )
    try:
        unpack_shadows(packed)
    except PacketError as error:
        raise ValueError(str(error)) from None
    return packed


def unpack_shadows(payload: bytes) -> Shadows:
    """Read a note's content.

    Raises:
        PacketError: ``malformed``, with what is wrong.
    """
    try:
        fields = msgpack.unpackb(payload, max_map_len=0, max_ext_len=0)
    except Exception as error:  # msgpack raises a wide family of errors
        raise PacketError("malformed", f"shadows are no msgpack: {error}") from error
    if not isinstance(fields, list) or len(fields) != 2 or not isinstance(fields[1], list):
        raise PacketError("malformed", "shadows are a generation and a list")
    shadows = tuple(_address(item) for item in fields[1])
    if len(shadows) > MAX_SHADOWS or len({one.engine for one in shadows}) < len(shadows):
        raise PacketError("malformed", f"an engine has {MAX_SHADOWS} different shadows at most")
    return Shadows(_number(fields[0], 1, _GENERATIONS), shadows)


def _address(item: Any) -> ShadowPlace:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], str):
        raise PacketError("malformed", "a shadow is an engine, an address and a port")
    engine, host, port = item
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise PacketError("malformed", str(error)) from error
    return ShadowPlace(_number(engine, 1, _ENGINES), host, _number(port, 1, _PORTS))


def _number(value: object, least: int, most: int) -> int:
    # a bool is an int in Python, but no number here
    if type(value) is not int or not least <= value <= most:
        raise PacketError("malformed", f"{value!r:.40} is no number from {least} to {most}")
    return value

"""Messages over a stream: four bytes of length, then the message."""

import asyncio
import struct
from typing import Any

from headers.messages import MessageError, decode, encode
from headers.messages.codec import MAX_BYTES

_LENGTH = struct.Struct("!I")


def pack(body: Any) -> bytes:
    """Return a message with its length before it."""
    data = encode(body)
    return _LENGTH.pack(len(data)) + data


class Unpacker:
    """Takes bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Return the messages that are complete now.

        Raises:
            MessageError: a length that cannot be, or a message that is wrong: the stream is of no
                more use.
        """
        self._pending += data
        found = []
        while len(self._pending) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._pending)
            if size > MAX_BYTES:
                raise MessageError(f"a message of {size} bytes; at most {MAX_BYTES} are read")
            if len(self._pending) < _LENGTH.size + size:
                break
            found.append(decode(bytes(self._pending[_LENGTH.size : _LENGTH.size + size])))
            del self._pending[: _LENGTH.size + size]
        return found


async def read(reader: asyncio.StreamReader) -> Any:
    """Return the next message of a stream.

    Raises:
        asyncio.IncompleteReadError: the other side is gone.
        MessageError: the message is wrong.
    """
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if size > MAX_BYTES:
        raise MessageError(f"a message of {size} bytes; at most {MAX_BYTES} are read")
    return decode(await reader.readexactly(size))

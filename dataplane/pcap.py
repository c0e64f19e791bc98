"""Capture files: classic pcap of Ethernet frames, written with nanoseconds, read with either unit.

The format is that of draft-ietf-opsawg-pcap: a header of 24 bytes, then per frame a record header
of 16 bytes and the captured bytes. Reading and writing are streams: a file may be larger than
memory. Files of either byte order are read; ours are little-endian.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

from headers.errors import FormatError

NANOSECONDS, MICROSECONDS = 0xA1B23C4D, 0xA1B2C3D4
PCAPNG = 0x0A0D0D0A
LINK_ETHERNET = 1
VERSION = (2, 4)
# as tcpdump and Wireshark have it; a longer record is damage, not a frame
SNAP_LENGTH = 262_144
MAX_TIME_NS = (1 << 32) * 1_000_000_000 - 1

_SECOND = 1_000_000_000
_LINK_MASK = 0xFFFF  # above it: whether frames end in a checksum
_HEADER = "IHHiIII"
_RECORD = "IIII"


class PcapError(FormatError):
    """A file that is no capture file of Ethernet frames, or a frame that cannot be written."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A captured frame: nanoseconds since 1970, its first bytes, its length on the wire."""

    time_ns: int
    data: bytes
    length: int


class PcapWriter:
    """Writes frames to a binary file; closes it at the end of a ``with`` block."""

    def __init__(self, file: BinaryIO, snap_length: int = SNAP_LENGTH) -> None:
        self._file = file
        self._snap_length = snap_length
        self.count = 0
        file.write(
            struct.pack("<" + _HEADER, NANOSECONDS, *VERSION, 0, 0, snap_length, LINK_ETHERNET)
        )

    def write(self, time_ns: int, data: bytes, length: int | None = None) -> None:
        """Write a frame; what is beyond the snap length is cut off.

        ``length``: on the wire, where that is more than there are bytes.

        Raises:
            PcapError: the time is before 1970 or after 2106, or the length is less than the bytes.
        """
        length = len(data) if length is None else length
        if not 0 <= time_ns <= MAX_TIME_NS:
            raise PcapError(f"a capture file cannot hold the time {time_ns} ns")
        if not len(data) <= length < 1 << 32:
            raise PcapError(f"a frame of {len(data)} bytes cannot have been {length} bytes long")
        data = data[: self._snap_length]
        seconds, nanoseconds = divmod(time_ns, _SECOND)
        self._file.write(struct.pack("<" + _RECORD, seconds, nanoseconds, len(data), length))
        self._file.write(data)
        self.count += 1

    def flush(self) -> None:
        """Hand everything written so far to the file."""
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _exactly(file: BinaryIO, size: int, what: str) -> bytes:
    """Read ``size`` bytes; b"" where the file ends before the first."""
    parts: list[bytes] = []
    missing = size
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    if parts and missing:
        raise PcapError(f"the file ends within {what}: {size - missing} of {size} bytes are there")
    return b"".join(parts)


def _header(file: BinaryIO) -> tuple[str, int]:
    """Read the file's header; return the byte order and how many nanoseconds a unit has."""
    first = _exactly(file, 4, "its header")
    if not first:
        raise PcapError("the file is empty")
    for order in "<>":
        (magic,) = struct.unpack(order + "I", first)
        if magic in (NANOSECONDS, MICROSECONDS):
            break
    else:
        if magic == PCAPNG:
            raise PcapError("this is a pcapng file; write it as pcap: tshark -F pcap -r OLD -w NEW")
        raise PcapError(f"this is no capture file: it begins with {first.hex()}")
    rest = _exactly(file, struct.calcsize("=" + _HEADER) - 4, "its header")
    if not rest:
        raise PcapError("the file ends within its header: 4 of 24 bytes are there")
    major, minor, _zone, _accuracy, _snap, link = struct.unpack(order + _HEADER[1:], rest)
    if major != VERSION[0]:
        raise PcapError(f"version {major}.{minor} of the format is not known, only 2.4")
    if link & _LINK_MASK != LINK_ETHERNET:
        raise PcapError(f"link type {link & _LINK_MASK}: only Ethernet (1) is read")
    return order, 1 if magic == NANOSECONDS else 1000


def read_pcap(file: BinaryIO) -> Iterator[Frame]:
    """Read the frames of a binary file, one by one.

    The header is read at once; frames before a damaged place are given out first.

    Raises:
        PcapError: another format or link type, or a file that is cut off or damaged.
    """
    order, unit_ns = _header(file)
    return _records(file, struct.Struct(order + _RECORD), unit_ns)


def _records(file: BinaryIO, layout: struct.Struct, unit_ns: int) -> Iterator[Frame]:
    number = 0
    while head := _exactly(file, layout.size, f"the record of frame {number + 1}"):
        number += 1
        seconds, fraction, size, length = layout.unpack(head)
        if size > SNAP_LENGTH or size > length or fraction * unit_ns >= _SECOND:
            raise PcapError(
                f"the record of frame {number} is damaged: {size} bytes of {length},"
                f" {fraction} parts of a second"
            )
        data = _exactly(file, size, f"frame {number}")
        if len(data) < size:
            raise PcapError(f"the file ends before the {size} bytes of frame {number}")
        yield Frame(seconds * _SECOND + fraction * unit_ns, data, length)

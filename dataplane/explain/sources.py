"""Where frames to explain come from: hexadecimal digits, a capture file, the standard input."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dataplane.pcap import MICROSECONDS, NANOSECONDS, PCAPNG, Frame, read_pcap
from headers.errors import FormatError

MOST_TEXT = 1 << 24
_MAGIC = {
    number.to_bytes(4, order)
    for number in (NANOSECONDS, MICROSECONDS, PCAPNG)
    for order in ("little", "big")
}
_BETWEEN = str.maketrans("", "", " \t:-")


class SourceError(FormatError):
    """What was given is neither hexadecimal digits nor a capture file."""


class _Again:
    """A file whose first bytes were read already."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes."""
        if not self._first:
            return self._rest.read(size)
        part, self._first = self._first[:size], self._first[size:]
        return part


def frames_of(source: str, standard_input: BinaryIO) -> Iterator[Frame]:
    """Return the frames that a word names: ``-``, a file, or the digits themselves.

    Raises:
        SourceError: there is nothing, or neither digits nor a capture file.
        PcapError: a capture file that cannot be read.
        OSError: a file that cannot be opened.
    """
    if not source.strip():
        raise SourceError("nothing to explain: give digits, a capture file, or -")
    if source == "-":
        yield from _frames_in(standard_input, "the standard input")
    elif _is_file(source):
        with Path(source).open("rb") as file:
            yield from _frames_in(file, source)
    else:
        yield from _frames_of_text(source, "")


def _is_file(source: str) -> bool:
    try:
        if Path(source).exists():
            return True
    except OSError:  # too long for a name: these are digits
        return False
    if "/" in source or source.endswith((".pcap", ".pcapng", ".cap")):
        raise SourceError(f"there is no file {source}")
    return False


def _frames_in(file: BinaryIO, name: str) -> Iterator[Frame]:
    first = b""
    while len(first) < 4 and (part := file.read(4 - len(first))):
        first += part
    if first in _MAGIC:
        yield from read_pcap(cast("BinaryIO", _Again(first, file)))
        return
    data = first + file.read(MOST_TEXT)
    if len(data) > MOST_TEXT:
        raise SourceError(f"{name}: more than {MOST_TEXT >> 20} MiB, and no capture file")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name}: neither a capture file nor hexadecimal digits") from error
    yield from _frames_of_text(text, f"{name}: ")


def _frames_of_text(text: str, where: str) -> list[Frame]:
    """Return a frame for each line that holds digits: all of them or none."""
    found = []
    lines = [line.strip().translate(_BETWEEN).removeprefix("0x") for line in text.splitlines()]
    if not any(lines):
        raise SourceError(f"{where}nothing to explain: no digits")
    for number, line in enumerate(lines, 1):
        place = f"{where}line {number}: " if len(lines) > 1 else where
        strange = next((sign for sign in line if sign not in "0123456789abcdefABCDEF"), None)
        if strange is not None:
            raise SourceError(
                f"{place}{strange!r} is no hexadecimal digit, and there is no file of this name"
                if not where
                else f"{place}{strange!r} is no hexadecimal digit"
            )
        if len(line) % 2:
            raise SourceError(f"{place}an odd number of hexadecimal digits ({len(line)})")
        if line:
            data = bytes.fromhex(line)
            found.append(Frame(0, data, len(data)))
    return found

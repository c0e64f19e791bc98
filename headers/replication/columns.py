"""Columns of 32-bit numbers, each packed as narrowly as its values allow.

A column is a base and, per value, its distance from the base in 0 to 4 bytes (frame of reference);
or a dictionary of at most 256 values and one byte per value. Everything is done on whole columns.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headers.errors import PacketError

DICTIONARY: Final = 5
"""The width code of a column with a dictionary; its base is the number of entries."""
_MOST_ENTRIES = 256
_THREE_BYTES = 3
_FEW = 8
_TYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
}
_WORD = np.dtype("<u4")
_LARGEST = 0xFFFFFFFF

Numbers = NDArray[np.uint32]


def pack_columns(matrix: Numbers, repeating: frozenset[int]) -> tuple[list[int], list[bytes]]:
    """Return the columns of a matrix [n, columns], n at least 1, as descriptions and bytes.

    ``repeating``: columns that may hold few different values, and are tried with a dictionary. The
    descriptions are a width code and a base for each column.
    """
    low = matrix.min(axis=0)
    offsets = matrix - low
    spreads = offsets.max(axis=0).tolist()
    described: list[int] = []
    parts: list[bytes] = []
    for place, (base, spread) in enumerate(zip(low.tolist(), spreads, strict=True)):
        width = (spread.bit_length() + 7) // 8
        if width > 1 and place in repeating and len(matrix) >= _FEW:
            entries, indexes = np.unique(matrix[:, place], return_inverse=True)
            most = min(_MOST_ENTRIES, (width - 1) * len(matrix) // 4)
            if len(entries) <= most:
                described += (DICTIONARY, len(entries))
                parts += (entries.astype(_WORD).tobytes(), indexes.astype(np.uint8).tobytes())
                continue
        described += (width, base)
        if width == _THREE_BYTES:
            words = np.ascontiguousarray(offsets[:, place], _WORD).view(np.uint8)
            parts.append(words.reshape(-1, 4)[:, :3].tobytes())
        elif width:
            parts.append(offsets[:, place].astype(_TYPES[width]).tobytes())
    return described, parts


def unpack_columns(
    described: list[int], count: int, body: bytes, begin: int
) -> tuple[Numbers, int]:
    """Return the columns [count, columns] that start at ``begin``, and where they end.

    Raises:
        PacketError: (``malformed``) a width that is none, bytes that are missing, or a value that
            does not fit 32 bits.
    """
    matrix = np.empty((count, len(described) // 2), np.uint32)
    at = begin
    for place in range(matrix.shape[1]):
        width, base = described[2 * place], described[2 * place + 1]
        if not 0 <= width <= DICTIONARY or not 0 <= base <= _LARGEST:
            raise PacketError("malformed", f"a column of width {width} and base {base}")
        if width == 0:
            matrix[:, place] = base
            continue
        size = 4 * base + count if width == DICTIONARY else width * count
        if at + size > len(body):
            raise PacketError("malformed", f"a column of {size} bytes, {len(body) - at} are left")
        if width == DICTIONARY:
            if not 0 < base <= _MOST_ENTRIES:
                raise PacketError("malformed", f"a dictionary of {base} entries")
            entries = np.frombuffer(body, _WORD, base, at)
            indexes = np.frombuffer(body, np.uint8, count, at + 4 * base)
            if int(indexes.max()) >= base:
                raise PacketError("malformed", "an index beyond its dictionary")
            matrix[:, place] = entries[indexes]
        else:
            if width == _THREE_BYTES:
                padded = np.zeros((count, 4), np.uint8)
                padded[:, :3] = np.frombuffer(body, np.uint8, size, at).reshape(count, 3)
                values = padded.view(_WORD)[:, 0]
            else:
                values = np.frombuffer(body, _TYPES[width], count, at)
            if base + int(values.max()) > _LARGEST:
                raise PacketError("malformed", "a value that does not fit 32 bits")
            np.add(values, base, out=matrix[:, place], casting="unsafe", dtype=np.uint32)
        at += size
    return matrix, at

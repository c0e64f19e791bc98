"""Sections: changes of many connections that concern the same groups of fields.

A connection is named by its number, the slot that it has in the primary's table. The mask says
which groups of fields follow for all connections of the section.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from headers.errors import PacketError
from headers.replication.columns import pack_columns, unpack_columns
from headers.replication.record import (
    ACTIVITY,
    ASSIGNED,
    BACKEND,
    CIRCUIT,
    DESTINATION,
    DESTINATION_PORT,
    FAMILY,
    FIELDS,
    GONE,
    GROUP_FIELDS,
    IDENTITY,
    LIMITS,
    MAX_SLOTS,
    PROTOCOL,
    SOURCE,
    SOURCE_PORT,
    STATUS,
    WHOLE,
    Ids,
    Rows,
)

WAITED: Final = 0x20
"""In a mask: a column says how long each change waited at the primary, in units of 100 µs."""
SIX: Final = 0x40
"""In a mask with IDENTITY: IPv6."""
WAITED_UNIT_S: Final = 1e-4
WAITED_MOST: Final = 0xFFFF
MAX_COUNT: Final = 4096
"""Most connections in a section."""

_PORTS = (SOURCE_PORT, DESTINATION_PORT, PROTOCOL)
_IDENTITY4 = (SOURCE, DESTINATION, *_PORTS)
_IDENTITY6 = (*range(SOURCE, DESTINATION + 4), *_PORTS)
_REPEATING = {*range(SOURCE + 1, DESTINATION + 4), DESTINATION_PORT, BACKEND, CIRCUIT}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a section's mask means: its fields in order, and which of its columns may repeat."""

    fields: tuple[int, ...]
    waited: bool
    repeating: frozenset[int]
    limits: Rows

    @property
    def columns(self) -> int:
        """Return how many columns there are: the gaps between numbers, fields, the wait."""
        return 1 + len(self.fields) + self.waited


def _layout(mask: int) -> Layout:
    groups = [
        (_IDENTITY6 if mask & SIX else _IDENTITY4) if group == IDENTITY else GROUP_FIELDS[group]
        for group in (IDENTITY, ASSIGNED, STATUS, ACTIVITY)
        if mask & group
    ]
    fields = tuple(field for group in groups for field in group)
    waited = bool(mask & WAITED)
    limits = [MAX_SLOTS, *LIMITS[list(fields)].tolist(), *([WAITED_MOST] if waited else [])]
    return Layout(
        fields,
        waited,
        frozenset(1 + place for place, field in enumerate(fields) if field in _REPEATING),
        np.array(limits, np.uint32),
    )


def _masks() -> list[int]:
    changes = [mask for mask in range(1, WHOLE) if not mask & IDENTITY]
    plain = [*changes, WHOLE, WHOLE | SIX, GONE]
    return plain + [mask | WAITED for mask in plain]


LAYOUTS: Final = {mask: _layout(mask) for mask in _masks()}
"""The masks that are valid: whole records, changes of some groups, the end."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Changes of connections ``ids`` [n], increasing; ``rows`` [n, FIELDS], valid where masked.

    ``waited``: [n] in units of 100 µs, or None.
    """

    mask: int
    ids: Ids
    rows: Rows
    waited: Rows | None = None

    @property
    def groups(self) -> int:
        """Return the mask without what is no group: GONE, or groups of fields."""
        return self.mask & (WHOLE | GONE)


def encode_section(section: Section) -> tuple[list[int], bytes]:
    """Return a section's description (mask, count, first number, columns) and its bytes.

    The caller sees to it that numbers increase and fields keep their limits.
    """
    layout = LAYOUTS[section.mask]
    count = len(section.ids)
    matrix = np.empty((count, layout.columns), np.uint32)
    matrix[0, 0] = 0
    matrix[1:, 0] = np.diff(section.ids) - 1
    if layout.fields:
        matrix[:, 1 : 1 + len(layout.fields)] = section.rows[:, layout.fields]
    if section.waited is not None:
        matrix[:, -1] = section.waited
    described, parts = pack_columns(matrix, layout.repeating)
    return [section.mask, count, int(section.ids[0]), *described], b"".join(parts)


def decode_section(described: list[int], body: bytes, begin: int) -> tuple[Section, int]:
    """Return the section that starts at ``begin`` of a body, and where it ends.

    ``described``: integers, as ``encode_section`` gives them.

    Raises:
        PacketError: (``malformed``) what is not valid.
    """
    mask, count, first = described[:3]
    layout = LAYOUTS.get(mask)
    if layout is None or len(described) != 3 + 2 * layout.columns:
        raise PacketError("malformed", f"a section of mask {mask:#x}, {len(described)} numbers")
    if not 0 < count <= MAX_COUNT:
        raise PacketError("malformed", f"a section of {count} connections")
    matrix, at = unpack_columns(described[3:], count, body, begin)
    if matrix[0, 0] or (matrix.max(axis=0) > layout.limits).any():
        raise PacketError("malformed", "a field that is larger than it may be")
    ids = matrix[:, 0].astype(np.int64) + 1
    ids[0] = first
    ids = np.cumsum(ids)
    if not 0 <= first < MAX_SLOTS or int(ids[-1]) >= MAX_SLOTS:
        raise PacketError("malformed", f"connections {first} to {ids[-1]}")
    rows = np.zeros((count, FIELDS), np.uint32)
    if layout.fields:
        rows[:, layout.fields] = matrix[:, 1 : 1 + len(layout.fields)]
    if mask & IDENTITY:
        rows[:, FAMILY] = 6 if mask & SIX else 4
    return Section(mask, ids, rows, matrix[:, -1] if layout.waited else None), at

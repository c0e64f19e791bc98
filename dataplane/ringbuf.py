"""Reading BPF ring buffers through memory, without a system call and without bcc.

The layout is the kernel's (``kernel/bpf/ringbuf.c``): a page with the reader's position, a page
with the writer's, then the data, mapped twice so that no record is cut at the end.
"""

import mmap

import numpy as np
from numpy.typing import NDArray

from dataplane import syscall
from dataplane.maps import Map

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEADER = 8


class RingBuffer:
    """One reader of a ring buffer whose records all have ``size`` bytes (a multiple of 8)."""

    def __init__(self, ring: Map, size: int) -> None:
        if size % 8:
            raise ValueError(f"records of {size} bytes are not aligned to 8")
        self.size = size
        self.capacity = syscall.map_info(ring.fd).max_entries
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(ring.fd, page, mmap.MAP_SHARED)
        self._producer = mmap.mmap(
            ring.fd, page + 2 * self.capacity, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._read = np.frombuffer(self._consumer, np.uint64, 1)
        self._written = np.frombuffer(self._producer, np.uint64, 1)
        self._data = np.frombuffer(self._producer, np.uint8, 2 * self.capacity, page)

    def read(self, most: int = 1 << 30) -> NDArray[np.uint8]:
        """Take the records that are complete, at most ``most``: uint8 [records, size], a copy."""
        step = _HEADER + self.size
        begin, end = int(self._read[0]), int(self._written[0])
        count = min((end - begin) // step, most)
        if count <= 0:
            return np.empty((0, self.size), np.uint8)
        start = begin % self.capacity
        block = self._data[start : start + count * step].reshape(count, step)
        headers = np.ascontiguousarray(block[:, :4]).view("<u4")[:, 0]
        busy = np.nonzero(headers & _BUSY)[0]
        if len(busy):
            count = int(busy[0])
            block, headers = block[:count], headers[:count]
        kept = block[(headers & _DISCARDED) == 0, _HEADER:].copy()
        self._read[0] = begin + count * step
        return kept

    def waiting(self) -> int:
        """Return how many bytes wait to be read."""
        return int(self._written[0]) - int(self._read[0])

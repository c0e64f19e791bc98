"""Running programs by BPF_PROG_TEST_RUN: many times on one frame, or on frames that travel on."""

import errno
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataplane import syscall
from dataplane.errors import BpfError

_LIVE_FRAMES = 1 << 1
BATCH = 64
"""As many frames as a veth's poll takes at once; its ring holds four times as many."""


@dataclass(frozen=True, slots=True)
class Table:
    """An open map of 32-bit keys."""

    fd: int
    value_size: int
    entries: int

    @classmethod
    def open(cls, path: Path) -> "Table":
        """Open a pinned map.

        Raises:
            BpfError: it is not there.
        """
        fd = syscall.get(path)
        info = syscall.map_info(fd)
        return cls(fd, info.value_size, info.max_entries)

    def set(self, key: int, value: int) -> None:
        """Set an entry whose value is a number of 32 bits."""
        syscall.update(self.fd, struct.pack("<I", key), struct.pack("<I", value))

    def map(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Map an array into this process: [entries] of ``dtype``."""
        stride = -(-self.value_size // 8) * 8
        pages = -(-self.entries * stride // mmap.PAGESIZE) * mmap.PAGESIZE
        return np.ndarray((self.entries,), dtype, mmap.mmap(self.fd, pages), 0, (stride,))

    def total(self, processors: int) -> int:
        """Return the sum over all processors of entry 0, a number of 64 bits."""
        value = syscall.lookup(self.fd, struct.pack("<I", 0), 8 * processors)
        return int(np.frombuffer(value or bytes(8), "<u8").sum())


def _test_run(
    fd: int, length: int, repeat: int, flags: int, batch: int, ifindex: int
) -> tuple[int, int]:
    """Run a program; return its last verdict and the nanoseconds of one run on average."""
    data = syscall.Buf(bytes(length))
    context = syscall.Buf(struct.pack("<6I", 0, length, 0, ifindex, 0, 0))
    attributes = struct.pack(
        "<IIIIQQIIIIQQIII",
        fd,
        0,
        length,
        0,
        data.address,
        0,
        repeat,
        0,
        context.size if ifindex else 0,
        0,
        context.address if ifindex else 0,
        0,
        flags,
        0,
        batch,
    )
    _, after = syscall.bpf(syscall.PROG_TEST_RUN, attributes)
    return struct.unpack_from("<I", after, 4)[0], struct.unpack_from("<I", after, 36)[0]


def run_alone(fd: int, length: int, repeat: int, ifindex: int) -> tuple[int, int]:
    """Run a program again and again on one frame that came in at ``ifindex``.

    Returns its last verdict and the nanoseconds of one run on average.
    """
    return _test_run(fd, length, repeat, 0, 0, ifindex)


def run_live(fd: int, length: int, repeat: int) -> bool:
    """Run a program on frames that go where it sends them; return whether a signal cut it short.

    The kernel's frames come back with what was written into them, so the program must write all.
    """
    try:
        _test_run(fd, length, repeat, _LIVE_FRAMES, BATCH, 0)
    except BpfError as error:
        if error.errno == errno.EINTR:
            return True
        raise
    return False

"""The bpf(2) system call: what a process needs that must stay small and so does without bcc.

Layouts are those of ``union bpf_attr`` in the kernel's ``linux/bpf.h``. Every function raises
BpfError with the kernel's errno when the kernel refuses.
"""

import ctypes
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

from dataplane.errors import BpfError

_CALL = {"x86_64": 321, "aarch64": 280}.get(platform.machine(), 0)
_LIBC = ctypes.CDLL(None, use_errno=True)

FULL = (7, 12)
"""E2BIG and ENOMEM: a hash map has no room for another key."""

MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT = 1, 2, 3, 4
PROG_LOAD, OBJ_PIN, OBJ_GET, PROG_TEST_RUN, OBJ_INFO = 5, 6, 7, 10, 15
MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH, MAP_DELETE_BATCH = 24, 26, 27
PROG_TYPE_SCHED_CLS, PROG_TYPE_XDP = 3, 6
LINK_CREATE, LINK_UPDATE = 28, 29
ATTACH_XDP, ATTACH_TCX_EGRESS = 37, 47
XDP_DRV_MODE = 1 << 2


class Buf:
    """Memory for the kernel to read or fill: its address stays put as long as this lives."""

    __slots__ = ("_array", "address", "size")

    def __init__(self, content: bytes | int) -> None:
        size = content if isinstance(content, int) else len(content)
        self._array = ctypes.create_string_buffer(max(size, 1))
        if isinstance(content, bytes):
            ctypes.memmove(self._array, content, len(content))
        self.address = ctypes.addressof(self._array)
        self.size = size

    def view(self) -> memoryview:
        """Return the memory itself; it lives as long as the view does."""
        return memoryview(self._array).cast("B")

    def bytes(self) -> bytes:
        """Return a copy of the content."""
        return self._array.raw[: self.size]


def bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    """Call the kernel; return its result and the attributes as it left them."""
    if not _CALL:
        raise BpfError(0, f"the bpf system call's number on {platform.machine()} is not known")
    attr = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    result = _LIBC.syscall(_CALL, command, attr, len(attr))
    if result < 0:
        code = ctypes.get_errno()
        raise BpfError(code, os.strerror(code))
    return int(result), attr.raw


def load_program(kind: int, code: bytes, name: str) -> int:
    """Have the kernel verify and take a program; return its descriptor.

    ``code``: instructions of 8 bytes, maps named by this process's descriptors. A refusal carries
    the last words of the verifier.
    """
    instructions, licence = Buf(code), Buf(b"GPL\0")
    log = Buf(1 << 20)

    def attributes(level: int) -> bytes:
        return struct.pack(
            "<IIQQIIQII16s",
            kind,
            len(code) // 8,
            instructions.address,
            licence.address,
            level,
            log.size if level else 0,
            log.address if level else 0,
            0,
            0,
            name.encode()[:15],
        )

    try:
        return bpf(PROG_LOAD, attributes(0))[0]
    except BpfError as error:
        if error.errno in (1, 12):
            raise
    try:
        return bpf(PROG_LOAD, attributes(1))[0]
    except BpfError as error:
        words = log.bytes().rstrip(b"\0").decode(errors="replace").strip()
        raise BpfError(error.errno, f"{name}: {error.strerror}: {words[-1500:]}") from error


def pin(fd: int, path: Path) -> None:
    """Pin a program, map or link to a path on a bpffs."""
    name = Buf(str(path).encode() + b"\0")
    bpf(OBJ_PIN, struct.pack("<QII", name.address, fd, 0))


def get(path: Path) -> int:
    """Open what is pinned at a path; the caller closes the descriptor."""
    name = Buf(str(path).encode() + b"\0")
    return bpf(OBJ_GET, struct.pack("<QII", name.address, 0, 0))[0]


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel says of a map: type number, sizes in bytes, capacity."""

    type: int
    key_size: int
    value_size: int
    max_entries: int


def map_info(fd: int) -> MapInfo:
    """Ask the kernel for a map's type and sizes."""
    info = Buf(96)
    bpf(OBJ_INFO, struct.pack("<IIQ", fd, info.size, info.address))
    kind, _id, key_size, value_size, entries = struct.unpack_from("<5I", info.bytes())
    return MapInfo(kind, key_size, value_size, entries)


def lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Return a key's value, or None where there is none."""
    key_buf, value = Buf(key), Buf(value_size)
    try:
        bpf(MAP_LOOKUP, struct.pack("<IIQQQ", fd, 0, key_buf.address, value.address, 0))
    except BpfError as error:
        if error.errno == 2:
            return None
        raise
    return value.bytes()


def update(fd: int, key: bytes, value: bytes) -> None:
    """Set a key's value."""
    key_buf, value_buf = Buf(key), Buf(value)
    bpf(MAP_UPDATE, struct.pack("<IIQQQ", fd, 0, key_buf.address, value_buf.address, 0))


def delete(fd: int, key: bytes) -> bool:
    """Remove a key; return whether it was there."""
    key_buf = Buf(key)
    try:
        bpf(MAP_DELETE, struct.pack("<IIQQQ", fd, 0, key_buf.address, 0, 0))
    except BpfError as error:
        if error.errno == 2:
            return False
        raise
    return True


def keys(fd: int, key_size: int) -> list[bytes]:
    """Return all keys of a map."""
    found: list[bytes] = []
    key: Buf | None = None
    following = Buf(key_size)
    while True:
        try:
            bpf(
                MAP_NEXT,
                struct.pack("<IIQQQ", fd, 0, key.address if key else 0, following.address, 0),
            )
        except BpfError as error:
            if error.errno == 2:
                return found
            raise
        found.append(following.bytes())
        key = Buf(following.bytes())


def update_batch(fd: int, keys_: bytes, values: bytes, count: int) -> None:
    """Set ``count`` keys that lie one after the other, as their values do."""
    key_buf, value_buf = Buf(keys_), Buf(values)
    bpf(
        MAP_UPDATE_BATCH,
        struct.pack("<QQQQIIQQ", 0, 0, key_buf.address, value_buf.address, count, fd, 0, 0),
    )


def delete_batch(fd: int, keys_: bytes, count: int) -> int:
    """Remove ``count`` keys that lie one after the other; return how many were there."""
    if not count:
        return 0
    key_buf = Buf(keys_)
    attributes = struct.pack("<QQQQIIQQ", 0, 0, key_buf.address, 0, count, fd, 0, 0)
    attr = ctypes.create_string_buffer(attributes, 128)
    if _LIBC.syscall(_CALL, MAP_DELETE_BATCH, attr, len(attr)) < 0:
        code = ctypes.get_errno()
        if code != 2:
            raise BpfError(code, os.strerror(code))
    return int(struct.unpack_from("<I", attr.raw, 32)[0])


def lookup_batch(fd: int, count: int, key_size: int, value_size: int) -> tuple[bytes, bytes, int]:
    """Read up to ``count`` entries in one call; return keys, values and how many there were."""
    key_buf, values, batch = Buf(count * key_size), Buf(count * value_size), Buf(8)
    attributes = struct.pack(
        "<QQQQIIQQ", 0, batch.address, key_buf.address, values.address, count, fd, 0, 0
    )
    try:
        _, after = bpf(MAP_LOOKUP_BATCH, attributes)
    except BpfError as error:
        if error.errno != 2:
            raise
        return key_buf.bytes(), values.bytes(), count
    done = struct.unpack_from("<I", after, 32)[0]
    return key_buf.bytes(), values.bytes(), done


def lookup_portion(
    fd: int, after: bytes | None, keys_: Buf, values: Buf, count: int
) -> tuple[int, bytes | None]:
    """Read the next entries of a hash map into buffers, beginning ``after`` what was returned last.

    Returns how many were read, and where to go on; None when all have been seen.
    """
    begin, end = Buf(after or 0), Buf(64)
    attributes = struct.pack(
        "<QQQQIIQQ",
        begin.address if after is not None else 0,
        end.address,
        keys_.address,
        values.address,
        count,
        fd,
        0,
        0,
    )
    attr = ctypes.create_string_buffer(attributes, 128)
    finished = False
    if _LIBC.syscall(_CALL, MAP_LOOKUP_BATCH, attr, len(attr)) < 0:
        code = ctypes.get_errno()
        if code != 2:
            raise BpfError(code, os.strerror(code))
        finished = True
    read = int(struct.unpack_from("<I", attr.raw, 32)[0])
    return read, None if finished else end.bytes()


def run_program(fd: int, packet: bytes, ifindex: int = 0) -> tuple[int, bytes]:
    """Run a program once on a packet that came in at ``ifindex``; return verdict and packet.

    The interface must exist in the caller's network namespace (0: none named).
    """
    data, out = Buf(packet), Buf(len(packet) + 512)
    context = Buf(struct.pack("<6I", 0, len(packet), 0, ifindex, 0, 0))
    attributes = struct.pack(
        "<IIIIQQIIIIQQII",
        fd,
        0,
        data.size,
        out.size,
        data.address,
        out.address,
        1,
        0,
        context.size if ifindex else 0,
        0,
        context.address if ifindex else 0,
        0,
        0,
        0,
    )
    _, after = bpf(PROG_TEST_RUN, attributes)
    verdict, _in, size = struct.unpack_from("<III", after, 4)
    return verdict, out.bytes()[:size]


def attach_egress(fd: int, ifindex: int) -> int:
    """Attach a TC program at an interface's egress; return the link's descriptor."""
    return bpf(LINK_CREATE, struct.pack("<IIII", fd, ifindex, ATTACH_TCX_EGRESS, 0))[0]


def attach_xdp(fd: int, ifindex: int) -> int:
    """Attach a program in the driver's mode; return the link's descriptor."""
    return bpf(LINK_CREATE, struct.pack("<IIII", fd, ifindex, ATTACH_XDP, XDP_DRV_MODE))[0]


def link_ifindex(link_fd: int) -> int:
    """Return the number of the interface that an XDP or TC link is on; 0 when that is gone."""
    info = Buf(64)
    bpf(OBJ_INFO, struct.pack("<IIQ", link_fd, info.size, info.address))
    return int(struct.unpack_from("<I", info.bytes(), 16)[0])


def replace_program(link_fd: int, fd: int) -> None:
    """Put another program on a link, atomically."""
    bpf(LINK_UPDATE, struct.pack("<IIII", link_fd, fd, 0, 0))

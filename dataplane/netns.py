"""Entering network namespaces, and the few things done to interfaces there.

bpffs is not seen through ``ip netns exec``, so the thread itself changes its namespace.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from dataplane.errors import AttachError

_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL = 0x8946
_ETHTOOL_SGRO = 0x0000002C
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def network_namespace(pid: int | None) -> Iterator[None]:
    """Be in a process's network namespace; with None, stay.

    Raises:
        AttachError: the process is gone, or may not be followed.
    """
    if pid is None:
        yield
        return
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    except OSError as error:
        raise AttachError(
            f"the network namespace of process {pid} is gone: {error.strerror}"
        ) from error
    with _inside(there):
        yield


@contextlib.contextmanager
def namespace_at(path: Path) -> Iterator[None]:
    """Be in the network namespace that a file stands for.

    Raises:
        AttachError: there is no such file, or it may not be followed.
    """
    try:
        there = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise AttachError(f"the network namespace {path}: {error.strerror}") from error
    with _inside(there):
        yield


@contextlib.contextmanager
def _inside(there: int) -> Iterator[None]:
    """Be in the network namespace of a descriptor, and close it at the end."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(there)
        os.close(home)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise AttachError(f"setns: {os.strerror(ctypes.get_errno())}")


def ifindex(name: str) -> int:
    """Return an interface's number in the present namespace.

    Raises:
        AttachError: there is no such interface.
    """
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise AttachError(f"there is no interface {name}") from error


def switch_gro_off(name: str) -> None:
    """Turn generic receive offload off: merged packets would leave larger than the link takes."""
    command = struct.pack("II", _ETHTOOL_SGRO, 0)
    buffer = ctypes.create_string_buffer(command)
    request = struct.pack("16sQ8x", name.encode(), ctypes.addressof(buffer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            fcntl.ioctl(handle, _SIOCETHTOOL, request)
        except OSError as error:
            raise AttachError(f"{name}: gro cannot be turned off: {error.strerror}") from error

"""What the kernel says of interfaces: size, offloads, XDP, and the other end of a veth pair."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dataplane.errors import AttachError
from dataplane.netns import namespace_at

_SIOCETHTOOL = 0x8946
_GET_TX_CHECKSUM, _GET_FLAGS, _GET_GRO = 0x16, 0x25, 0x2B
_FLAG_TX_VLAN, _FLAG_RX_VLAN = 1 << 7, 1 << 8
_UP = 1
_NOBODY = 0xFFFFFFFF  # a namespace that has no number in this one


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface as it is now.

    ``namespace``: the file that stands for its network namespace (None: the caller's own);
    ``kind``: ``veth``, ``bridge``, …, "" for hardware; ``mtu`` in bytes; ``xdp``: the id of the
    program on it; ``peer``: the other end of a veth pair, None where it cannot be seen.
    """

    name: str
    index: int
    namespace: Path | None
    kind: str
    mtu: int
    up: bool
    xdp: int | None
    gro: bool
    tx_checksum: bool
    tx_vlan: bool
    rx_vlan: bool
    peer: "Interface | None" = None

    def command(self, words: str) -> str:
        """Return a command line that runs ``words`` in the interface's namespace."""
        return f"nsenter --net={self.namespace} {words}" if self.namespace else words


def _ethtool(handle: socket.socket, name: str, command: int) -> int:
    """Ask for a number by ethtool's ioctl; 0 where the driver does not know it."""
    buffer = ctypes.create_string_buffer(struct.pack("II", command, 0))
    request = struct.pack("16sQ8x", name.encode(), ctypes.addressof(buffer))
    try:
        fcntl.ioctl(handle, _SIOCETHTOOL, request)
    except OSError:
        return 0
    value: int = struct.unpack("II", buffer.raw[:8])[1]
    return value


def _interface(link: Any, namespace: Path | None, peer: Interface | None) -> Interface:
    """Build an Interface from netlink's message and ethtool's answers, in its namespace."""
    name = link.get_attr("IFLA_IFNAME")
    info, xdp = link.get_attr("IFLA_LINKINFO"), link.get_attr("IFLA_XDP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        flags = _ethtool(handle, name, _GET_FLAGS)
        return Interface(
            name,
            link["index"],
            namespace,
            (info.get_attr("IFLA_INFO_KIND") if info else None) or "",
            link.get_attr("IFLA_MTU"),
            bool(link["flags"] & _UP),
            xdp.get_attr("IFLA_XDP_PROG_ID") if xdp else None,
            bool(_ethtool(handle, name, _GET_GRO)),
            bool(_ethtool(handle, name, _GET_TX_CHECKSUM)),
            bool(flags & _FLAG_TX_VLAN),
            bool(flags & _FLAG_RX_VLAN),
            peer,
        )


class Places:
    """The network namespaces of this machine, each as a file that stands for it.

    The caller's own is None everywhere else in this module. Close it at the end.
    """

    def __init__(self) -> None:
        # while another namespace is entered, no path of ours leads back: a descriptor does
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._others = _others(Path(f"/proc/self/fd/{self._home}"))

    def close(self) -> None:
        """Let go of the caller's namespace."""
        os.close(self._home)

    def enter(self, namespace: Path | None) -> contextlib.AbstractContextManager[None]:
        """Be in a namespace; raises AttachError when it is gone."""
        return namespace_at(namespace or Path(f"/proc/self/fd/{self._home}"))

    def numbered(self, routes: Any, number: int) -> tuple[bool, Path | None]:
        """Return whether a namespace has this number in the entered one, and which it is."""
        for namespace in (None, *self._others):
            try:
                handle = os.open(namespace, os.O_RDONLY) if namespace else os.dup(self._home)
            except OSError:
                continue
            try:
                answer = routes.get_netnsid(fd=handle)
            except NetlinkError:
                continue
            finally:
                os.close(handle)
            if answer and answer["nsid"] != _NOBODY and answer["nsid"] == number:
                return True, namespace
        return False, None

    def look(self, name: str, namespace: Path | None = None) -> Interface:
        """Look at an interface, and at its peer where that can be seen from here.

        Raises:
            AttachError: there is no such interface, or its namespace is gone.
        """
        with self.enter(namespace), IPRoute() as routes:
            link = _link(routes, ifname=name)
            if link is None:
                raise AttachError(f"there is no interface {name}")
            info, index = link.get_attr("IFLA_LINKINFO"), link.get_attr("IFLA_LINK")
            peer = None
            if index and info and info.get_attr("IFLA_INFO_KIND") == "veth":
                number = link.get_attr("IFLA_LINK_NETNSID")
                known, there = True, namespace
                if number is not None:
                    known, there = self.numbered(routes, number)
                peer = self._peer(index, there) if known else None
            return _interface(link, namespace, peer)

    def _peer(self, index: int, namespace: Path | None) -> Interface | None:
        try:
            with self.enter(namespace), IPRoute() as routes:
                link = _link(routes, index=index)
                return None if link is None else _interface(link, namespace, None)
        except AttachError:
            return None


def _others(home: Path) -> tuple[Path, ...]:
    """Return a file for every other network namespace that has a name or a process in it.

    Of several files for one namespace a name is preferred, then the oldest process.
    """
    named = Path("/run/netns")
    numbers = sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    seen = {_identity(home)}
    found = []
    for path in (
        *(sorted(named.iterdir()) if named.is_dir() else ()),
        *(Path(f"/proc/{number}/ns/net") for number in numbers),
    ):
        try:
            identity = _identity(path)
        except OSError:
            continue  # it ended, or is not ours to look at
        if identity not in seen:
            seen.add(identity)
            found.append(path)
    return tuple(found)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _link(routes: Any, **which: Any) -> Any:
    """Return netlink's message on one interface, or None."""
    try:
        return next(iter(routes.link("get", **which)), None)
    except NetlinkError:
        return None

"""What the tests of the tools on call share: namespaces with nobody in them, a small program."""

import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import Self

from dataplane import syscall

PROG_LOAD, PROG_TYPE_XDP = 5, 6
XDP_DROP, XDP_PASS = 1, 2


def _return(verdict: int) -> int:
    """Load a program that does nothing but return; return its descriptor."""
    instructions = struct.pack("<BBhiBBhi", 0xB7, 0, 0, verdict, 0x95, 0, 0, 0)
    code, licence = syscall.Buf(instructions), syscall.Buf(b"GPL\0")
    attributes = struct.pack("<IIQQ", PROG_TYPE_XDP, 2, code.address, licence.address)
    return syscall.bpf(PROG_LOAD, attributes)[0]


def pass_program() -> int:
    """Load a program that passes everything; return its descriptor."""
    return _return(XDP_PASS)


def drop_program() -> int:
    """Load a program that drops everything; return its descriptor."""
    return _return(XDP_DROP)


class Namespaces:
    """Network namespaces, each held by a process that does nothing; all end with the block."""

    def __init__(self) -> None:
        self._held: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._held:
            child.send_signal(signal.SIGKILL)
            child.wait()

    def start(self) -> int:
        """Start a namespace; return the id of the process in it."""
        home = Path("/proc/self/ns/net").readlink()
        child = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._held.append(child)
        deadline = time.monotonic() + 5
        while Path(f"/proc/{child.pid}/ns/net").readlink() == home:
            assert time.monotonic() < deadline, "unshare does not come up"
            time.sleep(0.005)
        subprocess.run(
            ["nsenter", f"--net=/proc/{child.pid}/ns/net", "ip", "link", "set", "lo", "up"],
            check=True,
        )
        return child.pid

"""Compiles the benchmark's own programs, in a process of its own that pins them and ends.

``python -m dataplane.bench.compile PIN_DIR STUB_DIR TEMPLATES``
"""

import os
import sys
from pathlib import Path

from dataplane import loader, syscall
from dataplane.errors import LoadError

SOURCE = Path(__file__).with_name("peers.bpf.c")
PROGRAMS = (
    "generate",
    "generate_new",
    "generate_paced",
    "again",
    "again_new",
    "drop",
    "sink",
    "redirect",
    "fib",
    "hand_on",
)
MAPS = ("templates", "generators", "sunk", "ports_out", "ports_in", "chain")
_FLAGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")


def compile_and_pin(pins: Path, stub: Path, templates: int) -> None:
    """Compile, verify and pin the benchmark's programs and maps below ``pins``, on a bpffs.

    Raises:
        LoadError: the compiler or the verifier refuses; its words are in the message.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(loader.stub_kernel_source(stub))
    from bcc import BPF

    try:
        module = BPF(text=SOURCE.read_text(), cflags=[*_FLAGS, f"-DTEMPLATES={templates}"])
        for name in PROGRAMS:
            syscall.pin(module.load_func(name, BPF.XDP).fd, pins / name)
        for name in MAPS:
            syscall.pin(module[name].map_fd, pins / f"{name}_map")
    except Exception as error:  # bcc raises plain Exception
        raise LoadError(f"bcc: {error}") from error


def main() -> int:
    """Be the child: compile and pin."""
    try:
        compile_and_pin(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    except LoadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

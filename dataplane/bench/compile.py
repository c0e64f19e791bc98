"""Compiles what only the benchmark needs, in processes of their own that pin it and end.

``python -m dataplane.bench.compile peers PIN_DIR STUB_DIR TEMPLATES``: generator, sink and peers;
``python -m dataplane.bench.compile no-tag PIN_DIR STUB_DIR CONNECTIONS``: steer without its tag
check, beside the programs that are pinned there and with their maps.
"""

import sys
from pathlib import Path

from dataplane import loader, syscall
from dataplane.errors import DataplaneError, LoadError
from dataplane.maps import MAP_NAMES, cache_processors

SOURCE = Path(__file__).with_name("peers.bpf.c")
PROGRAMS = (
    "generate",
    "generate_new",
    "generate_paced",
    "again",
    "again_new",
    "drop",
    "sink",
    "check",
    "redirect",
    "fib",
    "hand_on",
)
MAPS = ("templates", "generators", "sunk", "seen", "ports_out", "ports_in", "chain")
NO_TAG = "steer_notag"
_TAG_CHECK = "if (!tag_holds("


def compile_peers(pins: Path, stub: Path, templates: int) -> None:
    """Compile, verify and pin the benchmark's programs and maps below ``pins``, on a bpffs.

    Raises:
        LoadError: the compiler or the verifier refuses; its words are in the message.
    """
    flags = [f"-DTEMPLATES={templates}"]
    loader.compile_text(SOURCE.read_text(), flags, PROGRAMS, pins, stub)


def without_tag(text: str) -> str:
    """Return the programs' text with steer taking every tag for right.

    Raises:
        LoadError: the check is not where it is looked for.
    """
    if text.count(_TAG_CHECK) != 1:
        raise LoadError(f"the programs do not hold {_TAG_CHECK!r} once")
    return text.replace(_TAG_CHECK, "if (0 && !tag_holds(")


def compile_without_tag(pins: Path, stub: Path, connections: int) -> None:
    """Compile steer without its tag check and pin it beside the others.

    Raises:
        LoadError: the compiler or the verifier refuses; its words are in the message.
    """
    flags = (
        *loader.FLAGS,
        f"-DMAX_CONNECTIONS={connections}",
        f"-DCACHE_CPUS={cache_processors()}",
    )
    code, new, _module = loader.compiled(without_tag(loader.source()), ["steer"], flags, stub)
    descriptors = {new[name]: syscall.get(pins / "maps" / name) for name in MAP_NAMES}
    instructions = loader.relocated(code["steer"], descriptors)
    fd = syscall.load_program(syscall.PROG_TYPE_XDP, instructions, "steer")
    syscall.pin(fd, pins / NO_TAG)


JOBS = {"peers": compile_peers, "no-tag": compile_without_tag}


def main() -> int:
    """Be the child: compile and pin."""
    try:
        JOBS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

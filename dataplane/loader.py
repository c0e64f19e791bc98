"""Compiles the programs with bcc, in a process of its own that pins them and ends.

Only this file imports bcc: the compiler takes 120 MiB, so the agent runs it as a child
(``python -m dataplane.loader PIN_DIR STUB_DIR CONNECTIONS EVENT_PAGES``) and opens the pins. bcc
only compiles; loading is our own call, so that a new version can be given the maps of the old.
"""

import contextlib
import hashlib
import os
import pickle
import re
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataplane import syscall
from dataplane.errors import BpfError, LoadError
from dataplane.maps import CONNECTIONS, EVENT_PAGES, LAYOUT, MAP_NAMES, U32, cache_processors

HERE = Path(__file__).resolve().parent
BPF_DIR = HERE / "bpf"
STEERING_DIR = HERE.parent / "headers" / "packet"
PROGRAMS = {
    "mark": syscall.PROG_TYPE_XDP,
    "steer": syscall.PROG_TYPE_XDP,
    "balance": syscall.PROG_TYPE_XDP,
    "pass_all": syscall.PROG_TYPE_XDP,
    "shape": syscall.PROG_TYPE_SCHED_CLS,
}
TAIL_CALLS = {0: "balance"}
FLAGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function")
_SOURCES = {
    "mark.bpf.c": ("mark",),
    "steer.bpf.c": ("steer",),
    "balance.bpf.c": ("balance",),
    "pass.bpf.c": ("pass_all",),
    "shape.bpf.c": ("shape",),
}
_APART = ("mark.bpf.c",)
"""Compiled at the same time as the others, by a process of its own: about half of the work."""
_INSTRUCTION = struct.Struct("<BBhi")
_LOAD_IMMEDIATE, _MAP_DESCRIPTOR = 0x18, 1
_HASH_TYPES = (1,)
_KERNEL = """\
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>
#include <uapi/linux/ip.h>
#include <uapi/linux/ipv6.h>
#include <uapi/linux/in.h>
"""
_KCONFIG = """\
#ifndef FORESTEER_STUB_KCONFIG
#define FORESTEER_STUB_KCONFIG
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_64BIT 1
#define __LINUX_BPF_H__
#include <linux/types.h>
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64;
typedef __s8 s8; typedef __s16 s16; typedef __s32 s32; typedef __s64 s64;
typedef _Bool bool;
typedef __SIZE_TYPE__ size_t;
typedef int pid_t;
typedef unsigned long uintptr_t;
#define true 1
#define false 0
#define NULL ((void *)0)
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define __packed __attribute__((packed))
#endif
"""


def stub_kernel_source(directory: Path) -> Path:
    """Make the folder that bcc takes for the kernel's source, from the C library's headers.

    bcc needs it only to start its compiler; our programs include nothing but ``uapi`` headers.

    Raises:
        LoadError: the package linux-libc-dev is not installed.
    """
    system = Path("/usr/include")
    architecture = next(system.glob("*-linux-gnu/asm"), None)
    if architecture is None or not (system / "linux/bpf.h").exists():
        raise LoadError("the kernel's user-space headers are missing: install linux-libc-dev")
    include = directory / "include"
    if (include / "asm/page.h").exists():
        return directory
    (include / "linux").mkdir(parents=True, exist_ok=True)
    (include / "asm").mkdir(exist_ok=True)
    (include / "uapi").mkdir(exist_ok=True)
    (include / "linux/kconfig.h").write_text(_KCONFIG)
    (include / "linux/log2.h").write_text("")
    (include / "linux/version.h").write_text((system / "linux/version.h").read_text())
    for name, target in (
        ("linux", system / "linux"),
        ("asm-generic", system / "asm-generic"),
        ("asm", architecture),
    ):
        link = include / "uapi" / name
        if not link.is_symlink():
            link.symlink_to(target)
    # last: it says that the folder is whole
    (include / "asm/page.h").write_text("#define PAGE_SIZE 4096\n")
    return directory


def source(files: Iterable[str] = tuple(_SOURCES)) -> str:
    """Return programs as one text, our own headers put in where they are first included.

    One text, because bcc rewrites map accesses in the main file only.
    """
    seen: set[str] = set()

    def expand(path: Path) -> str:
        def include(match: re.Match[str]) -> str:
            name = match.group(1)
            if name in seen:
                return ""
            seen.add(name)
            folder = BPF_DIR if (BPF_DIR / name).exists() else STEERING_DIR
            return expand(folder / name)

        return re.sub(r'^#include "([^"]+)"$', include, path.read_text(), flags=re.MULTILINE)

    return _KERNEL + "".join(expand(BPF_DIR / name) for name in files)


def compiled(
    text: str, programs: Sequence[str], flags: Sequence[str], stub: Path
) -> tuple[dict[str, bytes], dict[str, int], Any]:
    """Compile a text; return programs' instructions, maps' descriptors, and what holds those.

    Raises:
        LoadError: with the compiler's words.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(stub_kernel_source(stub))
    from bcc import BPF

    try:
        module = BPF(text=text, cflags=list(flags))
        code = {name: module.dump_func(name) for name in programs}
        names = re.findall(
            r"^BPF_(?:HASH|ARRAY|LPM_TRIE|DEVMAP|PROG_ARRAY|PERCPU_ARRAY|RINGBUF_OUTPUT)\((\w+)"
            r"|^BPF_F_TABLE\([^,]+,[^,]+,[^,]+,\s*(\w+)",
            text,
            re.MULTILINE,
        )
        maps = {one or other: module[one or other].map_fd for one, other in names}
    except Exception as error:  # bcc raises plain Exception
        raise LoadError(f"bcc: {error}") from error
    return code, maps, module


def relocated(code: bytes, descriptors: Mapping[int, int]) -> bytes:
    """Return instructions with map descriptors exchanged for others."""
    words = bytearray(code)
    for at in range(0, len(words), _INSTRUCTION.size):
        opcode, registers, offset, immediate = _INSTRUCTION.unpack_from(words, at)
        if opcode == _LOAD_IMMEDIATE and registers >> 4 == _MAP_DESCRIPTOR:
            wanted = descriptors.get(immediate, immediate)
            _INSTRUCTION.pack_into(words, at, opcode, registers, offset, wanted)
    return bytes(words)


def _compiled_in_two(
    flags: Sequence[str], stub: Path
) -> tuple[dict[str, bytes], dict[str, int], Any]:
    """Compile all programs in two processes at once; all use this process's maps.

    Raises:
        LoadError: with the compiler's words.
    """
    stub_kernel_source(stub)
    read, write = os.pipe()
    names = [name for file in _APART for name in _SOURCES[file]]
    child = os.fork()  # before bcc and its threads are there
    if not child:
        try:
            answer = pickle.dumps(compiled(source(_APART), names, flags, stub)[:2])
        except LoadError as error:
            answer = pickle.dumps(str(error))
        with os.fdopen(write, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(write)
    rest = [file for file in _SOURCES if file not in _APART]
    others = [name for file in rest for name in _SOURCES[file]]
    try:
        code, maps, module = compiled(source(rest), others, flags, stub)
    finally:
        with os.fdopen(read, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
    theirs = pickle.loads(answer) if answer else "the compiler ended"
    if isinstance(theirs, str):
        raise LoadError(theirs)
    same_maps = {fd: maps[name] for name, fd in theirs[1].items() if name in maps}
    code |= {name: relocated(text, same_maps) for name, text in theirs[0].items()}
    return code, maps, module


def version_of(text: str, flags: Sequence[str]) -> str:
    """Return the version of programs: 16 hexadecimal digits of their text and compiler flags."""
    return hashlib.sha256("\0".join((text, *flags)).encode()).hexdigest()[:16]


def present_version(pins: Path) -> str | None:
    """Return the version of the programs that are pinned, or None."""
    found = next(pins.glob("version-*"), None)
    return found.name.removeprefix("version-") if found else None


def load_flags(connections: int, event_pages: int = EVENT_PAGES) -> list[str]:
    """Return the compiler's flags for tables of these sizes, on this machine."""
    return [
        *FLAGS,
        f"-DMAX_CONNECTIONS={connections}",
        f"-DEVENT_PAGES={event_pages}",
        f"-DCACHE_CPUS={cache_processors()}",
    ]


def _carried(name: str, old: int, new: int, pins: Path) -> int:
    """Return the map that the new programs shall use, content and all.

    Raises:
        LoadError: the map differs, and nothing is known that would carry its content over.
    """
    before, after = syscall.map_info(old), syscall.map_info(new)
    if before == after:
        os.close(new)
        return old
    same_layout = (before.type, before.key_size, before.value_size) == (
        after.type,
        after.key_size,
        after.value_size,
    )
    if not same_layout or before.type not in _HASH_TYPES:
        raise LoadError(
            f"the map {name} of the running programs is another than these programs need"
            f" ({before} is not {after}) and its content cannot be carried over: go on with the"
            " old version, or take all off (foresteer detach) and start this one"
        )
    held = syscall.keys(old, before.key_size)
    if len(held) > after.max_entries:
        raise LoadError(
            f"the map {name} holds {len(held)} entries, more than the {after.max_entries} asked for"
        )
    for key in held:
        value = syscall.lookup(old, key, before.value_size)
        if value is not None:
            syscall.update(new, key, value)
    resized = pins / "maps" / f"{name}-resized"
    resized.unlink(missing_ok=True)
    syscall.pin(new, resized)
    resized.rename(pins / "maps" / name)
    os.close(old)
    return new


def compile_and_pin(
    pins: Path, stub: Path, connections: int = CONNECTIONS, event_pages: int = EVENT_PAGES
) -> None:
    """Compile, verify and pin every program and map below ``pins``, on a bpffs.

    What is pinned there already is replaced: programs atomically, maps only where they must be, and
    then with their content. Whoever has links updates them after this.

    Raises:
        LoadError: the compiler or the verifier refuses (its words are in the message), or the maps
            there cannot be carried over; then nothing was changed.
    """
    flags = load_flags(connections, event_pages)
    text = source()
    code, new, _module = _compiled_in_two(flags, stub)
    if set(new) != set(MAP_NAMES):
        raise LoadError(f"maps that only one side knows: {sorted(set(new) ^ set(MAP_NAMES))}")
    folder = pins / "maps"
    folder.mkdir(parents=True, exist_ok=True)
    layout = next(pins.glob("layout-*"), None)
    if layout is not None and layout.name != f"layout-{LAYOUT}":
        raise LoadError(
            f"maps of {layout.name} are pinned below {pins}, these programs need layout-{LAYOUT}:"
            " take the old version off (foresteer detach) and start again"
        )
    try:
        used = {}
        for name in MAP_NAMES:
            if (folder / name).exists() and layout is not None:
                used[name] = _carried(name, syscall.get(folder / name), os.dup(new[name]), pins)
            else:
                (folder / name).unlink(missing_ok=True)  # of a load that was cut short
                syscall.pin(new[name], folder / name)
                used[name] = new[name]
        descriptors = {new[name]: used[name] for name in MAP_NAMES}
        loaded = {
            name: syscall.load_program(kind, relocated(code[name], descriptors), name)
            for name, kind in PROGRAMS.items()
        }
        for name, fd in loaded.items():
            fresh = pins / f"{name}-new"
            fresh.unlink(missing_ok=True)
            syscall.pin(fd, fresh)
        for slot, name in TAIL_CALLS.items():
            syscall.update(used["programs"], U32.pack(slot), U32.pack(loaded[name]))
        for name in loaded:
            (pins / f"{name}-new").rename(pins / name)
    except BpfError as error:
        raise LoadError(f"cannot load below {pins}: {error}") from error
    (pins / f"layout-{LAYOUT}").mkdir(exist_ok=True)
    for old in pins.glob("version-*"):
        old.rmdir()
    (pins / f"version-{version_of(text, flags)}").mkdir()


def compile_text(
    text: str, flags: Sequence[str], programs: Sequence[str], pins: Path, stub: Path
) -> None:
    """Compile XDP programs of any text and pin them, and their maps below ``maps``.

    Raises:
        LoadError: the compiler, the verifier or the file system refuses.
    """
    code, maps, _module = compiled(_KERNEL + text, programs, (*FLAGS, *flags), stub)
    (pins / "maps").mkdir(parents=True, exist_ok=True)
    try:
        for name, fd in maps.items():
            syscall.pin(fd, pins / "maps" / name)
        for name in programs:
            syscall.pin(syscall.load_program(syscall.PROG_TYPE_XDP, code[name], name), pins / name)
    except BpfError as error:
        raise LoadError(f"cannot load below {pins}: {error}") from error


def start_load(
    pins: Path, stub: Path, connections: int = CONNECTIONS, event_pages: int = EVENT_PAGES
) -> subprocess.Popen[str] | None:
    """Begin to have this version's programs pinned below ``pins``; None when they are there."""
    wanted = version_of(source(), load_flags(connections, event_pages))
    if present_version(pins) == wanted and all((pins / name).exists() for name in PROGRAMS):
        return None
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "dataplane.loader", str(pins), str(stub)),
            *(str(connections), str(event_pages)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish_load(child: subprocess.Popen[str] | None) -> bool:
    """Wait until the programs are pinned; return whether they had to be compiled.

    Raises:
        LoadError: with the child's last words, when it fails.
    """
    if child is None:
        return False
    out, err = child.communicate()
    if child.returncode:
        words = (err or out).strip()
        raise LoadError(f"the eBPF programs could not be loaded: {words[-2000:]}")
    return True


def ensure_loaded(
    pins: Path, stub: Path, connections: int = CONNECTIONS, event_pages: int = EVENT_PAGES
) -> bool:
    """Have this version's programs pinned below ``pins``; return whether they had to be compiled.

    Raises:
        LoadError: with the child's last words, when it fails.
    """
    return finish_load(start_load(pins, stub, connections, event_pages))


def main() -> int:
    """Be the child: compile and pin."""
    with contextlib.suppress(IndexError):
        try:
            compile_and_pin(
                Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
            )
        except (LoadError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())

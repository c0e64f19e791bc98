"""Compiles the programs with bcc, in a process of its own that pins them and ends.

Only this file imports bcc: the compiler takes 120 MiB, so the agent runs it as a child
(``python -m dataplane.loader PIN_DIR STUB_DIR``) and opens the pins.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from dataplane import syscall
from dataplane.errors import BpfError, LoadError
from dataplane.maps import MAP_NAMES

HERE = Path(__file__).resolve().parent
BPF_DIR = HERE / "bpf"
STEERING_DIR = HERE.parent / "headers" / "packet"
PROGRAMS = ("mark", "steer", "pass_all")
_SOURCES = ("mark.bpf.c", "steer.bpf.c", "pass.bpf.c")
_KERNEL = """\
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>
#include <uapi/linux/ip.h>
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
    (include / "linux").mkdir(parents=True, exist_ok=True)
    (include / "asm").mkdir(exist_ok=True)
    (include / "uapi").mkdir(exist_ok=True)
    (include / "linux/kconfig.h").write_text(_KCONFIG)
    (include / "linux/log2.h").write_text("")
    (include / "linux/version.h").write_text((system / "linux/version.h").read_text())
    (include / "asm/page.h").write_text("#define PAGE_SIZE 4096\n")
    for name, target in (
        ("linux", system / "linux"),
        ("asm-generic", system / "asm-generic"),
        ("asm", architecture),
    ):
        link = include / "uapi" / name
        if not link.is_symlink():
            link.symlink_to(target)
    return directory


def source() -> str:
    """Return all programs as one text, our own headers put in where they are first included.

    One text, because bcc shares maps between programs of one text only, and rewrites map
    accesses in the main file only.
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

    return _KERNEL + "".join(expand(BPF_DIR / name) for name in _SOURCES)


def compile_and_pin(pins: Path, stub: Path) -> None:
    """Compile, verify and pin every program and map below ``pins``, on a bpffs.

    Raises:
        LoadError: the compiler or the verifier refuses; its words are in the message.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(stub_kernel_source(stub))
    from bcc import BPF

    try:
        module = BPF(text=source(), cflags=["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
        programs = {name: module.load_func(name, BPF.XDP).fd for name in PROGRAMS}
        (pins / "maps").mkdir(parents=True, exist_ok=True)
        for left in (*(pins / "maps").iterdir(), *(pins / name for name in PROGRAMS)):
            left.unlink(missing_ok=True)  # of a load that was cut short
        for name in MAP_NAMES:
            syscall.pin(module[name].map_fd, pins / "maps" / name)
        for name, fd in programs.items():
            syscall.pin(fd, pins / name)
    except BpfError as error:
        raise LoadError(f"cannot pin below {pins}: {error}") from error
    except Exception as error:  # bcc raises plain Exception
        raise LoadError(f"bcc: {error}") from error


def ensure_loaded(pins: Path, stub: Path) -> bool:
    """Have programs and maps pinned below ``pins``; return whether they had to be compiled.

    Raises:
        LoadError: with the child's last words, when it fails.
    """
    if all((pins / name).exists() for name in PROGRAMS):
        return False
    child = subprocess.run(
        [sys.executable, "-m", "dataplane.loader", str(pins), str(stub)],
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        words = (child.stderr or child.stdout).strip()
        raise LoadError(f"the eBPF programs could not be loaded: {words[-2000:]}")
    return True


def main() -> int:
    """Be the child: compile and pin."""
    try:
        compile_and_pin(Path(sys.argv[1]), Path(sys.argv[2]))
    except LoadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compiles the lab's C programs where they run: nothing of them is shipped."""

import subprocess
from pathlib import Path

from topologies.errors import LabError

FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-pthread")


def compile_program(source: Path, directory: Path) -> Path:
    """Compile one C file into a program of the same name in a directory.

    Raises:
        LabError: there is no C compiler, or it fails.
    """
    program = directory / source.stem
    try:
        done = subprocess.run(
            ["gcc", *FLAGS, "-o", str(program), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{source.name} needs a C compiler: install gcc and libc6-dev") from error
    if done.returncode:
        raise LabError(f"{source.name} does not compile: {done.stderr.strip()[-500:]}")
    return program

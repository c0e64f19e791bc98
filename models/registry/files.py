"""Files that are there whole or not at all, and one writer at a time."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from models.registry.errors import RegistryError

DRAFT = ".draft"

LOCK_WAIT_S = 10.0
LOCK_LOOK_S = 0.02


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, on the disk.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}{DRAFT}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def one_writer(path: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold a lock file; the kernel lets it go when the process ends, however it ends.

    Raises:
        RegistryError: somebody else holds it for longer than ``wait_s``.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise RegistryError(
                        f"{path}: another process writes to this registry; try again later"
                    ) from error
                time.sleep(LOCK_LOOK_S)
        yield
    finally:
        os.close(descriptor)

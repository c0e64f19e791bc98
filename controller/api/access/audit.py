"""The audit log: every change and every refusal, a JSON line each; bounded on disk."""

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

BYTES_MOST = 8 << 20
"""A full log becomes ``audit.log.1``, and the one before that goes."""

SHOWN = 1000
LOG = logging.getLogger("foresteer.audit")


class Audit:
    """Writes lines, and remembers the last ones."""

    def __init__(self, path: Path | None, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self.recent: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self.failed = 0
        if path is not None and path.exists():
            self._remember(path)

    def _remember(self, path: Path) -> None:
        try:
            lines = path.read_bytes()[-(1 << 20) :].splitlines()[-SHOWN:]
        except OSError:
            return
        for line in lines:
            try:
                self.recent.append(json.loads(line))
            except ValueError:
                continue  # the line that a crash cut off

    def write(self, line: Mapping[str, Any]) -> None:
        """Write who did what; a disk that fails is counted and logged, and stops nobody."""
        full = {"time_s": round(self._wall(), 3), **line}
        self.recent.append(full)
        if self._path is None:
            return
        try:
            if self._path.exists() and self._path.stat().st_size > BYTES_MOST:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a") as file:
                file.write(json.dumps(full, separators=(",", ":")) + "\n")
        except OSError as error:
            self.failed += 1
            LOG.error("the audit log cannot be written: %s", error.strerror)

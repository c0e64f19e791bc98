"""The registry's log: a line of JSON per event, written once and never changed.

A line counts when it is whole. A writer that died in the middle of one leaves a rest that readers
pass over and that the next writer ends with a line break; so there is no moment at which a crash
makes the log unreadable.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.registry.version import SHIPPED, Version, version_from

Key = tuple[str, str]
"""Kind and group."""


@dataclass(slots=True)
class State:
    """What the log amounts to.

    ``champions``: the champion's name by kind and group; who is not in it has the shipped model.
    ``unreadable``: lines that are none.
    """

    versions: dict[str, Version] = field(default_factory=dict)
    champions: dict[Key, str] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)
    unreadable: int = 0


def read_log(path: Path) -> State:
    """Return the state after all whole lines; an absent log is an empty one.

    Raises:
        OSError: the file is there but cannot be read.
    """
    state = State()
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return state
    for line in lines:
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            _apply(state, event)
        except (ValueError, TypeError, KeyError, AttributeError):
            state.unreadable += 1
            continue
        state.events.append(event)
    return state


def _apply(state: State, event: dict[str, Any]) -> None:
    what = event["event"]
    if what == "added":
        version = version_from(event["version"])
        state.versions[version.name] = version
    elif what in ("promoted", "rolled back"):
        name, key = str(event["name"]), (str(event["kind"]), str(event["group"]))
        if name == SHIPPED:
            state.champions.pop(key, None)
        elif name in state.versions:
            state.champions[key] = name
        else:
            raise KeyError(name)
    elif what == "dropped":
        state.dropped.add(str(event["name"]))
    else:
        raise ValueError(what)


def append_event(path: Path, event: dict[str, Any]) -> None:
    """Write one event and wait until it is on the disk; the caller holds the registry's lock."""
    line = json.dumps(event, sort_keys=True).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

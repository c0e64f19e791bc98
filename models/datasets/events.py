"""Planned events: made-up traffic that is known beforehand, so that a forecaster can be told.

An event multiplies demands for a while: a release day, a backup, a migration, works on a site.
What is made with events stays what it was made without them everywhere else.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headers.files import FileError, TrafficMatrices

Array = NDArray[np.float64]
Scope = Literal["all", "source", "destination", "demand"]
VERSION = 1


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """Demands of ``scope`` are ``factor`` times as large for ``duration_s`` from ``start_s`` on.

    ``scope``: ``source`` (all demands from it), ``destination`` (all to it), ``demand`` (from
    ``source`` to ``destination``) or ``all``; names that the scope does not need stay empty.
    ``start_s``: seconds since the epoch. An interval counts when it begins within the event.
    """

    name: str
    scope: Scope
    start_s: int
    duration_s: int
    factor: float
    source: str = ""
    destination: str = ""


def check_event(event: PlannedEvent, nodes: tuple[str, ...]) -> PlannedEvent:
    """Return the event if it can happen in a network of these nodes.

    Raises:
        ValueError: it lasts no time, has a factor that is not above 0, or its scope's node is
            unknown.
    """
    if event.duration_s <= 0 or not 0.0 < event.factor < np.inf:
        raise ValueError(
            f"event {event.name!r}: lasts {event.duration_s} s with factor {event.factor}"
        )
    ends = {"all": (), "source": ("source",), "destination": ("destination",)}
    for end in ends.get(event.scope, ("source", "destination")):
        if getattr(event, end) not in nodes:
            raise ValueError(
                f"event {event.name!r}: the {end} {getattr(event, end)!r} is no node of the network"
            )
    return event


def event_factors(
    events: tuple[PlannedEvent, ...], nodes: tuple[str, ...], time_s: NDArray[np.int64]
) -> Array:
    """Return [T, N, N]: what the events multiply each demand with, 1 where there is none.

    For a forecaster, ``time_s`` can lie in the future: that is what planning is good for.

    Raises:
        ValueError: an event that cannot happen in this network.
    """
    where = {name: at for at, name in enumerate(nodes)}
    factors = np.ones((len(time_s), len(nodes), len(nodes)))
    for event in events:
        check_event(event, nodes)
        during = (time_s >= event.start_s) & (time_s < event.start_s + event.duration_s)
        source = slice(None) if event.scope in ("all", "destination") else where[event.source]
        target = slice(None) if event.scope in ("all", "source") else where[event.destination]
        factors[during, source, target] *= event.factor
    return factors


def with_events(matrices: TrafficMatrices, events: tuple[PlannedEvent, ...]) -> TrafficMatrices:
    """Return made-up matrices in which the events take place.

    Raises:
        ValueError: an event that cannot happen in this network, or matrices that were measured.
    """
    if not events:
        return matrices
    if not matrices.synthetic:
        raise ValueError(f"{matrices.name}: made-up events do not go into measured matrices")
    tm = matrices.tm_mbps * event_factors(events, matrices.nodes, matrices.time_s)
    return TrafficMatrices(matrices.name, matrices.nodes, matrices.time_s, tm, synthetic=True)


def plan_events(
    nodes: tuple[str, ...], time_s: NDArray[np.int64], count: int, seed: int
) -> tuple[PlannedEvent, ...]:
    """Draw events of all scopes within the given times, in the order of their start."""
    rng = np.random.default_rng((seed, 0xE7E27))
    scopes: tuple[Scope, ...] = ("destination", "source", "demand", "all")
    made = []
    for number in range(count):
        source, destination = (nodes[at] for at in rng.permutation(len(nodes))[:2])
        scope = scopes[number % len(scopes)]
        made.append(
            PlannedEvent(
                f"synthetic event {number + 1}",
                scope,
                int(time_s[rng.integers(len(time_s))]),
                int(rng.integers(2, 49)) * 900,
                float(round(np.exp(rng.uniform(-1.0, 1.2)), 2)),
                source if scope in ("source", "demand") else "",
                destination if scope in ("destination", "demand") else "",
            )
        )
    return tuple(sorted(made, key=lambda event: (event.start_s, event.name)))


def save_events(events: tuple[PlannedEvent, ...], path: Path) -> None:
    """Write events as JSON, labelled synthetic, whole or not at all."""
    content = {"version": VERSION, "synthetic": True, "events": [asdict(one) for one in events]}
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)


def _event(item: Any, where: str) -> PlannedEvent:
    kinds = {
        "name": str, "scope": str, "start_s": int, "duration_s": int, "factor": (int, float),
        "source": str, "destination": str,
    }  # fmt: skip
    if not isinstance(item, dict) or set(item) != set(kinds):
        raise FileError(f"{where}: an event has the fields {', '.join(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(item[key], kind) or isinstance(item[key], bool):  # type: ignore[arg-type]
            raise FileError(f"{where}: {key} is {item[key]!r}")
    if item["scope"] not in ("all", "source", "destination", "demand"):
        raise FileError(f"{where}: the scope {item['scope']!r} is not known")
    return PlannedEvent(**item)


def load_events(path: Path) -> tuple[PlannedEvent, ...]:
    """Read a file of events.

    Raises:
        FileError: it cannot be read, is no JSON, or breaks the format.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise FileError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise FileError(f"{path}: not a file of planned events, or of another version")
    items = content.get("events")
    if not isinstance(items, list):
        raise FileError(f"{path}: no list 'events'")
    return tuple(_event(item, f"{path}: event {at}") for at, item in enumerate(items))

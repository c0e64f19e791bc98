"""The journal: what every tick saw, expected, decided and did, in one bounded file."""

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from controller.errors import JournalError
from controller.state import (
    Circuit,
    CircuitFilter,
    Decision,
    FirewallRule,
    Forecast,
    Outcome,
    Plan,
    Refused,
    Snapshot,
    Split,
)

VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ticks (tick INTEGER PRIMARY KEY, time REAL NOT NULL, body BLOB NOT NULL)
"""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One tick as the journal keeps it.

    ``demands_bps`` [N, N] as observed (of the interval before the tick), ``observed`` whether it
    was measured; ``link_rates_bps``: the rates of that interval while its plan was in force;
    ``applied_s``: when acting had ended, on the monotonic clock. ``packets``: what the engines
    counted so far, by reason, all engines together; empty where no agent answered.
    """

    tick: int
    time_s: float
    nodes: tuple[str, ...]
    observed: bool
    demands_bps: NDArray[np.float64]
    link_rates_bps: Mapping[str, float]
    forecast_bps: NDArray[np.float64]
    horizons_steps: tuple[int, ...]
    levels: tuple[float, ...]
    plan: Plan
    decision: Decision
    applied_s: float
    packets: Mapping[str, int] = field(default_factory=dict)


def _pack(array: NDArray[np.float64]) -> dict[str, Any]:
    return {"shape": array.shape, "f4": array.astype("<f4").tobytes()}


def _unpack(packed: Mapping[str, Any]) -> NDArray[np.float64]:
    flat = np.frombuffer(packed["f4"], dtype="<f4").astype(np.float64)
    array: NDArray[np.float64] = flat.reshape(packed["shape"])
    return array


def _numbers(table: tuple[int, ...]) -> bytes:
    return np.array(table, "<u4").tobytes()


def _from_numbers(packed: bytes) -> tuple[int, ...]:
    return tuple(int(x) for x in np.frombuffer(packed, "<u4"))


def _circuit(spi: int, src: str, dst: str, links: list[str], *rest: Any) -> Circuit:
    """Build a circuit; one of an older journal lacks what came later."""
    later: list[Any] = [tuple(x) if isinstance(x, list) else x for x in rest]
    return Circuit(spi, src, dst, tuple(links), *later)


def plan_to_wire(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values for msgpack."""
    body = {key: getattr(plan, key) for key in plan.__slots__}
    body["circuits"] = [[getattr(c, key) for key in c.__slots__] for c in plan.circuits]
    body["splits"] = [
        [s.src, s.dst, s.spis, s.shares, _numbers(s.buckets), _numbers(s.backups)]
        for s in plan.splits
    ]
    body["filters"] = [
        [f.spi, [asdict(rule) for rule in f.rules], f.allow_rest, f.generation]
        for f in plan.filters
    ]
    body["routes"] = {node: dict(routes) for node, routes in plan.routes.items()}
    body["utilisation"] = dict(plan.utilisation)
    return body


def plan_from_wire(body: Mapping[str, Any]) -> Plan:
    """Return the plan that plan_to_wire packed."""
    fields = dict(body)
    fields["circuits"] = tuple(_circuit(*row) for row in body["circuits"])
    fields["splits"] = tuple(
        Split(src, dst, tuple(spis), tuple(shares), *map(_from_numbers, tables))
        for src, dst, spis, shares, *tables in body["splits"]
    )
    fields["filters"] = tuple(
        CircuitFilter(spi, tuple(FirewallRule(**rule) for rule in rules), *rest)
        for spi, rules, *rest in body.get("filters", ())
    )
    fields["notes"] = tuple(body["notes"])
    return Plan(**fields)


def _outcome(body: dict[str, Any]) -> Outcome:
    refused = tuple(
        Refused(**{**one, "links": tuple(one["links"])}) for one in body.get("refused", ())
    )
    return Outcome(**{**body, "errors": tuple(body["errors"]), "refused": refused})


class Journal:
    """The journal's file; one row a tick, the oldest dropped beyond a limit."""

    def __init__(self, path: Path, keep: int = 20_000) -> None:
        """Open or make the file.

        Raises:
            JournalError: it is damaged or cannot be written.
        """
        self._path = path
        self._keep = keep
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)
            self._connection.commit()
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path}: {error}") from error

    def write(
        self,
        snapshot: Snapshot,
        forecast: Forecast,
        plan: Plan,
        decision: Decision,
        *,
        observed: bool,
        link_rates_bps: Mapping[str, float],
        applied_s: float,
        packets: Mapping[str, int] | None = None,
    ) -> None:
        """Keep one tick.

        Raises:
            JournalError: the disk is full or the file is damaged.
        """
        body = {
            "version": VERSION,
            "nodes": list(snapshot.nodes),
            "observed": observed,
            "demands": _pack(snapshot.demands_bps),
            "link_rates": dict(link_rates_bps),
            "forecast": _pack(forecast.demands_bps),
            "horizons": list(forecast.horizons_steps),
            "levels": list(forecast.levels),
            "plan": plan_to_wire(plan),
            "decision": asdict(decision),
            "applied_s": applied_s,
            "packets": dict(packets or {}),
        }
        blob = zlib.compress(msgpack.packb(body), 1)
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT OR REPLACE INTO ticks VALUES (?, ?, ?)",
                    (decision.tick, snapshot.time_s, blob),
                )
                self._connection.execute(
                    "DELETE FROM ticks WHERE tick <= ?", (decision.tick - self._keep,)
                )
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path}: {error}") from error

    def entries(self, last: int | None = None) -> Iterator[Entry]:
        """Yield the ticks kept, oldest first; only the ``last`` ones if given.

        Raises:
            JournalError: the file is damaged, or of a version that this program does not read.
        """
        limit = -1 if last is None else last
        try:
            rows = self._connection.execute(
                "SELECT tick, time, body FROM (SELECT * FROM ticks ORDER BY tick DESC LIMIT ?)"
                " ORDER BY tick",
                (limit,),
            ).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path}: {error}") from error
        for tick, time_s, blob in rows:
            try:
                body = msgpack.unpackb(zlib.decompress(blob))
                if body["version"] != VERSION:
                    raise JournalError(f"{self._path}: tick {tick} has version {body['version']}")
                decision = body["decision"]
                decision["outcome"] = _outcome(decision["outcome"])
                yield Entry(
                    tick,
                    time_s,
                    tuple(body["nodes"]),
                    body["observed"],
                    _unpack(body["demands"]),
                    body["link_rates"],
                    _unpack(body["forecast"]),
                    tuple(body["horizons"]),
                    tuple(body["levels"]),
                    plan_from_wire(body["plan"]),
                    Decision(**decision),
                    body["applied_s"],
                    body["packets"],
                )
            except (ValueError, KeyError, TypeError, zlib.error) as error:
                raise JournalError(f"{self._path}: tick {tick} is damaged: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

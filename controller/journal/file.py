"""The journal's file: a row a decision, and a row for what came of it; bounded in bytes."""

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgpack

from controller.errors import JournalError
from controller.journal.entry import Entry, Realised
from controller.journal.values import (
    forecast_from_wire,
    forecast_to_wire,
    policies_from_wire,
    policies_to_wire,
    snapshot_from_wire,
    snapshot_to_wire,
    unpack,
)
from controller.journal.wire import decision_from_wire, plan_from_wire, plan_to_wire
from controller.state import Decision, Forecast, Plan, Policies, Snapshot

VERSION = 2
READS = (1, 2)
MIB = 1 << 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, tick INTEGER NOT NULL, event TEXT NOT NULL,
    time REAL NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS of_tick ON decisions (tick);
CREATE TABLE IF NOT EXISTS realised (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""


def made_with() -> str:
    """Return the versions that plans depend on: of this program and of the solver."""
    return f"foresteer {version('foresteer')}, highspy {version('highspy')}"


class Journal:
    """The journal's file; the oldest rows go beyond a number of rows or bytes."""

    def __init__(self, path: Path, keep: int = 20_000, mib: float = 512.0) -> None:
        """Open or make the file.

        Raises:
            JournalError: it is damaged or cannot be written.
        """
        self._path = path
        self._keep = keep
        self._bytes = int(mib * MIB)
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
            self._connection.commit()
            (self._held,) = self._connection.execute(
                "SELECT COALESCE(SUM(LENGTH(body)), 0) FROM decisions"
            ).fetchone()
            self._old = bool(
                self._connection.execute(
                    "SELECT 1 FROM sqlite_master WHERE name = 'ticks'"
                ).fetchone()
            )
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path}: {error}") from error
        self._made_with = made_with()
        self._last_plan: int | None = None

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
        policies: Policies | None = None,
        previous: Plan | None = None,
        decided: Plan | None = None,
        event: str = "",
    ) -> int:
        """Keep one decision; return its number.

        ``decided``: the plan as decided, where a part of it could not be had. The previous plan is
        kept whole only where the row before did not end with it.

        Raises:
            JournalError: the disk is full or the file is damaged.
        """
        before = previous.number if previous is not None else None
        computed = previous is None or (decided or plan).number != previous.number
        body = {
            "version": VERSION,
            "made_with": self._made_with,
            "observed": observed,
            "snapshot": snapshot_to_wire(snapshot),
            "link_rates": dict(link_rates_bps),
            "forecast": forecast_to_wire(forecast),
            "policies": policies_to_wire(policies) if policies is not None else None,
            "previous": before,
            "previous_plan": plan_to_wire(previous)
            if previous is not None and before != self._last_plan
            else None,
            "plan": plan_to_wire(plan),
            "decided": plan_to_wire(decided) if decided is not None else None,
            "computed": computed,
            "decision": asdict(decision),
            "applied_s": applied_s,
            "packets": dict(packets or {}),
        }
        blob = zlib.compress(msgpack.packb(body), 1)
        try:
            with self._connection:
                number = self._connection.execute(
                    "INSERT INTO decisions (tick, event, time, body) VALUES (?, ?, ?, ?)",
                    (decision.tick, event, snapshot.time_s, blob),
                ).lastrowid
                assert number is not None
                self._held += len(blob)
                self._trim(number)
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path}: {error}") from error
        self._last_plan = plan.number
        return number

    def _trim(self, newest: int) -> None:
        """Drop the oldest rows until both bounds hold; the newest always stays."""
        gone = self._connection.execute(
            "SELECT number, LENGTH(body) FROM decisions WHERE number <= ?", (newest - self._keep,)
        ).fetchall()
        left = self._held - sum(size for _, size in gone)
        if left > self._bytes:
            for number, size in self._connection.execute(
                "SELECT number, LENGTH(body) FROM decisions WHERE number > ? AND number < ?"
                " ORDER BY number",
                (newest - self._keep, newest),
            ):
                if left <= self._bytes:
                    break
                gone.append((number, size))
                left -= size
        if not gone:
            return
        last = gone[-1][0]
        self._connection.execute("DELETE FROM decisions WHERE number <= ?", (last,))
        self._connection.execute("DELETE FROM realised WHERE number <= ?", (last,))
        self._connection.execute("PRAGMA incremental_vacuum")
        self._held = left

    def realise(self, number: int, found: Realised) -> None:
        """Keep what came of a decision.

        Raises:
            JournalError: the disk is full or the file is damaged.
        """
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT OR REPLACE INTO realised VALUES (?, ?)",
                    (number, msgpack.packb(asdict(found))),
                )
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path}: {error}") from error

    def entries(self, last: int | None = None) -> Iterator[Entry]:
        """Yield the ticks kept, oldest first, each once; only the ``last`` ones if given.

        Raises:
            JournalError: the file is damaged, or of a version that this program does not read.
        """
        rows = self._rows(
            "SELECT MAX(d.number), tick, event, time, d.body, r.body FROM decisions d"
            " LEFT JOIN realised r ON r.number = d.number WHERE event = '' GROUP BY tick"
            " ORDER BY tick DESC LIMIT ?",
            -1 if last is None else last,
        )
        if self._old and (last is None or len(rows) < last):
            rows += self._rows(
                "SELECT 0, tick, '', time, body, NULL FROM ticks ORDER BY tick DESC LIMIT ?",
                -1 if last is None else last - len(rows),
            )
        for row in reversed(rows):
            yield self._entry(*row)

    def decisions(self, last: int | None = None) -> Iterator[Entry]:
        """Yield every decision kept, of ticks and events, oldest first.

        Raises:
            JournalError: the file is damaged, or of a version that this program does not read.
        """
        rows = self._rows(
            "SELECT d.number, tick, event, time, d.body, r.body FROM decisions d"
            " LEFT JOIN realised r ON r.number = d.number ORDER BY d.number DESC LIMIT ?",
            -1 if last is None else last,
        )
        for row in reversed(rows):
            yield self._entry(*row)

    def decision(self, number: int) -> Entry | None:
        """Return one decision; None where there is none of that number.

        Raises:
            JournalError: the file is damaged, or of a version that this program does not read.
        """
        rows = self._rows(
            "SELECT d.number, tick, event, time, d.body, r.body FROM decisions d"
            " LEFT JOIN realised r ON r.number = d.number WHERE d.number = ?",
            number,
        )
        return self._entry(*rows[0]) if rows else None

    def _rows(self, question: str, argument: int) -> list[Any]:
        try:
            return self._connection.execute(question, (argument,)).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path}: {error}") from error

    def _entry(
        self, number: int, tick: int, event: str, time_s: float, blob: bytes, realised: bytes | None
    ) -> Entry:
        try:
            body = msgpack.unpackb(zlib.decompress(blob), strict_map_key=False)
            if body["version"] not in READS:
                raise JournalError(
                    f"{self._path}: tick {tick} has version {body['version']}; this program reads"
                    f" {' and '.join(map(str, READS))}"
                )
            found = Realised(**msgpack.unpackb(realised)) if realised is not None else None
            if body["version"] == 1:
                return _first_version(tick, time_s, body)
            return _second_version(number, tick, event, time_s, body, found)
        except (ValueError, KeyError, TypeError, zlib.error, msgpack.UnpackException) as error:
            raise JournalError(f"{self._path}: tick {tick} is damaged: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _second_version(
    number: int,
    tick: int,
    event: str,
    time_s: float,
    body: Mapping[str, Any],
    realised: Realised | None,
) -> Entry:
    snapshot = snapshot_from_wire(body["snapshot"])
    forecast = forecast_from_wire(body["forecast"])

    def plan(name: str) -> Plan | None:
        return plan_from_wire(body[name]) if body[name] is not None else None

    policies = body["policies"]
    return Entry(
        number,
        tick,
        time_s,
        snapshot.nodes,
        body["observed"],
        snapshot.demands_bps,
        body["link_rates"],
        forecast.demands_bps,
        forecast.horizons_steps,
        forecast.levels,
        plan_from_wire(body["plan"]),
        decision_from_wire(body["decision"]),
        body["applied_s"],
        body["packets"],
        event,
        snapshot,
        forecast,
        policies_from_wire(policies) if policies is not None else None,
        body["previous"],
        plan("previous_plan"),
        plan("decided"),
        body["computed"],
        body["made_with"],
        realised,
    )


def _first_version(tick: int, time_s: float, body: Mapping[str, Any]) -> Entry:
    return Entry(
        0,
        tick,
        time_s,
        tuple(body["nodes"]),
        body["observed"],
        unpack(body["demands"]),
        body["link_rates"],
        unpack(body["forecast"]),
        tuple(body["horizons"]),
        tuple(body["levels"]),
        plan_from_wire(body["plan"]),
        decision_from_wire(body["decision"]),
        body["applied_s"],
        body["packets"],
    )

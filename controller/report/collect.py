"""Makes a Run from what a demo leaves: the brain's journal and the replayer's counts."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from controller.errors import JournalError
from controller.journal import Entry, Journal
from controller.report.run import Counts, Note, Run, Splits, splits_of
from controller.state import LinkState
from headers.errors import FileError
from headers.files import load_matrices
from headers.files.network import Network, load_network


def _links(network: Network) -> tuple[LinkState, ...]:
    """Return the links by the names that the brain gives them."""
    seen: dict[str, int] = {}
    found = []
    for link in network.links:
        base = f"{link.src}>{link.dst}"
        seen[base] = seen.get(base, 0) + 1
        name = base if seen[base] == 1 else f"{base}/{seen[base]}"
        found.append(LinkState(name, link.src, link.dst, link.capacity_bps, link.metric))
    return tuple(found)


def _steered(entries: dict[int, Entry], intervals: int, total: int) -> Counts:
    """Return [T]: packets delivered from circuits by interval, from the counters at the ticks.

    What was still on its way at the last tick is added to the last interval.
    """
    at = np.full(intervals + 1, np.nan)
    for tick, entry in entries.items():
        if 0 <= tick <= intervals and entry.packets:
            at[tick] = entry.packets.get("delivered", 0)
    known = np.flatnonzero(np.isfinite(at))
    counts = np.zeros(intervals, dtype=np.int64)
    if len(known) >= 2:
        filled = np.interp(np.arange(intervals + 1), known, at[known])
        counts = np.diff(filled).round().astype(np.int64)
    counts[-1] += total - counts.sum()
    return counts


def collect(directory: Path) -> Run:
    """Return the run that a demo left in a directory.

    Raises:
        FileError: a file is missing or damaged.
    """
    instance = directory / "instance"
    try:
        about: dict[str, Any] = json.loads((directory / "replay.json").read_text())
        with np.load(directory / "replay.npz") as archive:
            sent, received = archive["sent"], archive["received"]
        status: dict[str, Any] = json.loads((instance / "state.json").read_text())
        journal = Journal(instance / "journal.sqlite")
        entries = {entry.tick: entry for entry in journal.entries()}
        journal.close()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, JournalError) as error:
        raise FileError(f"{directory} does not hold a finished demo: {error}") from error
    network = load_network(instance / "network.json")
    links = _links(network)
    intervals, tick_s = int(about["intervals"]), float(about["tick_s"])
    plans: list[Splits] = []
    # until a tick's own plan the one before it is in force, at first the one made at the start
    for interval in range(intervals):
        entry = entries.get(interval, entries.get(-1) if not plans else None)
        if entry is None and not plans:
            raise FileError(f"{directory}: the journal does not hold the run's first tick")
        plans.append(splits_of(entry.plan) if entry is not None else plans[-1])
    rates = np.full((intervals, len(links)), np.nan)
    for interval in range(intervals):
        entry = entries.get(interval + 1)
        if entry is not None:
            rates[interval] = [entry.link_rates_bps.get(x.name, np.nan) for x in links]
    history = instance / "history.npz"
    before = load_matrices(history).tm_mbps[-1] * 1e6 if history.exists() else None
    ticks = [entries[tick] for tick in sorted(entries) if 0 <= tick <= intervals]
    bits = 8.0 * about["wire_bytes"]
    return Run(
        about["data"]["name"],
        bool(about["data"]["synthetic"]),
        tuple(location.name for location in network.locations),
        links,
        float(about["data"].get("step_s", tick_s)),
        sent * bits / tick_s,
        before,
        tuple(plans),
        rates,
        sent.sum(axis=(1, 2)).astype(np.int64),
        received.sum(axis=(1, 2)).astype(np.int64),
        _steered(entries, intervals, int(about["steered_packets"])),
        len(ticks),
        int(status.get("skipped_ticks", 0)),
        int(status.get("rule_errors", 0)),
        tuple(entry.decision.decide_ms for entry in ticks),
        tuple(
            Note(
                entry.tick,
                entry.time_s,
                entry.plan.method,
                entry.plan.moved_buckets,
                entry.plan.max_utilisation,
                entry.plan.reason,
            )
            for entry in ticks
        ),
    )

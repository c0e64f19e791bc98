"""Makes a Run from what a demo leaves: the brain's journal and the replayer's counts."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.errors import JournalError
from controller.journal import Entry, Journal
from controller.report.run import Counts, Fan, Note, Run, Splits, splits_of
from controller.state import LinkState
from headers.errors import FileError
from headers.files import load_matrices
from headers.files.network import Network, load_network

FANS = 3
"""Demands whose forecasts are kept."""


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


def _expected(
    entries: Mapping[int, Entry], links: Sequence[LinkState], intervals: int
) -> NDArray[np.float64]:
    """Return [T, L]: the share of capacity that each tick's plan predicted of its interval."""
    found = np.full((intervals, len(links)), np.nan)
    for interval in range(intervals):
        if interval in entries:
            predicted = entries[interval].plan.utilisation
            found[interval] = [predicted.get(link.name, np.nan) for link in links]
    return found


def _fans(
    entries: Mapping[int, Entry], nodes: tuple[str, ...], sent_bps: NDArray[np.float64]
) -> tuple[Fan, ...]:
    """Return what was forecast of the FANS largest demands of ``sent_bps`` [T, N, N]."""
    intervals, size = len(sent_bps), len(nodes)
    made = [entries[tick] for tick in range(intervals) if tick in entries]
    if not made:
        return ()
    horizons, levels = made[-1].horizons_steps, made[-1].levels
    mean = sent_bps.mean(axis=0)
    fans = []
    for demand in np.argsort(mean, axis=None)[::-1][:FANS]:
        src, dst = divmod(int(demand), size)
        bps = np.full((intervals, len(horizons), len(levels)), np.nan)
        for entry in made:
            # forecasts are of the locations that the brain knew then
            alike = (entry.nodes, entry.horizons_steps, entry.levels) == (nodes, horizons, levels)
            if alike:
                bps[entry.tick] = entry.forecast_bps[:, :, src, dst]
        fans.append(Fan(nodes[src], nodes[dst], horizons, levels, bps))
    return tuple(fans)


def _note(entry: Entry) -> Note:
    plan = entry.plan
    return Note(
        entry.tick,
        entry.time_s,
        plan.method,
        plan.moved_buckets,
        plan.max_utilisation,
        plan.reason,
        entry.event,
    )


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
        decisions = list(journal.decisions())
        journal.close()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, JournalError) as error:
        raise FileError(f"{directory} does not hold a finished demo: {error}") from error
    entries = {entry.tick: entry for entry in decisions if not entry.event}
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
        tuple(_note(entry) for entry in decisions if 0 <= entry.tick <= intervals),
        tuple(
            None if x.lat is None or x.lon is None else (x.lat, x.lon) for x in network.locations
        ),
        _expected(entries, links, intervals),
        _fans(entries, tuple(x.name for x in network.locations), sent * bits / tick_s),
    )

"""A finished run as two files, ``run.json`` and ``run.npz``, so that it can be scored again.

``run.json``: version, names, links, counts of the loop, decisions, and ``paths``, the list of all
paths in use as lists of link names. ``run.npz``: ``sent_bps`` [T, N, N], ``before_bps`` [N, N]
(left out where not known), ``link_rates_bps`` [T, L], ``sent_packets``, ``delivered_packets``,
``steered_packets`` [T], ``decide_ms``, and the splits in force as four columns of equal length:
``flow_interval``, ``flow_demand`` (source x N + destination), ``flow_path`` (a position in
``paths``) and ``flow_share``. Left out where not known: in ``run.json`` ``places`` [N] (latitude
and longitude in degrees, or null) and ``fans`` (ends, horizons and levels of each), in ``run.npz``
``expected`` [T, L] and ``fan_0``, ``fan_1`` ... [T, H, Q] in bit/s.
"""

import json
import zipfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from controller.report.run import Fan, Note, Run, Splits
from controller.state import LinkState
from headers.errors import FileError

VERSION = 1
JSON = "run.json"
NPZ = "run.npz"
_ARRAYS = (
    "sent_bps",
    "link_rates_bps",
    "sent_packets",
    "delivered_packets",
    "steered_packets",
    "decide_ms",
    "flow_interval",
    "flow_demand",
    "flow_path",
    "flow_share",
)
_COUNTS = ("ticks", "skipped_ticks", "rule_errors")


def save_run(run: Run, directory: Path) -> None:
    """Write a run into a directory that is there.

    Raises:
        OSError: the files cannot be written.
    """
    index = {name: number for number, name in enumerate(run.nodes)}
    paths: dict[tuple[str, ...], int] = {}
    flows = [
        (
            interval,
            index[src] * len(index) + index[dst],
            paths.setdefault(path, len(paths)),
            share,
        )
        for interval, splits in enumerate(run.in_force)
        for (src, dst), by_path in splits.items()
        for path, share in by_path.items()
    ]
    columns = list(zip(*flows, strict=True)) or [(), (), (), ()]
    arrays: dict[str, Any] = {
        "sent_bps": run.sent_bps,
        "link_rates_bps": run.link_rates_bps,
        "sent_packets": run.sent_packets,
        "delivered_packets": run.delivered_packets,
        "steered_packets": run.steered_packets,
        "decide_ms": np.array(run.decide_ms, dtype=np.float64),
        "flow_interval": np.array(columns[0], dtype=np.int32),
        "flow_demand": np.array(columns[1], dtype=np.int32),
        "flow_path": np.array(columns[2], dtype=np.int32),
        "flow_share": np.array(columns[3], dtype=np.float64),
    }
    if run.before_bps is not None:
        arrays["before_bps"] = run.before_bps
    if run.expected is not None:
        arrays["expected"] = run.expected
    arrays.update({f"fan_{number}": fan.bps for number, fan in enumerate(run.fans)})
    np.savez_compressed(directory / NPZ, **arrays)
    body = {
        "version": VERSION,
        "name": run.name,
        "synthetic": run.synthetic,
        "step_s": run.step_s,
        "nodes": run.nodes,
        "links": [asdict(link) for link in run.links],
        **{key: getattr(run, key) for key in _COUNTS},
        "paths": list(paths),
        "places": run.places,
        "fans": [
            {"src": x.src, "dst": x.dst, "horizons": x.horizons_steps, "levels": x.levels}
            for x in run.fans
        ],
        "decisions": [asdict(note) for note in run.decisions],
    }
    (directory / JSON).write_text(json.dumps(body, indent=1) + "\n")


def load_run(directory: Path) -> Run:
    """Read a run.

    Raises:
        FileError: a file is missing, is not what it should be, or does not fit the other one.
    """
    body = _read_json(directory / JSON)
    arrays = _read_arrays(directory / NPZ)
    try:
        return _build(body, arrays)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise FileError(f"{directory}: run.json and run.npz are not of a run: {said}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path}: not JSON: {error}") from error
    if not isinstance(body, dict) or "version" not in body:
        raise FileError(f"{path}: this is not the record of a run")
    if body["version"] != VERSION:
        raise FileError(f"{path}: version {body['version']}; this program reads {VERSION}")
    return body


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise FileError(f"{path}: not a NumPy archive: {error}") from error
    missing = [key for key in _ARRAYS if key not in arrays]
    if missing:
        raise FileError(f"{path}: no array {missing[0]!r}: not of a run")
    return arrays


def _build(body: dict[str, Any], arrays: dict[str, Any]) -> Run:
    nodes = tuple(str(name) for name in body["nodes"])
    before, expected = arrays.get("before_bps"), arrays.get("expected")
    return Run(
        name=str(body["name"]),
        synthetic=bool(body["synthetic"]),
        nodes=nodes,
        links=tuple(
            LinkState(**{**item, "risk_groups": tuple(item.get("risk_groups", ()))})
            for item in body["links"]
        ),
        step_s=float(body["step_s"]),
        sent_bps=arrays["sent_bps"].astype(np.float64),
        before_bps=None if before is None else before.astype(np.float64),
        in_force=_splits(body, arrays, nodes),
        link_rates_bps=arrays["link_rates_bps"].astype(np.float64),
        sent_packets=arrays["sent_packets"].astype(np.int64),
        delivered_packets=arrays["delivered_packets"].astype(np.int64),
        steered_packets=arrays["steered_packets"].astype(np.int64),
        ticks=int(body["ticks"]),
        skipped_ticks=int(body["skipped_ticks"]),
        rule_errors=int(body["rule_errors"]),
        decide_ms=tuple(float(value) for value in arrays["decide_ms"]),
        decisions=tuple(Note(**item) for item in body["decisions"]),
        places=tuple(
            None if place is None else (float(place[0]), float(place[1]))
            for place in body.get("places", ())
        ),
        expected=None if expected is None else expected.astype(np.float64),
        fans=tuple(
            Fan(
                str(item["src"]),
                str(item["dst"]),
                tuple(int(steps) for steps in item["horizons"]),
                tuple(float(level) for level in item["levels"]),
                arrays[f"fan_{number}"].astype(np.float64),
            )
            for number, item in enumerate(body.get("fans", ()))
        ),
    )


def _splits(
    body: dict[str, Any], arrays: dict[str, Any], nodes: tuple[str, ...]
) -> tuple[Splits, ...]:
    paths = [tuple(str(name) for name in path) for path in body["paths"]]
    known = {link["name"] for link in body["links"]}
    unknown = {name for path in paths for name in path} - known
    if unknown:
        raise ValueError(f"a path passes the unknown link {min(unknown)!r}")
    in_force: list[dict[tuple[str, str], dict[tuple[str, ...], float]]] = [
        defaultdict(dict) for _ in range(len(arrays["sent_bps"]))
    ]
    columns = [arrays[f"flow_{key}"] for key in ("interval", "demand", "path", "share")]
    for interval, demand, path, share in zip(*(c.tolist() for c in columns), strict=True):
        src, dst = divmod(demand, len(nodes))
        if min(interval, src, dst, path) < 0:
            raise ValueError("a split has a negative number")
        in_force[interval][nodes[src], nodes[dst]][paths[path]] = share
    return tuple(dict(splits) for splits in in_force)

"""Writes matrices as an archive in SNDlib's native format, one file per interval, tgz."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from headers.files import FileError, Topology, TrafficMatrices
from models.datasets.archives import Progress

LEAST_MBPS = 0.0000005
"""Smaller demands are left out, as SNDlib does it."""


def _head(matrices: TrafficMatrices, topology: Topology | None) -> str:
    places = {node.name: node for node in topology.nodes} if topology else {}
    lines = []
    for name in matrices.nodes:
        node = places.get(name)
        lon, lat = (node.lon or 0.0, node.lat or 0.0) if node else (0.0, 0.0)
        lines.append(f"  {name} ( {lon:.2f} {lat:.2f} )\n")
    return f"NODES (\n{''.join(lines)})\n\nLINKS (\n)\n\n"


def _files(
    matrices: TrafficMatrices, name: str, minutes: int, topology: Topology | None
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each interval's file."""
    head = _head(matrices, topology)
    source, destination = np.nonzero(~np.eye(len(matrices.nodes), dtype=bool))
    pairs = [
        f"  {matrices.nodes[a]}_{matrices.nodes[b]} ( {matrices.nodes[a]} {matrices.nodes[b]} ) 1 "
        for a, b in zip(source, destination, strict=True)
    ]
    origin = "synthetic traffic, made up" if matrices.synthetic else "written by foresteer"
    for at, time_s in enumerate(matrices.time_s):
        stamp = datetime.fromtimestamp(int(time_s), UTC).strftime("%Y%m%d-%H%M")
        values = matrices.tm_mbps[at, source, destination].tolist()
        demands = "".join(
            f"{pair}{value:.6f} UNLIMITED\n"
            for pair, value in zip(pairs, values, strict=True)
            if value >= LEAST_MBPS
        )
        text = (
            "?SNDlib native format; type: network; version: 1.0\n"
            f"# network demandMatrix-{name}-{minutes}min-{stamp}\n\n"
            f"META (\n  granularity = {minutes}min\n  time = {stamp}\n  unit = MBITPERSEC\n"
            f"  origin = {origin}\n)\n\n{head}DEMANDS (\n{demands})\n\nADMISSIBLE_PATHS (\n)\n"
        )
        yield f"demandMatrix-{name}-{minutes}min-{stamp}.txt", text.encode()


def write_native(
    matrices: TrafficMatrices,
    path: Path,
    name: str,
    topology: Topology | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a tgz, whole or not at all; ``progress`` is called with intervals written.

    ``name``: of the set, as it stands in the files' names. ``topology``: for the nodes' places.

    Raises:
        FileError: the format cannot hold the matrices (steps of whole minutes, names without
            spaces and brackets), or the file cannot be written.
    """
    minutes = round(matrices.step_s / 60)
    if minutes < 1 or (matrices.time_s % 60).any():
        raise FileError(f"{path}: SNDlib's names hold whole minutes, not {matrices.step_s:g} s")
    if any(set(node) & set(" ()#\t\n") or not node for node in (*matrices.nodes, name)):
        raise FileError(f"{path}: SNDlib's names hold no spaces and brackets")
    draft = path.with_name(path.name + ".part")
    folder = f"directed-{name}-{minutes}min-ALL-native"
    try:
        with (
            draft.open("wb") as raw,
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for member, content in _files(matrices, name, minutes, topology):
                entry = tarfile.TarInfo(f"{folder}/{member}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
                archive.members = []  # type: ignore[attr-defined]  # or every header is kept
                if progress is not None:
                    progress(1)
        draft.replace(path)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)

"""The southbound's part of the ``foresteer`` command."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

WAYS = {
    "objects": "an object of Ryu's per flow, then a barrier",
    "templates": "packed messages, then a barrier",
    "bundles": "packed messages as one atomic bundle, with counts read back",
    "removal": "all of them again by one cookie",
}


@click.command()
@click.option("--flows", type=click.IntRange(100, 100_000), default=10_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write here.")
def openflow(flows: int, rounds: int, file: Path | None) -> None:
    """Flows per second into an Open vSwitch of its own, by three ways that take turns."""
    if os.geteuid():
        raise click.ClickException("namespaces and Open vSwitch need root: run it with sudo")
    with tempfile.TemporaryDirectory(prefix="foresteer-") as folder:
        result = Path(folder) / "result.json"
        # what is started in there ends with the first process in there
        inside = ["unshare", "--net", "--pid", "--fork", "--kill-child=KILL"]
        asked = [folder, str(flows), str(rounds), str(result)]
        command = [*inside, sys.executable, "-m", "controller.southbound.bench", *asked]
        try:
            done = subprocess.run(
                command, timeout=60 + rounds * flows / 500, check=False, capture_output=True
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise click.ClickException(str(error)) from error
        if not result.exists():
            raise click.ClickException(done.stderr.decode(errors="replace")[-2000:])
        found: dict[str, Any] = json.loads(result.read_text())
    base = found["objects"]["median"]
    click.echo(f"flows per second, median of {rounds} rounds of {flows} flows (least, most)")
    for name, words in WAYS.items():
        one = found[name]
        click.echo(
            f"  {name:10} {one['median']:9.0f}  ({one['least']:.0f}, {one['most']:.0f})"
            f"  x {one['median'] / base:5.1f}   {words}"
        )
    if file is not None:
        file.write_text(json.dumps(found, indent=1) + "\n")

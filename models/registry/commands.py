"""The ``model`` and ``retrain`` commands of ``foresteer``."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headers.files import FileError

if TYPE_CHECKING:
    from headers.files.history import History
    from models.registry.version import Version

REGISTRY = click.option(
    "--registry",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="FORESTEER_REGISTRY",
    default=Path("out/registry"),
    show_default=True,
    help="Folder of the model versions (also FORESTEER_REGISTRY).",
)
KIND = click.option("--kind", default="demand", show_default=True, help="What is forecast.")
GROUP = click.option("--group", default="all", show_default=True, help="Which series.")
ARCHIVES = (".tgz", ".tar.gz")


@click.group()
def model() -> None:
    """Look after the versions of the model."""


@model.command(name="list")
@REGISTRY
def list_(folder: Path) -> None:
    """List the versions, the oldest first; a star marks a champion."""
    from models.registry.errors import RegistryError
    from models.registry.registry import Registry

    try:
        registry = Registry(folder)
        state, versions = registry.state(), registry.versions()
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
    champions = set(state.champions.values())
    for one in versions:
        mark = "*" if one.name in champions else " "
        click.echo(f"{mark} {_line(one)}")
    if not champions:
        click.echo("nothing was promoted: the shipped model is in use")
    if state.unreadable:
        click.echo(f"{state.unreadable} damaged lines in {registry.log} were passed over", err=True)


def _line(version: "Version") -> str:
    made = datetime.fromtimestamp(version.made_s, UTC).strftime("%Y-%m-%d %H:%M")
    verdict = version.verdict
    how = "not judged" if verdict is None else f"{100 * verdict.gain:+.2f} %, {verdict.why}"
    return f"{version.name}  {made}  {version.kind}/{version.group}  {how}"


@model.command()
@REGISTRY
@click.argument("name")
def show(folder: Path, name: str) -> None:
    """Print all that is known of a version, what happened to it, and whether its file is good."""
    import dataclasses

    from models.errors import ModelError
    from models.neural import load_model
    from models.registry.errors import RegistryError
    from models.registry.registry import Registry, lineage

    try:
        registry = Registry(folder)
        state = registry.state()
        if name not in state.versions:
            raise click.ClickException(f"there is no version {name!r}")
        problem = ""
        try:
            load_model(registry.model(name))
        except ModelError as error:
            problem = str(error)
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
    told = {
        **dataclasses.asdict(state.versions[name]),
        "lineage": [one or "shipped" for one in lineage(state, name)],
        "events": [e for e in state.events if name in (e.get("name"), e.get("before"))],
        "problem": problem,
    }
    click.echo(json.dumps(told, indent=1))


@model.command()
@REGISTRY
@click.argument("name")
@click.option("--anyway", default="", help="A reason to promote what was not judged better.")
def promote(folder: Path, name: str, anyway: str) -> None:
    """Make a version the champion, if it was judged better than the one there is."""
    import time

    from models.registry.errors import RegistryError
    from models.registry.registry import Registry

    try:
        Registry(folder).promote(name, now_s=time.time(), anyway=anyway)
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{name} is champion")


@model.command()
@REGISTRY
@KIND
@GROUP
@click.option("--why", default="asked for by hand", show_default=True)
def rollback(folder: Path, kind: str, group: str, why: str) -> None:
    """Make the champion's parent the champion again."""
    import time

    from models.registry.errors import RegistryError
    from models.registry.registry import Registry

    try:
        name = Registry(folder).roll_back(kind, group, why=why, now_s=time.time())
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{name or 'the shipped model'} is champion")


def read_history(path: Path) -> "History":
    """Return a history from a history file, a matrix file or an SNDlib archive.

    Raises:
        FileError: it is none of them.
    """
    import numpy as np

    from headers.files import load_matrices
    from headers.files.history import History, load_history
    from models.datasets import matrix_grid, read_sndlib

    if path.name.endswith(ARCHIVES):
        matrices = read_sndlib(path).matrices
    else:
        try:
            return load_history(path)
        except FileError as error:
            if "not a history file" not in str(error):
                raise
        matrices = load_matrices(path)
    grid = matrix_grid(matrices)
    return History(
        grid.names, grid.values.astype(np.float32), grid.step_s, float(matrices.time_s[0])
    )


@click.command()
@click.option(
    "--history",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="History file, matrix file (.npz) or SNDlib archive (.tgz).",
)
@REGISTRY
@KIND
@GROUP
@click.option("--horizons", default="1,3,12", show_default=True, help="What is judged, in steps.")
@click.option("--held-back-s", type=float, default=86_400.0, show_default=True)
@click.option(
    "--lately-s",
    type=float,
    default=None,
    help="After drift: take half of what is learned from so long before the held-back end.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=None, help="Training steps.")
@click.option("--limit-s", type=click.IntRange(1), default=3600, show_default=True)
@click.option("--memory-mib", type=click.IntRange(256), default=4096, show_default=True)
@click.option(
    "--hurry", is_flag=True, help="Keep the usual priority; by default all others go first."
)
def retrain(
    path: Path,
    folder: Path,
    kind: str,
    group: str,
    horizons: str,
    held_back_s: float,
    lately_s: float | None,
    seed: int,
    steps: int | None,
    limit_s: int,
    memory_mib: int,
    hurry: bool,
) -> None:
    """Tune the champion on a history, judge it on the end, promote it if it is better.

    The last line on standard output is the outcome as JSON. Exit status 0 whether promoted or
    refused.
    """
    import dataclasses
    import time

    from models.backtest.commands import parse_horizons
    from models.neural.tuning import STEPS
    from models.registry.errors import RegistryError
    from models.registry.limits import be_modest, limit, one_thread, peak_mib
    from models.registry.registry import Registry
    from models.registry.retrain import Order
    from models.registry.retrain import retrain as run

    one_thread()
    if not hurry:
        be_modest()
    limit(limit_s, memory_mib)
    began = time.monotonic()

    def say(text: str) -> None:
        click.echo(text, err=True)

    try:
        history = read_history(path)
        read_s = time.monotonic() - began
        order = Order(
            kind,
            group,
            parse_horizons(None, None, horizons),
            held_back_s,
            lately_s,
            seed,
            steps or STEPS,
        )
        outcome = run(history, Registry(folder), order, now_s=time.time(), say=say)
    except (FileError, RegistryError) as error:
        raise click.ClickException(str(error)) from error
    except MemoryError as error:
        raise click.ClickException(f"{memory_mib} MiB are not enough: --memory-mib") from error
    word = "promoted" if outcome.promoted else "refused"
    say(
        f"{outcome.version or 'no candidate'}: {word}, {outcome.why};"
        f" {len(history.values)} x {len(history.names)} values read in {read_s:.0f} s,"
        f" all in {time.monotonic() - began:.0f} s, {peak_mib()} MiB"
    )
    click.echo(json.dumps(dataclasses.asdict(outcome)))

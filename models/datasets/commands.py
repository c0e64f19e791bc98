"""The ``data`` commands of ``foresteer``: get, look at and make data sets."""

from pathlib import Path

import click

from headers.files import FileError

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def data() -> None:
    """Get measured traffic, look at it, or make some up."""


@data.command("list")
def list_sets() -> None:
    """List the measured sets that can be got, with licence and page."""
    from models.datasets.catalogue import CATALOGUE

    for entry in CATALOGUE.values():
        click.echo(f"{entry.name:<14} {entry.about}")
        click.echo(f"{'':<14} licence: {entry.licence}")
        click.echo(f"{'':<14} {entry.page}")


@data.command()
@click.argument("name")
@click.option("--from", "source", default="", help="Another address, or a file or folder here.")
@click.option(
    "--out",
    type=_FOLDER,
    envvar="FORESTEER_DATA",
    default=Path("data"),
    show_default=True,
    help="Folder for the result (also FORESTEER_DATA).",
)
@click.option("--sha256", default=None, help="What the file's SHA-256 must be.")
@click.option("--keep", is_flag=True, help="Leave the archive beside the result.")
@click.option("--again", is_flag=True, help="Download what is there already.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="Seconds that the server may be silent.",
)
def get(
    name: str, source: str, out: Path, sha256: str | None, keep: bool, again: bool, timeout: float
) -> None:
    """Download the set NAME, verify it, and convert it to a matrix file."""
    from models.datasets.catalogue import CATALOGUE
    from models.datasets.get import Wishes
    from models.datasets.get import get as get_set

    entry = CATALOGUE.get(name)
    if entry is None:
        raise click.ClickException(f"no set {name!r}; there are {', '.join(CATALOGUE)}")
    try:
        made = get_set(entry, Wishes(out, source, sha256, keep, again, timeout), click.echo)
    except FileError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{made}: ready")


@data.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def show(path: Path) -> None:
    """Say what FILE holds: shape, time, gaps, made up or not.

    FILE is a matrix file, a rate file, a topology, or an archive or folder of SNDlib's or of the
    weekly files.
    """
    from models.datasets.archives import archive_size
    from models.datasets.progress import meter
    from models.datasets.show import show as lines_of

    try:
        if path.suffix in (".npz", ".json"):
            lines = lines_of(path)
        else:
            with meter("reading", archive_size(path)) as advance:
                lines = lines_of(path, advance)
    except FileError as error:
        raise click.ClickException(str(error)) from error
    for line in lines:
        click.echo(line)


@data.command()
@click.option("--topology", "topology_path", type=_FILE, required=True, help="Topology file.")
@click.option("--out", type=_FILE, required=True, help="FILE.npz, or FILE.tgz in SNDlib's format.")
@click.option("--days", type=click.FloatRange(0, min_open=True), default=14.0, show_default=True)
@click.option(
    "--step", "step_s", type=click.IntRange(1), default=300, show_default=True, help="Seconds."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default="2024-01-01", show_default=True)
@click.option(
    "--total",
    "total_mbps",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Mean of all demands together in Mb/s.",
)
@click.option(
    "--events",
    "count",
    type=click.IntRange(0),
    default=0,
    help="Planned events to draw; written to FILE.events.json too.",
)
@click.option("--planned", type=_FILE, default=None, help="File of planned events to take place.")
def make(**options: object) -> None:
    """Make up traffic for a topology, labelled synthetic."""
    from models.datasets.make import Order
    from models.datasets.make import make as make_up

    try:
        lines = make_up(Order(**options))  # type: ignore[arg-type]
    except (FileError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    for line in lines:
        click.echo(line)

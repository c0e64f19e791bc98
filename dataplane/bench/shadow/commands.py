"""``foresteer bench shadow``."""

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(1, 600),
    default=8,
    show_default=True,
    help="How long each rate is measured.",
)
@click.option(
    "--snapshot",
    type=click.IntRange(1_000, 2_000_000),
    default=1_000_000,
    show_default=True,
    help="Connections in the snapshot.",
)
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write here.")
def shadow(seconds: float, snapshot: int, file: Path | None) -> None:
    """Replication of connections between two processes: bytes, lag, the highest rate, a snapshot.

    The primary and its shadow speak UDP over loopback; events are made up, and read as an agent
    reads its ring.
    """
    import asyncio
    import json

    from dataplane.bench.shadow.figures import measure
    from dataplane.bench.shadow.stream import be_first
    from dataplane.errors import DataplaneError

    be_first()
    try:
        figures = asyncio.run(measure(seconds, snapshot, _say))
    except DataplaneError as error:
        raise click.ClickException(str(error)) from error
    _say("")
    click.echo(figures.text())
    if file is not None:
        file.write_text(json.dumps(figures.values(), indent=1) + "\n")


def _say(text: str) -> None:
    """Tell how far it is, where somebody looks on."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:40}\r")
        sys.stderr.flush()

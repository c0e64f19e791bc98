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
@click.option(
    "--kills",
    type=click.IntRange(0, 100),
    default=20,
    show_default=True,
    help="How often an engine fails under connections; 0: nothing with real engines.",
)
@click.option(
    "--detections",
    type=click.IntRange(1, 200),
    default=50,
    show_default=True,
    help="How often one fails on a loaded machine.",
)
@click.option(
    "--watch",
    "watch_s",
    type=click.FloatRange(0, 3600),
    default=600,
    show_default=True,
    help="Seconds to wait for false alarms there.",
)
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write here.")
def shadow(
    seconds: float,
    snapshot: int,
    kills: int,
    detections: int,
    watch_s: float,
    file: Path | None,
) -> None:
    """Replication of connections, and what becomes of them when their engine fails.

    First between two processes that speak UDP over loopback, events made up and read as an agent
    reads its ring: bytes, lag, the highest rate, a snapshot. Then with real engines and agents in
    namespaces, in three stages: failures under real connections, and how soon they are found.
    """
    import asyncio
    import json
    import tempfile

    from dataplane.bench.namespace import run_inside
    from dataplane.bench.shadow.figures import measure
    from dataplane.bench.shadow.stream import be_first
    from dataplane.bench.stage.report import text
    from dataplane.errors import DataplaneError

    be_first()
    try:
        figures = asyncio.run(measure(seconds, snapshot, _say))
    except DataplaneError as error:
        raise click.ClickException(str(error)) from error
    _say("")
    click.echo(figures.text())
    values = figures.values()
    if kills:
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            options = {
                "kills": kills, "detections": detections, "watch_s": watch_s, "json": out.name,
            }  # fmt: skip
            try:
                status = run_inside(
                    ["stage", json.dumps(options)], 300 + 3 * (kills + detections) + watch_s
                )
            except DataplaneError as error:
                raise click.ClickException(str(error)) from error
            if status:
                raise SystemExit(status)
            found = json.loads(Path(out.name).read_text())
        _say("")
        click.echo(text(found))
        values.update(found)
    if file is not None:
        file.write_text(json.dumps(values, indent=1) + "\n")


def _say(text: str) -> None:
    """Tell how far it is, where somebody looks on."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:40}\r")
        sys.stderr.flush()

"""The ``detect`` command of ``foresteer``."""

from pathlib import Path

import click

from models.anomaly.errors import DetectError

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--csv", "source", type=_FILE, required=True, help="Columns timestamp and value.")
@click.option("--out", type=_FILE, required=True, help="Where the scores go; is overwritten.")
@click.option(
    "--budget",
    type=click.FloatRange(0.0, min_open=True),
    default=None,
    help="False alarms allowed per 1,000 rows; 2.5 by default.",
)
def detect(source: Path, out: Path, budget: float | None) -> None:
    """Score how anomalous each row of a series is, from itself and the rows before it."""
    from models.anomaly.csvfile import detect_file
    from models.anomaly.detector import BUDGET

    try:
        counts = detect_file(source, out, BUDGET if budget is None else budget)
    except DetectError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{out}: {counts.rows} rows, {counts.alarms} alarms; {counts.bad_values} bad values,"
        f" {counts.bad_times} unreadable times, {counts.set_back} set back"
    )

"""The benchmark's part of the ``foresteer`` command."""

from pathlib import Path

import click


@click.group()
def bench() -> None:
    """Measure the data plane on this machine, beside its peers."""


@bench.command()
@click.option("--rounds", type=click.IntRange(1, 1000), default=7, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0.02, 10),
    default=0.2,
    show_default=True,
    help="How long each figure is measured in each round.",
)
@click.option("--only", metavar="NAME[,NAME]", help="Measure these only.")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write here.")
def dataplane(rounds: int, seconds: float, only: str | None, file: Path | None) -> None:
    """Packets per second and nanoseconds per packet, of ours and of others, in one run."""
    _inside(
        "dataplane",
        {
            "rounds": rounds,
            "seconds": seconds,
            "only": only,
            "json": str(file.absolute()) if file else None,
        },
        timeout_s=120 + rounds * (60 + 60 * seconds),
    )


def _inside(job: str, options: dict[str, object], timeout_s: float) -> None:
    """Do a job in namespaces of its own, and end as it ended."""
    import json
    import sys

    from dataplane.bench.namespace import run_inside
    from dataplane.errors import DataplaneError

    try:
        status = run_inside([job, json.dumps(options)], timeout_s)
    except DataplaneError as error:
        raise click.ClickException(str(error)) from error
    if status:
        sys.exit(1)

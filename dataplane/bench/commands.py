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


@bench.command()
@click.option("--rate", type=click.IntRange(1000, 20_000_000), default=1_000_000, show_default=True)
@click.option("--connections", type=click.IntRange(1, 131_072), default=100_000, show_default=True)
@click.option(
    "--new",
    type=click.FloatRange(0.0001, 0.3),
    default=0.01,
    show_default=True,
    help="The share of the packets that open a connection.",
)
@click.option("--seconds", type=click.FloatRange(1, 600), default=10, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write here.")
def system(rate: int, connections: int, new: float, seconds: float, file: Path | None) -> None:
    """Requests per second through mark and balance, with events, counters and the agent.

    One core generates, forwards and receives, the agent and its bus have another. Half way, the
    weights of all backends change: connections must stay where they are.
    """
    _inside(
        "system",
        {
            "rate": rate,
            "connections": connections,
            "new": new,
            "seconds": seconds,
            "json": str(file.absolute()) if file else None,
        },
        timeout_s=120 + 3 * seconds,
    )


@bench.command()
@click.option("--rate", type=click.IntRange(1000, 20_000_000), default=1_000_000, show_default=True)
@click.option("--connections", type=click.IntRange(1, 100_000), default=10_000, show_default=True)
@click.option(
    "--beside",
    type=click.IntRange(1000, 10_000_000),
    default=50_000,
    show_default=True,
    help="Packets per second of established connections.",
)
@click.option("--seconds", type=click.FloatRange(1, 600), default=30, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write here.")
def flood(rate: int, connections: int, beside: int, seconds: float, file: Path | None) -> None:
    """A flood of SYNs, each of a new flow, beside established connections that must not break."""
    _inside(
        "flood",
        {
            "rate": rate,
            "connections": connections,
            "beside": beside,
            "seconds": seconds,
            "json": str(file.absolute()) if file else None,
        },
        timeout_s=120 + 3 * seconds,
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

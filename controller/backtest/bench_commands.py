"""The ``bench decide`` command of ``foresteer``."""

import json
import math
from itertools import pairwise
from pathlib import Path

import click


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="FORESTEER_DATA",
    help="Where measured data lie (FORESTEER_DATA).",
)
@click.option("--only", metavar="NAME[,NAME]", help="Measure these networks only.")
@click.option("--steered", type=click.IntRange(1), default=None, help="Demands optimised at most.")
@click.option(
    "--full",
    is_flag=True,
    help="Also solve the largest network whole, to tell what reducing it costs (minutes).",
)
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), default=None)
def decide(
    data: Path | None, only: str | None, steered: int | None, out: Path | None, *, full: bool
) -> None:
    """What one whole decision takes as networks grow, in processor time."""
    from controller.backtest.bench import NETWORKS, TARGETS_MS, bench, find_network
    from controller.state import Policies
    from headers.errors import FileError

    policies = Policies() if steered is None else Policies(steered=steered)
    names = only.split(",") if only else list(NETWORKS)
    rows = []
    click.echo(
        f"{'network':<11} {'nodes':>5} {'links':>5} {'demands':>7} {'steered':>7} {'ms':>8}"
        f" {'target':>7} {'first':>8} {'iterations':>10} {'worst link':>10} {'plain':>7}"
    )
    for name in names:
        try:
            network = find_network(name, data)
        except FileError as error:
            raise click.ClickException(str(error)) from error
        large = len(network.nodes) * (len(network.nodes) - 1) > policies.steered
        one = bench(network, name, policies, whole=full and large)
        rows.append(one)
        target = f"{TARGETS_MS[name]:.0f}" if name in TARGETS_MS else "-"
        click.echo(
            f"{one.name:<11} {one.nodes:5d} {one.links:5d} {one.demands:7d} {one.steered:7d}"
            f" {one.decide_ms:8.1f} {target:>7} {one.first_ms:8.0f} {one.iterations:10d}"
            f" {one.utilisation:10.4f} {one.plain:7.4f}"
        )
        if one.least is not None and one.least_s is not None:
            click.echo(
                f"  the whole program: {one.least:.4f}, in {one.least_s:.0f} s; reduced to"
                f" {one.steered} demands it is {100 * (one.utilisation / one.least - 1):.2f} %"
                " above that"
            )
    for small, large_ in pairwise(rows):
        more = large_.demands / small.demands
        longer = large_.decide_ms / small.decide_ms
        click.echo(
            f"{small.name} to {large_.name}: {more:.1f} times the demands, {longer:.1f} times the"
            f" time (demands to the power of {math.log(longer) / math.log(more):.2f})"
        )
    if out:
        out.write_text(json.dumps({"networks": [one.to_dict() for one in rows]}, indent=1) + "\n")

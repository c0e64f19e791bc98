"""The ``bench policies`` command of ``foresteer``."""

import json
import math
from itertools import pairwise
from pathlib import Path

import click


@click.command()
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), default=None)
def policies(out: Path | None) -> None:
    """What evaluating policies at locations takes as both grow, in processor time."""
    from controller.policies.bench import SERVICES, SIZES, TARGETS_MS, bench

    rows = []
    click.echo(
        f"{'policies':>8} {'locations':>9} {'pairs':>9} {'shapes':>6} {'ms':>8} {'target':>7}"
        f" {'ns a pair':>9} {'in force':>8} {'services ms':>11} {'compile ms':>10}"
    )
    for size in SIZES:
        one = bench(*size)
        rows.append(one)
        target = f"{TARGETS_MS[one.pairs]:.0f}" if one.pairs in TARGETS_MS else "-"
        click.echo(
            f"{one.policies:8d} {one.locations:9d} {one.pairs:9d} {one.shapes:6d}"
            f" {one.evaluate_ms:8.2f} {target:>7} {1e6 * one.evaluate_ms / one.pairs:9.0f}"
            f" {one.active:8d} {one.standing_ms:11.1f} {one.compile_ms:10.1f}"
        )
    for small, large in pairwise(rows):
        if large.pairs > small.pairs:
            more, longer = large.pairs / small.pairs, large.evaluate_ms / small.evaluate_ms
            click.echo(
                f"{small.pairs} to {large.pairs} pairs: {more:.0f} times the pairs,"
                f" {longer:.1f} times the time (to the power of"
                f" {math.log(longer) / math.log(more):.2f})"
            )
    click.echo(
        "ms: which granular rules are in force where; services ms: where as many service policies"
        f" let {SERVICES} services be used; compile ms: once, when they are loaded"
    )
    if out:
        out.write_text(json.dumps({"sizes": [one.to_dict() for one in rows]}, indent=1) + "\n")

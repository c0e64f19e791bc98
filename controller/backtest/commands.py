"""The ``backtest te`` command of ``foresteer``."""

import json
from pathlib import Path

import click


def _named(_context: object, _option: object, text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if not names or len(set(names)) < len(names):
        raise click.BadParameter(f"{text!r} does not name methods, each once")
    return names


@click.command()
@click.option("--tm", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--topology", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--horizon-steps", "horizon", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--methods",
    callback=_named,
    default="ospf,ecmp,reactive,reactive2,predictive",
    show_default=True,
    help="Which methods: ospf, ecmp, reactive, reactive2, predictive, robust.",
)
@click.option("--from", "start", type=int, default=None, help="First interval that is scored.")
@click.option("--to", "stop", type=int, default=None, help="Interval to stop before.")
@click.option("--k", "paths", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), default=None)
def te(
    tm: Path,
    topology: Path,
    horizon: int,
    methods: tuple[str, ...],
    start: int | None,
    stop: int | None,
    paths: int,
    out: Path | None,
) -> None:
    """Decide on the past, score on what came: maximum link utilisation over the optimum's."""
    from rich.progress import Progress

    from controller.backtest.network import test_network
    from controller.backtest.run import backtest_te, bootstrap_difference
    from controller.decide import DecideError
    from headers.errors import FileError
    from headers.files import load_matrices, load_topology
    from models import ForecastError

    try:
        network = test_network(load_topology(topology), load_matrices(tm))
        count = len(network.tm_bps)
        first = max(count // 2, horizon + 1) if start is None else start
        last = count if stop is None else stop
        with Progress(transient=True) as progress:
            tasks = {name: progress.add_task(name, total=last - first) for name in methods}
            found = backtest_te(
                network, methods, horizon, first, last, paths=paths,
                say=lambda name, done, _all: progress.update(tasks[name], completed=done),
            )  # fmt: skip
    except (FileError, DecideError, ForecastError) as error:
        raise click.ClickException(str(error)) from error
    label = f"{network.name}{' (synthetic)' if network.synthetic else ''}"
    click.echo(
        f"{label}: intervals {first} to {last}, decided {horizon} steps ahead; maximum utilisation"
        " over the optimum"
    )
    click.echo(
        f"{'method':<12} {'mean':>7} {'p50':>7} {'p95':>7} {'p99':>7} {'moved':>8} {'ms':>7}"
    )
    report = {name: one.to_dict() for name, one in found.items()}
    for name, one in report.items():
        r = one["ratio"]
        click.echo(
            f"{name:<12} {r['mean']:7.4f} {r['p50']:7.4f} {r['p95']:7.4f} {r['p99']:7.4f}"
            f" {100 * one['churn']:6.2f} % {one['solve_ms']['p50']:7.1f}"
        )
    day = max(1, round(86_400 / network.step_s))
    compared = {}
    for name in methods:
        if name != "reactive2" and "reactive2" in found:
            mean, low, high = bootstrap_difference(
                found[name].ratio, found["reactive2"].ratio, max(1, day // 8)
            )
            compared[name] = {"mean": mean, "low": low, "high": high}
            click.echo(f"{name} - reactive2: {mean:+.4f} (95 %: {low:+.4f} to {high:+.4f})")
    if out:
        content = {
            "data": {"name": network.name, "synthetic": network.synthetic},
            "horizon_steps": horizon,
            "from": first,
            "to": last,
            "k": paths,
            "methods": report,
            "minus_reactive2": compared,
        }
        out.write_text(json.dumps(content, indent=1) + "\n")

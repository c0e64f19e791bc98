"""The ``backtest te`` and ``backtest congestion`` commands of ``foresteer``."""

import json
from pathlib import Path

import click


def named(_context: object, _option: object, text: str) -> tuple[str, ...]:
    """Return ``ospf,ecmp`` as names.

    Raises:
        click.BadParameter: there is none, or one occurs twice.
    """
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
    callback=named,
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


@click.command()
@click.option("--tm", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--topology", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--horizon-steps", "horizon", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--methods",
    callback=named,
    default="ospf,reactive,reactive2,predictive,clairvoyant",
    show_default=True,
    help="Which: ospf, ecmp, reactive, reactive2, predictive, robust; and clairvoyant, which"
    " sees what comes: what no method can avoid.",
)
@click.option("--from", "start", type=int, default=None, help="First interval that is scored.")
@click.option("--to", "stop", type=int, default=None, help="Interval to stop before.")
@click.option("--k", "paths", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option(
    "--optimum",
    type=click.FloatRange(0, min_open=True),
    default=0.8,
    show_default=True,
    help="What the 95th percentile of the optimum is scaled to, as a share of capacity.",
)
@click.option(
    "--fail-every-h",
    type=click.FloatRange(0),
    default=0.0,
    help="Hours from one cable's outage (of an hour) to the next one's; 0: none fails.",
)
@click.option("--bursts", "with_bursts", is_flag=True, help="Plant bursts of a few demands.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the bursts.")
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), default=None)
def congestion(
    tm: Path,
    topology: Path,
    horizon: int,
    methods: tuple[str, ...],
    start: int | None,
    stop: int | None,
    paths: int,
    optimum: float,
    fail_every_h: float,
    with_bursts: bool,
    seed: int,
    out: Path | None,
) -> None:
    """Overloaded link-minutes and lost volume, with traffic that fills the network."""
    from rich.progress import Progress

    from controller.backtest.congestion import compare
    from controller.backtest.congestion import congestion as suffer
    from controller.backtest.network import test_network
    from controller.backtest.scenario import LEVEL, scenario
    from controller.decide import DecideError
    from headers.errors import FileError
    from headers.files import load_matrices, load_topology
    from models import ForecastError

    try:
        network = test_network(load_topology(topology), load_matrices(tm))
        count = len(network.tm_bps)
        first = max(count // 2, horizon + 1) if start is None else start
        last = count if stop is None else stop
        if not horizon <= first < last <= count:
            raise DecideError(f"there are no intervals {first} to {last} among {count}")
        hard = scenario(
            network, first, last, optimum=optimum, fail_every_h=fail_every_h,
            with_bursts=with_bursts, seed=seed,
        )  # fmt: skip
        with Progress(transient=True) as progress:
            tasks = {name: progress.add_task(name, total=last - first) for name in methods}
            found = suffer(
                hard, methods, horizon, first, last, paths=paths,
                say=lambda name, done, _all: progress.update(tasks[name], completed=done),
            )  # fmt: skip
    except (FileError, DecideError, ForecastError) as error:
        raise click.ClickException(str(error)) from error
    label = f"{network.name}{' (synthetic)' if network.synthetic else ''}"
    click.echo(
        f"{label}: intervals {first} to {last}, decided {horizon} steps ahead; traffic times"
        f" {hard.scale:.3g} (the optimum's {100 * LEVEL:.0f}th percentile is {optimum:g}),"
        f" {len(hard.bursts)} bursts, {len(hard.outages)} outages"
    )
    click.echo(f"{'method':<12} {'overloaded link-min':>20} {'lost GB':>10} {'lost':>9}")
    report = {name: one.to_dict() for name, one in found.items()}
    for name, one in report.items():
        click.echo(
            f"{name:<12} {one['overloaded_link_minutes']:20.0f} {one['lost_bytes'] / 1e9:10.2f}"
            f" {100 * one['lost_share']:7.4f} %"
        )
    compared = compare(found, max(1, round(86_400 / network.step_s) // 8))
    for name, figures in compared.items():
        minutes, lost = figures["overloaded_link_minutes"], figures["lost_bytes"]
        click.echo(
            f"predictive - {name}: {minutes['difference']:+.0f} link-min"
            f" (95 %: {minutes['low']:+.0f} to {minutes['high']:+.0f}),"
            f" {lost['difference'] / 1e9:+.2f} GB"
            f" (95 %: {lost['low'] / 1e9:+.2f} to {lost['high'] / 1e9:+.2f})"
        )
    if out:
        content = {
            "data": {"name": network.name, "synthetic": network.synthetic},
            "horizon_steps": horizon,
            "from": first,
            "to": last,
            "k": paths,
            "scale": hard.scale,
            "optimum": {"quantile": LEVEL, "utilisation": optimum},
            "seed": seed,
            "bursts": [
                {"from": one.start, "to": one.stop, "factor": one.factor,
                 "demands": [[network.nodes[a], network.nodes[b]] for a, b in one.pairs]}
                for one in hard.bursts
            ],
            "outages": [
                {"from": one.start, "to": one.stop, "links": sorted(one.links)}
                for one in hard.outages
            ],
            "methods": report,
            "predictive_minus": compared,
        }  # fmt: skip
        out.write_text(json.dumps(content, indent=1) + "\n")

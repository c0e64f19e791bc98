"""The ``backtest`` command of ``foresteer``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from headers.files import FileError
from models.errors import ForecastError, ModelError

if TYPE_CHECKING:
    from models.backtest.run import Result
    from models.forecaster import Forecaster


@click.group()
def backtest() -> None:
    """Measure on the past, with no look-ahead."""


def parse_horizons(_context: object, _option: object, text: str) -> tuple[int, ...]:
    """Return ``1,3,12`` as numbers.

    Raises:
        click.BadParameter: something is not a whole number from 1 on, or occurs twice.
    """
    try:
        horizons = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers like 1,3,12") from error
    if min(horizons) < 1 or len(set(horizons)) != len(horizons):
        raise click.BadParameter(f"{text!r}: steps begin at 1 and are named once each")
    return horizons


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Series to back-test: ``values`` [T, S], NaN for gaps; ``groups`` [S] weighed together."""

    name: str
    synthetic: bool
    step_s: float
    values: NDArray[np.float64]
    groups: Sequence[int]
    names: tuple[str, ...]


def read_question(tm: Path | None, series: Path | None, bin_s: float | None) -> Question:
    """Return what a matrix file, or a rate file in bins of ``bin_s``, asks for.

    Demands of one source are one group. The first interval counts as midnight: where a file begins
    at another time, its hours are called otherwise, and grouped the same.

    Raises:
        FileError: the file is none, or the bins are no multiple of its step.
        click.UsageError: not exactly one file is named.
    """
    from headers.files import load_matrices, load_rates
    from models.datasets.grid import matrix_grid, rate_grid

    if (tm is None) == (series is None):
        raise click.UsageError("name one file: --tm for traffic matrices or --series for one rate")
    if tm is not None:
        matrices = load_matrices(tm)
        grid, synthetic, name = matrix_grid(matrices), matrices.synthetic, matrices.name
    else:
        assert series is not None
        rates = load_rates(series)
        grid, synthetic, name = rate_grid(rates), rates.synthetic, rates.name
    step_s, values = grid.step_s, grid.values
    if bin_s is not None:
        if tm is not None:
            raise click.UsageError("--bin-s is for --series: matrices hold rates, which do not add")
        many = round(bin_s / step_s)
        if many < 1 or abs(many * step_s - bin_s) > 1e-6:
            raise FileError(f"{name}: bins of {bin_s:g} s are no multiple of its {step_s:g} s")
        whole = len(values) // many * many
        values = values[:whole].reshape(-1, many, values.shape[1]).sum(axis=1)
        step_s = bin_s
    sources = [one.split(">")[0] for one in grid.names]
    order = {source: at for at, source in enumerate(dict.fromkeys(sources))}
    return Question(
        name, synthetic, step_s, values, [order[source] for source in sources], grid.names
    )


def candidates(model: Path | None) -> "list[Forecaster]":
    """Return what the loop has: the network (the shipped one, or ``model``), EWMA, last value.

    Raises:
        ModelError: the model cannot be used.
    """
    from models.neural import load_model, load_shipped_model
    from models.simple import Ewma, LastValue

    return [load_model(model) if model else load_shipped_model(), Ewma(), LastValue()]


def peers_named(names: str) -> "list[Forecaster]":
    """Return the peers in a list like ``seasonal,ar``.

    Raises:
        click.BadParameter: one is unknown.
        ModelError: one is not installed.
    """
    from models.simple import Autoregressive, Seasonal

    kinds = {"seasonal": Seasonal, "ar": Autoregressive}
    asked = [name for name in names.split(",") if name]
    if unknown := set(asked) - set(kinds):
        raise click.BadParameter(f"{min(unknown)!r} is not one of {', '.join(kinds)}")
    return [kinds[name]() for name in asked]


def show(result: "Result") -> None:
    """Print a table of measures, and how the forecast in use did against EWMA."""
    click.echo(
        f"{'steps':>5}  {'forecaster':<10}  {'nmae':>6}  {'pinball':>7}  {'crps':>6}"
        "  in 50/80/90 %     width  winkler"
    )
    for horizon, by_name in result.measures.items():
        for name, found in by_name.items():
            inside = " ".join(f"{100 * share:4.1f}" for share in found.coverage.values())
            click.echo(
                f"{horizon:>5}  {name:<10}  {found.nmae:6.4f}  {found.pinball:7.4f}"
                f"  {found.crps:6.4f}  {inside:<16}{found.width:7.3f}  {found.winkler:7.3f}"
            )
    for horizon in result.measures:
        parts = [
            f"{word} {np.nanmax(ratios):.3f}"
            for word, ratios in (
                ("worst group and day", result.days[horizon]),
                ("week", result.weeks[horizon]),
            )
            if ratios.size
        ]
        covered = [
            f"by {word} {np.nanmin(shares):.3f} to {np.nanmax(shares):.3f}"
            for word, shares in result.conditions[horizon].items()
        ]
        click.echo(f"{horizon:>5}  inside the 90 % interval of foresteer: {', '.join(covered)}")
        said = ", ".join(parts) or "less than a third of a day was measured"
        click.echo(f"{horizon:>5}  pinball of foresteer over ewma: {said}")


@backtest.command()
@click.option("--tm", type=click.Path(path_type=Path, dir_okay=False), help="Traffic matrix file.")
@click.option("--series", type=click.Path(path_type=Path, dir_okay=False), help="Rate file.")
@click.option("--bin-s", type=float, default=None, help="Sum the rate file into bins this long.")
@click.option("--horizons", callback=parse_horizons, default="1,3,12", show_default=True)
@click.option("--from", "start", type=int, default=None, help="First interval to forecast.")
@click.option("--to", "stop", type=int, default=None, help="Interval to stop before.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="ONNX file to measure instead of the shipped one.",
)
@click.option(
    "--fine-tune",
    is_flag=True,
    help="Also tune the network on everything before the first interval, and measure that.",
)
@click.option(
    "--beside",
    default="seasonal",
    show_default=True,
    help="Who else is measured, but not mixed in: of seasonal, ar (takes long).",
)
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), default=None)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="PNG file for fans against truth and for calibration.",
)
def forecast(
    tm: Path | None,
    series: Path | None,
    bin_s: float | None,
    horizons: tuple[int, ...],
    start: int | None,
    stop: int | None,
    model: Path | None,
    fine_tune: bool,
    beside: str,
    out: Path | None,
    plot: Path | None,
) -> None:
    """Measure the forecast in use beside its candidates on a file of matrices or of one rate."""
    from models.backtest.plots import Recorder
    from models.backtest.run import backtest as run
    from models.backtest.run import report

    try:
        peers = peers_named(beside)
        asked = read_question(tm, series, bin_s)
        count = len(asked.values)
        first = min(count // 2, 320) if start is None else start
        last = count if stop is None else stop
        forecasters = candidates(model)
        if fine_tune:
            forecasters.insert(1, _tuned(forecasters[0], asked.values[:first], asked.step_s))
        recorder = Recorder(asked.values, asked.names) if plot else None
        result = run(
            asked.values,
            forecasters,
            horizons,
            asked.step_s,
            first,
            last,
            beside=peers,
            groups=asked.groups,
            watch=recorder.watch if recorder else None,
        )
        if recorder and plot:
            recorder.draw(plot, asked.name, asked.step_s, asked.synthetic)
    except (FileError, ForecastError, ModelError) as error:
        raise click.ClickException(str(error)) from error
    label = f"{asked.name}{' (synthetic)' if asked.synthetic else ''}"
    network = getattr(forecasters[0], "model", "")
    click.echo(f"{label}: {asked.values.shape[1]} series, intervals {first} to {last}, {network}")
    show(result)
    if out:
        content = {
            "data": {"name": asked.name, "synthetic": asked.synthetic},
            "model": network,
            "fine_tuned": fine_tune,
            "step_s": asked.step_s,
            "from": first,
            "to": last,
            "horizons": report(result),
            "coverage_90_by": {str(h): found for h, found in result.conditions.items()},
            "worst_pinball_over_ewma": {
                str(h): {
                    "day": _worst(result.days[h]),
                    "week": _worst(result.weeks[h]),
                }
                for h in result.measures
            },
        }
        out.write_text(json.dumps(content, indent=1) + "\n")


@backtest.command()
@click.option("--horizons", callback=parse_horizons, default="1,3,12", show_default=True)
def speed(horizons: tuple[int, ...]) -> None:
    """Measure one tick of forecasting for 100, 1,000 and 10,000 series, on one core."""
    from models.backtest.speed import measure_speed

    click.echo(f"{'series':>7}  {'tick':>8}  {'network':>8}  per series   (processor time)")
    for series in (100, 1_000, 10_000):
        found = measure_speed(series, horizons)
        click.echo(
            f"{series:>7}  {found.tick_s:7.3f}s  {found.network_s:7.3f}s"
            f"  {found.tick_s / series * 1e6:7.1f} us"
        )


def _worst(ratios: NDArray[np.float64]) -> float | None:
    return round(float(np.nanmax(ratios)), 4) if ratios.size else None


def _tuned(network: "Forecaster", past: NDArray[np.float64], step_s: float) -> "Forecaster":
    from models.neural import OnnxForecaster
    from models.neural.tuning import tune

    assert isinstance(network, OnnxForecaster)
    return tune(network, past, step_s, say=lambda text: click.echo(text, err=True))

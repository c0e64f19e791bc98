"""The ``train`` and ``backtest`` commands of ``foresteer``."""

import json
from pathlib import Path

import click

from headers.files import FileError
from models.errors import ForecastError, ModelError, TrainingError

_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="FORESTEER_DATA",
    default=Path("data"),
    show_default=True,
    help="Folder with the measured sets (also FORESTEER_DATA).",
)


@click.command()
@_DATA
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/model"),
    show_default=True,
    help="Folder for the ONNX file and its card.",
)
@click.option("--seed", type=int, default=None, help="Seed of the run; the recipe's by default.")
@click.option("--steps", type=click.IntRange(1), default=None, help="Training steps.")
def train(data: Path, out: Path, seed: int | None, steps: int | None) -> None:
    """Train the pooled model and write it with its card (needs the extra 'train')."""
    from models.neural.release import make_model, training_recipe

    try:
        card = make_model(data, out, training_recipe(seed=seed, steps=steps), click.echo)
    except (TrainingError, FileError, ModelError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out / card.name}.onnx: {card.size_bytes} bytes, sha256 {card.sha256}")


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


@backtest.command()
@click.option(
    "--tm",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Traffic matrix file.",
)
@click.option("--horizons", callback=parse_horizons, default="1,3,12", show_default=True)
@click.option("--from", "start", type=int, default=None, help="First interval to forecast.")
@click.option("--to", "stop", type=int, default=None, help="Interval to stop before.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="ONNX file to measure instead of the shipped one.",
)
@click.option("--json", "out", type=click.Path(path_type=Path, dir_okay=False), default=None)
def forecast(
    path: Path,
    horizons: tuple[int, ...],
    start: int | None,
    stop: int | None,
    model: Path | None,
    out: Path | None,
) -> None:
    """Measure the model beside EWMA and the last value on a traffic matrix file."""
    from headers.files import load_matrices
    from models.backtest import backtest as run
    from models.backtest import report
    from models.neural import load_model, load_shipped_model
    from models.simple import Ewma, LastValue

    try:
        matrices = load_matrices(path)
        count = len(matrices)
        values = matrices.tm_mbps.reshape(count, -1)
        values = values[:, values.max(axis=0) > 0.0]
        neural = load_model(model) if model else load_shipped_model()
        first = min(count // 2, 320) if start is None else start
        last = count if stop is None else stop
        results = run(values, (neural, Ewma(), LastValue()), horizons, matrices.step_s, first, last)
    except (FileError, ForecastError, ModelError) as error:
        raise click.ClickException(str(error)) from error
    label = f"{matrices.name}{' (synthetic)' if matrices.synthetic else ''}"
    click.echo(f"{label}: {values.shape[1]} series, intervals {first} to {last}, {neural.model}")
    click.echo(
        f"{'steps':>5}  {'forecaster':<10}  {'nmae':>6}  {'pinball':>7}  in 50/80/90 %     width"
    )
    for horizon, by_name in results.items():
        for name, found in by_name.items():
            inside = " ".join(f"{100 * share:4.1f}" for share in found.coverage.values())
            click.echo(
                f"{horizon:>5}  {name:<10}  {found.nmae:6.4f}  {found.pinball:7.4f}  {inside:<16}"
                f"{found.width:7.3f}"
            )
    if out:
        content = {
            "data": {"name": matrices.name, "synthetic": matrices.synthetic},
            "model": neural.model,
            "step_s": matrices.step_s,
            "from": first,
            "to": last,
            "horizons": report(results),
        }
        out.write_text(json.dumps(content, indent=1) + "\n")

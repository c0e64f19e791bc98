"""The ``train`` command of ``foresteer``."""

import resource
import time
from pathlib import Path

import click

from headers.files import FileError
from models.errors import ModelError, TrainingError

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
@click.option(
    "--tm",
    "own",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="History of your own network to train on as well: a matrix file or an SNDlib archive.",
)
def train(
    data: Path, out: Path, seed: int | None, steps: int | None, own: tuple[Path, ...]
) -> None:
    """Train the pooled model and write it with its card (needs the extra 'train')."""
    from models.datasets.own import read_own
    from models.neural.release import make_model, training_recipe

    start = time.monotonic()
    try:
        sets = tuple(read_own(path) for path in own)
        card = make_model(data, out, training_recipe(seed=seed, steps=steps), click.echo, own=sets)
    except (TrainingError, FileError, ModelError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out / card.name}.onnx: {card.size_bytes} bytes, sha256 {card.sha256}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(f"{time.monotonic() - start:.0f} s, at most {peak:.0f} MiB of memory")

"""Making a model that can be shipped: data, training, checks, the file and its card."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.backtest import backtest
from models.datasets import load_permitted, made_up_sets
from models.errors import TrainingError
from models.neural.cards import ModelCard, sha256_of, write_card
from models.neural.features import FEATURES
from models.neural.forecaster import load_model
from models.neural.recipe import INPUTS, OPSET, OUTPUTS, Recipe
from models.neural.samples import HORIZON_MAX, SeriesSet
from models.quantiles import QUANTILES
from models.simple import Ewma

Trainer = Callable[[tuple[SeriesSet, ...], Recipe, Callable[[str], None]], bytes]
"""From training sets and recipe to an ONNX file's content; tells its progress."""

NAME = "pooled"
LICENCE = "Apache-2.0"


def training_recipe(*, seed: int | None = None, steps: int | None = None) -> Recipe:
    """Return the shipped model's recipe, with another seed or number of steps if asked for."""
    asked: dict[str, Any] = {"seed": seed, "steps": steps}
    return dataclasses.replace(Recipe(), **{k: v for k, v in asked.items() if v is not None})


def make_card(
    content: bytes, recipe: Recipe, sets: tuple[SeriesSet, ...], skill: dict[str, Any]
) -> ModelCard:
    """Return the card of a model file made by a recipe from sets."""
    data = {
        (one.name, one.licence): {
            "name": one.name,
            "licence": one.licence,
            "synthetic": "synthetic" in one.name,
            "intervals": [],
        }
        for one in sets
    }
    for one in sets:
        entry: Any = data[one.name, one.licence]["intervals"]
        shape = f"{len(one.values)} of {one.step_s:g} s"
        if shape not in entry:
            entry.append(shape)
    return ModelCard(
        name=NAME,
        sha256=sha256_of(content),
        size_bytes=len(content),
        opset=OPSET,
        inputs=list(INPUTS),
        outputs=list(OUTPUTS),
        levels=list(QUANTILES),
        features=FEATURES,
        horizon_max=HORIZON_MAX,
        recipe=dataclasses.asdict(recipe),
        data=list(data.values()),
        skill=skill,
        licence=LICENCE,
        reproduce=f"foresteer train --data DIR --out DIR --seed {recipe.seed}"
        f" --steps {recipe.steps}",
    )


def measure(model: Path, sets: tuple[SeriesSet, ...]) -> dict[str, Any]:
    """Return NMAE and pinball loss of a model and of EWMA on sets that were held back."""
    forecaster = load_model(model)
    skill: dict[str, Any] = {}
    for number, one in enumerate(sets):
        stop = min(len(one.values), one.start + 300)
        found = backtest(
            one.values, (forecaster, Ewma()), (1, 4, 12), one.step_s, one.start, stop
        ).measures
        skill[f"{one.name}-{number}"] = {
            str(horizon): {
                "nmae": round(by[forecaster.name].nmae, 5),
                "nmae_over_ewma": round(by[forecaster.name].nmae / by["ewma"].nmae, 4),
                "pinball_over_ewma": round(by[forecaster.name].pinball / by["ewma"].pinball, 4),
                "coverage_90": round(by[forecaster.name].coverage["90"], 3),
            }
            for horizon, by in found.items()
        }
    ratios = [v["nmae_over_ewma"] for by in skill.values() for v in by.values()]
    skill["mean_nmae_over_ewma"] = round(float(np.mean(ratios)), 4)
    return skill


def torch_trainer() -> Trainer:
    """Return the trainer that makes the shipped model.

    Raises:
        TrainingError: torch is not there.
    """
    try:
        from models.neural.training import train_network
    except ImportError as error:
        raise TrainingError(
            f"{error.name} is not installed: training needs the extra packages of"
            " 'pip install foresteer[train]'"
        ) from error
    return train_network


def make_model(
    data: Path,
    out: Path,
    recipe: Recipe,
    say: Callable[[str], None] = print,
    trainer: Trainer | None = None,
    *,
    own: tuple[SeriesSet, ...] = (),
) -> ModelCard:
    """Train, export, measure on what was held back, and write ``pooled_gru.onnx`` with its card.

    Raises:
        TrainingError: torch is not there, or the folder cannot be written.
        FileError: a data file is missing or damaged.
        ModelError: what was trained is no usable model.
    """
    trainer = trainer or torch_trainer()
    say("reading the measured sets and making up others")
    measured, made_up = load_permitted(data), made_up_sets(recipe.seed, recipe.groups, recipe.share)
    sets = measured.training + made_up.training + own
    content = trainer(sets, recipe, say)
    model = out / f"{NAME}.onnx"
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial = model.with_suffix(".part")
        partial.write_bytes(content)
        partial.replace(model)
    except OSError as error:
        raise TrainingError(f"{model}: {error.strerror}") from error
    write_card(make_card(content, recipe, sets, {}), model)
    say("measuring on what was held back")
    skill = measure(model, measured.validation + made_up.validation[:4])
    card = make_card(content, recipe, sets, skill)
    write_card(card, model)
    return card

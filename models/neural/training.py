"""Training of the pooled network and its export to ONNX. Needs torch and onnx (extra ``train``)."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import torch

from models.neural.network import FINE, PooledGru
from models.neural.recipe import INPUTS, OPSET, OUTPUT, Recipe
from models.neural.samples import Batch, SeriesSet, WindowSampler
from models.quantiles import QUANTILES


def _loss(net: Any, batch: Batch) -> Any:
    """Return the mean pinball loss, each window weighed by how calm it is."""
    windows = torch.from_numpy(batch.windows)
    forecast = net(
        windows, torch.from_numpy(batch.horizons), torch.from_numpy(batch.steps_s)[:, None]
    )
    error = torch.from_numpy(batch.targets)[:, :, None] - forecast
    levels = torch.tensor(QUANTILES)
    loss = torch.maximum(levels * error, (levels - 1.0) * error).mean(dim=2)
    recent = windows[:, -FINE:]
    unrest = (recent[:, 1:] - recent[:, :-1]).abs().mean(dim=1)
    return (loss / (0.05 + unrest)[:, None]).mean()


def train_network(
    sets: tuple[SeriesSet, ...], recipe: Recipe, say: Callable[[str], None] = print
) -> bytes:
    """Train on the sets and return the ONNX file's content; the recipe's seed repeats the run."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    net = PooledGru(recipe.window, recipe.hidden)
    sampler = WindowSampler(sets, recipe.window, recipe.seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, recipe.steps, pct_start=0.1
    )
    running = 0.0
    for step in range(1, recipe.steps + 1):
        loss = _loss(net, sampler.draw(recipe.batch, recipe.horizons))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        running += float(loss.detach())
        if step % 250 == 0 or step == recipe.steps:
            say(f"step {step} of {recipe.steps}: loss {running / ((step - 1) % 250 + 1):.4f}")
            running = 0.0
    return export(net, recipe)


def export(net: Any, recipe: Recipe) -> bytes:
    """Return the network as an ONNX file's content, any number of series and horizons."""
    net.eval()
    target = io.BytesIO()
    example = (torch.ones(3, recipe.window), torch.tensor([1, 2]), torch.full((3, 1), 300.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the classic exporter calls itself deprecated
        torch.onnx.export(
            net,
            example,
            target,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes={
                INPUTS[0]: {0: "series"},
                INPUTS[1]: {0: "horizons"},
                INPUTS[2]: {0: "series"},
                OUTPUT: {0: "series", 1: "horizons"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    return target.getvalue()

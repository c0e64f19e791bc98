"""Training of the pooled network and its export to ONNX. Needs torch and onnx (extra ``train``)."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from models.neural.features import FINE, features
from models.neural.network import Pooled
from models.neural.recipe import INPUTS, OPSET, OUTPUTS, Recipe
from models.neural.samples import Batch, SeriesSet, WindowSampler
from models.quantiles import QUANTILES

HEAD = ("clock", "inner", "outer")
"""The layers that tuning changes."""


def _loss(net: Any, batch: Batch) -> Any:
    """Return the mean pinball loss, each window weighed by how calm it is."""
    inputs = [torch.from_numpy(one) for one in batch.inputs]
    forecast, _ = net(*inputs)
    error = torch.from_numpy(batch.targets)[:, :, None] - forecast
    levels = torch.tensor(QUANTILES)
    loss = torch.maximum(levels * error, (levels - 1.0) * error).mean(dim=2)
    unrest = inputs[INPUTS.index("unrest")]
    return (loss / (0.05 + unrest)).mean()


def train_network(
    sets: tuple[SeriesSet, ...], recipe: Recipe, say: Callable[[str], None] = print
) -> bytes:
    """Train on the sets and return the ONNX file's content; the recipe's seed repeats the run."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    net = Pooled(recipe.hidden, recipe.cell)
    sampler = WindowSampler(sets, recipe.seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, recipe.steps, pct_start=0.1
    )
    running = 0.0
    batches = sampler.batches(recipe.batch, recipe.horizons, recipe.steps)
    for step, batch in enumerate(batches, 1):
        loss = _loss(net, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        running += float(loss.detach())
        if step % 250 == 0 or step == recipe.steps:
            say(f"step {step} of {recipe.steps}: loss {running / ((step - 1) % 250 + 1):.4f}")
            running = 0.0
    return export(net)


def export(net: Any) -> bytes:
    """Return the network as an ONNX file's content, any number of series and horizons."""
    net.eval()
    target = io.BytesIO()
    seen = features(np.ones((FINE, 3)), (1, 2), 300.0)
    example = tuple(torch.from_numpy(getattr(seen, name)) for name in INPUTS)
    by_horizon = {0: "series", 1: "horizons"}
    wide = {"ahead", "basis", "extra", OUTPUTS[0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the classic exporter calls itself deprecated
        torch.onnx.export(
            net,
            example,
            target,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes={
                name: by_horizon if name in wide else {0: "series"} for name in INPUTS + OUTPUTS
            },
            opset_version=OPSET,
            dynamo=False,
        )
    return name_weights(target.getvalue())


def name_weights(content: bytes) -> bytes:
    """Return an ONNX file whose head's weights are named, so that tuning finds them.

    The exporter folds a linear layer on three axes into a product with a constant of its own name.
    """
    import onnx

    model = onnx.load_from_string(content)
    biases = {f"{name}.bias": name for name in HEAD}
    for node in model.graph.node:
        if node.op_type != "Add" or not set(node.input) & set(biases):
            continue
        layer = next(biases[name] for name in node.input if name in biases)
        product = next(one for one in model.graph.node if one.output[0] in node.input)
        constants = {one.name: one for one in model.graph.initializer}
        old = next(name for name in product.input if name in constants)
        constants[old].name = f"{layer}.weight"
        product.input[list(product.input).index(old)] = f"{layer}.weight"
    return bytes(model.SerializeToString())

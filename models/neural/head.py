"""The network's head in NumPy, with its gradients: what tuning changes, without torch.

The same as ``Pooled.head`` in ``models.neural.network``, where the parts are explained. Everything
is [B, H, ...] for B windows and H horizons, in the windows' own scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.neural.features import BASIS
from models.neural.recipe import EXTRA
from models.quantiles import MEDIAN, QUANTILES

Array = NDArray[np.floating]
Weights = Mapping[str, NDArray[np.floating]]
"""By name: ``clock``, ``inner`` and ``outer``, each with ``.weight`` [in, out] and ``.bias``."""

LAYERS = ("clock", "inner", "outer")
TRAINED = tuple(f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias"))
PRIOR = "prior"
"""The fixed part of the mix's logits, [BASIS]; it is not trained."""

CALM = 0.05
"""A window counts by 1 / (CALM + unrest): calm and wild ones alike, as in training."""

_GATES = slice(BASIS, BASIS + EXTRA)
_CORRECTION = BASIS + EXTRA
_GAPS = slice(BASIS + EXTRA + 1, None)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What the head gets of B windows and what came after them.

    ``seen``: [B, N]. ``ahead``: [B, H, AHEAD]. ``basis``: [B, H, BASIS]. ``extra``:
    [B, H, EXTRA]. ``unrest``: [B, 1]. ``truth``: [B, H], NaN where nothing is known. ``weight``:
    [B, H], how much each counts beside the window's calm.
    """

    seen: Array
    ahead: Array
    basis: Array
    extra: Array
    unrest: Array
    truth: Array
    weight: Array

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.truth)

    def take(self, which: NDArray[np.int64]) -> "Shown":
        """Return the windows with these numbers."""
        return Shown(*(getattr(self, name)[which] for name in self.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class _Trace:
    """What the way back needs of the way there."""

    state: Array
    inner: Array
    gate: Array
    hidden: Array
    mix: Array
    gates: Array
    gaps: Array
    quantiles: Array


def quantiles_of(weights: Weights, shown: Shown) -> Array:
    """Return the quantiles [B, H, Q]."""
    return _forward(weights, shown).quantiles


def _sigmoid(x: Array) -> Array:
    half: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return half


def _forward(weights: Weights, shown: Shown) -> _Trace:
    state = np.tanh(
        shown.seen[:, None] + shown.ahead @ weights["clock.weight"] + weights["clock.bias"]
    )
    inner = state @ weights["inner.weight"] + weights["inner.bias"]
    gate = _sigmoid(inner)
    hidden = inner * gate
    out = hidden @ weights["outer.weight"] + weights["outer.bias"]
    logits = out[..., :BASIS] + weights[PRIOR]
    mix = np.exp(logits - logits.max(axis=-1, keepdims=True))
    mix /= mix.sum(axis=-1, keepdims=True)
    gates = np.tanh(out[..., _GATES])
    gaps = out[..., _GAPS] - 0.5
    steps = np.maximum(gaps, 0.0) + np.log1p(np.exp(-np.abs(gaps)))
    offsets = np.zeros((*out.shape[:-1], len(QUANTILES)), out.dtype)
    offsets[..., :MEDIAN] = -np.cumsum(steps[..., :MEDIAN], axis=-1)[..., ::-1]
    offsets[..., MEDIAN + 1 :] = np.cumsum(steps[..., MEDIAN:], axis=-1)
    offsets += out[..., _CORRECTION, None]
    centre = (mix * shown.basis).sum(axis=-1) + (gates * shown.extra).sum(axis=-1)
    quantiles = np.maximum(centre[..., None] + shown.unrest[:, None] * offsets, 0.0)
    return _Trace(state, inner, gate, hidden, mix, gates, gaps, quantiles)


def loss_of(weights: Weights, shown: Shown) -> float:
    """Return the mean pinball loss over what is known, weighed."""
    trace = _forward(weights, shown)
    return _loss(trace.quantiles, shown)[0]


def slopes_of(weights: Weights, shown: Shown) -> tuple[float, dict[str, Array]]:
    """Return the loss and its slope by every weight of TRAINED."""
    trace = _forward(weights, shown)
    loss, down = _loss(trace.quantiles, shown)
    out = _back_to_outputs(trace, shown, down)
    slopes: dict[str, Array] = {}
    hidden = _layer(slopes, "outer", trace.hidden, out, weights)
    inner = hidden * trace.gate * (1.0 + trace.inner * (1.0 - trace.gate))
    state = _layer(slopes, "inner", trace.state, inner, weights)
    _layer(slopes, "clock", shown.ahead, state * (1.0 - trace.state**2), weights)
    return loss, slopes


def _loss(quantiles: Array, shown: Shown) -> tuple[float, Array]:
    """Return the loss and its slope by the quantiles [B, H, Q]."""
    known = ~np.isnan(shown.truth)
    counts = known * shown.weight / (CALM + shown.unrest)
    total = float((known * shown.weight).sum()) * len(QUANTILES)
    counts = (counts / max(total, 1e-12))[..., None].astype(quantiles.dtype)
    error = np.where(known, shown.truth, 0.0)[..., None] - quantiles
    levels = np.array(QUANTILES, quantiles.dtype)
    loss = float((counts * np.maximum(levels * error, (levels - 1.0) * error)).sum())
    return loss, counts * ((error < 0.0) - levels)


def _back_to_outputs(trace: _Trace, shown: Shown, down: Array) -> Array:
    """Return the slope by the outer layer's outputs, from that by the quantiles."""
    down = np.where(trace.quantiles > 0.0, down, 0.0)
    centre = down.sum(axis=-1, keepdims=True)
    spread = shown.unrest[:, None] * down
    out = np.empty((*trace.mix.shape[:-1], _GAPS.start + trace.gaps.shape[-1]), down.dtype)
    by_mix = centre * shown.basis
    out[..., :BASIS] = trace.mix * (by_mix - (trace.mix * by_mix).sum(axis=-1, keepdims=True))
    out[..., _GATES] = centre * shown.extra * (1.0 - trace.gates**2)
    out[..., _CORRECTION] = spread.sum(axis=-1)
    below = np.cumsum(spread[..., :MEDIAN], axis=-1)[..., ::-1]
    above = np.cumsum(spread[..., :MEDIAN:-1], axis=-1)[..., ::-1]
    out[..., _GAPS] = np.concatenate([-below, above], axis=-1) * _sigmoid(trace.gaps)
    return out


def _layer(
    slopes: dict[str, Array], name: str, entered: Array, down: Array, weights: Weights
) -> Array:
    """Note a linear layer's slopes; return the slope by what entered it."""
    flat = down.reshape(-1, down.shape[-1])
    slopes[f"{name}.weight"] = entered.reshape(-1, entered.shape[-1]).T @ flat
    slopes[f"{name}.bias"] = flat.sum(axis=0)
    before: Array = down @ weights[f"{name}.weight"].T
    return before

"""The pooled network: one GRU for all series, quantiles for any horizon. Needs torch.

The GRU reads the last FINE intervals; what lies further back (a day, at five minutes) is seen as
means of COARSE intervals each, which tell where in its daily course a series is.

The centre of a forecast is a mix of simple levels (moving averages of several lengths) whose
weights the network chooses per window and horizon, plus a correction; around it the quantiles are
stacked outwards, so that they cannot cross. Spread and correction are measured in the window's own
mean step, so that calm and wild series look alike. It cannot start far from a moving average.
"""

from typing import Any

import torch
from torch import nn

from models.quantiles import QUANTILES

FINE = 64
COARSE = 12

LEVEL_ALPHAS = (1.0, 0.7, 0.45, 0.3, 0.18, 0.1, 0.04)


def _level_weights(window: int) -> Any:
    """Return [L, K]: column k averages a window exponentially with LEVEL_ALPHAS[k]."""
    age = torch.arange(window - 1, -1, -1, dtype=torch.float32)
    columns = []
    for alpha in LEVEL_ALPHAS:
        weights = alpha * (1.0 - alpha) ** age
        columns.append(weights / weights.sum())
    return torch.stack(columns, dim=1)


class PooledGru(nn.Module):  # type: ignore[misc]
    """Window [B, L] over its mean, horizons [H], step [B, 1] in s -> quantiles [B, H, Q]."""

    def __init__(self, window: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(3, hidden, batch_first=True)
        levels = len(LEVEL_ALPHAS)
        blocks = (window - FINE) // COARSE
        self.register_buffer("weights", _level_weights(FINE))
        self.body = nn.Sequential(
            nn.Linear(hidden + levels + blocks + 2, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
        )
        self.clock = nn.Linear(4, hidden)
        self.head = nn.Sequential(
            nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, levels + len(QUANTILES))
        )

    def forward(self, window: Any, horizons: Any, step_s: Any) -> Any:
        """Return the quantiles in the window's own scale."""
        past = window[:, :-FINE].reshape(window.shape[0], -1, COARSE).mean(dim=2)
        window = window[:, -FINE:]
        change = window[:, 1:] - window[:, :-1]
        unrest = change.abs().mean(dim=1, keepdim=True) + 0.01
        change = torch.cat([torch.zeros_like(window[:, :1]), change], dim=1)
        features = torch.stack(
            [
                torch.log(window + 0.05),
                torch.clamp(change / unrest, -8.0, 8.0) * 0.3,
                torch.clamp((window - window[:, -1:]) / unrest, -8.0, 8.0) * 0.2,
            ],
            dim=2,
        )
        states, _ = self.gru(features)
        levels = window @ self.weights
        relative = torch.clamp((levels - levels[:, :1]) / unrest, -8.0, 8.0) * 0.3
        pace = torch.log(step_s / 300.0)
        before = torch.log((past + 0.05) / (levels[:, 3:4] + 0.05))
        seen = self.body(
            torch.cat([states[:, -1], relative, before, torch.log(unrest), pace * 0.3], dim=1)
        )
        far = torch.log(horizons.float()).reshape(1, -1, 1) + torch.zeros_like(pace).unsqueeze(1)
        near = pace.unsqueeze(1) + torch.zeros_like(far)
        clock = torch.cat([far * 0.5, far * far * 0.2, near * 0.3, (far + near) * 0.3], dim=2)
        out = self.head(torch.tanh(seen.unsqueeze(1) + self.clock(clock)))
        count = len(LEVEL_ALPHAS)
        mix = torch.softmax(out[:, :, :count] + self.prior(far), dim=2)
        centre = (mix * levels.unsqueeze(1)).sum(dim=2, keepdim=True)
        middle = len(QUANTILES) // 2
        correction = out[:, :, count : count + 1]
        gaps = nn.functional.softplus(out[:, :, count + 1 :] - 0.5)
        below = -torch.cumsum(gaps[:, :, :middle], dim=2).flip(2)
        above = torch.cumsum(gaps[:, :, middle:], dim=2)
        offsets = torch.cat([below, torch.zeros_like(correction), above], dim=2) + correction
        return torch.relu(centre + unrest.unsqueeze(1) * offsets)

    def prior(self, far: Any) -> Any:
        """Return the mix to start from: recent levels first."""
        return torch.linspace(1.0, -1.0, len(LEVEL_ALPHAS)).reshape(1, 1, -1) + 0.0 * far

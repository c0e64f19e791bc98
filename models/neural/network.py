"""The pooled network: one recurrent network for all series, quantiles for any horizon. Needs torch.

The recurrent part reads the last FINE intervals; ``side`` tells what lies further back and how
regular the series is; ``basis`` holds ready-made forecasts (moving averages, without and with what
repeats), whose mix the network chooses per window and horizon. Around that centre, corrected, the
quantiles are stacked outwards, so that they cannot cross. Spread and correction are measured in the
window's own mean step, so that calm and wild series look alike. It cannot start far from a moving
average.

``encode`` (what was seen of a window) and ``head`` (what is said of a horizon) are apart, so that
the head alone can be tuned on a network's own history, without torch (``models.neural.tuning``).
"""

from typing import Any

import torch
from torch import nn

from models.neural.features import AHEAD, BASIS, CHANNELS, SEASONS, SIDE
from models.neural.recipe import EXTRA
from models.quantiles import QUANTILES

MIDDLE = len(QUANTILES) // 2


class Pooled(nn.Module):  # type: ignore[misc]
    """Inputs as in ``models.neural.features.Features`` -> quantiles [S, H, Q] and seen [S, N]."""

    def __init__(self, hidden: int, cell: str = "gru") -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.recurrent = kind(CHANNELS, hidden, batch_first=True)
        self.body = nn.Sequential(
            nn.Linear(hidden + SIDE, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )
        self.clock = nn.Linear(AHEAD, hidden)
        self.inner = nn.Linear(hidden, hidden)
        self.outer = nn.Linear(hidden, BASIS + EXTRA + len(QUANTILES))
        prior = torch.full((BASIS,), -2.0)
        prior[: BASIS - 4 * len(SEASONS)] = torch.linspace(1.0, -1.0, BASIS - 4 * len(SEASONS))
        self.register_buffer("prior", prior)

    def encode(self, fine: Any, side: Any) -> Any:
        """Return [S, N], what was seen of each window."""
        states, _ = self.recurrent(fine)
        return self.body(torch.cat([states[:, -1], side], dim=1))

    def head(self, seen: Any, ahead: Any, basis: Any, extra: Any, unrest: Any) -> Any:
        """Return the quantiles [S, H, Q] in the window's own scale."""
        state = torch.tanh(seen.unsqueeze(1) + self.clock(ahead))
        out = self.outer(nn.functional.silu(self.inner(state)))
        mix = torch.softmax(out[:, :, :BASIS] + self.prior, dim=2)
        centre = (mix * basis).sum(dim=2, keepdim=True)
        gates = torch.tanh(out[:, :, BASIS : BASIS + EXTRA])
        centre = centre + (gates * extra).sum(dim=2, keepdim=True)
        correction = out[:, :, BASIS + EXTRA : BASIS + EXTRA + 1]
        gaps = nn.functional.softplus(out[:, :, BASIS + EXTRA + 1 :] - 0.5)
        below = -torch.cumsum(gaps[:, :, :MIDDLE], dim=2).flip(2)
        above = torch.cumsum(gaps[:, :, MIDDLE:], dim=2)
        offsets = torch.cat([below, torch.zeros_like(correction), above], dim=2) + correction
        return torch.relu(centre + unrest.unsqueeze(1) * offsets)

    def forward(
        self, fine: Any, side: Any, ahead: Any, basis: Any, extra: Any, unrest: Any
    ) -> tuple[Any, Any]:
        """Return quantiles and what was seen."""
        seen = self.encode(fine, side)
        return self.head(seen, ahead, basis, extra, unrest), seen

"""How rare a statistic is by its own past: the tail of its largest values, series by series.

Time is cut into blocks. Of each block only the largest value is kept, since neighbours repeat each
other; of the blocks, the largest few. Above the least of these a power law is assumed, which fits
light tails too, as a large exponent (B. M. Hill, Annals of Statistics 3, 1975). The exponent is
uncertain, and is averaged over: with a gamma prior the logarithms follow a Lomax law. What comes
out is the probability that a block of the past holds a value as large. It needs no unit and no law
of the values, so that statistics of any kind can be compared by it.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCK = 24
"""Rows of a block: at five minutes, two hours."""

KEPT = 4
"""Largest blocks that are kept."""

TAIL_SHARE = 4
"""The tail begins at the largest block in so many, as long as there are fewer than KEPT x this."""

BLOCKS_LEAST = 2
"""Blocks before which nothing is rare."""

BLOCKS_MAX = 512
"""Blocks after which a value is forgotten: at five minutes, six weeks."""

LARGEST_RATIO = 2.0
"""The largest value reaches at most so much further than the second (in logarithms): one accident
must not stretch the tail."""

PRIOR_SLOPE, PRIOR_BLOCKS = 0.2, 2
"""What is taken for the tail's slope before there are values, and how many blocks that counts."""

TINY = 1e-30


class Tails:
    """The tails of C statistics of S series.

    Args:
        series: S.
        statistics: C.
    """

    def __init__(self, series: int, statistics: int) -> None:
        shape = (series, statistics)
        self._top = np.zeros((*shape, KEPT))
        self._born = np.zeros((*shape, KEPT), dtype=np.int64)
        self._blocks = np.zeros(shape, dtype=np.int64)
        self._largest = np.zeros(shape)
        self._rows = np.zeros(shape, dtype=np.int64)
        self._log_start = np.zeros(shape)
        self._total = np.full(shape, PRIOR_SLOPE * PRIOR_BLOCKS)
        self._weight = np.full(shape, float(PRIOR_BLOCKS))
        self._start_share = np.ones(shape)

    @property
    def usual_worst(self) -> Array:
        """Where each tail begins, [S, C]: the worst that is still usual."""
        begin: Array = np.exp(self._log_start)
        return begin

    def rarity(self, statistics: Array) -> Array:
        """Return [S, C]: the probability that a block of the past holds as large a value.

        1 for what is not above the usual worst, for 0, and before there is a past.
        """
        past = self._blocks >= BLOCKS_LEAST
        beyond = np.log(np.maximum(statistics, TINY)) - self._log_start
        at = np.flatnonzero(past & (beyond > 0.0))  # few are above: the rest costs nothing
        result = np.ones(statistics.shape)
        if len(at):
            # Lomax: an exponential law of the logarithms whose rate is itself only estimated
            odds = (1.0 + beyond.flat[at] / self._total.flat[at]) ** -self._weight.flat[at]
            tail = self._start_share.flat[at] * odds
            top = self._top.reshape(-1, KEPT)[at]
            blocks = np.minimum(self._blocks.flat[at], BLOCKS_MAX)
            counted = ((top >= statistics.flat[at][:, None]).sum(axis=1) + 1.0) / (blocks + 1.0)
            result.flat[at] = np.minimum(np.minimum(tail, 2.0 * counted), 1.0)
        return result

    def learn(self, statistics: Array, valid: NDArray[np.bool_]) -> None:
        """Take in statistics [S, C] where they are valid [S, C]."""
        self._largest = np.where(valid, np.maximum(self._largest, statistics), self._largest)
        self._rows += valid
        full = np.flatnonzero(valid & (self._rows % BLOCK == 0))
        if len(full):
            self._end_blocks(full)

    def _end_blocks(self, at: NDArray[np.int64]) -> None:
        """Take in the blocks of these statistics (flat numbers [N]) and fit their tails anew."""
        blocks = self._blocks.flat[at] + 1
        top = self._top.reshape(-1, KEPT)[at]
        born = self._born.reshape(-1, KEPT)[at]
        top[blocks[:, None] - born > BLOCKS_MAX] = 0.0
        least = top.argmin(axis=1)
        rows = np.arange(len(at))
        new = self._largest.flat[at]
        larger = new > top[rows, least]
        top[rows, least] = np.where(larger, new, top[rows, least])
        born[rows, least] = np.where(larger, blocks, born[rows, least])
        order = np.argsort(-top, axis=1)
        top = np.take_along_axis(top, order, axis=1)
        self._top.reshape(-1, KEPT)[at] = top
        self._born.reshape(-1, KEPT)[at] = np.take_along_axis(born, order, axis=1)
        self._blocks.flat[at] = blocks
        self._largest.flat[at] = 0.0
        self._fit(at, top, np.minimum(blocks, BLOCKS_MAX))

    def _fit(self, at: NDArray[np.int64], top: Array, blocks: NDArray[np.int64]) -> None:
        """Fit the tails of these statistics to their largest blocks [N, KEPT], falling."""
        used = np.clip(blocks // TAIL_SHARE, 2, KEPT)
        log_top = np.log(np.maximum(top, TINY))
        start = np.take_along_axis(log_top, used[:, None] - 1, axis=1)
        excess = np.maximum(log_top - start, 0.0)
        trimmed = np.minimum(excess[:, 0], LARGEST_RATIO * excess[:, 1])
        excess[:, 0] = np.where(used > 2, trimmed, excess[:, 0])
        total = excess.sum(axis=1) + PRIOR_SLOPE * PRIOR_BLOCKS
        self._total.flat[at] = total
        self._weight.flat[at] = used + PRIOR_BLOCKS
        self._log_start.flat[at] = start[:, 0]
        self._start_share.flat[at] = used / (blocks + 1.0)

"""Back-tests of forecasts: what would have been said, measured against what came."""

from models.backtest.leaks import Predict, find_leak, from_window
from models.backtest.measures import Measures, crps
from models.backtest.run import Result, backtest, report

__all__ = [
    "Measures",
    "Predict",
    "Result",
    "backtest",
    "crps",
    "find_leak",
    "from_window",
    "report",
]

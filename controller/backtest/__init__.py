"""Back-tests of decisions: routing decided on the past, scored on matrices that came later."""

from controller.backtest.methods import METHODS
from controller.backtest.run import Measured, backtest_te

__all__ = ["METHODS", "Measured", "backtest_te"]

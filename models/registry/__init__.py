"""Learning goes on: versions of the model, who is champion, and how one becomes it.

What others use::

    Registry(folder)                              # made when first written to
    registry.load(kind, group) -> Loaded          # champion, else the next good one; never raises
    registry.champion(kind, group), versions(), state()
    registry.promote(name, now_s=..., anyway="")  # raises RegistryError: not better
    registry.roll_back(kind, group, why=..., now_s=...)
    retrain(history, registry, Order(...), now_s=...) -> Outcome
    judge(values, champion, candidate, ...) -> Verdict

``python -m models.registry`` is ``foresteer retrain``. Errors: RegistryError.
"""

from models.registry.errors import RegistryError
from models.registry.judging import judge
from models.registry.registry import Loaded, Registry
from models.registry.retrain import Order, Outcome, consider, retrain
from models.registry.version import SHIPPED, Verdict, Version

__all__ = [
    "SHIPPED",
    "Loaded",
    "Order",
    "Outcome",
    "Registry",
    "RegistryError",
    "Verdict",
    "Version",
    "consider",
    "judge",
    "retrain",
]

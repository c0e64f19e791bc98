"""``python -m tests.perf.series``: what 100 series every 250 ms take of a core."""

import time

import numpy as np

from controller.observe.series import SeriesStore
from controller.observe.series_events import EventBook
from controller.observe.series_signals import SignalBook
from controller.predict.kinds import Kinds
from models import ModelError, load_shipped_model

SERIES = 100
STEP_S = 0.25
STEPS = 400


class Steps:
    """A clock that is moved by hand."""

    now = 1000.0

    def wall(self) -> float:
        """Return seconds since 1970."""
        return 1.7e9 + self.now

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.now

    async def sleep_until(self, monotonic_s: float) -> None:
        """Wait not at all."""


def main() -> None:
    """Print the share of a core, and the longest step."""
    try:
        model = load_shipped_model()
    except ModelError as error:
        print(error)
        model = None
    for name, chosen in (("with the network", model), ("without", None)):
        clock = Steps()
        store = SeriesStore(clock, slow_s=5.0, fast_s=STEP_S)
        kinds = Kinds(
            store, EventBook(None), SignalBook(), slow_horizons_s=(5.0,),
            fast_horizons_s=(5.0, 10.0, 30.0), data_step_s=5.0, model=chosen,
        )  # fmt: skip
        rng, times = np.random.default_rng(1), []
        for step in range(STEPS + 130):
            clock.now += STEP_S
            began = time.process_time()
            for at in range(SERIES):
                store.put("requests", f"s{at}", float(rng.gamma(5.0) * 20.0))
            question = kinds.question("requests")
            if question is not None:
                kinds.record(kinds.answer(question))
            if step >= 130:
                times.append(time.process_time() - began)
        print(
            f"{SERIES} series every {STEP_S * 1e3:.0f} ms {name}: "
            f"{np.mean(times) / STEP_S:.1%} of a core, the longest step {max(times) * 1e3:.0f} ms;"
            f" {dict(kinds.counts)}"
        )


if __name__ == "__main__":
    main()

"""Between the brain and the predictor workers: a shard of a forecast, asked for and answered."""

from dataclasses import dataclass

from headers.messages.codec import message


@message("forecast_ask")
@dataclass(frozen=True, slots=True)
class ForecastAsk:
    """Forecast these series, by each of these forecasters.

    ``request``: names the shard, and comes back. ``forecasters``: name to the identity of the
    model behind it (the file's hash; empty where there is none): a worker that has another refuses.
    ``window``: float32, little-endian, [``series``, ``length``], oldest first, NaN in gaps.
    ``horizons``: in steps of ``step_s`` seconds. ``patience_s``: after that the answer is of no
    use any more.
    """

    request: str
    forecasters: dict[str, str]
    series: int
    length: int
    window: bytes
    horizons: tuple[int, ...]
    step_s: float
    patience_s: float


@message("forecast_answer")
@dataclass(frozen=True, slots=True)
class ForecastAnswer:
    """What a worker found.

    ``quantiles``: by forecaster, float32, little-endian, [series, horizons, levels].
    ``errors``: why a forecaster could not answer. ``refused``: the reason (a counter's name) why
    the worker did not try; ``detail`` says it in words.
    """

    request: str
    worker: str
    quantiles: dict[str, bytes]
    errors: dict[str, str]
    refused: str = ""
    detail: str = ""

"""Metrics in Prometheus's text format: of the brain, the loop, links, engines and decisions.

One series per link, engine, component or forecast horizon, so that their number is bounded by the
network's size; nothing is labelled by demand, client or circuit.
"""

import math
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from controller.api.view import HEALTHY, View

CONTENT_TYPE = CONTENT_TYPE_LATEST
LINKS_MOST = 5000
"""Links that have series; of those beyond only the highest utilisation is told."""


def exposition(view: View) -> bytes:
    """Return all metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(view))
    return generate_latest(registry)


class _Collector:
    """Makes the metrics from what the brain knows at this moment."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        """Yield them."""
        yield from _brain(self._view)
        yield from _round(self._view)


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=math.nan if value is None else value)


def _brain(view: View) -> Iterator[Metric]:
    status = view.status()
    details = status.details
    yield _gauge("foresteer_ready", "Whether the network holds the whole plan.", status.ready)
    parts = GaugeMetricFamily(
        "foresteer_component_up", "Whether a part of the controller is well.", labels=["component"]
    )
    for name, how in status.components.items():
        parts.add_metric([name.replace(" ", "_")], float(how == HEALTHY))
    yield parts
    mode = GaugeMetricFamily(
        "foresteer_mode", "What the brain may do: 1 for its mode.", labels=["mode"]
    )
    for name in ("observe", "advise", "act"):
        mode.add_metric([name], float(status.mode == name))
    yield mode
    yield _gauge("foresteer_frozen", "Whether an operator froze it.", bool(details.get("frozen")))
    for name, text, key in (
        ("foresteer_surges", "Demands that outgrew their forecast.", "surges"),
        ("foresteer_decide_worker_restarts", "Decide workers started anew.", "decide_restarts"),
    ):
        yield CounterMetricFamily(name, text, value=float(details.get(key) or 0))
    yield CounterMetricFamily(
        "foresteer_skipped_ticks", "Ticks that could not begin in time.", value=status.skipped_ticks
    )
    yield CounterMetricFamily(
        "foresteer_rule_errors", "Rules that differed when read back.", value=status.rule_errors
    )
    refused = CounterMetricFamily(
        "foresteer_refused_inputs", "Inputs that were refused, by reason.", labels=["reason"]
    )
    for reason, count in (details.get("refused") or {}).items():
        refused.add_metric([str(reason)], float(count))
    yield refused
    regret = details.get("regret")
    if regret is not None:
        yield _gauge(
            "foresteer_regret_ratio",
            "The last known decision's worst load over the least possible, minus 1.",
            float(regret),
        )
    megabytes = details.get("memory_mib")
    if megabytes is not None:
        yield _gauge(
            "foresteer_resident_memory_peak_bytes",
            "The brain's memory at its highest.",
            float(megabytes) * 1024 * 1024,
        )


def _round(view: View) -> Iterator[Metric]:
    last = view.last()
    if last is None:
        return
    yield _gauge(
        "foresteer_last_tick_timestamp_seconds",
        "When the last picture was taken.",
        last.snapshot.time_s,
    )
    yield _gauge(
        "foresteer_tick_interval_seconds", "How often the loop runs.", last.snapshot.step_s
    )
    yield CounterMetricFamily(
        "foresteer_ticks", "Ticks since the first.", value=max(0, last.number + 1)
    )
    stages = GaugeMetricFamily(
        "foresteer_stage_duration_seconds",
        "What each stage of the last tick took.",
        labels=["stage"],
    )
    made = last.decision
    for name, took_ms in (
        ("observe", made.observe_ms),
        ("predict", made.predict_ms),
        ("decide", made.decide_ms),
        ("act", made.outcome.act_ms),
    ):
        stages.add_metric([name], took_ms / 1000.0)
    yield stages
    yield _gauge(
        "foresteer_predicted_max_utilisation_ratio",
        "The busiest link's predicted share of its capacity.",
        last.plan.max_utilisation,
    )
    yield _gauge(
        "foresteer_moved_buckets", "Buckets that the last plan moved.", last.plan.moved_buckets
    )
    yield _gauge("foresteer_circuits", "Circuits of the plan in force.", len(last.plan.circuits))
    yield _gauge(
        "foresteer_demand_bits_per_second",
        "All demands together.",
        float(last.snapshot.demands_bps.sum()),
    )
    yield from _links(view)
    engines = GaugeMetricFamily(
        "foresteer_engine_agent_up",
        "Whether an engine's agent was heard of.",
        labels=["engine", "location"],
    )
    for engine in last.snapshot.engines:
        engines.add_metric([engine.name, engine.location], float(engine.alive))
    yield engines
    loss = GaugeMetricFamily(
        "foresteer_forecast_pinball_loss_ratio",
        "Recent loss of what was forecast, relative to the mean demand.",
        labels=["horizon_steps", "forecaster"],
    )
    for skill in last.forecast.skill:
        for name, value in skill.loss.items():
            if math.isfinite(value):
                loss.add_metric([str(skill.horizon_steps), name], value)
    yield loss


def _links(view: View) -> Iterator[Metric]:
    last = view.last()
    assert last is not None
    labels = ["link"]
    up = GaugeMetricFamily("foresteer_link_up", "Whether a link is up.", labels=labels)
    rate = GaugeMetricFamily(
        "foresteer_link_bits_per_second",
        "What a link carried in the last interval.",
        labels=labels,
        unit="",
    )
    seen = GaugeMetricFamily(
        "foresteer_link_utilisation_ratio", "The same as a share of its capacity.", labels=labels
    )
    expected = GaugeMetricFamily(
        "foresteer_link_predicted_utilisation_ratio",
        "What the plan in force expects of it.",
        labels=labels,
    )
    for link in last.snapshot.links[:LINKS_MOST]:
        up.add_metric([link.name], float(link.up))
        rate.add_metric([link.name], link.rate_bps)
        if link.capacity_bps > 0:
            seen.add_metric([link.name], link.rate_bps / link.capacity_bps)
        if link.name in last.plan.utilisation:
            expected.add_metric([link.name], last.plan.utilisation[link.name])
    yield from (up, rate, seen, expected)

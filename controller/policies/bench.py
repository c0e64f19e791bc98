"""What evaluating many policies at many locations takes."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from controller.decide.policy.active import in_force
from controller.decide.policy.condition import compile_condition
from controller.decide.policy.match import Matcher
from controller.decide.policy.standing import standing_of
from controller.decide.policy.vector import Facts, Values
from controller.decide.policy.ways import Ways
from controller.layers import Global, GranularRule, Match, Ruling, ServicePolicy
from controller.state import Instance, Service

SHAPES = (
    "predicted > {} && observed < {}",
    "predicted_bps / capacity_bps > {} || predicted - observed > {}",
    "probability_above(0.8, 60.0) > {} && predicted > {}",
    "location in ['n1', 'n7'] && predicted > {} && hour < {}",
    "!(predicted < {}) && (max_utilisation > {} || region == 'eu')",
)
ASKED = "location.startsWith('n1') && predicted > {} && observed < {}"
"""A shape that is asked of the library in part."""

SIZES = ((10, 10), (100, 10), (100, 100), (1000, 100), (10_000, 100), (1000, 1000))
TARGETS_MS = {10_000: 200.0, 1_000_000: 2000.0}
REPEATS = 5
SERVICES = 100


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of processor time; ``pairs`` are of policies and locations.

    ``compile_ms``: conditions of granular rules, once. ``evaluate_ms``: which of them are in force,
    median. ``standing_ms``: where as many service policies let clients at each location go, for
    SERVICES services with instances at two locations each.
    """

    policies: int
    locations: int
    pairs: int
    shapes: int
    compile_ms: float
    evaluate_ms: float
    standing_ms: float
    active: int

    def to_dict(self) -> dict[str, Any]:
        """Return the figures."""
        return asdict(self)


def facts(locations: int, seed: int = 1) -> Facts:
    """Return made-up facts; most locations are half full."""
    rng = np.random.default_rng(seed)
    names = tuple(f"n{at}" for at in range(locations))
    predicted = rng.beta(4.0, 4.0, locations)
    observed = np.clip(predicted + rng.normal(0.0, 0.05, locations), 0.0, 1.0)
    capacity = np.full(locations, 1e10)
    arrays: dict[str, Values] = {
        "location": np.array(names, dtype=object),
        "region": np.array(["eu", "us"] * locations, dtype=object)[:locations],
        "observed": observed,
        "predicted": predicted,
        "observed_bps": observed * capacity,
        "predicted_bps": predicted * capacity,
        "capacity_bps": capacity,
        "instances": np.full(locations, 2.0),
        "max_utilisation": np.array([0.7]),
        "hour": np.array([12.0]),
        "weekday": np.array([1.0]),
    }
    maps = {f"{x}_at": dict(zip(names, arrays[x].tolist(), strict=True))
            for x in ("observed", "predicted")}  # fmt: skip

    def probability(utilisation: Values, within_s: Values, above: bool) -> Values:  # noqa: ARG001
        found: Values = np.where(predicted > utilisation, 0.9, 0.1)
        return found if above else 1.0 - found

    return Facts(locations, arrays, maps, probability)


def rules(count: int, seed: int = 2) -> list[GranularRule]:
    """Return granular rules of a few shapes whose thresholds all differ; few of them hold."""
    rng = np.random.default_rng(seed)
    shapes = (*SHAPES, ASKED)
    return [
        GranularRule(
            f"r{at}",
            "divert",
            shapes[at % len(shapes)].format(
                repr(float(rng.uniform(0.9, 0.999))), repr(float(rng.uniform(0.9, 1.5)))
            ),
        )
        for at in range(count)
    ]


def bench(policies: int, locations: int) -> Took:
    """Return what finding the rules in force takes, and what as many service policies take."""
    granular = rules(policies)
    known = facts(locations)
    names = tuple(str(name) for name in known.arrays["location"])
    compile_condition.cache_clear()
    began = time.process_time()
    made = [compile_condition(rule.condition) for rule in granular]
    compile_ms = (time.process_time() - began) * 1e3
    times = []
    active = 0
    for _ in range(REPEATS):
        began = time.process_time()
        found, _refused = in_force(granular, known, names, Ruling(), 0.0)
        times.append((time.process_time() - began) * 1e3)
        active = len(found)
    standing = [_standing_ms(policies, locations) for _ in range(REPEATS)]
    return Took(
        policies, locations, policies * locations, len({one.shape for one in made}), compile_ms,
        float(np.median(times)), float(np.median(standing)), active,
    )  # fmt: skip


def _standing_ms(policies: int, locations: int) -> float:
    names = tuple(f"n{at}" for at in range(locations))
    size = locations, locations
    ways = Ways(
        np.full(size, 5.0), np.ones(size, np.bool_), np.full(size, 1e9), np.full(size, 5.0),
        np.ones(size),
    )  # fmt: skip
    services = [
        Service(
            f"s{at}", "10.9.0.1", 6, 1 + at,
            tuple(
                Instance(f"s{at}i{n}", names[(at + n) % locations], "10.1.0.1") for n in range(2)
            ),
        )
        for at in range(SERVICES)
    ]  # fmt: skip
    wanted = [
        ServicePolicy(
            f"p{at}",
            Match(protocol=6, ports=((1 + at % SERVICES, 1 + at % SERVICES),)),
            forbidden_locations=(names[at % locations],) if at % 7 == 0 else (),
            max_latency_ms=10.0,
        )
        for at in range(policies)
    ]
    began = time.process_time()
    matcher = Matcher(wanted, lambda one: one.match)
    for service in services:
        standing_of(service, matcher, Global(), names, [""] * locations, ways)
    return (time.process_time() - began) * 1e3

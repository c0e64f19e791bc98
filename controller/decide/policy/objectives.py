"""From the global layer to what the rest of the decision stage takes."""

from dataclasses import replace

from controller.layers import Layers, Objectives
from controller.state import Policies

SLACK = 1.005
"""The factor above the least maximum utilisation when nothing else counts."""
YIELD = 0.5
"""What is added to it when only other objectives count."""
PRICE = 100.0
"""The price of path cost when other objectives count as much as utilisation."""
DEAREST = 10_000.0


def with_layers(policies: Policies, layers: Layers) -> Policies:
    """Return policies in which the global layer holds where it says something."""
    general = layers.general
    if general.objectives is not None:
        policies = _objectives(policies, general.objectives)
    constraints = policies.constraints
    bounds = [
        x for x in (constraints.max_latency_ms, general.max_latency_ms) if x is not None
    ]  # fmt: skip
    constraints = replace(
        constraints,
        trusted_only=constraints.trusted_only or general.trusted_only,
        forbidden_regions=tuple(
            sorted({*constraints.forbidden_regions, *general.forbidden_regions})
        ),
        max_latency_ms=min(bounds) if bounds else None,
    )
    return replace(
        policies,
        constraints=constraints,
        premium=general.premium or policies.premium,
        move_limit=policies.move_limit if general.move_limit is None else general.move_limit,
        churn_price=policies.churn_price if general.churn_price is None else general.churn_price,
        layers=layers,
    )


def _objectives(policies: Policies, objectives: Objectives) -> Policies:
    """Weigh latency, utilisation and cost (not all 0).

    ``others``: the part of latency and cost in all three. The bound on utilisation yields by it,
    and path cost gets its price by it; latency and money weigh in path cost as they were given.
    """
    latency, utilisation, cost = objectives.latency, objectives.utilisation, objectives.cost
    others = (latency + cost) / (latency + utilisation + cost)
    if not others:
        return replace(policies, slack=SLACK, path_price=0.0)
    mean = (latency + cost) / 2
    price = PRICE * others / (1.0 - others) if others < 1.0 else DEAREST
    return replace(
        policies,
        slack=SLACK + YIELD * others,
        path_price=min(price, DEAREST),
        weights=replace(policies.weights, latency=latency / mean, money=cost / mean),
    )

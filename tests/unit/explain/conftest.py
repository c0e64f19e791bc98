"""A journal as the brain writes it: links that fail, a solver at its limit, a model change."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "decide"))

from decide_nets import from_topohub, traffic

from controller.decide import plan
from controller.journal import Journal, Realised, as_kept
from controller.state import (
    CircuitRequest,
    Decision,
    FirewallRule,
    Forecast,
    Outcome,
    Policies,
    Skill,
    Snapshot,
)

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
FAILS, LIMITED, PROMOTED, LATE, REFUSED, EVENT = 4, 7, 9, 11, 13, 15
COUNT = 18


class Story:
    """Writes decisions one after the other, as a loop would."""

    def __init__(self, path):
        self.path = path
        self.journal = Journal(path)
        self.nodes, self.links = from_topohub("sndlib/polska")
        self.tm = traffic(len(self.nodes), COUNT + 1, mean=3e8)
        self.plan = None

    def question(self, t):
        down = {self.links[0].name, self.links[1].name} if t in (FAILS, FAILS + 1) else set()
        links = tuple(replace(x, up=x.name not in down, delay_ms=2.0) for x in self.links)
        past = self.tm[max(0, t - 10) : t + 1]
        snapshot = Snapshot(t, 1000.0 + 5 * t, 5.0, 300.0, self.nodes, links, past[-1], past)
        fan = np.stack([past[-1] * (0.7 + 0.6 * level) for level in LEVELS])[None]
        model = "new" if t >= PROMOTED else "old"
        loss = {"mix": 0.09, model: 0.1, "ewma": 0.12}
        skill = (Skill(1, model, loss, 40, {model: 0.8, "ewma": 0.2}),)
        return as_kept(snapshot, Forecast(t, t, (1,), LEVELS, fan, skill, model))

    def policies(self, t):
        a, b = self.nodes[0], self.nodes[5]
        rule = FirewallRule("web", True, 50, "10.0.0.0/24", "", 6, 0, 443)
        asked = CircuitRequest("gold", a, b, (), 0.5, 1e8, rules=(rule,), allow_rest=False)
        return Policies(iterations=2 if t == LIMITED else 50_000, requests=(asked,), paths=3)

    def write(self, t):
        snapshot, forecast = self.question(t)
        policies, previous = self.policies(t), self.plan
        decided = None
        made = previous if t == LATE else plan(snapshot, forecast, policies, previous)
        if t == REFUSED:
            decided, made = made, replace(made, splits=previous.splits, reason="a part was refused")
        event = "link down" if t == EVENT else ""
        outcome = Outcome(buckets_moved=made.moved_buckets, act_ms=3.0)
        decision = Decision(t, snapshot.time_s, t, t, made.number, made.reason, 1, 1, 20, outcome)
        number = self.journal.write(
            snapshot, forecast, made, decision, observed=True, link_rates_bps={}, applied_s=0.0,
            policies=policies, previous=previous, decided=decided, event=event,
        )  # fmt: skip
        self.journal.realise(number, Realised(0.5, 0.4, 0.6, 1e6))
        self.plan = made
        return number


@pytest.fixture(scope="session")
def story(tmp_path_factory):
    found = Story(tmp_path_factory.mktemp("journal") / "journal.db")
    for t in range(COUNT):
        found.write(t)
    yield found
    found.journal.close()


@pytest.fixture
def entries(story):
    return list(story.journal.decisions())

"""What the dashboard's test looks at: ``python -m tests.integration.page_server DIR NETWORK``.

A day on Abilene, a tick every half second: real plans, a real journal, real scores of what was
decided; nothing is programmed. NETWORK ``wide``: 60 locations and 208 links, planned once.
Prints the address; a token of each role is in ``DIR/ROLE``.
"""

import asyncio
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "api"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "decide"))

import numpy as np
import topohub
import uvicorn
from api_view import SmallView
from policy_desk import PolicyRoom
from request_desk import RequestDesk

from bus import SystemClock
from controller.api import Access, Label, Place, Status, create_app
from controller.api.access import Audit, Role, TokenBook
from controller.api.view import Came, Shadowed
from controller.config import Config
from controller.decide import plan
from controller.explain.answers import JournalExplainer
from controller.journal import Journal, as_kept
from controller.loop import Tick
from controller.policies import Picture
from controller.predict.kinds_brain import SeriesDesk
from controller.report.realised import realised
from controller.state import (
    Decision,
    EngineState,
    Forecast,
    Instance,
    LinkState,
    Matrix,
    Outcome,
    Plan,
    Policies,
    Service,
    Skill,
    Snapshot,
)
from headers.messages import SeriesPush
from models.anomaly.distribution import QUANTILES as LEVELS
from models.covariates import Announcement

NETWORKS = {"abilene": "sndlib/abilene", "wide": "gabriel/60/0"}
HORIZONS = (1, 3, 12)
STEP_S = 0.5
FIRST = 40
EVERY = 4
"""Ticks between two that are planned, so that this takes little of the machine."""

PAIRS = 150
"""Demands of the wide network, so that it is planned soon."""


RULES = """version: 1
rules:
  - {{name: relieve-{at}, action: divert, at: [{at}], to: [{to}], share: 0.25}}
"""


class Day:
    """A network and its traffic, tick by tick."""

    def __init__(self, network: str) -> None:
        found = topohub.get(NETWORKS[network])
        self.small = network == "abilene"
        self.kept = 60 if self.small else 4
        self.places = [Place(str(x["name"]), x["pos"][1], x["pos"][0]) for x in found["nodes"]]
        names = [place.name for place in self.places]
        self.nodes = tuple(names)
        self.links = tuple(
            LinkState(f"{names[a]}>{names[b]}", names[a], names[b], 20e6)
            for edge in found["edges"]
            for a, b in ((edge["source"], edge["target"]), (edge["target"], edge["source"]))
        )
        size = len(names)
        rng = np.random.default_rng(3)
        weight = rng.gamma(1.2, size=size)
        degree = np.array([sum(x.src == name for x in self.links) for name in names])
        weight[degree < 2] *= 0.1  # nobody can spread what has one way only
        self.base = np.outer(weight, weight) * 0.9e6
        np.fill_diagonal(self.base, 0.0)
        if not self.small:
            kept = rng.permutation(size * size)[:PAIRS]
            mask = np.zeros(size * size, bool)
            mask[kept] = True
            self.base *= mask.reshape(size, size)
        self.phase = rng.uniform(0, 0.8, (size, size))
        self.noise = rng.normal(0, 0.06, (400, size, size))

    def demands(self, number: int) -> Matrix:
        """Return what is asked for in an interval."""
        wave = 1.0 + 0.55 * np.sin(2 * np.pi * number / 80 + self.phase)
        found: Matrix = self.base * wave * np.exp(self.noise[number % 400])
        return found

    def tick(
        self,
        number: int,
        previous: Plan | None,
        policies: Policies,
        services: tuple[Service, ...] = (),
    ) -> Tick:
        """Return an interval, planned for by the real decision stage."""
        demands = self.demands(number)
        history = np.stack(
            [self.demands(max(0, number - back)) for back in range(self.kept - 1, -1, -1)]
        )
        carried = previous.utilisation if previous else {}
        rng = np.random.default_rng(number)
        links = tuple(
            replace(x, rate_bps=x.capacity_bps * carried.get(x.name, 0.0) * rng.uniform(0.9, 1.05))
            for x in self.links
        )
        engines = tuple(
            EngineState(f"engine-{at}", name, at != 5, number) for at, name in enumerate(self.nodes)
        )
        now = time.time() - (FIRST - number) * STEP_S if number < FIRST else time.time()
        snapshot = Snapshot(number, now, STEP_S, 300.0, self.nodes, links, demands, history,
                            engines, services=services)  # fmt: skip
        spread = np.linspace(-1.3, 1.3, len(LEVELS))
        fans = np.stack([
            np.stack([self.demands(number + ahead) * np.exp(0.05 * ahead**0.5 * z) for z in spread])
            for ahead in HORIZONS
        ])  # fmt: skip
        skill = tuple(Skill(h, "pooled", {"pooled": 0.05, "ewma": 0.08}, 30) for h in HORIZONS)
        forecast = Forecast(number, number, HORIZONS, tuple(LEVELS), fans, skill, "pooled")
        began = time.monotonic()
        if previous is None or (self.small and number % EVERY == 0):
            made = plan(*as_kept(snapshot, forecast), policies, previous)
        else:
            made = replace(
                previous,
                number=previous.number + 1,
                moved_buckets=0,
                reason=f"Nothing moves: plan {previous.number} fits the next interval as well.",
            )
        took = 1000 * (time.monotonic() - began)
        decision = Decision(number, now, number, number, made.number, made.reason, 12.0, 9.0, took,
                            Outcome(act_ms=6.0))  # fmt: skip
        return Tick(number, snapshot, forecast, made, decision)


class DayRoom(PolicyRoom):
    """The desk of policies over the day."""

    def __init__(self, view: "DayView") -> None:
        super().__init__()
        self.view = view

    def picture(self) -> Picture | None:
        last = self.view.last()
        if last is None:
            return None
        snapshot = replace(last.snapshot, services=self.policy_book.shelf.services)
        return Picture(snapshot, last.forecast, Policies(horizon_steps=1), last.plan)


class DayView(SmallView):
    """A view of the day, with a journal, policies and requests behind it."""

    def __init__(self, day: Day, directory: Path) -> None:
        super().__init__()
        self.day = day
        self.journal = Journal(directory / "journal.sqlite")
        self.numbers: dict[int, int] = {}
        self.synthetic = True
        self.requests = RequestDesk()
        self.series = SeriesDesk(Config(), SystemClock(), directory, None)
        self.desk_of_policies = DayRoom(self)
        self.answers = JournalExplainer(directory / "journal.sqlite")
        self.series.announce(
            Announcement("release day", "all", time.time() + 600, 7200.0, 2.5, "", "", ())
        )

    def status(self) -> Status:
        assert self.requests is not None
        parts = {"southbound": "ok", "bus": "ok", "engines": "headless: engine-5", "model": "ok"}
        frozen = self.requests.book.wanted.frozen
        return Status("/run/day", "act", True, 0, 0, parts, {"term": 3, "frozen": frozen})

    def label(self) -> Label:
        return Label("Abilene" if self.day.small else "Wide", True)

    def places(self) -> list[Place]:
        return self.day.places

    def shadowed(self) -> list[Shadowed]:
        return []

    def journaled(self, plan: int) -> int | None:
        return self.numbers.get(plan)

    async def declare(self) -> None:
        """Declare a service with three instances, and a rule for it."""
        desk = self.desk_of_policies.policy_desk
        places = self.day.nodes
        instances = tuple(
            Instance(f"web{at}", places[spot], f"10.4.0.{at}")
            for at, spot in enumerate((2, 6, 8), 1)
        )
        await desk.declare(Service("web", "10.9.0.1", 6, 80, instances))
        text = RULES.format(at=places[2], to=places[6])
        await desk.apply(text, author="maintainer", comment="first")

    async def push(self) -> None:
        """Push a series, and have it forecast."""
        now = time.time()
        pairs = tuple((now - 60 + at, 50.0 + 10 * np.sin(at / 8)) for at in range(60))
        self.series.push(SeriesPush("requests", "web", pairs, "", ""))
        await self.series.kinds.run(fast=True)

    def policies_in_force(self) -> Policies:
        """Return what is planned with."""
        few = Policies(horizon_steps=1, paths=2, steered=50, protect=False)
        policies = Policies(horizon_steps=1, paths=6) if self.day.small else few
        return self.desk_of_policies.policy_book.into(policies)

    def add(self, number: int) -> Tick:
        """Go on by an interval, write it down, and score the one before."""
        before = self.last()
        policies = self.policies_in_force()
        tick = self.day.tick(number, before.plan if before else None, policies,
                             self.desk_of_policies.policy_book.shelf.services)  # fmt: skip
        if number == FIRST - 6:
            cause = "link Denver>Kansas City came back"
            tick = replace(tick, event=cause)
        kept = self.journal.write(
            tick.snapshot, tick.forecast, tick.plan, tick.decision, observed=True,
            link_rates_bps={}, applied_s=0.0, policies=policies,
            previous=before.plan if before else None, event=tick.event,
        )  # fmt: skip
        self.numbers[tick.plan.number] = kept
        if before is not None and self.day.small and number % 3 == 0:
            seen = before.snapshot
            found = realised(before.plan, seen.nodes, seen.links, seen.demands_bps,
                             tick.snapshot.demands_bps, policies.paths)  # fmt: skip
            self.journal.realise(self.numbers[before.plan.number], found)
            self.hindsight.append(Came(kept - 1, before.number, seen.time_s, found))
        self.ticks.append(tick)
        self.desk_of_policies.loop.plan = tick.plan
        del self.ticks[:-100]
        return tick


async def serve(directory: Path, network: str) -> None:
    """Serve until the end of the process."""
    view = DayView(Day(network), directory)
    for number in range(FIRST):
        view.add(number)
    if view.day.small:
        await view.declare()
        await view.push()
    tokens = TokenBook(directory / "tokens.json", time.time)
    for role in Role:
        (directory / role.word).write_text(tokens.create(role.word, role)[1])
    access = Access(tokens, Audit(directory / "audit.log", time.time), Role.VIEWER)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    server = uvicorn.Server(
        uvicorn.Config(create_app(view, access), log_level="warning", lifespan="off")
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    number = FIRST
    while not serving.done():
        await asyncio.sleep(STEP_S)
        view.go(view.add(number))
        number += 1


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))

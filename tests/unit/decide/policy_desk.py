"""A desk of policies with the real decision stage behind it, and no network."""

from dataclasses import dataclass, field, replace

from decide_nets import DIAMOND_NODES, forecast_of, snapshot_of
from policy_nets import DEMANDS, LINKS, REGIONS

from controller.decide import plan
from controller.errors import ControllerError
from controller.policies import Picture, PolicyBook, PolicyDesk
from controller.state import Forecast, Plan, Policies, Snapshot


@dataclass
class LoopDouble:
    """Only what the API asks of the loop."""

    plan: Plan | None = None


@dataclass
class PolicyRoom:
    """What the brain is to the desk; ``ready``: whether there was a tick."""

    ready: bool = True
    late: bool = False
    scale: float = 1.0
    causes: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = LoopDouble()
        self.policy_book = PolicyBook()
        self.policy_desk = PolicyDesk(
            self.policy_book, self, self.picture, self.plan_now, lambda: 1000.0
        )

    def picture(self) -> Picture | None:
        if not self.ready:
            return None
        demands = DEMANDS * self.scale
        snapshot = replace(snapshot_of(DIAMOND_NODES, LINKS, demands), regions=REGIONS)
        return Picture(snapshot, forecast_of(demands), Policies(), self.loop.plan)

    async def plan(
        self,
        snapshot: Snapshot,
        forecast: Forecast,
        policies: Policies,
        previous: Plan | None,
        *,
        timeout_s: float,
    ) -> Plan:
        if self.late:
            raise ControllerError("no plan within 30.0 s")
        return plan(snapshot, forecast, policies, previous)

    async def plan_now(self, cause: str) -> Plan | None:
        self.causes.append(cause)
        picture = self.picture()
        if picture is not None:
            self.loop.plan = plan(
                self.policy_book.onto(picture.snapshot), picture.forecast,
                self.policy_book.into(picture.policies), self.loop.plan,
            )  # fmt: skip
        return self.loop.plan

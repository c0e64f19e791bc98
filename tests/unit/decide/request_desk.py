"""Operators' requests with the real decision stage behind them, and no network."""

from dataclasses import replace

from decide_nets import DIAMOND, DIAMOND_NODES, demands_of, forecast_of, snapshot_of

from controller.act import Circuits, Firewall
from controller.decide import plan
from controller.operators import OperatorBook
from controller.state import Plan, Policies

DEMANDS = demands_of(DIAMOND_NODES, a_d=40.0)


class RequestDesk:
    """A book, and the real decision stage behind it."""

    def __init__(self) -> None:
        self.book = OperatorBook()
        self.plan: Plan | None = None
        self.causes: list[str] = []
        self.circuits = Circuits(self.book, self.plan_now)
        self.firewall = Firewall(self.circuits)

    async def freeze(self, *, frozen: bool) -> None:
        await self.book.change(replace(self.book.wanted, frozen=frozen))

    @property
    def mode(self) -> str:
        return self.book.wanted.mode or "act"

    async def change_mode(self, mode: str) -> None:
        await self.book.change(replace(self.book.wanted, mode=mode))

    async def plan_now(self, cause: str) -> Plan:
        self.causes.append(cause)
        snapshot = snapshot_of(DIAMOND_NODES, DIAMOND, DEMANDS)
        policies = self.book.wanted.into(Policies())
        self.plan = plan(snapshot, forecast_of(DEMANDS), policies, self.plan)
        return self.plan

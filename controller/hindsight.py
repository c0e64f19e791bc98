"""What came of decisions: reckoned when their time has come, and written into the journal."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from controller.errors import ControllerError, JournalError
from controller.journal import Journal, Realised
from controller.state import LinkState, Matrix, Plan, Policies, Snapshot
from controller.worker import DecideWorker

LOG = logging.getLogger("foresteer.hindsight")
LIMIT_S = 2.0
WAITING = 64
KNOWN = 300


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A decision whose time has not come: it is scored on the matrix of interval ``due``."""

    number: int
    tick: int
    time_s: float
    due: int
    plan: Plan
    nodes: tuple[str, ...]
    links: tuple[LinkState, ...]
    before_bps: Matrix
    paths: int


class Hindsight:
    """Remembers decisions until they can be scored; never in the way of the loop."""

    def __init__(self, worker: DecideWorker, journal: Journal) -> None:
        self._worker = worker
        self._journal = journal
        self._waiting: deque[Pending] = deque(maxlen=WAITING)
        self._job: asyncio.Task[None] | None = None
        self.last: Realised | None = None
        self.known: deque[tuple[int, int, float, Realised]] = deque(maxlen=KNOWN)
        """The last decisions' numbers, ticks and times, and what came of them."""
        self.failed = 0

    def remember(
        self, number: int, tick: int, plan: Plan, snapshot: Snapshot, policies: Policies
    ) -> None:
        """Take a decision made at ``tick``."""
        self._waiting.append(
            Pending(
                number, tick, snapshot.time_s, tick + policies.horizon_steps, plan,
                snapshot.nodes, snapshot.links, snapshot.demands_bps, policies.paths,
            )
        )  # fmt: skip

    def look(self, tick: int, snapshot: Snapshot) -> None:
        """Score, in the background, what was decided for the interval that ends with this tick."""
        due = [one for one in self._waiting if one.due == tick and one.nodes == snapshot.nodes]
        for one in [one for one in self._waiting if one.due <= tick]:
            self._waiting.remove(one)
        if due and (self._job is None or self._job.done()):
            self._job = asyncio.create_task(self._score(due, snapshot.demands_bps))

    async def _score(self, due: list[Pending], real_bps: Matrix) -> None:
        for one in due:
            try:
                found = await self._worker.realised(
                    one.plan, one.nodes, one.links, one.before_bps, real_bps, one.paths,
                    timeout_s=LIMIT_S,
                )  # fmt: skip
                self._journal.realise(one.number, found)
                self.last = found
                self.known.append((one.number, one.tick, one.time_s, found))
            except (ControllerError, JournalError) as error:
                self.failed += 1
                LOG.warning("decision %d: %s", one.number, error)

    def close(self) -> None:
        """Let the background job go."""
        if self._job is not None:
            self._job.cancel()

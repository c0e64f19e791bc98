"""An engine as it is run: bus, agent process, and the brain's part played by the benchmark."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bus import Bus, Instance
from bus.subjects import AGENT_STATUS, agent_apply, agent_counters
from dataplane.bench.engines import NUMBER
from dataplane.bench.rig import XDP
from dataplane.errors import DataplaneError
from headers.files.network import Engine, Location, Network, network_to_dict
from headers.messages import AgentStatus, ApplyEngines, CounterReport, CounterRequest, EngineApplied

_NAME = "bench"
_READY_S = 30.0
_ANSWER_S = 20.0
_T = TypeVar("_T")


class AgentProcess:
    """A bus and an agent that serves the bench's engine, on processors of their own."""

    def __init__(self, scratch: Path, connections: int, processors: set[int]) -> None:
        """Start them; return when the engine is attached.

        Raises:
            DataplaneError: the agent does not come up.
        """
        home = os.sched_getaffinity(0)
        os.sched_setaffinity(0, processors)
        try:
            self._instance = Instance(scratch / "instance")
            self._bus = self._instance.ensure_bus()
            self._agent = self._start(scratch, connections)
        finally:
            os.sched_setaffinity(0, home)

    def _start(self, scratch: Path, connections: int) -> subprocess.Popen[str]:
        engine = Engine("bench", NUMBER, (XDP.ends[1],), XDP.ends[2], 1)
        location = Location("bench", 1, "172.16.0.0/16", "172.16.0.1", engine)
        file = scratch / "network.json"
        file.write_text(json.dumps(network_to_dict(Network("bench", (location,), ()))))
        code = "from dataplane.commands import engine; engine()"
        agent = subprocess.Popen(
            [
                *(sys.executable, "-c", code, "--name", _NAME, "--network", str(file)),
                *("--instance", str(self._instance.directory), "--pins", str(scratch / "agent")),
                *("--connections", str(connections)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = agent.stdout.readline() if agent.stdout else ""
        if "1 engines attached" not in said:
            agent.kill()
            rest = agent.stdout.read() if agent.stdout else ""
            raise DataplaneError(f"the agent does not come up: {said}{rest}"[-1000:])
        return agent

    def _ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run(asyncio.wait_for(question, _READY_S + _ANSWER_S))

    async def _request(self, subject: str, body: object) -> Any:
        bus = await Bus.connect(self._instance.bus_address(), "bench", timeout_s=_READY_S)
        try:
            return await bus.request(subject, body, timeout_s=_ANSWER_S)
        finally:
            await bus.close()

    def apply(self, wanted: ApplyEngines) -> EngineApplied:
        """Have the agent hold a state.

        Raises:
            DataplaneError: it does not.
        """
        done: EngineApplied = self._ask(self._request(agent_apply(_NAME), wanted))
        if done.error or done.mismatches:
            raise DataplaneError(f"the agent does not hold the state: {done}")
        return done

    def reasons(self) -> dict[str, int]:
        """Return what the engine counted, by reason."""
        report: CounterReport = self._ask(self._request(agent_counters(_NAME), CounterRequest()))
        return report.reasons.get(NUMBER, {})

    async def _next_status(self) -> AgentStatus:
        bus = await Bus.connect(self._instance.bus_address(), "bench", timeout_s=_READY_S)
        said: asyncio.Future[AgentStatus] = asyncio.get_running_loop().create_future()

        async def hear(status: AgentStatus) -> None:
            if not said.done():
                said.set_result(status)

        try:
            await bus.subscribe(AGENT_STATUS, hear)
            return await said
        finally:
            await bus.close()

    def status(self) -> AgentStatus:
        """Return what the agent says of itself next."""
        return self._ask(self._next_status())

    def resident_bytes(self) -> int:
        """Return the agent's resident memory."""
        pages = int(Path(f"/proc/{self._agent.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def processor_s(self) -> float:
        """Return the processor time that the agent has used, in seconds."""
        fields = Path(f"/proc/{self._agent.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def alive(self) -> bool:
        """Return whether the agent runs."""
        return self._agent.poll() is None

    def close(self) -> None:
        """End agent and bus."""
        for child in (self._agent, self._bus):
            if child is not None:
                child.kill()
                child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

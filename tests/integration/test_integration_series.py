"""Series as they are used: a real brain and bus, pushes by API and bus, a brain that is killed."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bus import Bus, Instance
from bus.subjects import SERIES
from controller.api.access.own import read_own
from headers.messages import SeriesAnswer, SeriesPush

CONFIGURATION = """
page_port: 0
tick_s: 0.5
series: {fast_ms: 250, fast_horizons_s: [1, 2]}
privacy: {permit: [tenant], retention_s: 60}
"""


class Running:
    """A brain without a network: what is pushed needs none."""

    def __init__(self, directory: Path, config: Path) -> None:
        self.instance = Instance(directory)
        self._config = config
        self._directory = directory
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "controller.cli", "brain", "--config", str(self._config)]
        log = (self._directory / "brain.out").open("ab")
        return subprocess.Popen(command, stdout=log, stderr=log)

    async def until(self, found: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Return what is found as soon as it is."""
        deadline = time.monotonic() + seconds
        while not (value := await asyncio.to_thread(found)):
            assert time.monotonic() < deadline, (self._directory / "brain.out").read_text()[-3000:]
            await asyncio.sleep(0.05)
        return value

    async def page(self) -> str:
        """Return the API's address once the running brain has one."""

        def found() -> str:
            state = self.instance.state()
            return state.get("page", "") if state.get("pid") == self.process.pid else ""

        return str(await self.until(found)) + "/api/v1"

    async def again(self) -> None:
        """Kill the brain and start another."""
        self.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)
        self.process = self._start()

    def stop(self) -> None:
        """End the brain and the bus."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.instance.stop("bus")


@pytest_asyncio.fixture
async def brain(instance_directory: Path, tmp_path: Path) -> AsyncIterator[Running]:
    instance_directory.mkdir(parents=True)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIGURATION)
    running = Running(instance_directory, config)
    yield running
    running.stop()


def ask(url: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {read_own(Instance.find().directory)}",
    }
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow
async def test_pushed_series_are_forecast_and_events_outlive_a_killed_brain(brain: Running) -> None:
    page = await brain.page()
    bus = await Bus.connect(brain.instance.bus_address(), "test", timeout_s=30)
    event = {"name": "sale", "start_s": time.time() + 3600, "duration_s": 600, "factor": 2.0}
    status, made = await asyncio.to_thread(ask, f"{page}/events", event)
    assert status == 201
    try:

        def pushed() -> Any:
            ask(f"{page}/series/requests/web", {"samples": [{"value": 50.0}]})
            status, found = ask(f"{page}/forecasts?kind=requests")
            return found if status == 200 and found["skill"][0]["scored"] > 3 else None

        found = await brain.until(pushed)
        assert [one["name"] for one in found["series"]] == ["web"]
        assert found["series"][0]["quantiles"][0][3] == pytest.approx(50.0, rel=0.05)
        good = SeriesPush("tenant", "x", ((time.time(), 5.0),))
        bad = SeriesPush("user_group", "x", ((time.time(), 5.0),))
        assert await bus.request(SERIES, good, arrival_s=5.0) == SeriesAnswer(1, {})
        assert await bus.request(SERIES, bad) == SeriesAnswer(0, {"permit": 1})
        await brain.again()
        page = await brain.page()
        _, kept = await asyncio.to_thread(ask, f"{page}/events")
        assert [one["id"] for one in kept["events"]] == [made["id"]]
        _, listed = await asyncio.to_thread(ask, f"{page}/series")
        assert listed["kinds"] == {}, "series are in memory only"
        files = [p for p in brain.instance.directory.rglob("*") if p.is_file()]
        assert not [p for p in files if p.suffix == ".json" and "tenant" in p.read_text()]
    finally:
        await bus.close()

"""The bus with a real nats-server: messages, answers, the store, and a server that is killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bus import Bus, BusError, Instance
from bus.instance import BusAddress
from headers.messages import CounterReport, CounterRequest


@pytest_asyncio.fixture
async def instance(instance_directory: Path) -> AsyncIterator[Instance]:
    found = Instance.find()
    child = found.ensure_bus()
    yield found
    found.stop("bus")
    if child is not None:
        child.wait(5)


async def answer(request: CounterRequest) -> CounterReport:
    return CounterReport("a", 0.0, request.number, (), {})


async def test_request_is_answered(instance: Instance) -> None:
    one = await Bus.connect(instance.bus_address(), "one")
    other = await Bus.connect(instance.bus_address(), "other")
    await one.subscribe("t.ask", answer)
    reply = await other.request("t.ask", CounterRequest(7))
    assert reply == CounterReport("a", 0.0, 7, (), {})
    with pytest.raises(BusError, match="nobody is there"):
        await other.request("t.nobody", CounterRequest())
    await one.close()
    await other.close()


async def test_bad_bytes_are_counted_and_go_no_further(instance: Instance) -> None:
    bus = await Bus.connect(instance.bus_address(), "one")
    heard: list[Any] = []

    async def note(body: Any) -> None:
        heard.append(body)

    await bus.subscribe("t.news", note)
    await bus._client.publish("t.news", b"\xc1 nonsense")
    await bus.publish("t.news", CounterRequest(1))
    for _ in range(200):
        if heard:
            break
        await asyncio.sleep(0.01)
    assert heard == [CounterRequest(1)]
    assert bus.refused == 1
    await bus.close()


@pytest.mark.slow
async def test_what_is_kept_survives_a_killed_server(instance: Instance) -> None:
    bus = await Bus.connect(instance.bus_address(), "one")
    assert await bus.get("key") is None
    await bus.put("key", b"value")
    pid = instance.pid("bus")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while instance.running("bus") or bus.connected:
        await asyncio.sleep(0.01)
    with pytest.raises(BusError):
        await bus.put("key", b"other")
    child = instance.ensure_bus()
    assert child is not None
    for _ in range(500):
        try:
            assert await bus.get("key") == b"value"
            break
        except BusError:
            await asyncio.sleep(0.02)
    assert bus.connected
    await bus.close()


@pytest.mark.slow
async def test_wrong_password_and_absent_server_are_errors(instance: Instance) -> None:
    address = instance.bus_address()
    with pytest.raises(BusError, match="does not answer"):
        await Bus.connect(BusAddress(address.port, "foresteer", "wrong"), "x", timeout_s=0.3)
    with pytest.raises(BusError, match="does not answer"):
        await Bus.connect(BusAddress(1, "foresteer", "x"), "x", timeout_s=0.1)


async def test_one_that_leaves_answers_everything_that_was_on_its_way(instance: Instance) -> None:
    asker = await Bus.connect(instance.bus_address(), "asker")
    stays = await Bus.connect(instance.bus_address(), "stays")
    await stays.subscribe("t.group", answer, queue="g")

    async def slowly(request: CounterRequest) -> CounterReport:
        await asyncio.sleep(0.01)
        return await answer(request)

    for turn in range(6):
        leaves = await Bus.connect(instance.bus_address(), "leaves")
        await leaves.subscribe("t.group", slowly, queue="g", at_once=turn % 2 == 0)
        asking = []
        for number in range(40):
            asking.append(
                asyncio.create_task(asker.request("t.group", CounterRequest(number), arrival_s=0))
            )
            if number == 5 * turn:
                leaving = asyncio.create_task(leaves.drain())
            await asyncio.sleep(0)
        assert len(await asyncio.gather(*asking)) == 40
        await leaving
        assert not leaves.connected
    await asker.close()
    await stays.close()

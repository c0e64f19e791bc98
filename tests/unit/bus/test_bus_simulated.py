"""The simulated network does what it is told, and the same again with the same seed."""

import pytest

from bus.simulated import Faults, SimulatedClock, SimulatedNetwork, Simulation


def carried(seed: int, faults: Faults, count: int = 400) -> list[tuple[float, bytes]]:
    """Send numbered datagrams, one a millisecond; return when which arrived."""
    simulation = Simulation(seed)
    network = SimulatedNetwork(simulation, faults)
    arrived: list[tuple[float, bytes]] = []
    network.bind("b", lambda datagram, source: arrived.append((simulation.now_s, datagram)))
    for number in range(count):
        datagram = number.to_bytes(4, "big")
        simulation.at(number / 1000, lambda d=datagram: network.send("a", "b", d))
    simulation.run(10)
    return arrived


def test_without_faults_everything_arrives_in_order_after_its_delay() -> None:
    arrived = carried(1, Faults(delay_s=0.25), 3)
    assert [int.from_bytes(d, "big") for _, d in arrived] == [0, 1, 2]
    assert [t for t, _ in arrived] == pytest.approx([0.25, 0.251, 0.252])


def test_a_seed_repeats_a_run_and_another_does_not() -> None:
    faults = Faults(loss=0.2, duplicate=0.1, corrupt=0.1, jitter_s=0.01)
    assert carried(5, faults) == carried(5, faults)
    assert carried(5, faults) != carried(6, faults)


def test_faults_come_as_often_as_they_are_asked_for() -> None:
    assert 0.7 < len(carried(1, Faults(loss=0.2))) / 400 < 0.9
    assert 1.05 < len(carried(1, Faults(duplicate=0.1))) / 400 < 1.15
    numbers = [d for _, d in carried(1, Faults(jitter_s=0.02))]
    assert numbers != sorted(numbers)
    sent = {number.to_bytes(4, "big") for number in range(400)}
    wrong = [d for _, d in carried(1, Faults(corrupt=0.5)) if d not in sent]
    assert 100 < len(wrong) < 300


def test_cuts_hold_one_direction_until_they_are_mended() -> None:
    simulation = Simulation()
    network = SimulatedNetwork(simulation)
    seen: list[tuple[object, bytes]] = []
    network.bind("a", lambda datagram, source: seen.append((source, datagram)))
    network.bind("b", lambda datagram, source: seen.append((source, datagram)))
    network.cut("a", "b")
    network.send("a", "b", b"lost")
    network.send("b", "a", b"kept")
    network.mend()
    network.send("a", "b", b"again")
    network.send("a", "nobody", b"x")
    simulation.run(1)
    assert seen == [("b", b"kept"), ("a", b"again")]
    network.unbind("b")
    network.send("a", "b", b"gone")
    simulation.run(2)
    assert len(seen) == 2


async def test_clocks_are_apart_drift_and_wake_who_sleeps() -> None:
    import asyncio

    simulation = Simulation()
    fast = SimulatedClock(simulation, offset_s=100, rate=2.0)
    plain = SimulatedClock(simulation, wall_s=50)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, clock: SimulatedClock, until_s: float) -> None:
        await clock.sleep_until(until_s)
        woken.append((name, simulation.now_s))

    tasks = [
        asyncio.create_task(sleeper("plain", plain, 3)),
        asyncio.create_task(sleeper("fast", fast, 104)),
        asyncio.create_task(sleeper("past", plain, -1)),
    ]
    await asyncio.sleep(0)
    await simulation.run_async(10)
    await asyncio.gather(*tasks)
    assert woken == [("past", 0.0), ("fast", 2.0), ("plain", 3.0)]
    assert (plain.monotonic(), fast.monotonic(), plain.wall()) == (10, 120, 60)

"""Every engine is watched by two others that have circuits both ways."""

from controller.act.compile import OBSERVERS, engine_probes
from controller.state import Circuit
from headers.files.network import Engine, Location, Network
from headers.messages import Probe

NAMES = "ABCD"


def network() -> Network:
    places = tuple(
        Location(
            name,
            n,
            f"10.{n}.0.0/16",
            f"10.{n}.255.254",
            Engine(f"e{name}", n, ("h",), "f", 1),
        )
        for n, name in enumerate(NAMES, 1)
    )
    return Network("four", places, ())


def circuits(*pairs: str) -> list[Circuit]:
    return [Circuit(100 + n, pair[0], pair[1], ()) for n, pair in enumerate(pairs)]


def test_each_engine_has_two_observers_where_circuits_allow() -> None:
    probes = engine_probes(network(), circuits(*(a + b for a in NAMES for b in NAMES if a != b)))
    watched = [probe.target for probe in probes]
    assert {n: watched.count(n) for n in range(1, 5)} == dict.fromkeys(range(1, 5), OBSERVERS)
    assert {probe.engine for probe in probes} == {1, 2, 3, 4}
    assert all(probe.engine != probe.target for probe in probes)


def test_circuits_both_ways_are_needed_and_the_lowest_number_is_used() -> None:
    probes = engine_probes(network(), circuits("AB", "BA", "AB", "CA"))
    assert probes == (Probe(2, 1, 101, 1, 100, 1), Probe(1, 2, 100, 1, 101, 1))


def test_without_circuits_nobody_is_watched() -> None:
    assert engine_probes(network(), []) == ()

"""Which echoes measure a plan's circuits."""

from controller.act.measure import engine_measures
from controller.state import Circuit
from headers.files.network import Engine, Location, Network


def network() -> Network:
    return Network(
        "two",
        tuple(
            Location(
                name,
                number,
                f"10.{number}.0.0/16",
                f"10.{number}.255.254",
                Engine(f"e{number}", number, (f"e{number}-eth1",), f"e{number}-eth2", 1),
            )
            for number, name in enumerate("ab", 1)
        ),
        (),
    )


def test_every_circuit_with_a_way_back_is_measured_against_the_same_one() -> None:
    circuits = [
        Circuit(9, "a", "b", ("a>b",)),
        Circuit(4, "a", "b", ("a>b",)),
        Circuit(7, "b", "a", ("b>a",)),
        Circuit(6, "b", "a", ("b>a",)),
    ]
    found = engine_measures(network(), circuits)
    assert [(p.engine, p.target, p.out_spi, p.back_spi) for p in found] == [
        (1, 2, 4, 6),
        (2, 1, 6, 4),
        (2, 1, 7, 4),
        (1, 2, 9, 6),
    ]


def test_circuit_without_a_way_back_cannot_be_measured() -> None:
    assert engine_measures(network(), [Circuit(4, "a", "b", ("a>b",))]) == ()

"""Protection on switches: whatever one link dies, following the labels leads to the end."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.act.filters import switch_filters
from controller.act.labels import PROTECTION, Ports, circuit_labels
from controller.state import Circuit, CircuitFilter, FirewallRule
from headers.messages import TURN_BACK, Filter, FilterRule, Label

# a ladder: a-b-c-d above, a-e-f-d below, and b-e, c-f across
CABLES = ("ab", "bc", "cd", "ae", "ef", "fd", "be", "cf")
DPID = {name: number for number, name in enumerate("abcdef", 1)}
END = (DPID["d"], 9)


def ladder(*, one_way: tuple[str, ...] = ()) -> Ports:
    """Each cable has a port of its own number at both ends."""
    out, into = {}, {}
    for port, cable in enumerate(CABLES, 1):
        for src, dst in (cable, cable[::-1]):
            if f"{src}>{dst}" not in one_way:
                out[f"{src}>{dst}"] = (DPID[src], port)
                into[f"{src}>{dst}"] = (DPID[dst], port)
    return Ports(out, into)


def links(path: str) -> tuple[str, ...]:
    return tuple(f"{a}>{b}" for a, b in itertools.pairwise(path))


PRIMARY, BELOW, ZIGZAG = "abcd", "aefd", "aebcfd"


def circuit(backup: str = "", path: str = PRIMARY) -> Circuit:
    return Circuit(5, path[0], path[-1], links(path), 7, links(backup))


def walk(labels: tuple[tuple[int, Label], ...], ports: Ports, dead: str = "") -> Iterator[str]:
    """Follow a packet from the source as switches would; yield the switches that it passes."""
    names = {number: name for name, number in DPID.items()}
    wires = {(*out,): ports.into[link] for link, out in ports.out.items()}
    down = {
        end for link in (dead, dead[::-1]) if dead for end in (ports.out[f"{link[0]}>{link[1]}"],)
    }
    at, came_in, spi = DPID["a"], 99, 5
    for _ in range(20):
        yield names[at]
        found = [x for dpid, x in labels if dpid == at and x.spi == spi]
        exact = [x for x in found if x.in_port == came_in]
        (label,) = exact or [x for x in found if not x.in_port]
        port = label.port
        if (at, port) in down:
            assert label.backup_port, f"dropped at {names[at]}"
            port = came_in if label.backup_port == TURN_BACK else label.backup_port
            spi |= PROTECTION
        if (at, port) == END:
            return
        at, came_in = wires[at, port]
    raise AssertionError("a loop")


@pytest.mark.parametrize("backup", [BELOW, "", ZIGZAG])
def test_packet_takes_the_path_while_all_is_well(backup: str) -> None:
    ports = ladder()
    assert "".join(walk(circuit_labels(circuit(backup), END, ports), ports)) == PRIMARY


@pytest.mark.parametrize(("dead", "way"), [("ab", "aefd"), ("bc", "abaefd"), ("cd", "abcbaefd")])
def test_each_link_of_the_path_may_die(dead: str, way: str) -> None:
    ports = ladder()
    labels = circuit_labels(circuit(BELOW), END, ports)
    assert "".join(walk(labels, ports, dead)) == way


def test_switch_on_the_way_back_and_twice_on_the_backup_tells_them_apart_by_the_port() -> None:
    ports = ladder()
    labels = circuit_labels(circuit("aebefd"), END, ports)
    assert "".join(walk(labels, ports, "cd")) == "abcba" + "ebefd"


def test_without_a_backup_there_is_one_label_at_each_switch_of_the_path() -> None:
    labels = circuit_labels(circuit(), END, ladder())
    assert labels == (
        (1, Label(5, 1, generation=7)),
        (2, Label(5, 2, generation=7)),
        (3, Label(5, 3, generation=7)),
        (4, Label(5, 9, generation=7)),
    )


def test_hops_behind_a_one_way_link_do_not_turn_back() -> None:
    ports = ladder(one_way=("c>b",))
    labels = circuit_labels(circuit(BELOW), END, ports)
    backups = {dpid: x.backup_port for dpid, x in labels if x.spi == 5}
    assert backups == {1: 4, 2: TURN_BACK, 3: 0, 4: 0}
    assert not [x for dpid, x in labels if dpid == 2 and x.spi != 5]


def test_backup_that_was_never_discovered_leaves_the_circuit_unprotected() -> None:
    known = ladder()
    ports = Ports({k: v for k, v in known.out.items() if k != "e>f"}, known.into)
    assert circuit_labels(circuit(BELOW), END, ports) == circuit_labels(circuit(), END, ports)


def test_backup_that_leaves_by_the_same_port_is_none() -> None:
    ports = ladder()
    assert circuit_labels(circuit("abefd"), END, ports) == circuit_labels(circuit(), END, ports)


def test_firewall_stands_at_both_ends_with_the_rules_of_its_direction() -> None:
    rules = (
        FirewallRule("web", True, 200, "10.1.0.0/16", "10.4.0.0/16", 6, 0, 443),
        FirewallRule("back", False, 100, direction="reverse"),
        FirewallRule("icmp", False, 50, protocol=1, direction="both"),
    )
    wanted = CircuitFilter(5, rules, allow_rest=False, generation=3)
    found = switch_filters([circuit(), replace(circuit(), spi=6)], [wanted], DPID)
    expected = Filter(
        5,
        (
            FilterRule(200, True, "10.1.0.0/16", "10.4.0.0/16", 6, 0, 443),
            FilterRule(50, False, protocol=1),
        ),
        allow_rest=False,
        generation=3,
    )
    assert found == {1: (expected,), 4: (expected,)}

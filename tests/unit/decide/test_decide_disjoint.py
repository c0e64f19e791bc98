import itertools
from dataclasses import replace

from decide_nets import DIAMOND, DIAMOND_NODES, both, link
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.disjoint import Protector, opposite, protector, risks_of
from controller.decide.graph import graph_of
from controller.decide.paths import k_shortest_paths

NODES = tuple("abcde")
EVERY = 10_000


def cable(name):
    return frozenset((name, opposite(name)))


def sharing(graph, risks, path, other):
    """Return what a path shares with another: cables, risks, locations on the way."""
    mine = {cable(graph.edges[edge].name) for edge in path}
    groups = {group for edge in path for group in risks[edge]}
    inner = {graph.edges[edge].dst for edge in path[:-1]}
    return (
        sum(cable(graph.edges[edge].name) in mine for edge in other),
        sum(len(groups & set(risks[edge])) for edge in other),
        sum(graph.edges[edge].dst in inner for edge in other[:-1]),
    )


@st.composite
def protected(draw):
    pairs = list(itertools.combinations(NODES, 2))
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=9))
    seen: dict[tuple[str, str], int] = {}
    links = []
    for a, b in chosen:
        number = seen[a, b] = seen.get((a, b), 0) + 1
        groups = tuple(sorted(draw(st.sets(st.sampled_from("xyz"), max_size=2))))
        links += [
            replace(link(*ends, number=number), risk_groups=groups) for ends in ((a, b), (b, a))
        ]
    return graph_of(NODES, links), {x.name: x for x in links}


@settings(max_examples=80, deadline=None)
@given(protected())
def test_no_other_way_shares_less_than_the_backup(network):
    graph, links = network
    risks = risks_of(graph, links)
    finds = Protector(graph, risks)
    for every in k_shortest_paths(graph, EVERY).values():
        for path in every[:2]:
            backup = finds.backup(path)
            others = [other for other in every if other != path]
            if not backup:
                assert all(
                    sharing(graph, risks, path, x) >= sharing(graph, risks, path, path)
                    for x in others
                )
                continue
            assert backup in others
            least = min(sharing(graph, risks, path, other) for other in others)
            assert sharing(graph, risks, path, backup) == least


def test_a_disjoint_way_is_taken_where_there_is_one():
    graph = graph_of(DIAMOND_NODES, DIAMOND)
    found = protector(graph, ((),) * len(graph.edges))
    first, second = k_shortest_paths(graph, 8)[0, 3]
    assert found.backup(first) == second
    assert found.backup(second) == first
    assert found.names(first) == ("a>b", "b>d")


def test_the_way_back_is_the_same_cable():
    links = both(("a", "b", 1.0, 1.0), ("b", "c", 1.0, 1.0), ("b", "d", 1.0, 1.0),
                 ("d", "c", 1.0, 1.0), ("a", "c", 1.0, 9.0))  # fmt: skip
    graph = graph_of(tuple("abcd"), links)
    found = protector(graph, ((),) * len(graph.edges))
    names = {edge.name: at for at, edge in enumerate(graph.edges)}
    assert found.shared((names["a>b"],), (names["b>a"],)) == 1
    assert found.shared((names["a>b"],), (names["a>c"],)) == 0
    assert opposite("a>b/2") == "b>a/2"


def test_a_shared_duct_is_avoided_before_a_longer_way_is():
    links = both(("a", "d", 1.0, 1.0), ("a", "b", 1.0, 1.0), ("b", "d", 1.0, 1.0),
                 ("a", "c", 1.0, 5.0), ("c", "d", 1.0, 5.0))  # fmt: skip
    plain = graph_of(DIAMOND_NODES, links)
    first = k_shortest_paths(plain, 1)[0, 3][0]
    ducts = {x.name: replace(x, risk_groups=("duct",) if x.name in {"a>d", "a>b"} else ())
             for x in links}  # fmt: skip
    without = protector(plain, ((),) * len(plain.edges))
    within = protector(plain, risks_of(plain, ducts))
    assert without.names(without.backup(first)) == ("a>b", "b>d")
    assert within.names(within.backup(first)) == ("a>c", "c>d")


def test_no_number_of_risk_groups_outweighs_a_cable():
    many = tuple(f"g{n}" for n in range(200))
    links = both(("a", "b", 1.0, 1.0), ("a", "b", 1.0, 1.0), ("b", "d", 1.0, 1.0),
                 ("a", "c", 1.0, 1.0), ("c", "d", 1.0, 1.0))  # fmt: skip
    links = [x for x in links if x.name not in {"a>b", "b>a"}]
    links += [replace(link("a", "b"), risk_groups=many), replace(link("b", "a"), risk_groups=many)]
    links = [replace(x, risk_groups=many) if x.name == "a>c" else x for x in links]
    graph = graph_of(DIAMOND_NODES, links)
    found = protector(graph, risks_of(graph, {x.name: x for x in links}))
    names = {edge.name: at for at, edge in enumerate(graph.edges)}
    backup = found.backup((names["a>b"], names["b>d"]))
    assert found.names(backup) == ("a>c", "c>d")


def test_a_bridge_is_shared_and_the_rest_is_not():
    links = both(("a", "b", 1.0, 1.0), ("b", "d", 1.0, 1.0), ("b", "c", 1.0, 1.0),
                 ("c", "d", 1.0, 1.0))  # fmt: skip
    graph = graph_of(DIAMOND_NODES, links)
    found = protector(graph, ((),) * len(graph.edges))
    path = k_shortest_paths(graph, 1)[0, 3][0]
    assert found.names(found.backup(path)) == ("a>b", "b>c", "c>d")
    alone = k_shortest_paths(graph, 1)[0, 1][0]
    assert found.backup(alone) == ()


def test_a_backup_does_not_run_back_over_a_cable_that_it_is_to_stand_in_for():
    links = both(("s", "u", 1.0, 1.0), ("u", "v", 1.0, 1.0), ("v", "t", 1.0, 1.0),
                 ("s", "v", 1.0, 4.0), ("u", "t", 1.0, 4.0), ("v", "w", 1.0, 2.0),
                 ("w", "u", 1.0, 2.0))  # fmt: skip
    nodes = tuple("suvtw")
    graph = graph_of(nodes, links)
    found = protector(graph, ((),) * len(graph.edges))
    path = k_shortest_paths(graph, 1)[0, 3][0]
    assert found.names(path) == ("s>u", "u>v", "v>t")
    assert found.names(found.backup(path)) == ("s>v", "v>w", "w>u", "u>t")

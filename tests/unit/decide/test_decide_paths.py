import itertools

import pytest
from decide_nets import DIAMOND, DIAMOND_NODES, from_topohub, link
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.graph import (
    distances,
    equal_cost_next_hops,
    graph_of,
    routes,
    shortest_paths,
)
from controller.decide.paths import k_shortest_paths


def names(graph, path):
    return [graph.edges[edge].name for edge in path]


def cost(graph, path):
    return sum(graph.edges[edge].metric for edge in path)


def all_simple_paths(graph, source, target):
    found = []

    def go(node, path, seen):
        if node == target:
            found.append(tuple(path))
            return
        for number, edge in enumerate(graph.edges):
            if edge.src == node and edge.dst not in seen:
                go(edge.dst, [*path, number], seen | {edge.dst})

    go(source, [], {source})
    return found


@st.composite
def graphs(draw):
    size = draw(st.integers(2, 5))
    ends = st.sampled_from(list(itertools.permutations("abcde"[:size], 2)))
    chosen = draw(st.lists(st.tuples(ends, st.sampled_from([0.5, 1.0, 1.5, 3.0])), max_size=12))
    seen: dict[tuple[str, str], int] = {}
    links = []
    for pair, metric in chosen:
        seen[pair] = seen.get(pair, 0) + 1
        links.append(link(*pair, metric=metric, number=seen[pair]))
    return graph_of(tuple("abcde"[:size]), links)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(1, 6))
def test_the_k_shortest_of_all_loop_free_paths_are_found(graph, k):
    found = k_shortest_paths(graph, k)
    for pair in itertools.permutations(range(graph.size), 2):
        every = all_simple_paths(graph, *pair)
        mine = found.get(pair, ())
        assert len(set(mine)) == len(mine) == min(k, len(every))
        assert set(mine) <= set(every)
        keys = sorted((cost(graph, path), len(path)) for path in every)[:k]
        assert [(cost(graph, path), len(path)) for path in mine] == keys


@settings(max_examples=50, deadline=None)
@given(graphs())
def test_shortest_paths_cost_the_distance_and_form_trees(graph):
    ways, table = shortest_paths(graph), distances(graph)
    for source, target in itertools.permutations(range(graph.size), 2):
        if table[target][source] is None:
            assert (source, target) not in ways
            continue
        path = ways[source, target]
        assert cost(graph, path) * 1_000_000 == pytest.approx(table[target][source])
        assert all(
            ways[graph.edges[edge].src, target] == path[position:]
            for position, edge in enumerate(path)
        )


def test_the_cheapest_path_comes_first():
    graph = graph_of(DIAMOND_NODES, DIAMOND)
    first, second = k_shortest_paths(graph, 8)[0, 3]
    assert names(graph, first) == ["a>b", "b>d"]
    assert names(graph, second) == ["a>c", "c>d"]


def test_parallel_links_make_different_paths():
    graph = graph_of(("a", "b"), [link("a", "b"), link("a", "b", number=2)])
    found = [names(graph, path) for path in k_shortest_paths(graph, 8)[0, 1]]
    assert sorted(found) == [["a>b"], ["a>b/2"]]


def test_the_order_of_links_and_their_load_change_nothing():
    nodes, links = from_topohub("sndlib/polska")
    loaded = [link(x.src, x.dst, x.capacity_bps, x.metric, rate=7.0) for x in reversed(links)]
    one, other = graph_of(nodes, links), graph_of(nodes, loaded)
    assert one == other
    assert k_shortest_paths(one, 8) == k_shortest_paths(other, 8)


@pytest.mark.parametrize(
    "dead",
    [
        link("b", "d", up=False),
        link("b", "d", capacity=0.0),
        link("b", "x"),
        link("b", "b"),
    ],
    ids=["down", "without capacity", "to nowhere", "to itself"],
)
def test_links_that_carry_nothing_are_not_used(dead):
    graph = graph_of(DIAMOND_NODES, [*(x for x in DIAMOND if x.name != "b>d"), dead])
    assert [names(graph, path) for path in k_shortest_paths(graph, 8)[0, 3]] == [["a>c", "c>d"]]


def test_a_pair_without_a_way_has_no_path():
    graph = graph_of(("a", "b", "c"), [link("a", "b")])
    assert set(k_shortest_paths(graph, 3)) == set(shortest_paths(graph)) == {(0, 1)}
    assert routes(("a", "b", "c"), graph) == {"a": {"b": "a>b"}, "b": {}, "c": {}}
    assert equal_cost_next_hops(graph)[2] == ((), (), ())


def test_no_candidate_path_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        k_shortest_paths(graph_of(("a",), ()), 0)


def test_equal_costs_are_equal_in_any_order_of_addition():
    links = [link("a", "b", metric=0.1), link("b", "d", metric=0.2), link("d", "e", metric=0.3),
             link("a", "c", metric=0.3), link("c", "d", metric=1e-12), link("c", "f", metric=0.2),
             link("f", "e", metric=0.1)]  # fmt: skip
    graph = graph_of(tuple("abcdef"), links)
    assert [names(graph, [e]) for e in equal_cost_next_hops(graph)[4][0]] == [["a>b"], ["a>c"]]


def test_plain_routes_lead_to_the_destination_without_a_loop():
    nodes, links = from_topohub("sndlib/germany50")
    graph = graph_of(nodes, links)
    table = routes(nodes, graph)
    ends = {edge.name: nodes[edge.dst] for edge in graph.edges}
    for source, target in itertools.permutations(nodes, 2):
        here, steps = source, 0
        while here != target:
            here, steps = ends[table[here][target]], steps + 1
            assert steps < len(nodes)

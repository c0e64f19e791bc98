import itertools

import pytest
from decide_nets import from_topohub, link
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.graph import graph_of
from controller.decide.paths import PathBook

NODES = tuple("abcdef")


@st.composite
def networks(draw):
    """Links among six nodes, and which of them are down at each of several times."""
    ends = st.sampled_from(list(itertools.permutations(NODES, 2)))
    chosen = draw(st.lists(st.tuples(ends, st.sampled_from([1.0, 1.0, 2.0])), max_size=16))
    seen: dict[tuple[str, str], int] = {}
    links = []
    for pair, metric in chosen:
        seen[pair] = seen.get(pair, 0) + 1
        links.append(link(*pair, metric=metric, number=seen[pair]))
    names = [x.name for x in links]
    down = st.sets(st.sampled_from(names), max_size=3) if names else st.just(set())
    times = draw(st.lists(down, min_size=2, max_size=5))
    return [graph_of(NODES, [x for x in links if x.name not in gone]) for gone in times]


@settings(max_examples=150, deadline=None)
@given(networks(), st.integers(1, 5))
def test_paths_made_from_another_topology_s_are_those_from_scratch(graphs, k):
    book = PathBook()
    for graph in graphs:
        assert book.paths(graph, k) == PathBook().paths(graph, k)


@settings(max_examples=50, deadline=None)
@given(networks(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_what_was_asked_before_changes_no_answer(graphs, k, random):
    wanted = {graph: PathBook().paths(graph, k) for graph in graphs}
    for _ in range(3):
        book, order = PathBook(), list(graphs)
        random.shuffle(order)
        for graph in order:
            some = frozenset(random.sample(sorted(wanted[graph]), k=len(wanted[graph]) // 2))
            found = book.paths(graph, k, some)
            assert found == {pair: wanted[graph][pair] for pair in some}
        assert {graph: book.paths(graph, k) for graph in graphs} == wanted


def test_a_failed_link_makes_few_pairs_be_searched_again():
    nodes, links = from_topohub("sndlib/germany50")
    book = PathBook()
    book.paths(graph_of(nodes, links), 4)
    before = book.searched
    failed = {links[0].name, links[1].name}
    left = graph_of(nodes, [x for x in links if x.name not in failed])
    found = book.paths(left, 4)
    assert 0 < book.searched - before < before / 4
    assert found == PathBook().paths(left, 4)
    again = book.searched
    book.paths(graph_of(nodes, links), 4)
    assert book.searched == again


def test_no_pair_asked_for_is_no_pair_answered():
    graph = graph_of(("a", "b"), [link("a", "b")])
    assert PathBook().paths(graph, 2, frozenset()) == {}


@pytest.mark.parametrize("name", ["sndlib/polska", "sndlib/abilene"])
def test_every_single_failure_of_a_real_network_is_followed(name):
    nodes, links = from_topohub(name)
    book = PathBook()
    book.paths(graph_of(nodes, links), 3)
    for at in range(0, len(links), 2):
        graph = graph_of(nodes, links[:at] + links[at + 2 :])
        assert book.paths(graph, 3) == PathBook().paths(graph, 3)

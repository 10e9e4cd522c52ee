"""d-separations of a graph, and those that the graph of a pool keeps: by hand and against networkx."""

from itertools import combinations, product

import networkx as nx
import numpy as np
import pytest

from poolproof.theory import Separation, d_separations
from poolproof.theory.separations import covered_edges, equivalent_graphs, kept, pairwise_separations

FORK = nx.DiGraph([("Y", "X"), ("Y", "Z")])
CHAIN = nx.DiGraph([("X", "Y"), ("Y", "Z")])
COLLIDER = nx.DiGraph([("X", "Y"), ("Z", "Y")])


def random_dag(seed, n, density=0.4):
    rng = np.random.default_rng(seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(
        (a, b) for a, b in combinations(rng.permutation(n).tolist(), 2) if rng.random() < density
    )
    return graph


@pytest.mark.parametrize("seed", range(20))
def test_d_separations__are_those_of_networkx(seed):
    graph = random_dag(seed, 6)
    listed = {(s.x, s.y, s.given) for s in d_separations(graph, 4)}
    expected = {
        (x, y, given)
        for size in range(5)
        for given in combinations(graph, size)
        for x, y in combinations([n for n in graph if n not in given], 2)
        if nx.is_d_separator(graph, {x}, {y}, set(given))
    }
    assert listed == expected


@pytest.mark.parametrize("seed", range(10))
def test_pairwise_separations__name_each_pair_once_and_separate_it(seed):
    graph = random_dag(seed, 12, 0.25)
    listed = list(pairwise_separations(graph))
    assert len(listed) == 66 - graph.number_of_edges()
    assert all(nx.is_d_separator(graph, {s.x}, {s.y}, set(s.given)) for s in listed)


def passing(*edges):
    """The edges (parent, child) that meet the one-edge criterion."""
    return lambda gene, parent: (parent, gene) in edges


@pytest.mark.parametrize(
    ("graph", "edges", "given", "expected"),
    [
        (FORK, [("Y", "X"), ("Y", "Z")], ("Y",), True),
        (FORK, [("Y", "X")], ("Y",), True),
        (FORK, [("Y", "Z")], ("Y",), True),
        (FORK, [], ("Y",), False),
        (CHAIN, [("Y", "Z")], ("Y",), True),
        (CHAIN, [("X", "Y")], ("Y",), False),
        (CHAIN, [], ("Y",), False),
        (COLLIDER, [], (), True),
    ],
)
def test_three_genes__as_in_the_theory(graph, edges, given, expected):
    assert kept(Separation("X", "Z", given), graph, passing(*edges)) is expected


def test_partly_affine_child__passes_for_one_parent_alone():
    """Z = Y + f(W): Z keeps X _||_ Z | Y, but not V _||_ Z | W for a child V of W that fails too."""
    graph = nx.DiGraph([("Y", "X"), ("Y", "Z"), ("W", "Z"), ("W", "V")])
    passes = passing(("Y", "Z"))
    assert kept(Separation("X", "Z", ("Y",)), graph, passes)
    assert not kept(Separation("V", "Z", ("W",)), graph, passes)


@pytest.mark.parametrize("seed", range(10))
def test_all_edges_pass__every_separation_is_kept(seed):
    graph = random_dag(seed, 6)
    assert all(kept(s, graph, lambda gene, parent: True) for s in d_separations(graph, 4))


@pytest.mark.parametrize("seed", range(5))
def test_kept__only_what_the_graph_itself_separates(seed):
    graph = random_dag(seed, 5)
    rng = np.random.default_rng(seed)
    passes = {edge: bool(rng.random() < 0.5) for edge in graph.edges}
    for x, y in combinations(graph, 2):
        for size in range(4):
            for given in combinations([n for n in graph if n not in (x, y)], size):
                if kept(Separation(x, y, given), graph, lambda gene, parent: passes[parent, gene]):
                    assert nx.is_d_separator(graph, {x}, {y}, set(given))


def test_hidden_nodes__break_what_they_join():
    graph = nx.DiGraph([("Y", "X"), ("Y", "Z")])
    everything = lambda gene, parent: True  # noqa: E731
    fork = Separation("X", "Z", ("Y",))
    assert kept(fork, graph, everything, by_number=["Y"])
    assert kept(fork, graph, everything, by_number=["Y", "X"])
    assert not kept(fork, graph, everything, by_number=["Y", "X", "Z"])
    assert not kept(fork, graph, everything, by_type=["X", "Z"])
    assert kept(fork, graph, everything, by_type=["X"])


def test_equivalent_graphs__have_the_same_separations():
    graph = random_dag(3, 5, 0.5)
    found = list(equivalent_graphs(graph, 1000))
    same = [set(d_separations(g, 3)) for g in found]
    assert all(s == same[0] for s in same)
    equivalent = []
    for edges in product(*((edge, edge[::-1]) for edge in graph.edges)):
        other = nx.DiGraph()
        other.add_nodes_from(graph)
        other.add_edges_from(edges)
        if nx.is_directed_acyclic_graph(other) and set(d_separations(other, 3)) == same[0]:
            equivalent.append(frozenset(edges))
    assert {frozenset(g.edges) for g in found} == set(equivalent)


def test_covered_edges__none_in_a_collider():
    assert covered_edges(COLLIDER) == []
    assert covered_edges(CHAIN) == [("X", "Y")]

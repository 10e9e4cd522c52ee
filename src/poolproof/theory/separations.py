"""Which d-separations a graph has, and which of them pooled genes surely keep (CIC, method 3).

A pool of K cells is a graph of its own: the cells of gene j are a vector V_j, its sum is S_j. Where the
one-edge criterion lets the law of S_j depend on the parent p through S_p only, S_p -> S_j takes the place
of V_p -> S_j. What is d-separated in that graph is independent in pools, whatever the laws; cells need not
be alike, only the noises of different genes independent. A random number of cells and the types of the
cells are hidden nodes of the same graph.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import networkx as nx

from .one_edge import PASS, Family

MAX_CLASS = 100
"""Markov-equivalent graphs that are looked at."""
MAX_CLASS_GENES = 7
NUMBER, TYPE = ("number of cells",), ("cell type",)


@dataclass(frozen=True, order=True)
class Separation:
    """x and y are d-separated by ``given``."""

    x: str
    y: str
    given: tuple[str, ...]


# --- the statements ----------------------------------------------------------------------------------------


def d_separations(
    graph: nx.DiGraph, max_given: int, among: Sequence[str] | None = None
) -> Iterator[Separation]:
    """All d-separations of pairs of genes given at most ``max_given`` others, in the order of the nodes.

    Of some genes, where they are named.

    Examples
    --------
    >>> fork = nx.DiGraph([("Y", "X"), ("Y", "Z")])
    >>> list(d_separations(fork, 1))
    [Separation(x='X', y='Z', given=('Y',))]
    """
    genes = list(graph) if among is None else list(among)
    order = {node: i for i, node in enumerate(genes)}
    for size in range(max_given + 1):
        for given in combinations(genes, size):
            for x in genes:
                if x in given:
                    continue
                reached = _reachable(graph, x, given)
                for y in genes:
                    if order[y] > order[x] and y not in given and y not in reached:
                        yield Separation(x, y, given)


def pairwise_separations(graph: nx.DiGraph, *, near: bool = False) -> Iterator[Separation]:
    """One d-separation for each pair that is not adjacent: by the parents of the later of the two.

    With ``near``, only pairs that have a neighbour in common.

    Examples
    --------
    >>> chain = nx.DiGraph([("X", "Y"), ("Y", "Z")])
    >>> list(pairwise_separations(chain))
    [Separation(x='X', y='Z', given=('Y',))]
    """
    place = {node: i for i, node in enumerate(nx.topological_sort(graph))}
    order = {node: i for i, node in enumerate(graph)}
    parents = {node: tuple(sorted(graph.predecessors(node), key=order.__getitem__)) for node in graph}
    both = graph.to_undirected(as_view=True)
    pairs: Iterator[tuple[str, str]] = combinations(graph, 2)
    if near:
        ends = {
            (a, b) for node in graph for a, b in combinations(sorted(both[node], key=order.__getitem__), 2)
        }
        pairs = iter(sorted(ends, key=lambda pair: (order[pair[0]], order[pair[1]])))
    for x, y in pairs:
        if not (graph.has_edge(x, y) or graph.has_edge(y, x)):
            later = max(x, y, key=place.__getitem__)
            yield Separation(x, y, parents[later])


def _reachable(graph: nx.DiGraph, start: Hashable, given: Sequence[Hashable]) -> set[Hashable]:
    """Nodes d-connected to ``start`` given others (Koller and Friedman 2009, algorithm 3.1)."""
    blocked = set(given)
    above = blocked.union(*(nx.ancestors(graph, g) for g in given)) if given else set()
    found: set[Hashable] = set()
    todo, seen = [(start, True)], set()
    while todo:
        node, from_child = step = todo.pop()
        if step in seen:
            continue
        seen.add(step)
        if node not in blocked:
            found.add(node)
        if from_child and node not in blocked:
            todo += [(p, True) for p in graph.predecessors(node)]
            todo += [(c, False) for c in graph.successors(node)]
        elif not from_child:
            if node not in blocked:
                todo += [(c, False) for c in graph.successors(node)]
            if node in above:
                todo += [(p, True) for p in graph.predecessors(node)]
    return found


# --- the graph of a pool -----------------------------------------------------------------------------------


def pool_graph(
    graph: nx.DiGraph, passes: Callable[[str, str], bool], *, by_type: Sequence[str], by_number: Sequence[str]
) -> nx.DiGraph:
    """The graph of sums and cells of a pool.

    Parameters
    ----------
    graph
        Genes that matter: the ancestors of a statement.
    passes
        Whether a gene (first) meets the one-edge criterion for a parent (second).
    by_type, by_number
        Genes whose law depends on the type of the cell, and whose sum on the number of cells, directly.

    Examples
    --------
    A fork of which one arm passes keeps its separation; ``("sum", gene)`` names the pooled genes.

    >>> fork = nx.DiGraph([("Y", "X"), ("Y", "Z")])
    >>> pools = pool_graph(fork, lambda gene, parent: gene == "X", by_type=(), by_number=())
    >>> nx.is_d_separator(pools, {("sum", "X")}, {("sum", "Z")}, {("sum", "Y")})
    True
    """
    needed: dict[str, bool] = {}
    for gene in reversed(list(nx.topological_sort(graph))):
        needed[gene] = any(needed[c] or not passes(c, gene) for c in graph.successors(gene))
    pools = nx.DiGraph()
    for gene in graph:
        total, cells = ("sum", gene), ("cells", gene)
        pools.add_node(total)
        if needed[gene]:
            pools.add_edge(cells, total)
            pools.add_edges_from((("cells", p), cells) for p in graph.predecessors(gene))
        else:
            for parent in graph.predecessors(gene):
                pools.add_edge(("sum" if passes(gene, parent) else "cells", parent), total)
        own = cells if needed[gene] else total
        pools.add_edges_from((TYPE, own) for _ in (1,) if gene in by_type)
        pools.add_edges_from((NUMBER, own) for _ in (1,) if gene in by_number)
    return pools


def kept(
    separation: Separation,
    graph: nx.DiGraph,
    passes: Callable[[str, str], bool],
    *,
    by_type: Sequence[str] = (),
    by_number: Sequence[str] = (),
) -> bool:
    """Tell whether a d-separation of ``graph`` surely holds among pooled genes."""
    genes = ancestral(graph, separation)
    pools = pool_graph(genes, passes, by_type=by_type, by_number=by_number)
    given = {("sum", g) for g in separation.given}
    return bool(nx.is_d_separator(pools, {("sum", separation.x)}, {("sum", separation.y)}, given))


def ancestral(graph: nx.DiGraph, separation: Separation) -> nx.DiGraph:
    """The part of a graph that a statement depends on."""
    ends = {separation.x, separation.y, *separation.given}
    return graph.subgraph(ends.union(*(nx.ancestors(graph, g) for g in ends))).copy()


def kept_for_this_law(
    separation: Separation,
    graph: nx.DiGraph,
    families: Mapping[str, Family],
    passes_reversed: Callable[[str, frozenset[str]], frozenset[str]],
    *,
    by_type: Sequence[str] = (),
) -> bool:
    """Tell whether a Markov-equivalent graph, with kernels read the other way round, keeps it.

    Parameters
    ----------
    passes_reversed
        For a gene and its parents in another graph: those parents for which its conditional law, given
        all of them, meets the one-edge criterion.

    Notes
    -----
    The cells must be alike and independent: then each Markov-equivalent graph factorises the same law.
    """
    genes = ancestral(graph, separation)
    if len(genes) > MAX_CLASS_GENES or any(g in by_type for g in genes):
        return False
    for other in equivalent_graphs(genes, MAX_CLASS):

        def passes(gene: str, parent: str, other: nx.DiGraph = other) -> bool:
            parents = frozenset(other.predecessors(gene))
            if parents == frozenset(graph.predecessors(gene)):
                return families[gene].edges[parent].status == PASS
            return parent in passes_reversed(gene, parents)

        if kept(separation, other, passes):
            return True
    return False


def equivalent_graphs(graph: nx.DiGraph, limit: int) -> Iterator[nx.DiGraph]:
    """Markov-equivalent graphs, by reversing covered edges (Chickering 1995), the given one first.

    Examples
    --------
    >>> chain = nx.DiGraph([("X", "Y"), ("Y", "Z")])
    >>> [sorted(g.edges) for g in equivalent_graphs(chain, 10)]
    [[('X', 'Y'), ('Y', 'Z')], [('Y', 'X'), ('Y', 'Z')], [('Y', 'X'), ('Z', 'Y')]]
    """
    todo, seen = [graph], {frozenset(graph.edges)}
    while todo:
        current = todo.pop(0)
        yield current
        for a, b in covered_edges(current):
            other = current.copy()
            other.remove_edge(a, b)
            other.add_edge(b, a)
            edges = frozenset(other.edges)
            if edges not in seen and len(seen) < limit:
                seen.add(edges)
                todo.append(other)


def covered_edges(graph: nx.DiGraph) -> list[tuple[str, str]]:
    """Edges a -> b where b has a and the parents of a, no others: their reversal changes no separation."""
    return [(a, b) for a, b in graph.edges if set(graph.predecessors(b)) == {a, *graph.predecessors(a)}]

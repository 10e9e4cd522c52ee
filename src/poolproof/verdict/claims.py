"""The separations that a network claims (method 8.4): pairs of genes, and a smallest set between them.

By the Markov property two genes without an edge are independent given some others, and the network says
which. Regulation has cycles. There sigma-separation holds (Forre & Mooij 2017), for equations that have one
solution in every strongly connected component: it is d-separation in an acyclic graph, in which the genes of
a component are all adjacent and share all parents of the component (Mooij & Claassen 2020). Regulators that
were not measured stay in the graph, and no claim is made of genes that only they could separate.

Sets of regulators are integers, one bit each, so that networks of thousands of genes take seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import networkx as nx
import numpy as np
import pandas as pd

from .._names import COMMON_CAUSE, PATH, UNRELATED
from .._random import stream
from ..data.matching import OTHER_REGULATOR_NAMES, OTHER_TARGET_NAMES, _both_names, _match, plain_name

UNRELATED_SHARE = 4
"""Related pairs that may be judged for each unrelated one."""

_CHUNK = 256


@dataclass(frozen=True)
class Claim:
    """x and z, by number, are independent given others."""

    x: int
    z: int
    given: tuple[int, ...]
    """Rising; none of them can be left out."""
    relation: str
    """``path``, ``common_cause`` or ``unrelated``."""


@dataclass(frozen=True, eq=False)
class Claims:
    """Claims drawn from those of a network, and how many there are."""

    drawn: tuple[Claim, ...]
    n_pairs: int
    """Pairs of measured genes without an edge between them."""
    n_related: int
    """Those among them that a path or a common cause connects."""
    n_related_drawn: int
    """Related pairs whose separating set was looked for."""
    n_unseparated: int
    """Drawn pairs that nothing measured separates: an unmeasured regulator connects them."""
    n_large: int
    """Drawn pairs with more genes between them than asked for."""


class SeparationGraph:
    """A directed graph, made acyclic, that finds separating sets fast.

    Parameters
    ----------
    n_nodes
        Nodes are 0 .. n_nodes - 1; ties between sets are broken by these numbers.
    edges
        Pairs (from, to); a node may lead to itself, and cycles are allowed.
    measured
        Whether a node may be given, shape ``(n_nodes,)``; None: all.

    Examples
    --------
    >>> fork = SeparationGraph(3, [(1, 0), (1, 2)])
    >>> fork.separator(0, 2), fork.relation(0, 2)
    ((1,), 'common_cause')
    """

    def __init__(
        self, n_nodes: int, edges: Iterable[tuple[int, int]], measured: np.ndarray | None = None
    ) -> None:
        parents, self.n_on_cycles = acyclic_parents(n_nodes, edges)
        self.n_nodes = n_nodes
        self.measured = np.ones(n_nodes, dtype=bool) if measured is None else np.asarray(measured, dtype=bool)
        self.inner = sorted(set().union(*parents)) if parents else []
        self._bit = {node: bit for bit, node in enumerate(self.inner)}
        self._parents = [sum(1 << self._bit[p] for p in of) for of in parents]
        self._own = [1 << self._bit[node] if node in self._bit else 0 for node in range(n_nodes)]
        self._above = self._ancestors(parents)
        self._given_allowed = sum(self._own[node] for node in self.inner if self.measured[node])
        self._moral = lru_cache(maxsize=2_000)(self._moral_graph)
        self._inner_parents = [self._parents[node] for node in self.inner]
        self._children = self._inner_children()
        self._find = lru_cache(maxsize=1 << 18)(self._smaller_set)

    def _ancestors(self, parents: Sequence[set[int]]) -> list[int]:
        """Proper ancestors of every node, as bits."""
        graph = nx.DiGraph((p, node) for node, of in enumerate(parents) for p in of)
        above = [0] * self.n_nodes
        for node in nx.topological_sort(graph):
            above[node] = self._parents[node]
            for parent in parents[node]:
                above[node] |= above[parent]
        return above

    def _inner_children(self) -> list[int]:
        """Children of every inner node that are inner nodes themselves, as bits."""
        children = [0] * len(self.inner)
        for bit, node in enumerate(self.inner):
            for parent in _bits(self._parents[node]):
                children[parent] |= 1 << bit
        return children

    def _moral_graph(self, among: int) -> _Moral:
        return _Moral(among, self._inner_parents, self._children)

    def adjacent(self, x: int, z: int) -> bool:
        """Whether an edge, or a common component, joins two nodes."""
        return bool(self._parents[x] & self._own[z] or self._parents[z] & self._own[x])

    def relation(self, x: int, z: int) -> str:
        """What connects two nodes that are not adjacent if nothing is given; see ``_names.RELATIONS``."""
        if self._above[x] & self._own[z] or self._above[z] & self._own[x]:
            return PATH
        return COMMON_CAUSE if self._above[x] & self._above[z] else UNRELATED

    def separator(self, x: int, z: int) -> tuple[int, ...] | None:
        """A set of measured nodes that separates x and z and of which none can be left out.

        Of the set nearest to x and that nearest to z the smaller one, ties by number; None where no set
        of measured nodes separates them, neighbours included.

        Notes
        -----
        In the moral graph of the ancestors of both, the set nearest to z is made of those measured nodes
        that z reaches through unmeasured ones alone, and that x reaches too without passing another of them
        (van der Zander, Liskiewicz & Textor 2019).
        """
        if self.adjacent(x, z):
            return None
        bits = self._find(*sorted((self._end(x), self._end(z))))
        return None if bits is None else tuple(self.inner[bit] for bit in _bits(bits))

    def _end(self, node: int) -> tuple[int, int]:
        """What a separation depends on of an end: genes without targets and the same parents are alike."""
        return self._own[node], self._parents[node]

    def _smaller_set(self, x: tuple[int, int], z: tuple[int, int]) -> int | None:
        both = x[0] | z[0]
        among = both | x[1] | z[1]
        for bit in _bits(among):
            among |= self._above[self.inner[bit]]
        moral = self._moral(among)
        candidates = [self._nearest(z, x, moral), self._nearest(x, z, moral)]
        found = [bits for bits in candidates if bits is not None]
        return min(found, key=lambda bits: (bits.bit_count(), bits)) if found else None

    def _nearest(self, end: tuple[int, int], other: tuple[int, int], moral: _Moral) -> int | None:
        """The separating set nearest to ``end``."""
        start, aim = self._neighbours(end, moral), self._neighbours(other, moral)
        passed, wall = _reach(start, moral, (self._given_allowed | other[0]) & ~end[0])
        if wall & other[0] or passed & aim & ~end[0]:
            return None
        _, seen = _reach(aim, moral, wall | end[0])
        return seen & wall

    def _neighbours(self, end: tuple[int, int], moral: _Moral) -> int:
        """Neighbours in the moral graph: parents alone where nothing among the ancestors descends from it."""
        return moral[end[0].bit_length() - 1] if end[0] else end[1]

    def ancestor_bytes(self) -> np.ndarray:
        """Ancestors of every node, itself included, as packed bits, shape ``(n_nodes, n_bytes)``."""
        n_bytes = max(1, (len(self.inner) + 7) // 8)
        packed = b"".join(
            (above | own).to_bytes(n_bytes, "little")
            for above, own in zip(self._above, self._own, strict=True)
        )
        return np.frombuffer(packed, dtype=np.uint8).reshape(self.n_nodes, n_bytes)

    def n_adjacent(self) -> int:
        """Pairs of measured nodes with an edge between them."""
        return sum(
            (self._parents[node] & self._given_allowed).bit_count()
            for node in range(self.n_nodes)
            if self.measured[node]
        )


class _Moral:
    """Neighbours of inner nodes when the parents of each node of ``among`` are joined; made as needed."""

    def __init__(self, among: int, parents: Sequence[int], children: Sequence[int]) -> None:
        self._among, self._parents, self._children = among, parents, children
        self._known: dict[int, int] = {}

    def __getitem__(self, bit: int) -> int:
        found = self._known.get(bit)
        if found is None:
            children = self._children[bit] & self._among
            found = self._parents[bit] | children
            for child in _bits(children):
                found |= self._parents[child]
            self._known[bit] = found = found & ~(1 << bit)
        return found


def acyclic_parents(n_nodes: int, edges: Iterable[tuple[int, int]]) -> tuple[list[set[int]], int]:
    """Parents of every node in an acyclic graph with the sigma-separations of a graph; nodes on cycles.

    Examples
    --------
    0 regulates 1, and 1 and 2 regulate each other: 0 becomes a parent of both.

    >>> acyclic_parents(3, [(0, 1), (1, 2), (2, 1)])
    ([set(), {0}, {0, 1}], 2)
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n_nodes))
    graph.add_edges_from(edges)
    parents: list[set[int]] = [set() for _ in range(n_nodes)]
    n_on_cycles = 0
    for component in map(sorted, nx.strongly_connected_components(graph)):
        outside = set().union(*(graph.predecessors(node) for node in component)).difference(component)
        for i, node in enumerate(component):
            parents[node] = outside | set(component[:i])
        n_on_cycles += len(component) if len(component) > 1 else 0
    return parents, n_on_cycles


def draw_claims(graph: SeparationGraph, *, max_claims: int, max_given: int = 3, seed: int = 0) -> Claims:
    """Draw claims of a network: of related pairs, and a fourth as many of unrelated ones.

    Parameters
    ----------
    graph
        Its nodes numbered in an order that depends on their names alone, and so does the draw.
    max_claims
        Related pairs whose separating set is looked for, at most.
    max_given
        Largest separating set that makes a claim.

    Examples
    --------
    >>> diamond = SeparationGraph(4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    >>> claims = draw_claims(diamond, max_claims=10)
    >>> sorted((c.x, c.z, c.given, c.relation) for c in claims.drawn)
    [(0, 3, (1, 2), 'path'), (1, 2, (0,), 'common_cause')]
    """
    kinship = _Kinship(graph)
    n_adjacent = graph.n_adjacent()
    rng = stream(seed, "network claims")
    drawn: list[Claim] = []
    n_drawn = n_unseparated = n_large = 0
    for x, z in kinship.draw(max_claims + n_adjacent, rng, related=True):
        if graph.adjacent(x, z):
            continue
        if n_drawn == max_claims:
            break
        n_drawn += 1
        given = graph.separator(x, z)
        if given is None:
            n_unseparated += 1
        elif len(given) > max_given:
            n_large += 1
        else:
            drawn.append(Claim(x, z, given, graph.relation(x, z)))
    apart = kinship.draw(-(-max_claims // UNRELATED_SHARE), rng, related=False)
    drawn += [Claim(x, z, (), UNRELATED) for x, z in apart]
    return Claims(
        drawn=tuple(drawn),
        n_pairs=kinship.n_pairs - n_adjacent,
        n_related=kinship.n_related - n_adjacent,
        n_related_drawn=n_drawn,
        n_unseparated=n_unseparated,
        n_large=n_large,
    )


class _Kinship:
    """Which pairs of measured nodes have an ancestor in common, themselves included; counted and drawn.

    Nodes with the same ancestors are alike, so kinds of nodes are compared, not nodes. Pairs have numbers:
    the nodes are sorted by kind, and each is followed by its partners after it.
    """

    def __init__(self, graph: SeparationGraph) -> None:
        nodes = np.flatnonzero(graph.measured)
        packed = graph.ancestor_bytes()[nodes]
        kinds, kind = np.unique(packed, axis=0, return_inverse=True)
        order = np.argsort(kind.reshape(-1), kind="stable")
        self._nodes = nodes[order]
        self._kind = kind.reshape(-1)[order]
        self._starts = np.searchsorted(self._kind, np.arange(len(kinds) + 1))
        self._bits = np.unpackbits(kinds, axis=1).astype(np.float32)
        n = len(nodes)
        self.n_pairs = n * (n - 1) // 2
        self._after = np.arange(n)[::-1]
        self._n_partners = np.zeros(n, dtype=np.int64)
        for of, partners in self._partners(np.arange(len(kinds))):
            passed = np.cumsum(partners)
            mine = np.arange(self._starts[of], self._starts[of + 1])
            self._n_partners[mine] = passed[-1] - passed[mine]
        self.n_related = int(self._n_partners.sum())

    def _partners(self, kinds: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each of these kinds with a mask over all nodes: those that share an ancestor with it."""
        for low in range(0, len(kinds), _CHUNK):
            part = kinds[low : low + _CHUNK]
            shared = self._bits[part] @ self._bits.T > 0
            for row, of in enumerate(part.tolist()):
                yield of, shared[row][self._kind]

    def draw(self, size: int, rng: np.random.Generator, *, related: bool) -> list[tuple[int, int]]:
        """Pairs (x, z), x < z, at random and each once: ``size`` of them, or all."""
        n_of = self._n_partners if related else self._after - self._n_partners
        ends = np.cumsum(n_of)
        n_all = int(ends[-1]) if len(ends) else 0
        number = rng.choice(n_all, size=min(size, n_all), replace=False) if n_all else np.zeros(0, np.int64)
        first = np.searchsorted(ends, number, side="right")
        second = np.empty_like(first)
        rank = number - (ends - n_of)[first]
        by_kind = np.argsort(self._kind[first], kind="stable")
        kinds, starts = np.unique(self._kind[first][by_kind], return_index=True)
        groups = iter(np.split(by_kind, starts[1:]))
        for (_, partners), group in zip(self._partners(kinds), groups, strict=False):
            places = np.flatnonzero(partners == related)
            second[group] = places[np.searchsorted(places, first[group], side="right") + rank[group]]
        pairs = np.sort(np.stack([self._nodes[first], self._nodes[second]], axis=1), axis=1)
        return [(x, z) for x, z in pairs.tolist()]


def _reach(start: int, neighbours: _Moral, wall: int) -> tuple[int, int]:
    """Nodes reached from ``start`` without passing the wall, and the nodes of the wall that were met."""
    met = start & wall
    seen = todo = start & ~wall
    while todo:
        low = todo & -todo
        todo ^= low
        new = neighbours[low.bit_length() - 1] & ~seen
        met |= new & wall
        new &= ~wall
        seen |= new
        todo |= new
    return seen, met


def _bits(bits: int) -> list[int]:
    """Positions of the bits that are set, rising."""
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes numbered by name, so that the order of genes and of edges changes nothing."""

    names: tuple[str, ...]
    """Name of each node: the identifier of the data, or the network's own name."""
    gene: np.ndarray
    """Position of each among the genes of the data, shape ``(n_nodes,)``; -1 where it was not measured."""
    edges: np.ndarray
    """Numbers of both ends, shape ``(n_edges, 2)``, each edge once, none from a node to itself."""

    @property
    def measured(self) -> np.ndarray:
        """Whether each node is a gene of the data, shape ``(n_nodes,)``."""
        return self.gene >= 0


def network_nodes(edges: pd.DataFrame, genes: Iterable[str], symbols: Iterable[str] | None = None) -> Nodes:
    """Make the graph of a whole network, unmeasured genes included.

    Parameters
    ----------
    edges
        Table with ``regulator`` and ``target``, as :func:`poolproof.data.networks.read_edges` returns it.
    genes, symbols
        Names of the genes of the data, shape ``(n_genes,)`` each, matched as in
        :func:`poolproof.data.matching.match_edges`.

    Examples
    --------
    >>> edges = pd.DataFrame({"regulator": ["IRF1", "heme"], "target": ["GBP1", "GBP1"]})
    >>> nodes = network_nodes(edges, ["GBP1", "IRF1"])
    >>> nodes.names, nodes.gene.tolist(), nodes.edges.tolist()
    (('GBP1', 'IRF1', 'heme'), [0, 1, -1], [[1, 0], [2, 0]])
    """
    genes, symbols = _both_names(genes, symbols)
    unmeasured: dict[str, str] = {}
    ends = [
        _nodes_of(edges, end, others, genes, symbols, unmeasured)
        for end, others in (("regulator", OTHER_REGULATOR_NAMES), ("target", OTHER_TARGET_NAMES))
    ]
    pairs = {(a, b) for left, right in zip(*ends, strict=True) for a in left for b in right if a != b}
    keys = sorted({key for pair in pairs for key in pair}, key=lambda key: (_name(key, genes), key))
    number = {key: i for i, key in enumerate(keys)}
    found = sorted((number[a], number[b]) for a, b in pairs)
    return Nodes(
        names=tuple(_name(key, genes) for key in keys),
        gene=np.array([key[0] for key in keys], dtype=np.intp),
        edges=np.array(found, dtype=np.intp).reshape(-1, 2),
    )


_Key = tuple[int, str]


def _name(key: _Key, genes: list[str]) -> str:
    return genes[key[0]] if key[0] >= 0 else key[1]


def _nodes_of(
    edges: pd.DataFrame,
    end: str,
    others: tuple[str, ...],
    genes: list[str],
    symbols: list[str],
    unmeasured: dict[str, str],
) -> list[list[_Key]]:
    """The node, or nodes, of one end of every edge: genes of the data, else (-1, name).

    ``unmeasured`` maps every name met so far of a gene without data to the first of its names.
    """
    columns = [end, *(str(name) for name in edges.columns if plain_name(str(name)) in others)]
    aliases = pd.MultiIndex.from_frame(edges[columns].fillna("").astype(str))
    code, distinct = pd.factorize(aliases)
    found, _ = _match(list(distinct), genes, symbols, ("", *columns[1:]))
    nodes: list[list[_Key]] = []
    for position, known in enumerate(distinct):
        if position in found:
            nodes.append([(gene, "") for gene in found[position]])
            continue
        used = [str(name) for name in known if name]
        first = next((unmeasured[name] for name in used if name in unmeasured), used[0] if used else "")
        unmeasured.update({name: first for name in used if name not in unmeasured})
        nodes.append([(-1, first)])
    return [nodes[i] for i in code]

"""What a method finds: arrows, lines and weights between named genes, in one convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from .._checks import InputError, printable
from .._notebook import summary_html

EDGE_COLUMNS = ("regulator", "target", "kind", "weight")
"""Columns of an edge table. ``kind`` is ``directed`` or ``undirected``; ``weight`` is NaN where there is
none."""
DIRECTED, UNDIRECTED = "directed", "undirected"


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph over named genes. In every array row ``i`` is the cause and column ``j`` the effect.

    Attributes
    ----------
    names
        Genes, in the order of rows and columns.

    Raises
    ------
    InputError
        Shapes that do not fit, names that repeat, an edge from a gene to itself, or a pair that is both
        directed and undirected.

    Examples
    --------
    >>> graph = Graph.of(["A", "B", "C"], directed=[("A", "B")], undirected=[("B", "C")])
    >>> graph.skeleton.astype(int).tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    >>> graph.table[["regulator", "target", "kind"]].values.tolist()
    [['A', 'B', 'directed'], ['B', 'C', 'undirected']]
    """

    names: tuple[str, ...]
    directed: np.ndarray
    """``directed[i, j]``: i -> j. Boolean, shape ``(p, p)``; both ways marks a bidirected edge."""
    undirected: np.ndarray
    """Lines without a direction; symmetric, boolean, shape ``(p, p)``."""
    weights: np.ndarray | None = None
    """Score of i -> j, larger for surer edges, shape ``(p, p)``, 0 on the diagonal; None: the method has
    none."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a method says about its run: the number of tests, say."""

    def __post_init__(self) -> None:
        p = len(self.names)
        if len(set(self.names)) != p:
            raise InputError("names of genes must be unique in a graph")
        for array in (self.directed, self.undirected, *(() if self.weights is None else (self.weights,))):
            if array.shape != (p, p):
                raise InputError(f"expected arrays of shape ({p}, {p}); found {array.shape}")
            if np.diagonal(array).any():
                raise InputError("a gene has no edge to itself")
        if (self.undirected != self.undirected.T).any():
            raise InputError("undirected edges must be symmetric")
        if (self.undirected & (self.directed | self.directed.T)).any():
            raise InputError("a pair is either directed or undirected")

    def _repr_html_(self) -> str:
        n, table = len(self.names), self.table
        return summary_html(
            "Graph", [f"{n:,} genes, {len(table):,} edges"], table, columns=EDGE_COLUMNS, rows="first"
        )

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        *,
        directed: Sequence[tuple[str, str]] = (),
        undirected: Sequence[tuple[str, str]] = (),
    ) -> Graph:
        """A graph from edges by name; ``(cause, effect)`` where directed."""
        place = {name: i for i, name in enumerate(names)}
        arrows, lines = (np.zeros((len(names), len(names)), dtype=bool) for _ in range(2))
        for edges, array in ((directed, arrows), (undirected, lines)):
            for cause, effect in edges:
                if cause not in place or effect not in place:
                    unknown = cause if cause not in place else effect
                    raise InputError(
                        f"expected edges between the genes given; found {printable(unknown, 40)!r}"
                    )
                array[place[cause], place[effect]] = True
        return cls(tuple(names), arrows, lines | lines.T)

    @classmethod
    def of_table(cls, names: Sequence[str], table: pd.DataFrame) -> Graph:
        """A graph from a table of edges: ``regulator``, ``target``, perhaps ``kind`` and ``weight``.

        Edges both ways without a ``kind`` are one without a direction, as :func:`poolproof.read_edges` reads
        undirected edges. Weights lose their sign.
        """
        kinds = table["kind"] if "kind" in table else pd.Series(DIRECTED, index=table.index)
        edges = list(zip(table["regulator"], table["target"], kinds == DIRECTED, strict=True))
        arrows = {(a, b) for a, b, directed in edges if directed and a != b}
        both = {(a, b) for a, b in arrows if (b, a) in arrows}
        lines = both | {(a, b) for a, b, directed in edges if not directed and a != b}
        graph = cls.of(names, directed=sorted(arrows - both), undirected=sorted(lines))
        if "weight" not in table or table["weight"].isna().any():
            return graph
        place = {name: i for i, name in enumerate(names)}
        weights = np.zeros((len(names), len(names)))
        rows = [table[column].map(place).to_numpy(dtype=int) for column in ("regulator", "target")]
        weights[rows[0], rows[1]] = table["weight"].abs().to_numpy()
        np.fill_diagonal(weights, 0.0)
        return replace(graph, weights=weights)

    @property
    def skeleton(self) -> np.ndarray:
        """Pairs with an edge of any kind; symmetric, boolean, shape ``(p, p)``."""
        return np.asarray(self.directed | self.directed.T | self.undirected)

    @property
    def n_edges(self) -> int:
        """Pairs with an edge of any kind."""
        return int(np.triu(self.skeleton).sum())

    @property
    def table(self) -> pd.DataFrame:
        """Edges as a network file that audits read (`EDGE_COLUMNS`); a line stands once, first name first."""
        rows = []
        for lines, array in ((False, self.directed), (True, np.triu(self.undirected))):
            for i, j in zip(*np.nonzero(array), strict=True):
                weight = np.nan if self.weights is None else float(self.weights[i, j])
                rows.append((self.names[i], self.names[j], UNDIRECTED if lines else DIRECTED, weight))
        return pd.DataFrame(rows, columns=list(EDGE_COLUMNS))

    def to_networkx(self) -> nx.DiGraph:
        """All genes and edges; an undirected edge goes both ways and has ``kind="undirected"``."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.names)
        for row in self.table.itertuples(index=False):
            facts = {"kind": row.kind} | ({} if self.weights is None else {"weight": row.weight})
            graph.add_edge(row.regulator, row.target, **facts)
            if row.kind == UNDIRECTED:
                graph.add_edge(row.target, row.regulator, **facts)
        return graph

    def reordered(self, names: Sequence[str]) -> Graph:
        """The same graph with its genes in another order."""
        place = {name: i for i, name in enumerate(self.names)}
        if sorted(place) != sorted(names):
            raise InputError("expected the genes of the graph in another order; found others")
        order = np.array([place[name] for name in names], dtype=int)
        take = np.ix_(order, order)
        weights = None if self.weights is None else self.weights[take]
        return Graph(tuple(names), self.directed[take], self.undirected[take], weights, self.facts)

    def with_edges(self, n_edges: int) -> Graph:
        """The graph, or its ``n_edges`` strongest pairs where a method gave weights and no edge."""
        return self if self.weights is None or self.n_edges else self.strongest(n_edges)

    def strongest(self, n_edges: int) -> Graph:
        """The ``n_edges`` pairs of the largest weight, each in its heavier direction, as arrows.

        Where both directions weigh the same (symmetric scores) the edge is undirected. Ties are broken by
        name, so that no order of columns decides.
        """
        if self.weights is None:
            raise InputError("the graph has no weights to rank its edges by")
        best = np.maximum(self.weights, self.weights.T)
        i, j = np.triu_indices(len(self.names), 1)
        first = np.argsort(np.argsort(np.array(self.names)))
        order = np.lexsort((np.maximum(first[i], first[j]), np.minimum(first[i], first[j]), -best[i, j]))
        chosen = order[: max(n_edges, 0)]
        chosen = chosen[best[i[chosen], j[chosen]] > 0]
        arrows, lines = np.zeros_like(self.directed), np.zeros_like(self.undirected)
        for a, b in zip(i[chosen], j[chosen], strict=True):
            if self.weights[a, b] == self.weights[b, a]:
                lines[a, b] = lines[b, a] = True
            elif self.weights[a, b] > self.weights[b, a]:
                arrows[a, b] = True
            else:
                arrows[b, a] = True
        return Graph(self.names, arrows, lines, self.weights, self.facts)

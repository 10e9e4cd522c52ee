"""The genes of a network as the nodes of a graph: those of the data, and those that were not measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.matching import OTHER_REGULATOR_NAMES, OTHER_TARGET_NAMES, _both_names, _match, plain_name


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

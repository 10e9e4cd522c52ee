"""Edges of curated networks beside random pairs of the same regulators and targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from .._random import stream
from ..data.datasets import fetch_dataset
from ..data.matching import match_edges
from .subject import Subject

CIRCULAR = "is_evidence_inferred"
"""Column of a network that is 1 for edges with evidence from expression: to judge expression by them is
circular, whatever their other evidence."""
TRIES = 20


def edge_lists(
    subject: Subject, settings: Mapping[str, Any], seed: int
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Edges of each network of a data set that lie in it, and as many random pairs.

    Yields the network's name and two tables with the columns ``regulator`` and ``target``, identifiers of the
    data. A random pair has the regulator of one edge and the target of another, and is no edge in either
    direction: so both lists have the same regulators and the same targets.
    """
    genes, symbols = subject.every.genes.astype(str), subject.every.symbols.astype(str)
    testable = set(genes[varying(subject)])
    for network in subject.entry.dataset.networks:
        listed = read_network(network)
        ends = [
            pd.DataFrame({"regulator": genes[found.regulator_index], "target": genes[found.target_index]})
            for found in (match_edges(part, genes, symbols) for part in (listed, listed[~listed["circular"]]))
        ]
        every, edges = set(ends[0].itertuples(index=False, name=None)), ends[1]
        edges = edges[edges["regulator"].isin(testable) & edges["target"].isin(testable)]
        edges = edges.sort_values(["regulator", "target"], ignore_index=True)
        random = stream(seed, "study", subject.entry.name, network)
        if len(edges) > settings["max_edges"]:
            kept = np.sort(random.choice(len(edges), settings["max_edges"], replace=False))
            edges = edges.iloc[kept].reset_index(drop=True)
        if len(edges) < 10:
            continue
        yield network, edges, random_pairs(edges, every, settings["random_per_edge"], random)


def read_network(network: str) -> pd.DataFrame:
    """Pairs of a network: ``regulator``, ``target``, and whether any row of the pair rests on expression."""
    table = pd.read_csv(fetch_dataset(network), dtype=str, keep_default_na=False)
    table = table.rename(columns={"source": "regulator"})
    if "source_gene_id" in table:  # a regulator's name need not be that of its gene
        table["regulator"] = table["source_gene_id"].where(table["source_gene_id"] != "", table["regulator"])
    table["circular"] = table[CIRCULAR] != "0" if CIRCULAR in table else False
    table = table.groupby(["regulator", "target"], sort=False)["circular"].any().reset_index()
    return table[table["regulator"] != table["target"]].reset_index(drop=True)


def varying(subject: Subject) -> np.ndarray:
    """Genes without missing values that are seen in at least a tenth of the samples."""
    matrix = subject.every.matrix
    if hasattr(matrix, "getnnz"):
        return matrix.getnnz(axis=0) >= matrix.shape[0] / 10
    return (
        (~np.isnan(matrix).any(axis=0)) & ((matrix != 0).mean(axis=0) >= 0.1) & (np.ptp(matrix, axis=0) > 0)
    )


def random_pairs(
    edges: pd.DataFrame, known: set[tuple[str, str]], per_edge: int, random: np.random.Generator
) -> pd.DataFrame:
    """Pair the regulators of edges with the targets of others; none of them known, none twice.

    Each regulator has as many pairs as edges, or fewer where there are not so many.

    Examples
    --------
    >>> edges = pd.DataFrame({"regulator": ["A", "B"], "target": ["C", "D"]})
    >>> known = {("A", "C"), ("B", "D")}
    >>> random_pairs(edges, known, 1, np.random.default_rng(0)).to_numpy().tolist()
    [['A', 'D'], ['B', 'C']]
    """
    found: set[tuple[str, str]] = set()
    regulators, targets = (edges[end].to_numpy() for end in ("regulator", "target"))
    wanted = Counter({x: per_edge * n for x, n in Counter(regulators).items()})
    for _ in range(TRIES):
        for x, y in zip(regulators, random.permutation(targets), strict=True):
            if wanted[x] and x != y and (x, y) not in found and not {(x, y), (y, x)} & known:
                found.add((str(x), str(y)))
                wanted[x] -= 1
    return pd.DataFrame(sorted(found), columns=["regulator", "target"])

"""What methods find in a user's own cells, and in pools of them: which edges pooling makes, and which it
takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from .. import _names as names
from .._bars import tqdm
from .._checks import InputError, check_whole, printable
from .._files import replace_file, write_parquet
from .._notebook import summary_html
from .._random import stream
from ..pairs.every_pair import Linearity
from .graph import Graph
from .methods import find_method
from .pooled import sums_by
from .worker import OK, Worker

BOTH, POOLS_ONLY, CELLS_ONLY = STATUSES = ("both", "pools_only", "cells_only")
"""Where an edge was found: pools only, a distortion; cells only, lost."""
COLUMNS = tuple(column.name for column in names.DISCOVERED_COLUMNS)
MIN_POOLS = 50
N_CELLS, N_GENES = 20, 30
EDGES_PER_GENE = 1
"""Of a method that gives weights, so many edges as genes are compared."""


@dataclass(frozen=True, eq=False, repr=False)
class Discovered:
    """Edges that methods found in cells and in pools of these cells."""

    table: pd.DataFrame
    """One row for each method and pair of genes with an edge in either; columns
    ``poolproof._names.DISCOVERED_COLUMNS``."""
    summary: dict[str, Any]
    """``n_cells``, ``n_pools``, ``genes`` and, by method, the status of its runs and the number of edges."""
    graphs: dict[str, dict[str, Graph]]
    """By method, the graphs found in ``cells`` and ``pools``."""

    def __str__(self) -> str:
        return "\n".join(self.summary["findings"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html("Discovered edges", self.summary["findings"], self.table, [], rows="first")

    def save(self, folder: str | Path) -> None:
        """Write discovered.parquet and discovered.graphml, whose edges have ``method`` and ``found``."""
        place = Path(folder)
        write_parquet(self.table, place / "discovered.parquet")
        graph = nx.MultiDiGraph()
        graph.add_nodes_from(self.summary["genes"])
        for row in self.table.itertuples(index=False):
            graph.add_edge(row.regulator, row.target, method=row.method, found=row.found)
        replace_file(place / "discovered.graphml", "\n".join(nx.generate_graphml(graph)) + "\n")


def discover_in_pools(
    result: Linearity,
    methods: Sequence[str],
    *,
    n_cells: int = N_CELLS,
    n_genes: int = N_GENES,
    time_limit: float = 300.0,
    seed: int = 0,
    progress: bool = False,
) -> Discovered:
    """Run methods on single cells and on pools of the same cells.

    Parameters
    ----------
    result
        The tests of pairs of an audit of single cells: its values, its levels and its replicates are used.
    methods
        Names of ``poolproof.list_methods()``, or ``package.module:function``.
    n_cells
        Cells in a pool; pools are drawn at random inside levels and replicates.
    n_genes
        Genes that methods see: those with the most associated pairs, ties by name.
    time_limit
        Seconds of one method on one table.
    seed
        Of the draws, and of methods.
    progress
        Show a progress bar.

    Returns
    -------
    Discovered. As many single cells as there are pools are given to methods, so that pooling is all that
    differs. Values are divided by size factors, pools by the sum of those of their cells, and both have the
    means of levels and replicates taken off.

    Raises
    ------
    InputError
        The samples are no single cells, there are too few for `MIN_POOLS` pools, or a method is not known.

    Examples
    --------
    >>> import poolproof
    >>> rng = np.random.default_rng(0)
    >>> y = rng.gamma(2.0, size=8000)  # y alone joins x and z, until cells are added up
    >>> x, z = y**2 + 2 * rng.normal(size=8000), y**2 + 2 * rng.normal(size=8000)
    >>> cells = pd.DataFrame({"x": x, "y": y, "z": z})
    >>> tested = poolproof.linearity(cells, kind="single-cell", scale="additive")
    >>> found = discover_in_pools(tested, ["spline_pc"]).table
    >>> found[["regulator", "target", "found"]].values.tolist()
    [['x', 'y', 'both'], ['x', 'z', 'pools_only'], ['y', 'z', 'both']]
    """
    n_cells, n_genes = check_whole("n_cells", n_cells, 2), check_whole("n_genes", n_genes, 2)
    for name in methods:
        find_method(name)
    expression = result.expression
    if expression.kind != names.SINGLE_CELL:
        raise InputError(
            "--discover draws pools of single cells; these are bulk samples, which are pools already"
        )
    if expression.scale_tested == "log":
        raise InputError(
            "--discover adds up cells, which logs do not allow; give --log-base and --log-offset"
        )
    genes = _chosen(result, n_genes)
    groups = _groups(result)
    cells, pools = _drawn(result, genes, groups, n_cells, stream(seed, "discover", n_cells))
    shown = tuple(str(expression.genes[gene]) for gene in genes)
    graphs: dict[str, dict[str, Graph]] = {}
    runs: dict[str, dict[str, Any]] = {}
    with (
        Worker() as worker,
        tqdm(total=2 * len(methods), desc="discovery", disable=not progress, leave=False) as bar,
    ):
        for name in methods:
            runs[name] = {}
            for where, values in (("cells", cells), ("pools", pools)):
                outcome = worker.run(values, shown, name, seed=seed, time_limit=time_limit)
                runs[name][where] = {
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "seconds": outcome.seconds,
                }
                if outcome.status == OK and outcome.graph is not None:
                    graph = outcome.graph.with_edges(EDGES_PER_GENE * len(genes))
                    graphs.setdefault(name, {})[where] = graph
                bar.update()
    rows = [row for name, found in graphs.items() if len(found) == 2 for row in _compared(name, **found)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table = table.astype({"weight_cells": np.float64, "weight_pools": np.float64})
    for name in runs:
        counts = table.loc[table["method"] == name, "found"].value_counts()
        runs[name] |= {status: int(counts.get(status, 0)) for status in STATUSES}
    summary = {
        "n_cells": n_cells,
        "n_pools": len(pools),
        "genes": list(shown),
        "methods": runs,
        "findings": _findings(runs, n_cells, len(pools), len(shown)),
    }
    return Discovered(table, summary, graphs)


def _chosen(result: Linearity, n_genes: int) -> np.ndarray:
    """Positions of the genes with the most associated pairs, in the order of the data."""
    genes = result.genes
    usable = genes["status"].astype(str).eq("ok").to_numpy()
    count = (genes["n_as_regulator"] + genes["n_as_target"]).to_numpy()
    order = np.lexsort((genes["gene"].astype(str).to_numpy(), -count))
    chosen = [int(i) for i in order if usable[i] and count[i] > 0][:n_genes]
    if len(chosen) < 2:
        raise InputError("--discover needs at least 2 genes with an associated pair; found fewer")
    place = {name: i for i, name in enumerate(result.expression.genes)}
    return np.sort(np.array([place[genes["gene"].iloc[i]] for i in chosen], dtype=int))


def _groups(result: Linearity) -> np.ndarray:
    """Number of the level and replicate of each cell; -1 for cells that were left out. Shape ``(n_obs,)``."""
    groups = np.full(len(result.expression.obs_names), -1)
    n = 0
    for level in result.design.levels:
        codes = np.zeros(len(level.rows), dtype=int) if level.clusters is None else level.clusters
        for code in np.unique(codes):
            groups[level.rows[codes == code]] = n
            n += 1
    return groups


def _drawn(
    result: Linearity, genes: np.ndarray, groups: np.ndarray, n_cells: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """As many single cells as pools, and the pools, means of groups taken off; both ``(n, n_genes)``."""
    expression = result.expression
    pool_of = np.full(len(groups), -1)
    n_pools = 0
    of_pool: list[int] = []
    for group in range(int(groups.max()) + 1):
        members = rng.permutation(np.flatnonzero(groups == group))
        whole = len(members) // n_cells
        for pool in range(whole):
            pool_of[members[pool * n_cells : (pool + 1) * n_cells]] = n_pools
            of_pool.append(group)
            n_pools += 1
    if n_pools < MIN_POOLS:
        raise InputError(
            f"--discover needs at least {MIN_POOLS} pools of {n_cells} cells inside levels and replicates; "
            "these cells "
            f"give {n_pools}"
        )
    used = np.flatnonzero(pool_of >= 0)
    values = expression.matrix[used][:, genes]
    values = np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
    factors = np.ones(len(used)) if expression.size_factors is None else expression.size_factors[used]
    sums = sums_by(np.column_stack([values, factors]), pool_of[used])
    pools = sums[:, :-1] / sums[:, -1:]
    single = rng.permutation(len(used))[:n_pools]
    cells = values[single] / factors[single, None]
    return _centred(cells, groups[used[single]]), _centred(pools, np.array(of_pool))


def _centred(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Values less the means of their groups."""
    codes = np.unique(groups, return_inverse=True)[1]
    counts = np.bincount(codes)
    means = np.stack([np.bincount(codes, weights=column) / counts for column in values.T], axis=1)
    return np.asarray(values - means[codes])


def _compared(method: str, cells: Graph, pools: Graph) -> list[tuple[Any, ...]]:
    """A row for each pair with an edge in either, in the direction that was found (pools first)."""
    rows = []
    for i, j in zip(*np.nonzero(np.triu(cells.skeleton | pools.skeleton)), strict=True):
        back = pools.directed[j, i] or (not pools.skeleton[i, j] and cells.directed[j, i])
        a, b = (int(j), int(i)) if back and not pools.directed[i, j] else (int(i), int(j))
        found = (
            BOTH
            if cells.skeleton[a, b] and pools.skeleton[a, b]
            else POOLS_ONLY
            if pools.skeleton[a, b]
            else CELLS_ONLY
        )
        weights = [None if g.weights is None else float(g.weights[a, b]) for g in (cells, pools)]
        rows.append(
            (method, cells.names[a], cells.names[b], found, _kind(cells, a, b), _kind(pools, a, b), *weights)
        )
    return rows


def _kind(graph: Graph, a: int, b: int) -> str | None:
    """How a graph joins a to b."""
    if graph.undirected[a, b]:
        return "undirected"
    if graph.directed[a, b] and graph.directed[b, a]:
        return "bidirected"
    return "directed" if graph.directed[a, b] else "reversed" if graph.directed[b, a] else None


def _findings(runs: dict[str, dict[str, Any]], n_cells: int, n_pools: int, n_genes: int) -> list[str]:
    said = [
        f"Discovery on {n_genes} genes, {n_pools:,} single cells and {n_pools:,} pools of {n_cells} cells:"
    ]
    for name, run in runs.items():
        failed = [where for where in ("cells", "pools") if run[where]["status"] != OK]
        if failed:
            reason = printable(run[failed[0]]["reason"], 200)
            said.append(f"{printable(name, 60)}: no graph of the {' and '.join(failed)} ({reason})")
            continue
        said.append(
            f"{printable(name, 60)}: {run[BOTH]} edges in cells and pools, {run[POOLS_ONLY]} in pools only "
            "(distortion), "
            f"{run[CELLS_ONLY]} in cells only (lost)"
        )
    return said

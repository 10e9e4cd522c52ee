"""Pools of cells, drawn at random, inside groups, or of cells that are alike (metacells)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2

from .._checks import InputError, check_choice, check_whole
from .._random import stream
from .tasks import Task

RANDOM, WITHIN, VARYING, VARYING_MEAN, LOGGED, SORTED, ALIKE, ALIKE_OTHERS = (
    "random",
    "within",
    "random-size",
    "random-size-mean",
    "log1p",
    "sorted",
    "k-means",
    "k-means-others",
)
KINDS = {
    RANDOM: "sums of K cells drawn at random, whatever their type",
    WITHIN: "sums of K cells of one type or donor each",
    VARYING: "sums of a Poisson number of cells with mean K, drawn at random",
    VARYING_MEAN: "means of a Poisson number of cells with mean K, drawn at random",
    LOGGED: "log1p of sums of K cells drawn at random",
    SORTED: "sums of K neighbours in the order of the first gene with a child (metacells of a perfect axis)",
    ALIKE: "sums of clusters (k-means of the standardised genes themselves), K cells in the mean",
    ALIKE_OTHERS: "sums of clusters of markers (noisy copies of genes without a cause), K cells in the mean",
}
"""How cells become pools, in words."""
SIMILARITY = (SORTED, ALIKE, ALIKE_OTHERS)
MARKER_NOISE = 0.5
"""Standard deviation of a marker around the standardised gene that it marks."""
N_MARKERS = 20
BLOCK = 4_000_000
"""Values of cells that are held at a time."""


@dataclass(frozen=True)
class Pooling:
    """A way to make pools."""

    kind: str = RANDOM
    n_cells: int = 1
    """Cells in a pool (K), or their mean."""

    def __post_init__(self) -> None:
        check_choice("the kind of pools", self.kind, KINDS)
        check_whole("cells in a pool", self.n_cells, 1)

    @property
    def is_single(self) -> bool:
        """Whether these are single cells as they are."""
        return self.n_cells == 1 and self.kind in (RANDOM, WITHIN, SORTED, ALIKE, ALIKE_OTHERS)


def draw_pools(task: Task, pooling: Pooling, n_pools: int, seed: int) -> np.ndarray:
    """Draw pools of a task's cells.

    Parameters
    ----------
    task
        Where cells come from.
    pooling
        How they become pools.
    n_pools
        Pools wanted.
    seed
        Of cells and pools. Pools of different kinds and sizes share no draw.

    Returns
    -------
    Sums (or log1p of sums), shape ``(n_pools, p)``. Clusters that come out empty are left out: then there
    are fewer.

    Raises
    ------
    InputError
        There are too few measured cells, or no groups to draw inside.
    """
    rng = stream(seed, "pools", task.name, pooling.kind, pooling.n_cells)
    if pooling.is_single:
        return task.draw(n_pools, seed)[0]
    if pooling.kind in SIMILARITY:
        cells, _ = task.draw(n_pools * pooling.n_cells, seed, pooling.n_cells)
        return sums_by(cells, _alike(task, cells, pooling, n_pools, rng))
    if pooling.kind == WITHIN:
        return _within(task, pooling, n_pools, seed)
    sizes = np.full(n_pools, pooling.n_cells)
    if pooling.kind in (VARYING, VARYING_MEAN):
        sizes = np.maximum(rng.poisson(pooling.n_cells, n_pools), 1)
    sums = _consecutive(task, sizes, seed, pooling.n_cells)
    if pooling.kind == VARYING_MEAN:
        return sums / sizes[:, None]
    if pooling.kind != LOGGED:
        return sums
    if (sums < 0).any():
        raise InputError("log1p needs sums of at least 0; some are negative")
    return np.asarray(np.log1p(sums))


def sums_by(cells: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum cells of the same group; groups in the order of their numbers, empty ones left out."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return np.asarray(np.add.reduceat(cells[order], starts, axis=0))


def _consecutive(task: Task, sizes: np.ndarray, seed: int, first_part: int) -> np.ndarray:
    """Sums of cells as they are drawn, which are independent; in blocks of whole pools."""
    if task.cells is not None:
        cells, _ = task.draw(int(sizes.sum()), seed, first_part)
        return np.asarray(np.add.reduceat(cells, np.r_[0, np.cumsum(sizes)[:-1]], axis=0))
    n_block = max(1, BLOCK // max(len(task.genes) * int(sizes.max()), 1))
    parts = []
    for number, start in enumerate(range(0, len(sizes), n_block)):
        block = sizes[start : start + n_block]
        cells, _ = task.draw(int(block.sum()), seed, first_part * 100_000 + number)
        parts.append(np.add.reduceat(cells, np.r_[0, np.cumsum(block)[:-1]], axis=0))
    return np.vstack(parts)


def _within(task: Task, pooling: Pooling, n_pools: int, seed: int) -> np.ndarray:
    """Pools of one group each; groups get pools by their share of cells."""
    k = pooling.n_cells
    n = n_pools * k if task.cells is None else len(task.cells)
    cells, labels = task.draw(n + (n // 10 if task.cells is None else 0), seed, k)
    if labels is None:
        raise InputError("pools within groups need cell types in the model, or groups of measured cells")
    groups = np.unique(labels, return_inverse=True)[1]
    chosen = []
    for code in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == code)
        chosen.append(members[: len(members) // k * k].reshape(-1, k))
    pools = np.vstack(chosen)
    if len(pools) < n_pools:
        raise InputError(
            f"{n_pools:,} pools of {k} cells within groups are wanted; {len(pools):,} can be drawn"
        )
    picked = stream(seed, "groups", task.name, k).permutation(len(pools))[:n_pools]
    return np.asarray(cells[pools[picked]].sum(axis=1))


def _alike(
    task: Task, cells: np.ndarray, pooling: Pooling, n_pools: int, rng: np.random.Generator
) -> np.ndarray:
    """Number of the pool of each cell, shape ``(n,)``."""
    if pooling.kind == SORTED:
        rank = np.empty(len(cells), dtype=int)
        rank[np.argsort(cells[:, _axis_gene(task)], kind="stable")] = np.arange(len(cells))
        return rank // pooling.n_cells
    spread = cells.std(axis=0)
    standard = (cells - cells.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    if pooling.kind == ALIKE_OTHERS:
        sources = (
            np.flatnonzero(~task.truth.directed.any(axis=0))
            if task.truth is not None
            else np.arange(cells.shape[1])
        )
        of = sources[np.arange(N_MARKERS) % len(sources)]
        standard = standard[:, of] + MARKER_NOISE * rng.normal(size=(len(cells), N_MARKERS))
    return kmeans2(standard, n_pools, iter=10, minit="points", missing="warn", seed=rng)[1]


def _axis_gene(task: Task) -> int:
    """The gene with the most children, the first of several; of measured cells the most expressed."""
    if task.truth is None:
        return int(np.argmax(task.cells.mean(axis=0))) if task.cells is not None else 0
    return int(np.argmax(task.truth.directed.sum(axis=1)))

"""Folds of the samples, inside levels or of whole replicates, and bases that are orthonormal in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from .._arrays import dense_columns
from .._random import stream
from ..pairs.design import Design
from .gram import LEAST_FOLDS, MOST_FOLDS

LEAST_IN_FOLD = 5
"""Samples that a fold of a level needs: for a constant, a line and a bend, and two more."""
KEPT = 0.9
"""Of the samples that four folds would keep: as many folds are made as leave so many."""
_CHUNK = 256
_LOOKED_AT = 20_000_000
_MULTIPLIER = np.uint64(6364136223846793005)  # Knuth's, of linear congruential generators
_ROUNDING = 1e-9
"""A column of length 1 in its level that is not larger inside a cell is constant there, but for rounding."""
_TOLERANCE = 1e-4
"""A column that the ones before it explain up to this share of its length is dropped."""


@dataclass(frozen=True, eq=False)
class Folds:
    """How samples are cut: into cells, the levels of a fold. A cell may be empty."""

    order: np.ndarray
    """Samples by fold, then by level, shape ``(n,)``: positions among those of all levels, joined."""
    cells: tuple[tuple[slice, ...], ...]
    """Rows in that order, ``cells[fold][level]``."""
    starts: np.ndarray
    """Position of the first sample of each level, shape ``(L,)``."""
    rank: np.ndarray
    """See :func:`content_rank`."""

    @property
    def rows(self) -> list[slice]:
        """Rows of each fold."""
        return [slice(cells[0].start, cells[-1].stop) for cells in self.cells]

    @property
    def codes(self) -> np.ndarray:
        """Fold of each sample, level by level; -1: left out."""
        result = np.full(len(self.rank), -1)
        for fold, rows in enumerate(self.rows):
            result[self.order[rows]] = fold
        return result

    def coarse(self) -> Folds:
        """Two folds as one each; of less than five, these themselves."""
        if len(self.cells) <= LEAST_FOLDS:
            return self
        codes = self.codes
        return folds_of(np.where(codes >= 0, codes // 2, -1), self.starts, self.rank)

    def some(self, most: int, seed: int) -> Folds:
        """About ``most`` samples in all, drawn from every cell in proportion."""
        share = min(1.0, most / len(self.order))
        codes = np.full(len(self.rank), -1)
        for fold, cells in enumerate(self.cells):
            for level, rows in enumerate(cells):
                n = int(np.ceil(share * (rows.stop - rows.start)))
                drawn = stream(seed, "some of a fold", fold, level).permutation(self.order[rows])
                codes[drawn[:n]] = fold
        return folds_of(codes, self.starts, self.rank)


def folds_of(codes: np.ndarray, starts: np.ndarray, rank: np.ndarray) -> Folds:
    """Sort samples by fold.

    Parameters
    ----------
    codes
        Fold of each sample, level by level; -1: left out.
    starts
        Position of the first sample of each level.
    rank
        Order of the samples inside a cell.

    Examples
    --------
    >>> folds_of(np.array([0, 1, 0, 1, 0]), np.array([0, 3]), np.arange(5)).order
    array([0, 2, 4, 1, 3])
    """
    n_levels = len(starts)
    level = np.searchsorted(starts, np.arange(len(codes)), side="right") - 1
    order = np.lexsort((rank, level, codes))
    order = order[codes[order] >= 0]
    cell = codes[order] * n_levels + level[order]
    edges = np.searchsorted(cell, np.arange((int(codes.max()) + 1) * n_levels + 1))
    slices = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    grid = [tuple(slices[low : low + n_levels]) for low in range(0, len(slices), n_levels)]
    return Folds(order, tuple(grid), np.asarray(starts), rank)


def content_rank(matrix: np.ndarray | sp.csc_matrix, design: Design) -> np.ndarray:
    """Order of the samples of each level by what they hold: as if by chance, whatever order they come in.

    A checksum of each sample's place among the others, gene by gene, which no change of units alters. Of many
    samples, the first genes alone are looked at.

    Returns
    -------
    One rank for each sample, level by level.
    """
    ranks: list[np.ndarray] = []
    for level in design.levels:
        n = len(level.rows)
        key = np.zeros(n, dtype=np.uint64)
        n_genes = min(matrix.shape[1], max(64, _LOOKED_AT // n))
        for low in range(0, n_genes, _CHUNK):
            values = dense_columns(matrix, np.arange(low, min(low + _CHUNK, n_genes)))[level.rows]
            order = np.argsort(values, axis=0, kind="stable")
            rises = np.diff(np.take_along_axis(values, order, axis=0), axis=0, prepend=np.nan) > 0
            place = np.empty(values.shape, dtype=np.uint64)
            np.put_along_axis(place, order, rises.cumsum(axis=0).astype(np.uint64), axis=0)
            for column in place.T:
                key = key * _MULTIPLIER + column + np.uint64(1)
        rank = np.empty(n, dtype=np.int64)
        rank[np.argsort(key, kind="stable")] = np.arange(n)
        ranks.append(rank)
    return np.concatenate(ranks)


def draw_folds(
    design: Design, rank: np.ndarray, seed: int, least: int = LEAST_IN_FOLD
) -> tuple[np.ndarray, np.ndarray]:
    """Fold of every sample of every level, one after another; -1 in levels that are too small for folds.

    Parameters
    ----------
    design
        With replicates, folds are of whole replicates, as even as can be.
    rank
        Order of the samples of each level.
    least
        Samples that a fold of a level needs.

    Returns
    -------
    The codes, and which levels are used: none where there are fewer than 4 replicates, or no level with
    ``4 * least`` samples.
    """
    sizes = np.array([len(level.rows) for level in design.levels])
    if design.n_clusters:
        return _whole_replicates(design, least)
    kept = {n: int(sizes[sizes >= least * n].sum()) for n in range(LEAST_FOLDS, MOST_FOLDS + 1)}
    n_folds = max(n for n, of in kept.items() if of >= KEPT * kept[LEAST_FOLDS])
    used = sizes >= least * n_folds
    codes = np.full(len(rank), -1)
    ends = np.cumsum(sizes)
    for level, end, use in zip(design.levels, ends, used, strict=True):
        if use:
            mine = np.arange(end - len(level.rows), end)
            drawn = stream(seed, "folds", level.name).permutation(len(mine)) % n_folds
            codes[mine[np.argsort(rank[mine])]] = drawn
    return codes, used


def _whole_replicates(design: Design, least: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest replicates first, each into the smallest fold."""
    every = np.concatenate([np.asarray(level.clusters) for level in design.levels])
    sizes = np.bincount(every, minlength=design.n_clusters)
    n_folds = min(MOST_FOLDS, int((sizes > 0).sum()))
    if n_folds < LEAST_FOLDS:
        return np.full(len(every), -1), np.zeros(len(design.levels), dtype=bool)
    fold = np.zeros(design.n_clusters, dtype=np.int64)
    filled = np.zeros(n_folds, dtype=np.int64)
    for cluster in np.argsort(-sizes, kind="stable"):
        fold[cluster] = np.argmin(filled)
        filled[fold[cluster]] += max(int(sizes[cluster]), 1)
    used = []
    codes = []
    for level in design.levels:
        mine = fold[np.asarray(level.clusters)]
        used.append((np.bincount(mine, minlength=n_folds) >= least).sum() >= LEAST_FOLDS)
        codes.append(mine if used[-1] else np.full(len(mine), -1))
    return np.concatenate(codes), np.array(used)


@dataclass(frozen=True, eq=False)
class Bases:
    """Bases of a block of Y middle genes, orthonormal inside every cell."""

    columns: tuple[tuple[np.ndarray, ...], ...]
    """Of each cell, shape ``(Y, c, n_cell)``: the line and what goes before it first, then the bends; in the
    dtype of the products."""
    n_first: int
    """Columns up to and with the line."""
    bends: np.ndarray
    """Bends of the level, less the line of the cell, in terms of the cell's bend columns; scaled so that
    their squares over all cells of a level sum to their number; shape ``(Y, B, L, k - 1, k - 1)``."""
    known: np.ndarray
    """What each fold would show of an end that is exactly one of the bends: columns of shape R for each of R
    bends, over all levels; shape ``(Y, B, R, R)``."""
    n_bends: np.ndarray
    """Bends of each middle gene, shape ``(Y,)``."""
    line_df: np.ndarray
    """Degrees of freedom that the line leaves in each fold, shape ``(Y, B)``."""


def bases_of(
    levels: Sequence[np.ndarray], folds: Folds, absent: Sequence[np.ndarray] = (), dtype: type = np.float64
) -> Bases:
    """Make bases orthonormal inside every cell.

    Parameters
    ----------
    levels
        Bases of each level, shape ``(Y, k, n_level)``, orthonormal, the line first, unused columns 0.
    folds
        The cells.
    absent
        Rows (in the order of the folds) in which a middle gene has no value, one array for each.

    Notes
    -----
    With c the bends of a level less their line inside a cell, the products ``c'x`` have mean 0 where E[x|y]
    is affine, whatever the noise of x, and are independent between folds.
    """
    n_middle, k = levels[0].shape[:2]
    rows_of = folds.rows
    n_absent = max((int(((u >= r.start) & (u < r.stop)).sum()) for u in absent for r in rows_of), default=0)
    first = n_absent + 1
    columns = []
    bends = np.zeros((n_middle, len(rows_of), len(levels), k - 1, k - 1))
    line_df = np.zeros((n_middle, len(rows_of)))
    for fold, cells in enumerate(folds.cells):
        of_fold: list[np.ndarray] = []
        for at, rows in enumerate(cells):
            raw = levels[at][:, :, folds.order[rows] - folds.starts[at]]
            if n_absent:
                raw = np.concatenate([_unit_columns(absent, rows, n_absent), raw], axis=1)
            if raw.shape[2]:
                raw = raw - raw.mean(axis=2, keepdims=True)
                raw[np.abs(raw).max(axis=2) < _ROUNDING] = 0.0
            found = orthonormal(raw)
            bends[:, fold, at] = raw[:, first:] @ found[:, first:].transpose(0, 2, 1)
            line_df[:, fold] += max(raw.shape[2] - 1, 0) - (found[:, :first] ** 2).sum(axis=(1, 2))
            of_fold.append(found.astype(dtype))
        columns.append(tuple(of_fold))
    n_bends = np.stack(
        [(np.abs(level[:, 1:]).max(axis=2, initial=0) > 0).sum(axis=1) for level in levels], axis=1
    )
    scale = _ratio(n_bends, (bends**2).sum(axis=(1, 3, 4)))[:, None, :, None, None]
    known = np.zeros((n_middle, len(rows_of), len(levels), k - 1, len(levels), k - 1))
    for at, of in enumerate(np.moveaxis(scale * (bends @ bends.swapaxes(3, 4)), 2, 0)):
        known[:, :, at, :, at] = of
    n_rows = len(levels) * (k - 1)
    known = known.reshape(n_middle, len(rows_of), n_rows, n_rows)
    return Bases(tuple(columns), first, scale * bends, known, n_bends.sum(axis=1), line_df)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def _unit_columns(absent: Sequence[np.ndarray], rows: slice, n_absent: int) -> np.ndarray:
    """A column for each absent sample, so that its residuals are 0."""
    result = np.zeros((len(absent), n_absent, rows.stop - rows.start))
    for gene, gone in enumerate(absent):
        here = gone[(gone >= rows.start) & (gone < rows.stop)] - rows.start
        result[gene, np.arange(len(here)), here] = 1.0
    return result


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """Orthonormalise columns of shape ``(Y, c, n)`` in order; those that add nothing become 0 in place.

    Examples
    --------
    >>> orthonormal(np.array([[[3.0, 4.0], [6.0, 8.0], [0.0, 5.0]]])).round(3) + 0.0
    array([[[ 0.6,  0.8],
            [ 0. ,  0. ],
            [-0.8,  0.6]]])
    """
    result = np.zeros_like(columns)
    for j in range(columns.shape[1]):
        column = columns[:, j].copy()
        before = np.sqrt(np.einsum("yn,yn->y", column, column))
        for _ in range(2):  # one pass loses orthogonality between nearly parallel columns
            weights = np.matmul(result[:, :j], column[:, :, None])
            column -= np.matmul(weights.transpose(0, 2, 1), result[:, :j])[:, 0]
        after = np.sqrt(np.einsum("yn,yn->y", column, column))
        keep = after > _TOLERANCE * before
        result[:, j] = np.where(keep, 1 / np.where(keep, after, 1.0), 0.0)[:, None] * column
    return result

"""All triples by Gram matrices: values without a noise model, conditioned on splines of the middle gene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import scipy.sparse as sp

from .. import _names as names
from ..basis import N_COLUMNS
from ..pairs.design import Design
from ..pairs.score_kernels import Targets, columns_for, level_conditioning
from .folds import Bases, Folds, bases_of, content_rank, draw_folds, folds_of
from .gram import TILE, Sums, Totals, powers_of_two, products_of, same_end, sums_of, tile_totals
from .score_conditioner import fill_missing, missing_values

MOST_SAMPLES = 4000
"""Samples that residual covariances are taken from; with more, so many are drawn. Each costs their number."""
COARSE = 500
"""Below so many samples, residual covariances take half as many folds: a curve in each takes much of them."""
_SPARE = 3
"""Samples of a fold beyond the columns of a basis: the constant, and two that are left."""
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Ends:
    """All genes as ends."""

    tile: Callable[[int], np.ndarray]
    """Values of `TILE` genes, shape ``(n, genes)``, samples by fold: of unit norm over all samples, then less
    the mean of the cell."""
    squares: np.ndarray
    """Sum of squares of each end in each fold, shape ``(B, G)``."""
    kernel: np.ndarray
    """Products of samples over all ends, shape ``(n, n)``; empty where no residual covariances are wanted."""
    folds: Folds

    @staticmethod
    def of(tile: Callable[[int], np.ndarray], n_genes: int, folds: Folds, *, with_kernel: bool) -> Ends:
        """Look through all values; ``tile`` as in :class:`Ends`."""
        squares, kernel = [], np.zeros((0, 0))
        for at in range(-(-n_genes // TILE)):
            values = tile(at)
            squares.append(np.stack([np.einsum("nx,nx->x", values[r], values[r]) for r in folds.rows]))
            if with_kernel:
                product = values @ values.T
                kernel = product if at == 0 else kernel + product
        return Ends(tile, np.concatenate(squares, axis=1), kernel, folds)


def centre(values: np.ndarray, folds: Folds) -> np.ndarray:
    """Centre the columns of values of shape ``(n, genes)`` in every cell, in place."""
    for rows in (rows for cells in folds.cells for rows in cells if rows.stop > rows.start):
        values[rows] -= values[rows].mean(axis=0)
    return values


def block_sums(ends: Ends, bases: Bases, own: np.ndarray, df: float) -> Sums:
    """Sums over all pairs of ends for a block of middle genes.

    Parameters
    ----------
    ends
        All ends.
    bases
        Of the block.
    own
        Position of each middle gene among the ends, shape ``(Y,)``; -1: it is none of them.
    df
        Degrees of freedom that a line leaves with all samples.

    Notes
    -----
    With K the products of the samples over all ends and P a projection on the basis of a fold, the sum over
    x and z of the products of their residual covariances in folds a and b is ``|(1 - P_a) K_ab (1 - P_b)|^2 =
    |K_ab|^2 - |P_a K_ab|^2 - |K_ab P_b|^2 + |P_a K_ab P_b|^2``.
    """
    n_middle, n_folds, n_levels, r, _ = bases.bends.shape
    first = bases.n_first
    size = powers_of_two(bases.bends)
    bends = (bases.bends / size[:, :, None, None, None]).astype(bases.columns[0][0].dtype)
    total: Totals | None = None
    gram: np.ndarray | None = None
    for low in range(0, ends.squares.shape[1], TILE):
        squares = ends.squares[:, low : low + TILE]
        mine = np.where((own >= low) & (own < low + squares.shape[1]), own - low, -1)
        p = _products(ends.tile(low // TILE), bases, mine)
        left, rest = _left(p, squares, first, mine)
        s = np.matmul(bends, p[:, :, :, first:])
        part = tile_totals(left, rest, s.reshape(n_middle, n_folds, n_levels * r, -1), size)
        total = part if total is None else total + part
        if not len(ends.kernel):
            more = products_of(p.reshape(n_middle, n_folds, -1, p.shape[-1]))
            gram = more if gram is None else gram + more
    total = cast(Totals, total)  # there is at least one tile of ends
    squared = np.full((n_middle, n_folds, n_folds), np.nan)
    if gram is None:
        outside, gram = _outside(ends, bases)
        squared = _kernel_squares(ends) - outside - outside.transpose(0, 2, 1) + (gram**2).sum(axis=(2, 4))
    c = bases.columns[0][0].shape[1]
    split = gram.reshape(n_middle, *2 * (n_folds, n_levels, c))[:, :, :, first:, :, :, first:]
    turned = np.einsum("yaljm,yalmcvn,ycvin->yacljvi", bases.bends, split, bases.bends, optimize=True)
    gram = turned.reshape(n_middle, n_folds, n_folds, n_levels * r, n_levels * r)
    known = same_end(bases.known) / np.maximum(bases.n_bends, 1)[:, None]
    return sums_of(total, squared, gram, known, bases.line_df / df)


def _products(values: np.ndarray, bases: Bases, own: np.ndarray) -> np.ndarray:
    """Products of every column with some ends, shape ``(Y, B, L, c, ends)``."""
    n_middle, n_folds, n_levels = bases.bends.shape[:3]
    c, n_ends = bases.columns[0][0].shape[1], values.shape[1]
    by_cell = np.empty((n_folds, n_levels, n_middle, c, n_ends), dtype=values.dtype)
    start = 0
    for fold, cells in enumerate(bases.columns):
        for level, columns in enumerate(cells):
            rows = slice(start, start + columns.shape[2])
            of_cell = by_cell[fold, level].reshape(n_middle * c, n_ends)
            np.matmul(columns.reshape(n_middle * c, -1), values[rows], out=of_cell)
            start = rows.stop
    p = np.moveaxis(by_cell, 2, 0)
    itself = np.flatnonzero(own >= 0)
    p[itself, :, :, bases.n_first :, own[itself]] = 0.0  # its own bends, up to rounding
    return p


def _left(p: np.ndarray, squares: np.ndarray, first: int, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the line, and the curve, leave of each end in each fold, both ``(Y, B, ends)``."""
    left = squares - np.einsum("yflcx,yflcx->yfx", p[:, :, :, :first], p[:, :, :, :first])
    rest = left - np.einsum("yflcx,yflcx->yfx", p[:, :, :, first:], p[:, :, :, first:])
    itself = np.flatnonzero(own >= 0)
    left[itself, :, own[itself]] = rest[itself, :, own[itself]] = 0.0
    return left, rest


def _kernel_squares(ends: Ends) -> np.ndarray:
    """Squares of the products of the samples of two folds, shape ``(B, B)``."""
    starts = [rows.start for rows in ends.folds.rows]
    rows = np.einsum("ij,ij->ij", ends.kernel, ends.kernel, dtype=np.float64)
    return np.asarray(np.add.reduceat(np.add.reduceat(rows, starts, axis=0), starts, axis=1))


def _outside(ends: Ends, bases: Bases) -> tuple[np.ndarray, np.ndarray]:
    """Squares of products of the samples of fold a with the columns of fold b; products of all columns.

    Shapes ``(Y, B, B)`` and ``(Y, B, c, B, c)``, c over all levels.
    """
    n_middle, c = bases.columns[0][0].shape[:2]
    rows_of = ends.folds.rows
    n_levels = len(bases.columns[0])
    result = np.zeros((n_middle, len(rows_of), len(rows_of)))
    gram = np.zeros((n_middle, len(rows_of), n_levels, c, len(rows_of), n_levels, c))
    for fold, cells in enumerate(ends.folds.cells):
        for level, rows in enumerate(cells):
            of = bases.columns[fold][level].reshape(n_middle * c, -1) @ ends.kernel[rows]
            of = of.reshape(n_middle, c, -1)
            by_sample = np.einsum("ycn,ycn->yn", of, of).astype(np.float64)
            result[:, :, fold] += np.add.reduceat(by_sample, [r.start for r in rows_of], axis=1)
            for other, others in enumerate(ends.folds.cells):
                for at, inside in enumerate(others):
                    left = bases.columns[other][at]
                    gram[:, other, at, :, fold, level] = np.matmul(left, of[:, :, inside].transpose(0, 2, 1))
    return result, gram.reshape(n_middle, *2 * (len(rows_of), n_levels * c))


class ScoreGram:
    """The data, ready for sums over all triples of some middle genes.

    Parameters
    ----------
    matrix
        Values on the tested scale, shape ``(n_obs, n_genes)``, dense or CSC; NaN where missing: there an end
        stands at its mean, and a middle gene leaves out the sample.
    factors
        Size factors by which samples are divided, shape ``(n_obs,)``, or None.
    design
        Levels, covariates and replicates.
    k
        Most columns of a basis.
    memory
        Bytes that the values of all genes may take; if they would take more, they are read again and again.
    """

    def __init__(
        self,
        matrix: np.ndarray | sp.csc_matrix,
        factors: np.ndarray | None,
        design: Design,
        *,
        k: int = N_COLUMNS,
        dtype: type = np.float32,
        memory: float = 2e9,
        seed: int = 0,
    ) -> None:
        self.n_genes = matrix.shape[1]
        self._memory = memory
        rank = content_rank(matrix, design)
        codes, used = draw_folds(design, rank, seed)
        self.status = np.full(self.n_genes, names.OK, dtype=object)
        self.n_folds = int(codes.max()) + 1
        self.n_samples = int((codes >= 0).sum())
        self.n_left_out = len(codes) - self.n_samples
        self.testable = np.zeros(self.n_genes, dtype=bool)
        self._missing: dict[int, np.ndarray] = {}
        if not used.any():
            self.status[:] = names.TOO_FEW_REPLICATES if design.n_clusters else names.TOO_FEW_SAMPLES
            return
        self._levels = tuple(level for level, use in zip(design.levels, used, strict=True) if use)
        self._targets = Targets(fill_missing(matrix), factors, self._levels)
        self._targets.prepare(dtype, 0, iter(self._chunks()))
        self._missing = missing_values(matrix, self._targets.rows)
        sizes = [len(level.rows) for level in self._levels]
        folds = folds_of(codes[codes >= 0], np.cumsum([0, *sizes[:-1]]), rank[codes >= 0])
        self._k = [_columns(folds, at, k) for at in range(len(sizes))]
        few, many = len(folds.order) < COARSE, len(folds.order) > MOST_SAMPLES
        self._ends = self._read(folds, dtype, with_kernel=not few and not many)
        self._for_partial = self._ends
        if few or many:
            chosen = folds.coarse() if few else folds.some(MOST_SAMPLES, seed)
            self._for_partial = self._read(chosen, dtype, with_kernel=True)
        n_nuisance = sum(level.covariates.shape[1] for level in self._levels)
        self._df = len(self._targets.rows) - n_nuisance - len(sizes)  # values have unit norm over all of them
        self._dtype = dtype
        self.testable |= self._targets.varies.any(axis=0)
        self.status[~self.testable] = names.CONSTANT

    def _chunks(self) -> list[np.ndarray]:
        every = np.arange(self.n_genes)
        return [every[low : low + _CHUNK] for low in range(0, self.n_genes, _CHUNK)]

    def _read(self, folds: Folds, dtype: type, *, with_kernel: bool) -> Ends:
        def make(at: int) -> np.ndarray:
            genes = np.arange(at * TILE, min((at + 1) * TILE, self.n_genes))
            values = self._targets.block(genes, np.float64)[:, folds.order].T
            return np.ascontiguousarray(centre(values, folds), dtype=dtype)

        kept: list[np.ndarray] = []
        if len(folds.order) * self.n_genes * np.dtype(dtype).itemsize <= self._memory:
            kept = [make(at) for at in range(-(-self.n_genes // TILE))]
        return Ends.of(kept.__getitem__ if kept else make, self.n_genes, folds, with_kernel=with_kernel)

    def blocks(self, middle: np.ndarray, size: int) -> list[np.ndarray]:
        """Middle genes that are done together: those with missing values one by one."""
        alone = np.isin(middle, list(self._missing))
        whole = middle[~alone]
        return [
            *(whole[low : low + size] for low in range(0, len(whole), size)),
            *(np.array([gene]) for gene in middle[alone]),
        ]

    def sums(self, middle: np.ndarray) -> tuple[Sums, np.ndarray]:
        """Sums over all pairs of ends for some middle genes, and their status."""
        raw = self._targets.raw(middle)
        levels = []
        for level, rows, k in zip(self._levels, self._targets.slices, self._k, strict=True):
            levels.append(level_conditioning(raw[rows], level, k)[0])
        widest = max(level.shape[1] for level in levels)
        levels = [np.pad(level, ((0, 0), (0, widest - level.shape[1]), (0, 0))) for level in levels]
        result = self._block(self._ends, levels, middle)
        if self._for_partial is not self._ends:
            other = self._block(self._for_partial, levels, middle)
            result = replace(result, partial=other.partial, curve=other.curve)
        status = np.full(len(middle), names.OK, dtype=object)
        bent = np.any([np.abs(level[:, 1:]).max(axis=(1, 2), initial=0) > 0 for level in levels], axis=0)
        status[~bent] = names.TOO_FEW_LEVELS
        return result, status

    def _block(self, ends: Ends, levels: list[np.ndarray], middle: np.ndarray) -> Sums:
        absent = []
        if len(middle) == 1 and int(middle[0]) in self._missing:
            absent = [np.flatnonzero(np.isin(ends.folds.order, self._missing[int(middle[0])]))]
        return block_sums(ends, bases_of(levels, ends.folds, absent, self._dtype), middle, self._df)


def _columns(folds: Folds, level: int, k: int) -> int:
    """Columns of a basis in one level: as many as a typical fold of it can carry."""
    sizes = np.array([cells[level].stop - cells[level].start for cells in folds.cells])
    typical = int(np.median(sizes[sizes > 0]))
    return max(2, min(columns_for(int(sizes.sum()), k), typical - _SPARE))

"""All triples by Gram matrices: counts, conditioned on the fraction of the middle gene (method 8.6).

The moments of method 8.3, summed over each part (a level of a fold): a_j, the products of an end with P_j
that are free of sampling noise, and the own terms H_11, R_2, Q_22 of the middle gene. With slopes b on P_1
and g on P_2, the bend of an end in a part is ``sum(a_2 - b R_2)``, and the residual covariance of two ends
is ``C - b a_1' - a_1 b' - g a_2' - a_2 g' + H_11 b b' + R_2 (b g' + g b') + Q_22 g g'``, C that of their
fractions: that of all ends less a matrix of rank 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import scipy.sparse as sp

from .. import _names as names
from .._arrays import add
from ..pairs.count_engine import CountTest
from ..pairs.count_kernels import CountDepth, count_targets
from ..pairs.design import Level
from .count_parts import Columns, Layout, Middle, Source, Tile, part_of
from .count_residuals import Residuals
from .folds import content_rank, draw_folds, folds_of
from .gram import TILE, Sums, Totals, different_folds, pairs_of, products_of, same_end, sums_of, tile_totals

LEAST_IN_FOLD = 25
"""Cells that a fold of a level needs."""
MOST_CELLS = 4000
"""Cells that residual covariances are taken from; with more, so many are drawn."""
CLEAR = 4.0
"""Standard errors of its variance that an end must show: sums are divided by it."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """What a block of middle genes explains of some ends."""

    a: np.ndarray
    """Sums of a_1 and a_2 over each part, shape ``(Y, 2, S, ends)``."""
    b: np.ndarray
    """Slopes on P_1 in each level, shape ``(Y, L, ends)``; 0 where a level is not used."""
    g: np.ndarray
    """Slopes on P_2."""
    bend: np.ndarray
    """``sum(a_2 - b R_2)`` of each part, shape ``(Y, S, ends)``."""
    left: np.ndarray
    """Sum of the variance that the line leaves in each part, shape ``(Y, S, ends)``."""
    rest: np.ndarray
    """The same of the curve."""

    @staticmethod
    def of(tile: Tile, middle: Middle, layout: Layout, own: np.ndarray) -> Slopes:
        """Conditioning ``tile`` on a block; ``own``: place of each middle gene in the tile, or -1."""
        n_middle, n_ends = len(middle.used), tile.fractions.shape[1]
        dtype = tile.fractions.dtype
        a = np.empty((n_middle, 2, len(layout.level), n_ends), dtype=dtype)
        by_slot = tile.means[layout.slots[:, 1]]
        for part, rows in enumerate(rows for cells in layout.folds.cells for rows in cells):
            f = middle.f[:, :, rows].reshape(n_middle * 2, -1)
            mine = np.flatnonzero(layout.slots[:, 0] == part)
            d = middle.d[:, :, mine].reshape(n_middle * 2, -1).astype(dtype)
            a[:, :, part] = (f @ tile.fractions[rows] + d @ by_slot[mine]).reshape(n_middle, 2, n_ends)
        used = middle.used[:, layout.level, None]
        a *= used[:, None]
        a[np.flatnonzero(own >= 0), :, :, own[own >= 0]] = 0.0
        size = np.where(middle.used[:, None], middle.size, np.inf).astype(dtype)
        n_levels = middle.used.shape[1]
        total = a.reshape(n_middle, 2, -1, n_levels, n_ends).sum(axis=2)
        b, g = (total[:, j] / size[:, j, :, None] for j in range(2))
        h, r, q = (middle.own[:, j, :, None].astype(dtype) for j in range(3))
        b_part, g_part = b[:, layout.level], g[:, layout.level]
        bend = a[:, 1] - b_part * (r * used)
        left = (tile.variance[None] - 2 * b_part * a[:, 0] + b_part * b_part * h) * used
        left[np.flatnonzero(own >= 0), :, own[own >= 0]] = 0.0
        rest = left - 2 * g_part * bend + g_part * g_part * q
        return Slopes(a, b, g, bend, left.astype(dtype), rest.astype(dtype))

    def totals(self, middle: Middle) -> tuple[Totals, np.ndarray]:
        """Sums over the ends; and products of the bends of two folds, shape ``(Y, B, L, B, L)``."""
        n_middle, n_parts, n_ends = self.bend.shape
        n_levels = middle.used.shape[1]
        shape = (n_middle, n_parts // n_levels, n_levels, n_ends)
        size = np.where(middle.used, np.maximum(middle.size[:, 1], 1e-300), np.inf) ** -0.5
        s = self.bend.reshape(shape) * size[:, None, :, None].astype(self.bend.dtype)
        left, rest = self.left.reshape(shape).sum(axis=2), self.rest.reshape(shape).sum(axis=2)
        return tile_totals(left, rest, s.astype(np.float64)), products_of(s)

    def of_middle(
        self, tile: Tile, middle: Middle, layout: Layout, columns: Columns, own: np.ndarray, row: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What sums over pairs of ends hold that is no pair of two different ends, summed over these ends.

        ``row``: left columns of the middle genes. Returns the sum of the products of an end's own residual
        covariance in two folds, ``(Y, B, B)``; and what the middle gene itself has in the sum of squares of
        covariances of two parts, ``(Y, S, S)``.
        """
        n_middle, n_parts, n_ends = self.bend.shape
        left, right = columns.left(tile, layout), columns.right(tile, layout)
        itself = np.flatnonzero(own >= 0)
        h, r, q = (middle.own[:, j, :, None].astype(left.dtype) for j in range(3))
        b, g = self.b[:, layout.level], self.g[:, layout.level]
        diagonal = columns.diagonal(left, right, n_parts) * middle.used[:, layout.level, None]
        diagonal[itself, :, own[itself]] = 0.0
        rest = diagonal - 2 * b * self.a[:, 0] - 2 * g * self.a[:, 1] + h * b * b + 2 * r * b * g + q * g * g
        rest = rest.reshape(n_middle, -1, middle.used.shape[1], n_ends).sum(axis=2)
        with_middle = np.stack(
            [row[:, columns.part == part] @ right[columns.part == part] for part in range(n_parts)], axis=1
        )
        twice = 2 * with_middle
        twice[itself, :, own[itself]] /= 2
        return (
            np.matmul(rest, rest.transpose(0, 2, 1)).astype(np.float64),
            np.matmul(twice, with_middle.transpose(0, 2, 1)).astype(np.float64),
        )


class CountGram:
    """Counts, ready for sums over all triples of some middle genes; see ``distortion.Gram``.

    Parameters
    ----------
    test
        The count-noise-corrected test of the same cells.
    matrix
        Its counts.
    memory
        Bytes that the fractions of all genes may take; if they would take more, they are made each time.
    """

    def __init__(
        self,
        test: CountTest,
        matrix: np.ndarray | sp.csc_matrix,
        *,
        dtype: type = np.float32,
        memory: float = 2e9,
        seed: int = 0,
    ) -> None:
        self.n_genes = test.n_genes
        rank = content_rank(matrix, test.design)
        codes, used = draw_folds(test.design, rank, seed, LEAST_IN_FOLD)
        self.n_folds = int(codes.max()) + 1
        self.n_samples = int((codes >= 0).sum())
        self.n_left_out = len(codes) - self.n_samples
        self.testable = np.zeros(self.n_genes, dtype=bool)
        self.status = np.full(self.n_genes, names.OK, dtype=object)
        if not used.any():
            few = names.TOO_FEW_REPLICATES if test.design.n_clusters else names.TOO_FEW_SAMPLES
            self.status[:] = few
            return
        chosen = np.flatnonzero(used)
        levels, depth = [test.levels[at] for at in chosen], [test.depth[at] for at in chosen]
        scale = _scale(test, levels, depth)
        self.testable = scale > 0
        self.status[test.target_status != names.OK] = names.TOO_FEW_COUNTS
        self.status[test.target_status == names.CONSTANT] = names.CONSTANT
        starts = np.cumsum([0, *(len(level.rows) for level in levels[:-1])])
        folds = folds_of(codes[codes >= 0], starts, rank[codes >= 0])
        self._whole = self._few = Source(test, levels, depth, folds, scale, dtype, memory)
        if len(folds.order) > MOST_CELLS:
            some = part_of(levels, depth, folds.some(MOST_CELLS, seed))
            self._few = Source(test, *some, scale, dtype, memory)
        self._residuals = Residuals(self._few, dtype)

    def blocks(self, middle: np.ndarray, size: int) -> list[np.ndarray]:
        """Middle genes that are done together."""
        return [middle[low : low + size] for low in range(0, len(middle), size)]

    def sums(self, middle: np.ndarray) -> tuple[Sums, np.ndarray]:
        """Sums over all pairs of ends for some middle genes, and their status."""
        whole = self._whole.middle(middle)
        few = whole if self._few is self._whole else self._few.middle(middle)
        left, right = self._few.columns_of(middle)
        totals: list[Totals] = []
        grams: list[np.ndarray] = []
        totals_few: list[Totals] = []
        same: list[np.ndarray] = []
        row: list[np.ndarray] = []
        for at in range(self._whole.n_tiles):
            own = np.where(middle // TILE == at, middle - at * TILE, -1)
            tile = self._whole.tile(at)
            slopes = Slopes.of(tile, whole, self._whole.layout, own)
            part, gram = slopes.totals(whole)
            totals.append(part)
            grams.append(gram)
            if few is not whole:
                tile = self._few.tile(at)
                slopes = Slopes.of(tile, few, self._few.layout, own)
                part, _ = slopes.totals(few)
            totals_few.append(part)
            of_end, of_middle = slopes.of_middle(tile, few, self._few.layout, self._few.columns, own, left)
            same.append(of_end)
            row.append(of_middle)
        total, total_few = reduce(Totals.__add__, totals), reduce(Totals.__add__, totals_few)
        squared = self._residuals.of(few, right, add(row))
        gram = add(grams).transpose(0, 1, 3, 2, 4)
        known, freedom = _known(whole, self._whole.layout)
        result = sums_of(total, squared, gram, known, freedom)
        status = np.full(len(middle), names.OK, dtype=object)
        status[~(whole.used.any(axis=1) & few.used.any(axis=1))] = names.TOO_FEW_COUNTS
        return replace(
            result,
            partial=different_folds(squared - add(same)),
            curve=different_folds(pairs_of(total_few.rest_sum) - total_few.rest),
        ), status


def _known(middle: Middle, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """What four folds find of a known bend (see ``gram.moved_squares``); each fold's share of the cells."""
    n_levels = middle.used.shape[1]
    sizes = np.array(
        [[rows.stop - rows.start for rows in cells] for cells in layout.folds.cells], dtype=float
    )
    share = sizes / sizes.sum(axis=0)
    known = np.eye(n_levels) * share[:, :, None] * middle.used[:, None, :, None]
    found = same_end(known) / np.maximum(middle.used.sum(axis=1), 1)[:, None]
    cells = (middle.used[:, None] * sizes).sum(axis=2)
    return found, cells / np.maximum(cells.sum(axis=1, keepdims=True), 1.0)


def _scale(test: CountTest, levels: Sequence[Level], depth: Sequence[CountDepth]) -> np.ndarray:
    """1 / standard deviation of the fraction of each gene; 0 where the variance is not clear: no end."""
    n = sum(len(level.rows) for level in levels)
    scale = np.zeros(test.n_genes)
    for low in range(0, test.n_genes, TILE):
        genes = np.arange(low, min(low + TILE, test.n_genes))
        variance, error = np.zeros(len(genes)), np.zeros(len(genes))
        for level, of in zip(levels, depth, strict=True):
            share = len(level.rows) / n
            counts = test.counts_of(genes, level)
            unit = test.unit[genes]
            block = count_targets(counts, of, level, unit, np.float64, test.overdispersion)
            variance += share * block.variance
            error += (share * block.error) ** 2
        clear = (test.target_status[genes] == names.OK) & (variance > CLEAR * np.sqrt(error))
        scale[genes] = np.where(clear, np.where(clear, variance, 1.0) ** -0.5 / test.unit[genes], 0.0)
    return scale

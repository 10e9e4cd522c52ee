"""All triples by Gram matrices, counts: cells cut into folds, and what they say of ends and middle genes.

Sums over each part, a level of a fold, of the terms of method 8.3: those of the fractions of ends, free of
sampling noise as products, and those of the middle gene. A slot is a stratum of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..pairs.count_engine import CountTest
from ..pairs.count_kernels import CountDepth, by_stratum, count_terms, factorial_moment
from ..pairs.design import Level
from .folds import Folds, folds_of
from .gram import TILE

CLEAR = 3.0
"""Standard errors of its variance along degree 2 that a middle gene must show: sums are divided by it."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Some ends, in units of the standard deviation of their fractions; cells in the order of the folds."""

    fractions: np.ndarray
    """Less the mean of their stratum, shape ``(n, ends)``."""
    means: np.ndarray
    """Of every stratum of every level, shape ``(n_strata, ends)``."""
    variance: np.ndarray
    """Sum over each part of the terms of the variance, shape ``(S, ends)``."""
    tied: np.ndarray
    """Sum over each stratum of each part of ``(tau - 1)`` times the fraction, shape ``(S', ends)``."""


@dataclass(frozen=True, eq=False)
class Middle:
    """A block of middle genes; every array starts with ``(Y, S)`` or ``(Y, L)``."""

    f: np.ndarray
    """F_1 and F_2 of each cell, shape ``(Y, 2, n)``."""
    d: np.ndarray
    """Sums of F_j - P_j over each stratum of each part, shape ``(Y, 2, S')``."""
    own: np.ndarray
    """Sums of H_11, R_2 and Q_22 over each part, shape ``(Y, 3, S)``."""
    size: np.ndarray
    """``n V_1`` and ``n N_22`` of each level, shape ``(Y, 2, L)``."""
    used: np.ndarray
    """Levels in which the gene can be conditioned on, shape ``(Y, L)``."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where parts and strata lie."""

    folds: Folds
    level: np.ndarray
    """Level of each part, shape ``(S,)``; parts go by fold, then by level."""
    stratum: np.ndarray
    """Stratum of each cell, counted over all levels, shape ``(n,)``."""
    slots: np.ndarray
    """Part and stratum of each slot, a stratum of a part, shape ``(S', 2)``."""
    slot: np.ndarray
    """Slot of each cell, shape ``(n,)``."""

    @staticmethod
    def of(folds: Folds, strata: np.ndarray) -> Layout:
        """From the folds, and the stratum of each cell level by level."""
        parts = [(level, rows) for cells in folds.cells for level, rows in enumerate(cells)]
        stratum = strata[folds.order]
        part = np.concatenate([np.full(rows.stop - rows.start, i) for i, (_, rows) in enumerate(parts)])
        slots, slot = np.unique(np.stack([part, stratum], axis=1), axis=0, return_inverse=True)
        return Layout(
            folds,
            np.array([level for level, _ in parts]),
            stratum,
            slots,
            slot.reshape(-1),
        )


def group_sums(values: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Sums over groups along the first axis, float64; an empty group has 0.

    Examples
    --------
    >>> group_sums(np.array([1.0, 2.0, 4.0]), np.array([2, 0, 2]), 3)
    array([2., 0., 5.])
    """
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(n_groups))
    present = np.flatnonzero(np.bincount(group, minlength=n_groups))
    result = np.zeros((n_groups, *values.shape[1:]))
    result[present] = np.add.reduceat(values[order], starts[present], axis=0, dtype=np.float64)
    return result


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns whose products are the covariances of fractions in each part, sampling noise removed.

    The sum over cells of ``tau x z`` about the means of the strata, tau = T / (T - 1), as a U-statistic.
    """

    weight: np.ndarray
    """``tau + 1 / (cells of the stratum - 1)`` of each cell, shape ``(n,)``."""
    excess: np.ndarray
    """Sum of tau - 1 over each slot, shape ``(S',)``."""
    part: np.ndarray
    """Part of each column, shape ``(columns,)``: those of the cells, then two for each slot."""

    def left(self, tile: Tile, layout: Layout) -> np.ndarray:
        """Left columns, shape ``(columns, ends)``: of cells, means of slots, tied means."""
        x, mean = tile.fractions, tile.means[layout.slots[:, 1]]
        tied = tile.tied + mean * self.excess[:, None].astype(x.dtype)
        return np.concatenate([x * self.weight[:, None].astype(x.dtype), mean, tied])

    def right(self, tile: Tile, layout: Layout) -> np.ndarray:
        """Right columns, shape ``(columns, ends)``: of cells, tied, means of slots."""
        return np.concatenate([tile.fractions, tile.tied, tile.means[layout.slots[:, 1]]])

    def diagonal(self, left: np.ndarray, right: np.ndarray, n_parts: int) -> np.ndarray:
        """Of the covariances in each part, shape ``(S, ends)``: with sampling noise."""
        return group_sums(left * right, self.part, n_parts).astype(left.dtype)


class Source:
    """Some cells of some levels, cut into folds."""

    def __init__(
        self,
        test: CountTest,
        levels: Sequence[Level],
        depth: Sequence[CountDepth],
        folds: Folds,
        scale: np.ndarray,
        dtype: type,
        memory: float,
    ) -> None:
        self._test, self._levels, self._depth, self._scale, self._dtype = test, levels, depth, scale, dtype
        first = np.cumsum([0, *(int(level.strata.max()) + 1 for level in levels)])
        strata = np.concatenate([level.strata + low for level, low in zip(levels, first[:-1], strict=True)])
        self.layout = Layout.of(folds, strata)
        tau = np.concatenate([np.ones_like(d.total) if d.known else d.total / (d.total - 1) for d in depth])
        self._less = (tau - 1)[folds.order]
        spare = np.maximum(np.bincount(strata) - 1.0, 1.0)[self.layout.stratum]
        slots = self.layout.slots[:, 0]
        self.columns = Columns(
            1 + self._less + 1 / spare,
            group_sums(self._less, self.layout.slot, len(slots)),
            np.concatenate([slots[self.layout.slot], slots, slots]),
        )
        self.n_tiles = -(-test.n_genes // TILE)
        self.tile: Callable[[int], Tile] = self._tile
        if len(folds.order) * test.n_genes * np.dtype(dtype).itemsize <= memory:
            self.tile = [self._tile(at) for at in range(self.n_tiles)].__getitem__

    def _tile(self, at: int) -> Tile:
        genes = np.arange(at * TILE, min((at + 1) * TILE, self._test.n_genes))
        fractions, means, terms = [], [], []
        for level, depth in zip(self._levels, self._depth, strict=True):
            sizes = np.bincount(level.strata)
            counts = self._test.counts_of(genes, level)
            scale = self._scale[genes, None]
            share = counts / depth.falling(1) * scale
            pairs = factorial_moment(counts, 2) / depth.falling(2) * scale**2
            pairs /= 1 + self._test.overdispersion
            of_stratum = by_stratum(share, sizes) / sizes
            mean = of_stratum[:, level.strata]
            centred = share - mean
            less_one = np.maximum(sizes - 1.0, 1.0)[level.strata]
            terms.append(pairs - 2 * mean * share + mean**2 + centred**2 / less_one)
            fractions.append(centred)
            means.append(of_stratum)
        layout = self.layout
        x, of = (np.concatenate(values, axis=1)[:, layout.folds.order].T for values in (fractions, terms))
        part = layout.slots[layout.slot, 0]
        return Tile(
            np.ascontiguousarray(x, dtype=self._dtype),
            np.concatenate(means, axis=1).T.astype(self._dtype),
            group_sums(of, part, len(layout.level)).astype(self._dtype),
            group_sums(x * self._less[:, None], layout.slot, len(layout.slots)).astype(self._dtype),
        )

    def columns_of(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Left and right columns of the covariances of some genes, shape ``(Y, columns)``."""
        left: np.ndarray = np.empty((len(genes), len(self.columns.part)), dtype=self._dtype)
        right = np.empty_like(left)
        for at in np.unique(genes // TILE):
            mine = genes // TILE == at
            tile, ends = self.tile(int(at)), genes[mine] - at * TILE
            left[mine] = self.columns.left(tile, self.layout)[:, ends].T
            right[mine] = self.columns.right(tile, self.layout)[:, ends].T
        return left, right

    def middle(self, genes: np.ndarray) -> Middle:
        """What cells say of middle genes."""
        f, d, own, size, used = [], [], [], [], []
        for level, depth in zip(self._levels, self._depth, strict=True):
            counts = self._test.counts_of(genes, level)
            terms = count_terms(counts, depth, level, overdispersion=self._test.overdispersion)
            n = counts.shape[1]
            bends = terms.own[3]
            clear = bends.mean(axis=1) > CLEAR * bends.std(axis=1) / np.sqrt(n)
            used.append((terms.degree >= 2) & clear)
            f.append(terms.f[:2].transpose(1, 0, 2))
            d.append((terms.f[:2] - terms.p[:2]).transpose(1, 0, 2))
            own.append(terms.own[[2, 0, 3]].transpose(1, 0, 2))
            size.append(n * terms.own_mean[[2, 3]].T)
        layout = self.layout
        part = layout.slots[layout.slot, 0]
        order = layout.folds.order
        whole = [np.concatenate(values, axis=2)[:, :, order] for values in (f, d, own)]
        return Middle(
            whole[0].astype(self._dtype),
            np.moveaxis(group_sums(np.moveaxis(whole[1], 2, 0), layout.slot, len(layout.slots)), 0, 2),
            np.moveaxis(group_sums(np.moveaxis(whole[2], 2, 0), part, len(layout.level)), 0, 2),
            np.stack(size, axis=2),
            np.stack(used, axis=1),
        )


def part_of(
    levels: Sequence[Level], depth: Sequence[CountDepth], folds: Folds
) -> tuple[list[Level], list[CountDepth], Folds]:
    """Some cells as levels of their own."""
    codes = folds.codes
    ends = [*folds.starts[1:], len(codes)]
    kept = [np.flatnonzero(codes[low:high] >= 0) for low, high in zip(folds.starts, ends, strict=True)]
    smaller = [
        Level(
            level.name,
            level.rows[at],
            level.covariates[at],
            np.unique(level.strata[at], return_inverse=True)[1],
            None,
        )
        for level, at in zip(levels, kept, strict=True)
    ]
    starts = np.cumsum([0, *(len(at) for at in kept[:-1])])
    chosen = codes >= 0
    return (
        smaller,
        [CountDepth(of.total[at], of.known) for of, at in zip(depth, kept, strict=True)],
        folds_of(codes[chosen], starts, folds.rank[chosen]),
    )

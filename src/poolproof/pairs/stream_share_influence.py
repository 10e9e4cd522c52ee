"""Influences of single cells on sums of bends and lines, cells read block by block.

The influence of a cell (method 7.3) is a sum of columns of x times sums over targets of y~ and y~^2. Where x
has no count its columns are constants of the stratum, so that one product of the cells with all targets says
it for every regulator; where x has a count the sums over targets are taken anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .stream_kernels import Cells, cell_terms, gene_runs, moments_of, no_counts
from .stream_share_products import BLOCK, Raw, times
from .stream_share_terms import LevelGenes, ShareGenes, forms, weight_of
from .stream_sums import Piece

CELLS = 4096
"""Cells whose influences are held at a time."""
TARGET_CELLS = 1024
_Y, _Y2, _Y3, _MEAN = range(4)
"""Sums over targets of y~ times b, d_2, d_3 and the stratum's mean."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of R regulators in one level, for one set of pairs."""

    genes: np.ndarray
    factors: np.ndarray
    """b, d_2, d_3 and 1 where a pair is in the set, else 0, shape ``(4, R, m)``."""
    norm: np.ndarray
    """Bend and line over all levels, 0 outside the set, shape ``(2, R, m)``."""
    quadratic: np.ndarray
    """Sums over targets: b^2, d_2 b, d_3 b, d_2 e_2, d_3 e_3, d_2 e_3 + d_3 e_2, shape ``(6, R)``."""
    taken: np.ndarray
    """Sums over targets of what is taken off of bend and line, and of n g'W g, shape ``(3, R)``."""

    @staticmethod
    def of(
        level: LevelGenes, genes: np.ndarray, raw: Raw, weight: np.ndarray, norm: np.ndarray
    ) -> Coefficients:
        """Of pairs with these weights, shape ``(R, m)``; ``norm`` as bend and line of all pairs."""
        used = weight * raw.counted
        d2, d3 = times(level.kept[:, genes], raw.g)
        e2, e3 = times(level.inverse[:, genes], raw.g)
        left2, left3 = d2 * used, d3 * used
        products = (
            (raw.b * used, raw.b),
            (left2, raw.b),
            (left3, raw.b),
            (left2, e2),
            (left3, e3),
        )
        quadratic = [(a * b).sum(axis=1) for a, b in products]
        quadratic.append((left2 * e3).sum(axis=1) + (left3 * e2).sum(axis=1))
        explained = raw.bend(level.kept[:, genes], level.n)
        taken = [(used * of).sum(axis=1) for of in (*raw.variance, explained)]
        factors = np.stack([raw.b * used, left2, left3, used])
        return Coefficients(genes, factors, norm * weight, np.stack(quadratic), np.stack(taken))

    def take(self, rows: slice) -> Coefficients:
        """Those of some regulators."""
        parts = (self.factors, self.norm, self.quadratic, self.taken)
        return Coefficients(self.genes[rows], *(of[:, rows] for of in parts))


class _Entries(NamedTuple):
    """What sums over targets are multiplied with in k entries of x, for bend and line."""

    linear: np.ndarray
    """Shape ``(2, 4, k)``."""
    square: np.ndarray
    """Shape ``(2, k)``, of sums of y~^2."""
    constant: np.ndarray
    """Shape ``(2, 12, k)``, of what does not depend on y: see `_scalars`."""


def _entries(
    level: LevelGenes, genes: np.ndarray, terms: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> _Entries:
    """Of entries of these genes with these F, D and own terms."""
    (f, d, own), n = terms, level.n
    v1, inverse = level.variance[genes], level.inverse[:, genes]
    form = weight_of(own, n, v1) * forms(f, d, own, level.kept[:, genes], v1) / n
    ff, fd, f_own, dd, d_own, own_own = form
    linear = np.zeros((2, 4, len(genes)))
    linear[:, _Y] = 2 * f_own
    linear[:, _MEAN] = -2 * fd
    linear[0, _Y2], linear[0, _Y3] = 2 * f[1], 2 * f[2]
    linear[1, _Y] += 2 * f[0]
    size = inverse[0] * own[3] + 2 * inverse[1] * own[4] + inverse[2] * own[5]
    constant = np.zeros((2, N_SCALARS, len(genes)))
    constant[:, 0], constant[:, 1], constant[:, 2] = -dd, 2 * d_own, -own_own
    constant[0, 3], constant[1, 3] = size / (1 + (inverse[2] > 0)) / n, own[2] / v1 / n
    constant[0, 4] = 1 / n
    constant[0, 5:] = 2 * d[1], 2 * d[2], -2 * own[0], -2 * own[1], -own[3], -own[5], -own[4]
    constant[1, 1] += 2 * d[0]
    constant[1, 2] -= own[2]
    usable = level.usable_x[genes]
    return _Entries(*(np.where(usable, part, 0.0) for part in (linear, -ff, constant)))


N_SCALARS = 12


def _scalars(of: Coefficients, mean: np.ndarray) -> np.ndarray:
    """What `_Entries.constant` is multiplied with, shape ``(2, 12, R)``."""
    by_mean = (of.factors * mean).sum(axis=2)
    mean2 = (of.factors[3] * mean**2).sum(axis=1)
    bend_off, line_off, explained = of.taken
    b2, db2, db3, de2, de3, de = of.quadratic
    result = np.zeros((2, N_SCALARS, len(of.genes)))
    result[:, 0], result[:, 1], result[:, 2] = mean2, by_mean[0], b2
    result[0, 3], result[1, 3] = bend_off, line_off
    result[0, 4:] = explained, by_mean[1], by_mean[2], db2, db3, de2, de3, de
    return result


@dataclass(frozen=True, eq=False)
class _Weights:
    """What y~ and y~^2 of cells are multiplied with, for R regulators in one stratum."""

    empty: _Entries
    """Entries of cells without a count of the regulators."""
    scalars: np.ndarray
    """See `_scalars`."""
    linear: np.ndarray
    """Of the sums of y~, shape ``(R, m, 4)``."""
    linear_mean: np.ndarray
    """The same times means, shape ``(R, 4)``."""
    square: np.ndarray
    """Of the sums of y~^2: pairs in the set, then bend and line, shape ``(R, m, 3)``."""
    square_mean: np.ndarray
    """The same times squared means, shape ``(R, 3)``."""

    @staticmethod
    def make(genes: ShareGenes, stratum: int, level: LevelGenes, of: Coefficients) -> _Weights:
        mean = level.mean[stratum]
        terms = cell_terms(no_counts(len(of.genes)), genes.constants[stratum].take(of.genes))
        linear = of.factors.copy()
        linear[_MEAN] *= mean
        square = np.concatenate([of.factors[3:], of.norm])
        return _Weights(
            _entries(level, of.genes, terms),
            _scalars(of, mean),
            np.ascontiguousarray(linear.transpose(1, 2, 0)),
            (linear * mean).sum(axis=2).T,
            np.ascontiguousarray(square.transpose(1, 2, 0)),
            (square * mean**2).sum(axis=2).T,
        )

    def where_empty(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What y and y~^2 less its value without a count are multiplied with in cells without a count of x.

        Shapes ``(m, 2, R)``, ``(m, 2, R)``, and of what is added ``(2, R)``.
        """
        linear, square, constant = self.empty
        with_y = np.einsum("kcr,rmc->mkr", linear, self.linear)
        with_y2 = square * self.square[:, :, :1].transpose(1, 2, 0) - self.square[:, :, 1:].transpose(1, 2, 0)
        added = (constant * self.scalars).sum(axis=1) - (linear * self.linear_mean.T).sum(axis=1)
        added += square * self.square_mean[:, 0] - self.square_mean[:, 1:].T
        return np.ascontiguousarray(with_y), np.ascontiguousarray(with_y2), added


def _pieces(
    genes: ShareGenes, block: int, levels: Sequence[Sequence[Coefficients]]
) -> Iterator[tuple[Piece, LevelGenes, list[_Weights]]]:
    """The cells of a block by stratum, with the weights of runs of regulators."""
    for piece in genes.stream.pieces(block):
        i = int(genes.stream.level_of[piece.stratum])
        level = genes.levels[i]
        yield piece, level, [_Weights.make(genes, piece.stratum, level, of) for of in levels[i]]


def _parts(genes: ShareGenes, piece: Piece, mean: np.ndarray) -> Iterator[tuple[slice, Piece, Any, Any]]:
    """A few cells at a time, with y less nothing and y~^2 less its value without a count."""
    for low in range(0, len(piece.rows), CELLS):
        rows = slice(low, low + CELLS)
        part = Piece(piece.stratum, piece.rows[rows], piece.counts[rows], piece.total[rows])
        powers = Cells.of(part.counts, part.total, genes.stream.known, genes.unit, mean).powers
        yield rows, part, powers[0], powers[1]


def _of_regulators(
    genes: ShareGenes, piece: Piece, level: LevelGenes, mine: np.ndarray
) -> Iterator[tuple[int, np.ndarray, _Entries]]:
    """For each regulator that is usable: its place, the cells with a count, their entries."""
    usable = np.flatnonzero(level.usable_x[mine])
    counts = piece.counts[:, mine[usable]].tocsc()
    for low, high in gene_runs(counts.indptr):
        entries = slice(int(counts.indptr[low]), int(counts.indptr[high]))
        which = mine[usable[np.repeat(np.arange(low, high), np.diff(counts.indptr[low : high + 1]))]]
        cells = counts.indices[entries]
        moments = moments_of(counts.data[entries], piece.total[cells], genes.stream.known)
        of = _entries(level, which, cell_terms(moments, genes.constants[piece.stratum].take(which)))
        for i in range(low, high):
            at = slice(int(counts.indptr[i]) - entries.start, int(counts.indptr[i + 1]) - entries.start)
            if at.stop > at.start:
                yield int(usable[i]), cells[at], _Entries(*(part[..., at] for part in of))


@dataclass(frozen=True, eq=False)
class CellInfluences:
    """Influences of the cells of a block on the sums of R regulators: a task.

    Returns by stratum: cells, their sums over regulators of the influences on bend and line ``(2, n)``, and
    for every regulator the sums of both, of their squares and of their product ``(5, R)``. The norm of y is
    part of them.
    """

    genes: ShareGenes
    levels: list[Coefficients]
    """Of every level."""

    def __call__(self, block: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The cells of one block."""
        n_regulators = len(self.levels[0].genes)
        runs = [slice(low, min(low + BLOCK, n_regulators)) for low in range(0, n_regulators, BLOCK)]
        levels = [[of.take(rows) for rows in runs] for of in self.levels]
        result = []
        for piece, level, weights in _pieces(self.genes, block, levels):
            totals, sums = np.zeros((2, len(piece.rows))), np.zeros((5, n_regulators))
            empty = [of.where_empty() for of in weights]
            for rows, part, y, y2 in _parts(self.genes, piece, level.mean[piece.stratum]):
                for at, of, nothing in zip(runs, weights, empty, strict=True):
                    bend, line = self._influences(part, level, self.levels[0].genes[at], of, nothing, (y, y2))
                    totals[0, rows] += bend.sum(axis=1)
                    totals[1, rows] += line.sum(axis=1)
                    pairs = (bend, bend), (line, line), (bend, line)
                    squares = [np.einsum("nr,nr->r", one, other) for one, other in pairs]
                    sums[:, at] += np.stack([bend.sum(axis=0), line.sum(axis=0), *squares])
            result.append((piece.rows, totals, sums))
        return result

    def _influences(
        self,
        piece: Piece,
        level: LevelGenes,
        mine: np.ndarray,
        of: _Weights,
        nothing: tuple[np.ndarray, np.ndarray, np.ndarray],
        values: tuple[Any, Any],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Influences on bend and line of every regulator, each ``(n, R)``."""
        (y, y2), (with_y, with_y2, added) = values, nothing
        m = len(with_y)
        result = (y @ with_y.reshape(m, -1) + y2 @ with_y2.reshape(m, -1)).reshape(-1, *added.shape)
        result += added
        for r, at, entry in _of_regulators(self.genes, piece, level, mine):
            linear = (y[at] @ of.linear[r] - of.linear_mean[r]).T
            square = (y2[at] @ of.square[r] + of.square_mean[r]).T
            found = (entry.linear * linear).sum(axis=1) + entry.square * square[0] - square[1:]
            found += np.einsum("ksn,ks->kn", entry.constant, of.scalars[:, :, r])
            result[at, :, r] = found.T
        return result[:, 0], result[:, 1]


@dataclass(frozen=True, eq=False)
class SetInfluences:
    """Influences of the cells of a block on the sums over sets of pairs: a task.

    Returns by stratum: cells, and their influences on bend and line of every set ``(2, n_sets, n)``, the norm
    of y included. As `CellInfluences`, for what is summed over regulators anyway.
    """

    genes: ShareGenes
    levels: list[list[Coefficients]]
    """Of every level and set."""

    def __call__(self, block: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The cells of one block."""
        result = []
        for piece, level, sets in _pieces(self.genes, block, self.levels):
            mine = self.levels[level.level][0].genes
            empty = [of.where_empty() for of in sets]
            with_y, with_y2 = (np.stack([of[i].sum(axis=2) for of in empty], axis=2) for i in range(2))
            added = np.stack([of[2].sum(axis=1) for of in empty], axis=1)
            linear = np.stack([of.linear for of in sets], axis=3)
            linear_mean = np.stack([of.linear_mean for of in sets], axis=2)
            used = np.stack([of.square[:, :, 0] for of in sets], axis=2)
            used_mean = np.stack([of.square_mean[:, 0] for of in sets], axis=1)
            scalars = np.stack([of.scalars for of in sets], axis=3)
            nothing, m = sets[0].empty, len(with_y)
            totals = np.zeros((2, len(sets), len(piece.rows)))
            for rows, part, y, y2 in _parts(self.genes, piece, level.mean[piece.stratum]):
                found = y @ with_y.reshape(m, -1) + y2 @ with_y2.reshape(m, -1)
                found = found.reshape(-1, *added.shape) + added
                for r, at, entry in _of_regulators(self.genes, part, level, mine):
                    by = _Entries(*(of - none[..., r, None] for of, none in zip(entry, nothing, strict=True)))
                    of_y = (y[at] @ linear[r].reshape(m, -1)).reshape(len(at), 4, -1) - linear_mean[r]
                    of_y2 = y2[at] @ used[r] + used_mean[r]
                    more = np.einsum("kcn,ncs->nks", by.linear, of_y)
                    more += by.square.T[:, :, None] * of_y2[:, None]
                    found[at] += more + np.einsum("kjn,kjs->nks", by.constant, scalars[:, :, r])
                totals[:, :, rows] = np.moveaxis(found, 0, 2)
            result.append((piece.rows, totals))
        return result


@dataclass(frozen=True, eq=False)
class NormInfluences:
    """Sums over targets of y~^2 times some weights, in the cells of a block: a task."""

    genes: ShareGenes
    weights: np.ndarray
    """Shape ``(c, m)``."""

    def __call__(self, block: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The cells of one block, by stratum: which, and their sums ``(c, n)``."""
        result, stream = [], self.genes.stream
        for piece in stream.pieces(block):
            mean = self.genes.levels[int(stream.level_of[piece.stratum])].mean[piece.stratum]
            y2 = Cells.of(piece.counts, piece.total, stream.known, self.genes.unit, mean).powers[1]
            constant = (self.weights * mean**2).sum(axis=1)
            result.append((piece.rows, (y2 @ np.ascontiguousarray(self.weights.T) + constant).T))
        return result


@dataclass(frozen=True, eq=False)
class TargetInfluences:
    """Influences of the cells of a block on sums over some regulators, for every target: a task.

    Returns by cluster (0 without replicates): without replicates sums of bend, line, their squares and
    product, ``(5, m)``; with them sums of bend and line ``(2, m)``.
    """

    genes: ShareGenes
    regulators: np.ndarray
    raw: list[Raw]
    counted: np.ndarray
    """Pairs in the set, shape ``(R, m)``."""
    total: np.ndarray
    """Sums of the influences over all cells, shape ``(2, m)``."""

    def __call__(self, block: int) -> dict[int, np.ndarray]:
        """The cells of one block."""
        result: dict[int, np.ndarray] = {}
        stream = self.genes.stream
        for piece in stream.pieces(block):
            cluster = max(int(stream.cluster_of[piece.stratum]), 0)
            for low in range(0, len(piece.rows), TARGET_CELLS):
                rows = slice(low, low + TARGET_CELLS)
                found = self._sums(piece.stratum, piece.counts[rows], piece.total[rows])
                result[cluster] = result[cluster] + found if cluster in result else found
        return result

    def _sums(self, s: int, counts: sp.csr_matrix, total: np.ndarray) -> np.ndarray:
        genes, stream = self.genes, self.genes.stream
        i = int(stream.level_of[s])
        level, raw = genes.levels[i], self.raw[i]
        x = counts[:, self.regulators].toarray().T
        moments = moments_of(x.ravel(), np.tile(total, len(x)), stream.known)
        which = np.repeat(self.regulators, x.shape[1])
        terms = cell_terms(moments, genes.constants[s].take(which))
        f, d, own = (of.reshape(len(of), *x.shape) for of in terms)
        mean = level.mean[s][:, None]
        y = Cells.of(counts, total, stream.known, genes.unit, level.mean[s]).powers[0].toarray().T - mean
        b, d2, d3, de2, de3, de, db2, db3, b2 = self._factors(level, raw)
        # influences are y times sums over regulators, and others (method 7.3)
        bend = y * (np.hstack([2 * d2, 2 * d3]) @ np.concatenate(f[1:]))
        without = [2 * d2 * mean, 2 * d3 * mean, -2 * db2, -2 * db3, -de2, -de, -de3]
        bend += np.hstack(without) @ np.concatenate([d[1], d[2], own[0], own[1], *own[3:]])
        line = y * (2 * b @ f[0]) + np.hstack([2 * b * mean, -b2]) @ np.concatenate([d[0], own[2]])
        if genes.clustered:
            return np.stack([bend.sum(axis=1), line.sum(axis=1)])
        y *= y
        bend -= self.total[0][:, None] * y
        line -= self.total[1][:, None] * y
        pairs = (bend, bend), (line, line), (bend, line)
        squares = [np.einsum("mn,mn->m", one, other) for one, other in pairs]
        return np.stack([bend.sum(axis=1), line.sum(axis=1), *squares])

    def _factors(self, level: LevelGenes, raw: Raw) -> list[np.ndarray]:
        """b, d_2, d_3, d_2 e_2, d_3 e_3, d_2 e_3 + d_3 e_2, d_2 b, d_3 b, b^2, each of shape ``(m, R)``."""
        used = self.counted * raw.counted
        d2, d3 = times(level.kept[:, self.regulators], raw.g)
        e2, e3 = times(level.inverse[:, self.regulators], raw.g)
        parts = (raw.b, d2, d3, d2 * e2, d3 * e3, d2 * e3 + d3 * e2, d2 * raw.b, d3 * raw.b, raw.b**2)
        return [np.ascontiguousarray((of * used).T) for of in parts]

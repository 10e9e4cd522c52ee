"""Bend and line of pairs from products summed over blocks of cells; formulas of ``population_counts``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .count_kernels import OWN
from .stream_genes import StreamedGenes
from .stream_kernels import Cells, gene_runs, moments_of, no_counts
from .stream_share_terms import (
    N_COLUMNS,
    N_PRODUCTS,
    OF_D,
    OF_MEAN2,
    OF_SLOPE2,
    OF_SLOPE_MEAN,
    WITH_MEAN,
    WITH_SLOPE,
    WITH_Y,
    WITH_Y2,
    LevelGenes,
    ShareGenes,
)
from .stream_sums import Piece

_R2, _R3, _H11, _N22, _N23, _N33 = range(len(OWN))
BLOCK = 32
"""Regulators whose numbers are put together at a time, always the same ones."""


@dataclass(frozen=True, eq=False)
class Raw:
    """What one level says of R regulators and all genes; arrays of shape ``(R, m)``."""

    b: np.ndarray
    g: np.ndarray
    """Shape ``(2, R, m)``."""
    variance: np.ndarray
    """What is taken off of bend and line, shape ``(2, R, m)``."""
    counted: np.ndarray
    """Pairs that have a number here, bool."""
    by_cluster: dict[int, np.ndarray]
    """a_1 .. a_3 of every replicate, shape ``(3, R, m)``."""

    def bend(self, kept: np.ndarray, n: int) -> np.ndarray:
        """N g'W g; ``kept`` has the shape ``(3, R)``."""
        d2, d3 = times(kept, self.g)
        return np.asarray(n * (self.g[0] * d2 + self.g[1] * d3))

    def line(self, variance: np.ndarray, n: int) -> np.ndarray:
        """N c^2 / V1; ``variance`` has the shape ``(R,)``."""
        return np.asarray(n * self.b**2 * variance[:, None])


def times(form: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric form ``(3, R)`` times g ``(2, R, m)``."""
    n22, n23, n33 = form[:, :, None]
    return n22 * g[0] + n23 * g[1], n23 * g[0] + n33 * g[1]


@dataclass(frozen=True, eq=False)
class ShareProducts:
    """All pairs of a group of regulators: a task that reads all cells."""

    genes: ShareGenes
    own_sum: list[np.ndarray]
    """With replicates: sums of the own terms over each, shape ``(6, m, n_clusters)``, of every level."""
    d_sum: list[np.ndarray]
    """With replicates: sums of D_1 .. D_3 over each stratum, shape ``(3, m, n_strata)``, of every level."""

    @staticmethod
    def of(engine: StreamedGenes, genes: ShareGenes) -> ShareProducts:
        """With what replicates say of each gene alone."""
        every = np.arange(engine.n_genes)
        levels = range(len(engine.levels)) if genes.clustered else range(0)
        of = [engine.level_features(i, every) for i in levels]
        return ShareProducts(genes, [level.own_sum for level in of], [level.d_sum for level in of])

    def __call__(self, group: np.ndarray) -> list[Raw]:
        """Every level's numbers of the regulators of a group."""
        genes, m = self.genes, len(self.genes.unit)
        n_columns = 3 if genes.clustered else N_PRODUCTS
        kinds = [self._kinds(level) for level in genes.levels]
        sums = [{of: np.zeros((len(group), m, n_columns)) for of in set(mine.values())} for mine in kinds]
        seen = {int(s): np.zeros((N_COLUMNS, len(group))) for level in genes.levels for s in level.strata}
        stream = genes.stream
        for block in range(len(stream.blocks)):
            for piece in stream.pieces(block):
                s = piece.stratum
                i = int(stream.level_of[s])
                level, to = genes.levels[i], sums[i][kinds[i][s]]
                mean = level.mean[s]
                cells = Cells.of(piece.counts, piece.total, stream.known, genes.unit, mean)
                for row, rows, columns in entry_columns(genes, piece, level, group, not genes.clustered):
                    seen[s][: columns.shape[1], row] += columns.sum(axis=0)
                    if genes.clustered:
                        to[row] += cells.products(rows, [columns])[0]
                        continue
                    first, second = cells.products(rows, [columns[:, : WITH_SLOPE.stop], columns[:, WITH_Y2]])
                    first[:, WITH_MEAN] *= mean[:, None]
                    to[row, :, : WITH_SLOPE.stop] += first
                    to[row, :, WITH_Y2] += second
        result = []
        for i, level in enumerate(genes.levels):
            parts = [
                self._raw(level, group[rows], {of: v[rows] for of, v in sums[i].items()}, seen, rows)
                for rows in (slice(low, low + BLOCK) for low in range(0, len(group), BLOCK))
            ]
            result.append(joined(parts))
        return result

    def _kinds(self, level: LevelGenes) -> dict[int, int]:
        """Where products of a stratum are added: with those of its replicate, or of the level."""
        return {int(s): int(self.genes.stream.cluster_of[s]) for s in level.strata}

    def _raw(
        self,
        level: LevelGenes,
        mine: np.ndarray,
        sums: dict[int, np.ndarray],
        seen: dict[int, np.ndarray],
        rows: slice,
    ) -> Raw:
        counted = level.usable_x[mine][:, None] & level.usable_y
        if self.genes.clustered:
            return self._from_replicates(level, mine, sums, seen, rows, counted)
        n, stream = level.n, self.genes.stream
        columns = np.moveaxis(sums[-1], 2, 0).copy()
        line, mean2 = columns[WITH_Y], columns[WITH_Y2] + columns[WITH_MEAN]
        slope, slope2 = columns[WITH_SLOPE], np.zeros((2, len(mine), 1))
        for s in level.strata:
            of, empty = seen[int(s)][:, rows, None], empty_columns(self.genes, s, level, mine)[:, :, None]
            full = of + stream.sizes[s] * empty
            mean, square = level.mean[int(s)], level.square[int(s)]
            line += (full[OF_D] - of[WITH_Y]) * mean
            mean2 += (of[WITH_Y2] - of[WITH_MEAN] + full[OF_MEAN2]) * mean**2 + empty[WITH_Y2] * square
            slope += (full[OF_SLOPE_MEAN] - of[WITH_SLOPE]) * mean
            slope2 += full[OF_SLOPE2]
        line = np.where(counted, line / n, 0.0)
        b, g = line[0] / level.variance[mine][:, None], line[1:]
        variance = (mean2 + slope * b + slope2 * b**2) / n
        found = Raw(b, g, variance, counted, {})
        variance[0] -= found.bend(level.kept[:, mine], n) / n
        variance *= counted
        return found

    def _from_replicates(
        self,
        level: LevelGenes,
        mine: np.ndarray,
        sums: dict[int, np.ndarray],
        seen: dict[int, np.ndarray],
        rows: slice,
        counted: np.ndarray,
    ) -> Raw:
        n, stream = level.n, self.genes.stream
        by_cluster = {code: np.moveaxis(of, 2, 0).copy() for code, of in sums.items()}
        for place, s in enumerate(level.strata):
            left = self.d_sum[level.level][:, mine, place, None] - seen[int(s)][WITH_Y, rows, None]
            by_cluster[int(stream.cluster_of[s])] += left * level.mean[int(s)]
        line = np.where(counted, sum(by_cluster.values()) / n, 0.0)
        b, g = line[0] / level.variance[mine][:, None], line[1:]
        found = Raw(b, g, np.zeros((2, *counted.shape)), counted, by_cluster)
        for code in by_cluster:
            for place, square in enumerate(self.replicate(level, mine, found, code)[1]):
                found.variance[place][:] += square
        found.variance[:] *= counted
        return found

    def replicate(
        self, level: LevelGenes, mine: np.ndarray, raw: Raw, code: int
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], float]:
        """Of one replicate: influence on bend and line, what it adds to their variance, its part of cells."""
        stream, n = self.genes.stream, level.n
        share = float(stream.sizes[level.strata[stream.cluster_of[level.strata] == code]].sum() / n)
        own = self.own_sum[level.level][:, mine, code][:, :, None]
        a, b, g = raw.by_cluster[code], raw.b, raw.g
        d2, d3 = times(level.kept[:, mine], g)
        e2, e3 = times(level.inverse[:, mine], g)
        psi2, psi3 = a[1] - b * own[_R2], a[2] - b * own[_R3]
        bend = 2 * (d2 * psi2 + d3 * psi3)
        bend -= d2 * e2 * own[_N22] + (d2 * e3 + d3 * e2) * own[_N23] + d3 * e3 * own[_N33]
        line = 2 * b * a[0] - b * b * own[_H11]
        left = np.stack([psi2 - share * n * g[0], psi3 - share * n * g[1]])
        chi = a[0] - b * own[_H11]
        factor = 1 / (n * (1 - min(share, 0.95)))
        w2, w3 = times(level.kept[:, mine], left)
        squares = (
            factor * (left[0] * w2 + left[1] * w3),
            factor * chi * chi / level.variance[mine][:, None],
        )
        return (bend, line), squares, share


def entry_columns(
    genes: ShareGenes, piece: Piece, level: LevelGenes, group: np.ndarray, whole: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each regulator that is usable: its place, the cells with a count, columns less those without one.

    With replicates: F_1 .. F_3 in the place of products, D among what is summed.
    """
    s, stream = piece.stratum, genes.stream
    usable = np.flatnonzero(level.usable_x[group])
    empty = empty_columns(genes, s, level, group)
    counts = piece.counts[:, group[usable]].tocsc()
    for low, high in gene_runs(counts.indptr):
        entries = slice(int(counts.indptr[low]), int(counts.indptr[high]))
        place = usable[np.repeat(np.arange(low, high), np.diff(counts.indptr[low : high + 1]))]
        cells = counts.indices[entries]
        at = moments_of(counts.data[entries], piece.total[cells], stream.known)
        columns = genes.columns(at, s, level, group[place], whole).T
        for i in range(low, high):
            mine = slice(int(counts.indptr[i]) - entries.start, int(counts.indptr[i + 1]) - entries.start)
            if mine.stop > mine.start:
                row = int(usable[i])
                yield row, cells[mine], np.ascontiguousarray(columns[mine]) - empty[: columns.shape[1], row]


def empty_columns(genes: ShareGenes, s: int, level: LevelGenes, group: np.ndarray) -> np.ndarray:
    """Columns of regulators in cells of a stratum without a count, ``(N_COLUMNS, R)``; 0 where not usable."""
    columns = genes.columns(no_counts(len(group)), s, level, group, True)
    return np.where(level.usable_x[group], columns, 0.0)


def joined(parts: list[Raw]) -> Raw:
    """Regulators one after the other."""
    return Raw(
        np.concatenate([of.b for of in parts]),
        np.concatenate([of.g for of in parts], axis=1),
        np.concatenate([of.variance for of in parts], axis=1),
        np.concatenate([of.counted for of in parts]),
        {c: np.concatenate([of.by_cluster[c] for of in parts], axis=1) for c in parts[0].by_cluster},
    )

"""Sums over blocks of cells for the robust test (method 6.2): of targets alone, and with regulators.

Every column of a regulator is known on its heap, the cells that lack it, as a function of the covariate z
(:mod:`~poolproof.pairs.stream_splines`). So a product with y is that function's expansion times sums of y
with Chebyshev polynomials of z over all cells, and a sum over the few cells with both genes of what the
column differs by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from .design import Level
from .score_kernels import triangle
from .stream_kernels import product_of_rows
from .stream_second import POWERS, projected_fourth
from .stream_splines import Covariate, HeapColumns, heap_columns
from .stream_sums import CellStream, Piece, summed
from .workers import Runner

LEAST_REST = 1e-3
"""Smallest 1 - h in the HC3 weight."""


@dataclass(frozen=True, eq=False)
class ScoreCells:
    """Cells by block, with the covariate of every level."""

    stream: CellStream
    """Its totals are what values are divided by; a stratum is a level."""
    levels: tuple[Level, ...]
    z: np.ndarray
    """Covariate of every cell in the file, 0 where there is none."""
    covariates: list[Covariate]

    @staticmethod
    def of(stream: CellStream, levels: tuple[Level, ...]) -> ScoreCells:
        """Take the covariate from the levels, which have the constant and at most one more column."""
        z = np.zeros(stream.blocks.n_cells)
        for level in levels:
            if level.covariates.shape[1] > 1:
                z[level.rows] = level.covariates[:, 1]
        return ScoreCells(stream, levels, z, [Covariate.of(z[level.rows]) for level in levels])

    def values(self, piece: Piece) -> sp.csr_matrix:
        """Values of a piece on the tested scale."""
        by_cell = np.repeat(piece.total, np.diff(piece.counts.indptr))
        return sp.csr_matrix(
            (piece.counts.data / by_cell, piece.counts.indices, piece.counts.indptr), shape=piece.counts.shape
        )


@dataclass(frozen=True, eq=False)
class TargetSums:
    """All genes as targets; arrays begin with ``n_levels``."""

    mean: np.ndarray
    slope: np.ndarray
    """What is projected out: mean + slope z, shape ``(n_levels, m)``."""
    varies: np.ndarray
    kurtosis: np.ndarray
    enough_levels: np.ndarray
    """At least 3 distinct values, shape ``(n_levels, m)``."""
    norm: np.ndarray
    """Over all levels, 1 where nothing varies, shape ``(m,)``."""
    waves: list[np.ndarray]
    """Sums of y, and of y (y - 2 (mean + slope z)), with Chebyshev polynomials, ``(2, n_waves, m)``."""
    first: np.ndarray
    """Cells that have the gene, then sums of `POWERS` of y and z, shape ``(n_levels, 11, m)``."""

    def scaled(self, level: int, genes: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
        """Those sums of some genes, y in units of its norm."""
        norm = self.norm[genes]
        sums = self.first[level][:, genes]
        return {(a, b): sums[1 + place] / norm**a for place, (a, b) in enumerate(POWERS)}


@dataclass(frozen=True, eq=False)
class _First:
    cells: ScoreCells

    def __call__(self, block: int) -> dict[int, np.ndarray]:
        found = {}
        for piece in self.cells.stream.pieces(block):
            y = self.cells.values(piece)
            z = self.cells.z[piece.rows]
            parts = [np.bincount(y.indices, minlength=y.shape[1])[None].astype(np.float64)]
            for a in range(1, 5):
                power = sp.csr_matrix((y.data**a, y.indices, y.indptr), shape=y.shape)
                parts.append((power.T @ np.stack([z**b for b in range(5 - a)], axis=1)).T)
            found[piece.stratum] = np.concatenate(parts)
        return found


@dataclass(frozen=True, eq=False)
class _Waves:
    cells: ScoreCells
    mean: np.ndarray
    slope: np.ndarray

    def __call__(self, block: int) -> dict[int, np.ndarray]:
        most = max(of.n_waves for of in self.cells.covariates)
        found = {}
        for piece in self.cells.stream.pieces(block):
            s, z = piece.stratum, self.cells.z[piece.rows]
            waves = self.cells.covariates[s].waves_of(z)
            powers = powers_of(self.cells, piece, self.mean[s], self.slope[s])
            sums = np.zeros((2, most, powers[0].shape[1]))
            for to, power in zip(sums, powers, strict=True):
                to[: waves.shape[1]] = (power.T @ waves).T
            found[s] = sums.reshape(2 * most, -1)
        return found


def powers_of(cells: ScoreCells, piece: Piece, mean: np.ndarray, slope: np.ndarray) -> list[sp.csr_matrix]:
    """Of the entries of a piece: y, and y (y - 2 (mean + slope z))."""
    y = cells.values(piece)
    z = np.repeat(cells.z[piece.rows], np.diff(y.indptr))
    at = mean[y.indices] + slope[y.indices] * z
    second = sp.csr_matrix((y.data * (y.data - 2 * at), y.indices, y.indptr), shape=y.shape)
    return [y, second]


def target_sums(cells: ScoreCells, run: Runner) -> TargetSums:
    """Two passes over all cells."""
    n_levels, m = len(cells.levels), cells.stream.blocks.n_genes
    first = summed(cells.stream, _First(cells), 1 + len(POWERS), run)
    mean, slope, kurtosis, norm2 = (np.zeros((n_levels, m)) for _ in range(4))
    varies, enough = np.zeros((n_levels, m), dtype=bool), np.zeros((n_levels, m), dtype=bool)
    for i, of in enumerate(cells.covariates):
        sums = {power: first[i, 1 + place] for place, power in enumerate(POWERS)}
        sums |= {(0, b): np.full(m, of.powers[b]) for b in range(5)}
        mean[i] = sums[1, 0] / of.n
        slope[i] = sums[1, 1] if of.powers[2] > 0 else 0.0
        square = sums[2, 0] - of.n * mean[i] ** 2 - slope[i] ** 2
        varies[i] = square > 1e-12 * sums[2, 0]
        norm2[i] = np.where(varies[i], square, 0.0)
        enough[i] = _three_levels(first[i, 0], sums, of.n)
        fourth = projected_fourth(sums, mean[i], slope[i])
        kurtosis[i] = np.where(varies[i], fourth * of.n / np.where(varies[i], square, 1.0) ** 2, 0.0)
    whole = norm2.sum(axis=0)
    norm = np.where(whole > 0, np.sqrt(whole), 1.0)
    waves = summed(
        cells.stream, _Waves(cells, mean, slope), 2 * max(of.n_waves for of in cells.covariates), run
    )
    by_level = [
        part.reshape(2, -1, m)[:, : of.n_waves] for part, of in zip(waves, cells.covariates, strict=True)
    ]
    return TargetSums(mean, slope, varies, kurtosis, enough, norm, by_level, first)


def _three_levels(n_seen: np.ndarray, sums: dict[tuple[int, int], np.ndarray], n: int) -> np.ndarray:
    """Whether genes have at least 3 distinct values in a level.

    Where some cells lack a gene, the others need two values: a variance. Where none does, two values alone
    have the kurtosis of a coin, squared skewness plus 1.
    """
    s1, s2, s3, s4 = (sums[a, 0] for a in range(1, 5))
    two = n_seen * s2 - s1 * s1 > 1e-10 * s1 * s1
    mean = s1 / n
    v2 = s2 / n - mean**2
    v3 = s3 / n - 3 * mean * s2 / n + 2 * mean**3
    v4 = s4 / n - 4 * mean * s3 / n + 6 * mean**2 * s2 / n - 3 * mean**4
    safe = np.where(v2 > 0, v2, 1.0)
    more = v4 / safe**2 - v3**2 / safe**3 - 1 > 1e-9
    return np.where(n_seen < n, two, two & more)


class RegulatorColumns(NamedTuple):
    """One regulator in one level: its columns and what the products need of them."""

    of: HeapColumns
    sums: np.ndarray
    """Over all cells, of w q_j q_m times z^0, z^1, z^2, of w q_j q_m q_1 times z^0, z^1, q_1; ``(6, 15)``."""
    expansion: np.ndarray
    """On the heap, of w q_j q_m q_1 and of w q_j q_m, shape ``(2, 15, n_waves)``."""
    fourth: float
    """Sum of q_1^4."""
    heap_powers: np.ndarray
    """Sums of z^0 .. z^4 over the heap."""


def weighted_columns(q: np.ndarray, z: np.ndarray, n: int) -> np.ndarray:
    """Of the pairs of columns: w q_j q_m q_1, then w q_j q_m, shape ``(2, 15, len(z))``."""
    pairs = triangle(len(q))
    weight = 1.0 / np.maximum(1.0 - q[0] ** 2 - z**2 - 1.0 / n, LEAST_REST) ** 2
    result = np.empty((2, len(pairs), len(z)))
    heavy = weight * q
    for place, (j, m) in enumerate(pairs):
        np.multiply(heavy[j], q[m], out=result[1, place])
    np.multiply(result[1], q[0], out=result[0])
    return result


def regulator_columns(of: HeapColumns, covariate: Covariate) -> RegulatorColumns:
    """Sums over all cells: those that have the gene one by one, the heap by expansion."""
    there, z = weighted_columns(of.q, of.z, covariate.n), of.z
    nodes = covariate.nodes()
    q = of.on_heap(nodes)
    on_heap = weighted_columns(q, nodes, covariate.n)
    heap_waves = covariate.waves - covariate.waves_of(z).sum(axis=0)
    if of.n_heap == 0:
        heap_waves = np.zeros_like(heap_waves)

    def total(elsewhere: np.ndarray, at_nodes: np.ndarray) -> np.ndarray:
        return np.asarray(elsewhere.sum(axis=-1) + covariate.expansion(at_nodes) @ heap_waves)

    parts = [(1, None), (1, 1), (1, 2), (0, None), (0, 1)]
    sums = [
        total(there[which] * (1 if p is None else z**p), on_heap[which] * (1 if p is None else nodes**p))
        for which, p in parts
    ]
    sums.append(total(there[0] * of.q[0], on_heap[0] * q[0]))
    fourth = float(total(of.q[0] ** 4, q[0] ** 4))
    powers = covariate.powers - (z ** np.arange(5)[:, None]).sum(axis=1)
    powers = powers if of.n_heap else np.zeros(5)
    return RegulatorColumns(of, np.stack(sums), covariate.expansion(on_heap), fourth, powers)


def columns_of(cells: ScoreCells, genes: np.ndarray, k: int) -> list[list[HeapColumns]]:
    """Columns of some genes in every level: one pass over all cells."""
    parts: list[list[list[tuple[np.ndarray, np.ndarray]]]] = [[[] for _ in cells.levels] for _ in genes]
    for block in range(len(cells.stream.blocks)):
        for piece in cells.stream.pieces(block):
            values = cells.values(piece)[:, genes].tocsc()
            for place in range(len(genes)):
                mine = slice(values.indptr[place], values.indptr[place + 1])
                if mine.stop > mine.start:
                    found = piece.rows[values.indices[mine]], values.data[mine]
                    parts[place][piece.stratum].append(found)
    none = [(np.zeros(0, dtype=np.int64), np.zeros(0))]
    result = []
    for of_gene in parts:
        columns = []
        for part, level, covariate in zip(of_gene, cells.levels, cells.covariates, strict=True):
            at, x = (np.concatenate(of) for of in zip(*(part or none), strict=True))
            columns.append(heap_columns(at, x, cells.z[at], covariate, level, cells.z[level.rows], k))
        result.append(columns)
    return result


def products_of(
    cells: ScoreCells, targets: TargetSums, columns: list[list[HeapColumns]]
) -> list[list[np.ndarray]]:
    """What columns differ by from their heap, times y and y (y - 2 ..), summed: ``(c, m)`` of every level.

    One pass over all cells. First the k columns and the 15 of w q_j q_m q_1 with y, then the 15 of w q_j q_m.
    """
    k = len(columns[0][0].q)
    n_pairs, m = len(triangle(k)), cells.stream.blocks.n_genes
    result = [[np.zeros((k + 2 * n_pairs, m)) for _ in of] for of in columns]
    for block in range(len(cells.stream.blocks)):
        for piece in cells.stream.pieces(block):
            s = piece.stratum
            powers = powers_of(cells, piece, targets.mean[s], targets.slope[s])
            n = cells.covariates[s].n
            for place, of_gene in enumerate(columns):
                of = of_gene[s]
                mine, rows = inside(of, piece)
                if len(rows) == 0:
                    continue
                z = of.z[mine]
                on_heap = of.on_heap(z)
                first, second = weighted_columns(of.q[:, mine], z, n) - weighted_columns(on_heap, z, n)
                to = result[place][s]
                left = np.ascontiguousarray(np.concatenate([of.q[:, mine] - on_heap, first]).T)
                to[: k + n_pairs] += product_of_rows(powers[0], rows, left).T
                to[k + n_pairs :] += product_of_rows(powers[1], rows, np.ascontiguousarray(second.T)).T
    return result


def inside(of: HeapColumns, piece: Piece) -> tuple[slice, np.ndarray]:
    """The cells of a gene that lie in a piece of its level, and their rows there."""
    low, high = np.searchsorted(of.cells, [piece.rows[0], piece.rows[-1] + 1])
    return slice(int(low), int(high)), np.searchsorted(piece.rows, of.cells[low:high])

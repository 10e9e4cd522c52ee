"""The robust bound of count pairs called affine (see ``agreement``), cells read block by block.

Splines of the observed fraction of a gene are, like every column of it, one number in the cells of a stratum
without a count: they are made for all cells of one gene at a time, and kept for the cells with a count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..basis import N_COLUMNS
from .agreement import LEAST_RELIABLE, upper_of, weighted, with_strata
from .count_kernels import CountDepth
from .design import Level
from .score_kernels import Moments, level_bases, triangle
from .stream_kernels import PRODUCTS, Cells
from .stream_splines import Covariate, heap_columns
from .stream_sums import CellStream, Fractions, GeneSums

PAIRS = triangle(N_COLUMNS)
N_FIRST = N_COLUMNS + len(PAIRS)
BYTES = 8 * (N_COLUMNS + 2)
"""Bytes of one cell with a count."""


@dataclass(frozen=True, eq=False)
class _Spline:
    """Columns of one gene in one level."""

    cells: np.ndarray
    """Cells of the level with a count, rising."""
    stratum: np.ndarray
    """Their strata."""
    columns: np.ndarray
    """q_1 .. q_k there, shape ``(k, len(cells))``."""
    empty: dict[int, np.ndarray]
    """The same without a count, shape ``(k,)``, of every stratum."""
    leverage: dict[int, float]
    """Of the constant and the strata, in every stratum."""
    constant: np.ndarray
    """Sums over all cells of w q_j q_m q_1^2, in the order of `PAIRS`."""


@dataclass(frozen=True, eq=False)
class SmoothBounds:
    """Makes the bounds of pairs."""

    stream: CellStream
    levels: tuple[Level, ...]
    sums: GeneSums
    fractions: Fractions

    def __call__(
        self, genes: np.ndarray, variance: np.ndarray, usable: np.ndarray, wanted: np.ndarray, memory: float
    ) -> np.ndarray:
        """Bounds of the wanted pairs of regulators with all genes; 0 elsewhere.

        Parameters
        ----------
        genes
            Regulators, shape ``(R,)``.
        variance
            V1 of each in every level, shape ``(n_levels, R)``.
        usable
            Levels that count, shape ``(n_levels, R, m)``.
        wanted
            Shape ``(R, m)``.
        memory
            Bytes of columns that are kept before cells are read again.
        """
        result = np.zeros(wanted.shape)
        projected = [with_strata(level) for level in self.levels]
        n_seen = self.sums.first[:, 0][:, genes].sum(axis=0)
        run = np.cumsum(n_seen * BYTES) // max(memory, 1.0)
        for part in np.unique(run):
            some = np.flatnonzero(run == part)
            splines = self._splines(genes[some], projected, (usable[:, some] & wanted[some]).any(axis=2))
            products = self._products(splines)
            for place, row in enumerate(some):
                at = np.flatnonzero(wanted[row])
                moments = []
                for i in range(len(self.levels)):
                    spline = splines[place].get(i)
                    use = usable[i, row, at]
                    if spline is None or not use.any():
                        continue
                    first, second = products[place, i]
                    reliable = self._reliability(i, genes[row], variance[i, row])
                    found = self._moments(spline, first[:, at], second[:, at], at)
                    moments.append(weighted(found, use[None] * 1.0, reliable))
                if moments:
                    result[row, at] = upper_of(moments)[0]
        return result

    def _reliability(self, level: int, gene: int, variance: float) -> float:
        """Share of the variance of observed fractions that is not counting noise."""
        strata = self.stream.strata(level)
        sizes = self.stream.sizes[strata]
        mean = self.sums.first[strata, 4, gene] / sizes
        spread = (self.sums.first[strata, PRODUCTS.start, gene] - sizes * mean**2).sum()
        observed = spread / max(int(sizes.sum()) - len(sizes), 1) / self.sums.unit[level, gene] ** 2
        return float(np.clip(variance / observed if observed > 0 else 0.0, LEAST_RELIABLE, 1.0))

    def _splines(
        self, genes: np.ndarray, projected: list[Level], needed: np.ndarray
    ) -> list[dict[int, _Spline]]:
        """Columns of genes in the levels where they are needed."""
        result: list[dict[int, _Spline]] = [{} for _ in genes]
        values = self._fractions(genes)
        place = np.empty(self.stream.blocks.n_cells, dtype=np.int64)
        for level in projected:
            place[level.rows] = np.arange(len(level.rows))
        dense = np.zeros(self.stream.blocks.n_cells)
        for row, (cells, fractions) in enumerate(values):
            dense[cells] = fractions
            for i, level in enumerate(projected):
                if not needed[i, row]:
                    continue
                inside = self.stream.level_of[self.stream.stratum[cells]] == i
                mine = cells[inside]
                result[row][i] = (
                    self._with_heap(fractions[inside], level, mine)
                    if level.covariates.shape[1] == 1
                    else self._spline(dense[level.rows], level, mine, place[mine])
                )
            dense[cells] = 0.0
        return result

    def _fractions(self, genes: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Cells with a count of each gene, rising, and its observed fractions there."""
        parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in genes]
        for block in range(len(self.stream.blocks)):
            for piece in self.stream.pieces(block):
                depth = CountDepth(piece.total, self.stream.known).falling(1)
                found = piece.counts[:, genes].tocsc()
                for i in range(len(genes)):
                    mine = slice(found.indptr[i], found.indptr[i + 1])
                    cells = found.indices[mine]
                    parts[i].append((piece.rows[cells], found.data[mine] / depth[cells]))
        result = []
        for part in parts:
            cells, values = (np.concatenate(of) for of in zip(*part, strict=True))
            order = np.argsort(cells, kind="stable")
            result.append((cells[order], values[order]))
        return result

    def _with_heap(self, x: np.ndarray, level: Level, cells: np.ndarray) -> _Spline:
        """Columns of one gene in a level of one stratum, from the cells that have it."""
        nothing = np.zeros(len(level.rows))
        of = heap_columns(cells, x, nothing[: len(x)], Covariate.of(nothing), level, nothing, N_COLUMNS)
        leverage = float(level.covariates[0, 0] ** 2)
        stratum = int(self.stream.stratum[level.rows[0]])
        there, empty = (_columns(q, leverage)[:, N_COLUMNS:N_FIRST] for q in (of.q, of.flat[:, None]))
        constant = of.q[0] @ there + of.n_heap * of.flat[0] * empty[0]
        strata = np.full(len(of.cells), stratum)
        return _Spline(of.cells, strata, of.q, {stratum: of.flat}, {stratum: leverage}, constant)

    def _spline(self, x: np.ndarray, level: Level, cells: np.ndarray, at: np.ndarray) -> _Spline:
        basis = level_bases(x[:, None], level, N_COLUMNS)[0][0]
        nuisance = (level.covariates**2).sum(axis=1)
        weight = 1.0 / np.maximum(1.0 - basis[0] ** 2 - nuisance, 1e-3) ** 2
        line2 = weight * basis[0] ** 2
        constant = np.array([np.einsum("n,n,n->", line2, basis[j], basis[m]) for j, m in PAIRS])
        codes = self.stream.stratum[level.rows]
        empty, leverage = {}, {}
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        for low, high in zip(starts, np.append(starts[1:], len(codes)), strict=True):
            nothing = np.flatnonzero(x[low:high] == 0)
            stratum = int(codes[low])
            leverage[stratum] = float(nuisance[low])
            empty[stratum] = basis[:, low + nothing[0]] if len(nothing) else np.zeros(len(basis))
        return _Spline(cells, self.stream.stratum[cells], basis[:, at], empty, leverage, constant)

    def _products(self, splines: list[dict[int, _Spline]]) -> dict[tuple[int, int], list[np.ndarray]]:
        """Products with y and y^2 over all cells of a level, of every gene: ``(c, m)`` each."""
        m = self.stream.blocks.n_genes
        result = {
            (row, i): [np.zeros((N_FIRST, m)), np.zeros((len(PAIRS), m))]
            for row, of in enumerate(splines)
            for i in of
        }
        for block in range(len(self.stream.blocks)):
            for piece in self.stream.pieces(block):
                s, i = piece.stratum, int(self.stream.level_of[piece.stratum])
                unit, mean = self.fractions.unit, self.fractions.moments[s][0]
                cells = Cells.of(piece.counts, piece.total, self.stream.known, unit, mean)
                for row, of in enumerate(splines):
                    if i not in of:
                        continue
                    for rows, columns in _inside(of[i], s, piece.rows):
                        first, second = cells.products(rows, [columns[:, :N_FIRST], columns[:, N_FIRST:]])
                        total = columns.sum(axis=0)
                        to = result[row, i]
                        to[0] += first.T - total[:N_FIRST, None] * mean
                        to[1] += second.T + total[N_FIRST:, None] * mean**2
        for (row, i), to in result.items():
            spline = splines[row][i]
            for s in self.stream.strata(i):
                empty = _columns(spline.empty[int(s)][:, None], spline.leverage[int(s)])[0]
                to[1] += empty[N_FIRST:, None] * self.fractions.moments[s][1]
        return result

    def _moments(
        self, spline: _Spline, first: np.ndarray, second: np.ndarray, targets: np.ndarray
    ) -> Moments:
        b = first[:1]
        moments = Moments(b, list(first[1:N_COLUMNS, None]))
        for p, pair in enumerate(PAIRS):
            moments.variance[pair] = (
                second[p][None] - 2 * b * first[N_COLUMNS + p] + spline.constant[p] * b**2
            )
        return moments


def _inside(spline: _Spline, stratum: int, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cells of a piece with a count of the gene, and its columns there less those without one."""
    low, high = np.searchsorted(spline.cells, [rows[0], rows[-1] + 1])
    mine = low + np.flatnonzero(spline.stratum[low:high] == stratum)
    if len(mine):
        leverage = spline.leverage[stratum]
        columns = _columns(spline.columns[:, mine], leverage)
        yield (
            np.searchsorted(rows, spline.cells[mine]),
            columns - _columns(spline.empty[stratum][:, None], leverage),
        )


def _columns(q: np.ndarray, leverage: float) -> np.ndarray:
    """What meets y (q_j, then w q_j q_m q_1) and y^2 (w q_j q_m), shape ``(n, c)``."""
    weight = 1.0 / np.maximum(1.0 - q[0] ** 2 - leverage, 1e-3) ** 2
    squares = np.stack([weight * q[j] * q[m] for j, m in PAIRS])
    return np.ascontiguousarray(np.concatenate([q, squares * q[0], squares]).T)

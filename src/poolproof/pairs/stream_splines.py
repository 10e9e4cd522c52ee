"""Spline columns of one gene over all cells, where most cells lack it (method 6.1).

Cells without the gene form a heap: there its basis is one value, less what the covariates explain, so every
column is ``a + b z`` with z the only covariate (log depth). Seen from a column, the heap is two numbers, its
parts along an orthonormal basis of 1 and z. So columns are made orthonormal on the cells that have the gene
and these two numbers, and what is no polynomial of z there (the HC3 weight) is expanded in Chebyshev
polynomials of z, whose sums over the heap are those over all cells less those over the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from ..basis import RANK_TOLERANCE, knots_of_levels, spline_functions
from .design import Level
from .score_kernels import columns_for, level_bases

LEAST_HEAP = 0.25
"""Share of the cells without a gene below which all cells are taken one by one."""
MOST_WAVES = 64
DIGITS = 30.0
"""-ln of the error of an expansion, about."""


@dataclass(frozen=True, eq=False)
class Covariate:
    """The constant and the one covariate z of the cells of a level, z centred and of norm 1; or none."""

    n: int
    middle: float
    half: float
    """z runs from ``middle - half`` to ``middle + half``."""
    n_waves: int
    """Chebyshev polynomials of an expansion."""
    powers: np.ndarray
    """Sums of z^0 .. z^4 over all cells."""
    waves: np.ndarray
    """Sums of the Chebyshev polynomials over all cells, shape ``(n_waves,)``."""

    @staticmethod
    def of(z: np.ndarray) -> Covariate:
        """Of all cells of a level; zeros where there is no covariate."""
        low, high = float(z.min()), float(z.max())
        most = min(max(-low, high), 0.99)
        n_waves = 1
        if most > 0:
            ratio = (1 + np.sqrt(1 - most * most)) / most
            n_waves = int(min(MOST_WAVES, 6 + np.ceil(DIGITS / np.log(ratio))))
        half = (high - low) / 2
        empty = Covariate(len(z), (low + high) / 2, half if half > 0 else 1.0, n_waves, z[:0], z[:0])
        powers = np.array([(z**i).sum() for i in range(5)])
        return Covariate(empty.n, empty.middle, empty.half, n_waves, powers, empty.waves_of(z).sum(axis=0))

    def waves_of(self, z: np.ndarray) -> np.ndarray:
        """Chebyshev polynomials at some cells, shape ``(len(z), n_waves)``."""
        return np.asarray(chebvander(np.clip((z - self.middle) / self.half, -1, 1), self.n_waves - 1))

    def nodes(self) -> np.ndarray:
        """Values of z from which expansions are made, shape ``(n_waves,)``."""
        return self.middle + self.half * np.cos(np.pi * (np.arange(self.n_waves) + 0.5) / self.n_waves)

    def expansion(self, at_nodes: np.ndarray) -> np.ndarray:
        """Coefficients of functions from their values at the nodes, shape ``(.., n_waves)``."""
        order = np.arange(self.n_waves)
        cosines = np.cos(np.pi * np.outer(order + 0.5, order) / self.n_waves)
        return np.asarray(at_nodes @ cosines) * np.where(order == 0, 1, 2) / self.n_waves


@dataclass(frozen=True, eq=False)
class HeapColumns:
    """Orthonormal columns of one gene in one level."""

    cells: np.ndarray
    """Cells apart from the heap, numbers in the file, rising; shape ``(m,)``."""
    x: np.ndarray
    """Their values of the gene."""
    z: np.ndarray
    """Their covariate."""
    q: np.ndarray
    """Columns there, the line first, shape ``(k, m)``; unused ones are 0 and last."""
    flat: np.ndarray
    """a of every column, shape ``(k,)``."""
    slope: np.ndarray
    """b of every column, shape ``(k,)``."""
    n_columns: int
    n_heap: int

    def on_heap(self, z: np.ndarray) -> np.ndarray:
        """Columns where the gene is not, shape ``(k, len(z))``."""
        return np.asarray(self.flat[:, None] + self.slope[:, None] * z)


class Space:
    """Vectors over all cells of a level that are a + b z on the heap: values elsewhere, and two numbers.

    The inner product of such vectors is that over all cells.
    """

    def __init__(self, z: np.ndarray, of: Covariate) -> None:
        self.n, self.n_heap = of.n, of.n - len(z)
        first, second = of.powers[1] - z.sum(), of.powers[2] - (z * z).sum()
        self.mean = first / self.n_heap if self.n_heap else 0.0
        spread = second - self.n_heap * self.mean**2
        self.root = np.sqrt(self.n_heap)
        self.width = np.sqrt(spread) if spread > 1e-13 * max(of.powers[2], 1e-300) else 0.0
        self.one = self.vector(np.ones((1, len(z))), np.ones(1), np.zeros(1))[0] / np.sqrt(of.n)
        self.z = self.vector(z[None], np.zeros(1), np.ones(1))[0]
        self.has_covariate = bool(of.powers[2] > 0)

    def vector(self, elsewhere: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Vectors, shape ``(c, m + 2)``."""
        heap = np.stack([self.root * (a + b * self.mean), self.width * b], axis=1)
        return np.concatenate([elsewhere, heap], axis=1)

    def on_heap(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The a and b of vectors."""
        slope = vectors[:, -1] / self.width if self.width > 0 else np.zeros(len(vectors))
        flat = vectors[:, -2] / self.root - slope * self.mean if self.n_heap else np.zeros(len(vectors))
        return flat, slope


def heap_columns(
    cells: np.ndarray, x: np.ndarray, z: np.ndarray, of: Covariate, level: Level, place: np.ndarray, k: int
) -> HeapColumns:
    """Columns of one gene in one level from the cells that have it.

    Parameters
    ----------
    cells, x, z
        Cells with the gene, their values and covariate, shape ``(m,)`` each.
    of
        The covariate of all cells.
    level
        All its cells; they rise.
    place
        Covariate of every cell of the level, shape ``(n,)``.
    k
        Columns wanted.
    """
    n_heap = of.n - len(cells)
    if n_heap < max(2.0, LEAST_HEAP * of.n):
        every = np.zeros(of.n)
        every[np.searchsorted(level.rows, cells)] = x
        basis, of_basis = level_bases(every[:, None], level, k)
        none = np.zeros(k)
        return HeapColumns(level.rows, every, place, basis[0], none, none, int(of_basis[0]), 0)
    space = Space(z, of)
    columns = np.zeros((k, len(x) + 2))
    functions = _functions(x, n_heap, of.n, columns_for(of.n, k))
    if functions is None:
        none = np.zeros(k)
        return HeapColumns(cells, x, z, columns[:, :-2], none, none, 0, n_heap)
    columns[: functions.shape[1]] = space.vector(
        functions[:-1].T, functions[-1], np.zeros(functions.shape[1])
    )
    columns, n_columns = _orthonormal(columns, space.one)
    if space.has_covariate:
        columns -= np.outer(columns @ space.z, space.z)
        columns, n_columns = _orthonormal(columns, space.one)
    flat, slope = space.on_heap(columns)
    return HeapColumns(cells, x, z, columns[:, :-2], flat, slope, n_columns, n_heap)


def _functions(x: np.ndarray, n_heap: int, n: int, k: int) -> np.ndarray | None:
    """The line and splines at the cells and, last, on the heap, shape ``(m + 1, c)``; None: x is constant."""
    mean = x.sum() / n
    scale = np.sqrt((((x - mean) ** 2).sum() + n_heap * mean * mean) / n)
    if not scale > 1e-10 * np.abs(x).max(initial=0.0):
        return None
    standard = (np.append(x, 0.0) - mean) / scale
    levels, counts = np.unique(standard, return_counts=True)
    counts[np.searchsorted(levels, standard[-1])] += n_heap - 1
    return spline_functions(standard, knots_of_levels(levels, counts, k + 1))


def _orthonormal(columns: np.ndarray, one: np.ndarray) -> tuple[np.ndarray, int]:
    """As :func:`poolproof.basis.orthonormalise`, of one gene and vectors of a `Space`."""
    result = np.zeros_like(columns)
    used = 0
    for j, start in enumerate(columns):
        column = start - one * (one @ start)
        before = np.sqrt(column @ column)
        for _ in range(2 if used else 0):
            column -= (result[:used] @ column) @ result[:used]
        after = np.sqrt(column @ column)
        if after > RANK_TOLERANCE * before and (used > 0 or j == 0):
            result[used] = column / after
            used += 1
    return result, used

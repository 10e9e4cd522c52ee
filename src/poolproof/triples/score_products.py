"""What the bases of many middle genes take from all ends, by two matrix products: no residual is formed.

With a the products of an end x with the orthonormal columns q of a basis, the residual is
e = x - sum_c a_c q_c, and of its squares, smoothed over the basis (method 8.1), there is

    sum e^2 q_j = sum x^2 q_j - 2 sum_c a_c (sum x q_c q_j) + sum_cd a_c a_d (sum q_c q_d q_j),

where the products of columns belong to the middle gene alone. So x meets the columns and the products of two
of them, and x^2 the columns, of all middle genes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..pairs.score_kernels import triangle

_CHUNK = 256
"""Ends whose values stay in the processor's cache."""


class Left(NamedTuple):
    """What some columns leave of the ends."""

    coefficients: np.ndarray
    """Their products with the ends, shape ``(k, m)``."""
    size: np.ndarray
    """Sums of squares of the residuals, shape ``(m,)``, float64."""
    squares: np.ndarray
    """Sums of these squares times every column of the basis, shape ``(k of all, m)``."""


@dataclass(frozen=True, eq=False)
class Products:
    """Of one middle gene with k columns and all ends, in one level."""

    with_x: np.ndarray
    """Columns, then products of two of them (`triangle`), with x, shape ``(k + k (k + 1) / 2, m)``."""
    with_square: np.ndarray
    """Columns with x^2, shape ``(k, m)``."""
    size: np.ndarray
    """Sum of x^2, shape ``(m,)``."""
    thirds: np.ndarray
    """Sums of the product of three columns, shape ``(k, k, k)``."""

    def take(self, ends: np.ndarray | slice) -> Products:
        """The same for some ends."""
        return Products(self.with_x[:, ends], self.with_square[:, ends], self.size[ends], self.thirds)

    def left_by(self, k: int) -> Left:
        """What the first ``k`` columns leave of the ends; of fewer, where a gene is constant in the level."""
        n_columns = len(self.with_square)
        k = min(k, n_columns)
        a = self.with_x[:k]
        left = self.size - np.einsum("cm,cm->m", a, a, dtype=np.float64)
        twice = self.with_x[n_columns + places(n_columns)[:, :k]]
        thirds = np.ascontiguousarray(self.thirds[:, :k, :k]).reshape(n_columns * k, k)
        change = (thirds @ a).reshape(twice.shape)
        change -= twice
        change -= twice
        change *= a
        return Left(a, left, self.with_square + change.sum(axis=1))


def places(k: int) -> np.ndarray:
    """Where the product of two columns stands in `triangle`, shape ``(k, k)``.

    Examples
    --------
    >>> places(2)
    array([[0, 1],
           [1, 2]])
    """
    found = np.zeros((k, k), dtype=np.intp)
    for place, (i, j) in enumerate(triangle(k)):
        found[i, j] = found[j, i] = place
    return found


def _first(k: int) -> list[int]:
    return [i for i, _ in triangle(k)]


def _second(k: int) -> list[int]:
    return [j for _, j in triangle(k)]


def products_of(
    block: Callable[[slice], np.ndarray], n_ends: int, levels: list[slice], bases: list[list[np.ndarray]]
) -> Iterator[list[Products]]:
    """Products of middle genes with ends in float32, middle gene by middle gene, and level by level.

    Parameters
    ----------
    block
        Values of some ends, shape ``(m, n)``.
    levels
        Columns of each level.
    bases
        Orthonormal columns of each middle gene in each level, ``(k, n of the level)``.
    """
    of_x, of_square = [], []
    pairs = [[q[_first(len(q))] * q[_second(len(q))] for q in of_gene] for of_gene in bases]
    for level in range(len(levels)):
        columns = [of[level] for of in bases]
        both = [part for of, more in zip(bases, pairs, strict=True) for part in (of[level], more[level])]
        of_x.append(np.concatenate(both).astype(np.float32))
        of_square.append(np.concatenate(columns).astype(np.float32))
    with_x = [np.empty((len(of), n_ends), dtype=np.float32) for of in of_x]
    with_square = [np.empty((len(of), n_ends), dtype=np.float32) for of in of_square]
    size = np.empty((len(levels), n_ends))
    for low in range(0, n_ends, _CHUNK):
        at = slice(low, min(low + _CHUNK, n_ends))
        x = block(at)
        square = x * x
        for level, rows in enumerate(levels):
            with_x[level][:, at] = of_x[level] @ x[:, rows].T
            with_square[level][:, at] = of_square[level] @ square[:, rows].T
            size[level, at] = square[:, rows].sum(axis=1)
    starts = [[0, 0] for _ in levels]
    for of_gene, more in zip(bases, pairs, strict=True):
        found = []
        for level, (q, products) in enumerate(zip(of_gene, more, strict=True)):
            start, place = starts[level]
            stop, end = start + len(q) + len(products), place + len(q)
            thirds = (q @ products.T)[:, places(len(q))].astype(np.float32)
            parts = with_x[level][start:stop], with_square[level][place:end]
            found.append(Products(*parts, size[level], thirds))
            starts[level] = [stop, end]
        yield found

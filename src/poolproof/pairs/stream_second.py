"""The second test of bends (see ``growing_noise``) where most cells lack the regulator, the target, or both.

What the line leaves of a target that a cell lacks is a combination of the null columns: the constant, z and
the regulator's line. So every sum over cells is a form in its three coefficients, known for all targets of a
regulator at once, and a sum over the cells that have the target. Of these, the ones that lack the regulator
(the heap of ``stream_splines``) enter by sums over all cells less those over the cells that have both.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb, factorial, prod

import numpy as np
import scipy.sparse as sp

from .growing_noise import OFFSETS, SQUARES, lowered
from .stream_splines import Covariate, HeapColumns, Space

POWERS = [(a, b) for a in range(1, 5) for b in range(5 - a)]
"""Powers of the target and of z whose sums over all cells are needed."""
VALUES = 2**21
"""Values of targets in cells with the regulator that are worked on at a time."""


def shapes_with_heap(of: HeapColumns, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Shapes of the variance at the cells and on the heap, ``(n_shapes, m)`` and ``(n_shapes,)``."""
    x = of.x
    low, high = x.min(), x.max()
    nothing = low
    if of.n_heap:
        low, high, nothing = min(low, 0.0), max(high, 0.0), 0.0
    mean = x.sum() / n
    deviation = np.sqrt((((x - mean) ** 2).sum() + of.n_heap * mean * mean) / n)
    values = np.append(x, nothing)
    distance = np.stack([values - low, high - values]) / deviation
    growing = distance[:, None] + OFFSETS[:, None]
    growing[:, : len(SQUARES)] **= 2
    variance = np.concatenate([np.ones((1, len(values))), growing.reshape(-1, len(values))])
    return variance[:, :-1], variance[:, -1]


def concentration_with_heap(of: HeapColumns, covariate: Covariate, heap_powers: np.ndarray) -> float:
    """See :func:`poolproof.pairs.growing_noise.concentration`; ``heap_powers`` are sums of z^0 .. z^4."""
    leverage = (of.q[1:] ** 2).sum(axis=0)
    a, b = of.flat[1:], of.slope[1:]
    on_heap = np.array([a @ a, 2 * (a @ b), b @ b])
    whole = leverage.sum() + on_heap @ heap_powers[:3]
    square = leverage @ leverage + np.convolve(on_heap, on_heap) @ heap_powers
    return float(square / whole) if whole > 0 else 0.0


class SecondTestWithHeap:
    """The second test of one regulator in one level."""

    def __init__(self, of: HeapColumns, covariate: Covariate) -> None:
        self.of, self.n = of, covariate.n
        k = of.n_columns
        self.z_powers = of.z ** np.arange(5)[:, None]
        self.heap_powers = np.where(of.n_heap > 0, covariate.powers - self.z_powers.sum(axis=1), 0.0)
        has_covariate = Space(of.z, covariate).has_covariate
        variance, on_heap = shapes_with_heap(of, self.n)
        self.weight, self.heap_weight = 1 / variance, 1 / on_heap
        nuisance = [np.full(len(of.z), self.n**-0.5), *([of.z] if has_covariate else [])]
        self.design = np.concatenate([np.stack(nuisance), of.q[:k]])
        flat = np.concatenate([[self.n**-0.5], [0.0] * has_covariate, of.flat[:k]])
        slope = np.concatenate([[0.0], [1.0] * has_covariate, of.slope[:k]])
        self.heap = np.stack([flat, slope], axis=1)
        self.n_null = len(self.design) - k + 1
        self.logs = np.log(variance).sum(axis=1) + of.n_heap * np.log(on_heap)
        along = self.heap @ _cross(self.heap_powers) @ self.heap.T
        self.gram = np.stack(
            [
                (self.design * w) @ self.design.T + v * along
                for w, v in zip(self.weight, self.heap_weight, strict=True)
            ]
        )
        self.back = np.linalg.inv(np.linalg.cholesky(self.gram))
        self.share = np.array([self._share(v, h, k) for v, h in zip(variance, on_heap, strict=True)])
        self.quartic = self._quartic()

    def _share(self, variance: np.ndarray, on_heap: float, k: int) -> float:
        """Sum of the squared shares that cells have of the scores' variance, per column."""
        bends, heap = self.design[self.n_null :], self.heap[self.n_null :]
        whole = (bends * variance) @ bends.T + on_heap * (heap @ _cross(self.heap_powers) @ heap.T)
        inverse = np.linalg.inv(whole)
        share = variance * (bends * (inverse @ bends)).sum(axis=0)
        square = heap.T @ inverse @ heap
        polynomial = on_heap * np.array([square[0, 0], 2 * square[0, 1], square[1, 1]])
        total = share @ share + np.convolve(polynomial, polynomial) @ self.heap_powers
        return float(total / (k - 1))

    def _quartic(self) -> dict[tuple[int, ...], np.ndarray]:
        """Sums over all cells of squared weights times four null columns, ``(n_shapes,)`` each."""
        found: dict[tuple[int, ...], np.ndarray] = {}
        square = self.weight**2
        for four in combinations_with_replacement(range(self.n_null), 4):
            there = square @ np.prod(self.design[list(four)], axis=0)
            polynomial = np.ones(1)
            for i in four:
                polynomial = np.convolve(polynomial, self.heap[i])
            found[four] = there + self.heap_weight**2 * (polynomial @ self.heap_powers)
        return found

    def __call__(
        self, y: sp.csr_matrix, sums: dict[tuple[int, int], np.ndarray], mean: np.ndarray, slope: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Statistic and doubt, shape ``(m,)``.

        Parameters
        ----------
        y
            Targets in the cells that have the regulator, as they are, shape ``(m, n_cells)``.
        sums
            Of the powers `POWERS` of targets and z over all cells, shape ``(m,)`` each.
        mean, slope
            mean + slope z is projected out of each target, shape ``(m,)``.
        """
        heap = self._on_heap(y, sums)
        first = np.stack([heap[1, 0], heap[1, 1]], axis=1)
        line = self.n_null - 1
        size = y @ self.design[line] + first @ self.heap[line]
        null = np.stack([-mean * np.sqrt(self.n), *([-slope] if line == 2 else []), -size], axis=1)
        square = y.multiply(y).tocsr()
        products, totals = [], []
        for weight, at_heap, gram in zip(self.weight, self.heap_weight, self.gram, strict=True):
            with_y = y @ (self.design * weight).T + at_heap * (first @ self.heap.T)
            along = null @ gram[: self.n_null]
            total = (null * (along + 2 * with_y)[:, : self.n_null]).sum(axis=1)
            totals.append(total + square @ weight + at_heap * heap[2, 0])
            products.append(along + with_y)
        sums_of = np.stack(totals, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            best = (self.n * np.log(np.maximum(sums_of, 0.0)) + self.logs).argmin(axis=1)
        which = np.arange(y.shape[0])
        whole = sums_of[which, best]
        score = np.matmul(self.back[best], np.stack(products)[best, which][:, :, None])[:, :, 0] ** 2
        left = whole - score[:, : self.n_null].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (self.n - self.n_null) * score[:, self.n_null :].sum(axis=1) / left
            doubt = self.n * self._fourth(y, null, heap, best) / whole**2 * self.share[best]
        return np.where(left > 0, found, np.inf), np.where(np.isfinite(doubt), doubt, 0.0)

    def _on_heap(
        self, y: sp.csr_matrix, sums: dict[tuple[int, int], np.ndarray]
    ) -> dict[tuple[int, int], np.ndarray]:
        """Sums of the powers `POWERS` over the heap, shape ``(m,)`` each."""
        if not self.of.n_heap:
            return {of: np.zeros(y.shape[0]) for of in POWERS}
        found: dict[tuple[int, int], np.ndarray] = {}
        power = y
        for a in range(1, 5):
            there = power @ self.z_powers[: 5 - a].T
            found |= {(a, b): sums[a, b] - there[:, b] for b in range(5 - a)}
            power = power.multiply(y).tocsr()
        return found

    def _fourth(
        self, y: sp.csr_matrix, null: np.ndarray, heap: dict[tuple[int, int], np.ndarray], best: np.ndarray
    ) -> np.ndarray:
        """Sums over all cells of the fourth power of what the line leaves, over its shape squared."""
        total = np.zeros(y.shape[0])
        for four, forms in self.quartic.items():
            powers = np.bincount(four, minlength=self.n_null)
            times = factorial(4) // prod(factorial(int(p)) for p in powers)
            total += times * np.prod(null**powers, axis=1) * forms[best]
        c, e = (null @ self.heap[: self.n_null]).T
        on_heap = heap[4, 0] + 4 * (c * heap[3, 0] + e * heap[3, 1])
        on_heap += 6 * (c * c * heap[2, 0] + 2 * c * e * heap[2, 1] + e * e * heap[2, 2])
        on_heap += 4 * sum(comb(3, b) * c ** (3 - b) * e**b * heap[1, b] for b in range(4))
        rows = np.repeat(np.arange(y.shape[0]), np.diff(y.indptr))
        v, d = y.data, np.zeros(len(y.data))
        for i in range(self.n_null):
            d += null[rows, i] * self.design[i, y.indices]
        entries = v * (v * (v * (v + 4 * d) + 6 * d * d) + 4 * d * d * d)
        entries *= self.weight[best[rows], y.indices] ** 2
        there = np.bincount(rows, entries, minlength=y.shape[0])
        return np.asarray(total + self.heap_weight[best] ** 2 * on_heap + there)


def _cross(powers: np.ndarray) -> np.ndarray:
    """Products of 1 and z, summed."""
    return np.array([[powers[0], powers[1]], [powers[1], powers[2]]])


def projected_fourth(
    sums: dict[tuple[int, int], np.ndarray], mean: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    """Sum of (y - mean - slope z)^4 from the sums of powers of y and z, those of z included; ``(m,)``."""
    total = np.zeros_like(mean)
    for i in range(5):  # of y
        for j in range(5 - i):  # of the slope
            times = comb(4, i) * comb(4 - i, j)
            total += times * sums[i, j] * (-slope) ** j * (-mean) ** (4 - i - j)
    return total


def lower_with_heap(
    value: np.ndarray,
    test: SecondTestWithHeap,
    y: sp.csr_matrix,
    sums: dict[tuple[int, int], np.ndarray],
    mean: np.ndarray,
    slope: np.ndarray,
) -> None:
    """Lower the scores of one regulator and m targets in place; see :class:`SecondTestWithHeap`."""
    run = np.cumsum(np.diff(y.indptr)) // VALUES
    for part in np.unique(run):
        at = np.flatnonzero(run == part)
        some = {power: values[at] for power, values in sums.items()}
        second, doubt = test(y[at], some, mean[at], slope[at])
        value[at] = lowered(value[at], second, doubt, test.of.n_columns)

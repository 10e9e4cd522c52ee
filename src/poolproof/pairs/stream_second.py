"""The second test of bends (see ``growing_noise``) where most cells lack the regulator.

Its sums run over the cells that have the regulator; those of the heap (``stream_splines``) are products of
powers of the target and of the covariate z, over all cells less over the cells that have it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb, factorial

import numpy as np

from .growing_noise import OFFSETS, SQUARES, lowered
from .stream_splines import Covariate, HeapColumns, Space

POWERS = [(a, b) for a in range(5) for b in range(5 - a)]
"""Powers of the target and of z whose sums are needed."""
AT_ONCE = 64
VALUES = 2**21
"""Values of targets in cells with the regulator that are held at a time."""


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
        space = Space(of.z, covariate)
        variance, on_heap = shapes_with_heap(of, self.n)
        self.weight, self.heap_weight = 1 / variance, 1 / on_heap
        nuisance = [np.full(len(of.z), self.n**-0.5), *([of.z] if space.has_covariate else [])]
        self.design = np.concatenate([np.stack(nuisance), of.q[:k]])
        flat = np.concatenate([[self.n**-0.5], [0.0] * space.has_covariate, of.flat[:k]])
        slope = np.concatenate([[0.0], [1.0] * space.has_covariate, of.slope[:k]])
        self.heap = np.stack([flat, slope], axis=1)
        self.n_null = len(self.design) - k + 1
        self.logs = np.log(variance).sum(axis=1) + of.n_heap * np.log(on_heap)
        along = self.heap @ _cross(self.heap_powers) @ self.heap.T
        gram = [
            (self.design * w) @ self.design.T + v * along
            for w, v in zip(self.weight, self.heap_weight, strict=True)
        ]
        self.back = np.linalg.inv(np.linalg.cholesky(np.stack(gram)))
        self.share = np.array([self._share(v, h, k) for v, h in zip(variance, on_heap, strict=True)])

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

    def __call__(self, y: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Statistic and doubt, shape ``(m,)``.

        Parameters
        ----------
        y
            Targets, covariates projected out, in the cells that have the regulator, shape ``(m, n_cells)``.
        moments
            Sums of products of the powers `POWERS` of target and z over all cells, shape ``(15, m)``.
        """
        rest = self._on_heap(y, moments)
        line, (flat, slope) = self.design[self.n_null - 1], self.heap[self.n_null - 1]
        size = y @ line + flat * rest[1, 0] + slope * rest[1, 1]
        u = y - size[:, None] * line
        on_heap = _Residual(rest, size * flat, size * slope)
        square = u * u
        sums = square @ self.weight.T + on_heap.power(2)[:, None] * self.heap_weight
        with np.errstate(divide="ignore"):
            best = (self.n * np.log(sums) + self.logs).argmin(axis=1)
        whole = sums[np.arange(len(y)), best]
        scaled = u * self.weight[best]
        at_heap = self.heap_weight[best]
        score = scaled @ self.design.T + at_heap[:, None] * (on_heap.along() @ self.heap.T)
        score = np.matmul(self.back[best], score[:, :, None])[:, :, 0] ** 2
        scaled *= u
        left = whole - score[:, : self.n_null].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (self.n - self.n_null) * score[:, self.n_null :].sum(axis=1) / left
            fourth = (scaled * scaled).sum(axis=1) + at_heap**2 * on_heap.power(4)
            doubt = self.n * fourth / whole**2 * self.share[best]
        return np.where(left > 0, found, np.inf), np.where(np.isfinite(doubt), doubt, 0.0)

    def _on_heap(self, y: np.ndarray, moments: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
        """Sums of the powers `POWERS` over the heap, shape ``(m,)`` each."""
        if not self.of.n_heap:
            return {of: np.zeros(len(y)) for of in POWERS}
        there = [np.tile(self.z_powers.sum(axis=1), (len(y), 1))]
        power = y
        for a in range(1, 5):
            there.append(power @ self.z_powers[: 5 - a].T)
            power = power * y
        return {of: moments[place] - there[of[0]][:, of[1]] for place, of in enumerate(POWERS)}


class _Residual:
    """What the line leaves of targets on the heap: y - c - d z, by sums of powers of y and z."""

    def __init__(self, sums: dict[tuple[int, int], np.ndarray], c: np.ndarray, d: np.ndarray) -> None:
        self.sums, self.c, self.d = sums, c, d

    def power(self, p: int) -> np.ndarray:
        """Sum of its p-th power."""
        total = np.zeros_like(self.c)
        for a in range(p + 1):
            for b in range(p - a + 1):
                i = p - a - b
                times = factorial(p) // (factorial(a) * factorial(b) * factorial(i))
                total += times * self.sums[a, b] * (-self.d) ** b * (-self.c) ** i
        return total

    def along(self) -> np.ndarray:
        """Its sums with 1 and z, shape ``(m, 2)``."""
        of, c, d = self.sums, self.c, self.d
        return np.stack(
            [of[1, 0] - c * of[0, 0] - d * of[0, 1], of[1, 1] - c * of[0, 1] - d * of[0, 2]], axis=1
        )


def _cross(powers: np.ndarray) -> np.ndarray:
    """Products of 1 and z, summed."""
    return np.array([[powers[0], powers[1]], [powers[1], powers[2]]])


def projected_moments(
    raw: dict[tuple[int, int], np.ndarray], mean: np.ndarray, slope: np.ndarray, norm: np.ndarray
) -> np.ndarray:
    """Sums of `POWERS` of (y - mean - slope z) / norm and z, from those of y and z; shape ``(15, m)``."""
    found = []
    for a, b in POWERS:
        total = np.zeros_like(mean)
        for i in range(a + 1):  # of y
            for j in range(a - i + 1):  # of the slope
                times = comb(a, i) * comb(a - i, j)
                total += times * raw[i, j + b] * (-slope) ** j * (-mean) ** (a - i - j)
        found.append(total / norm**a)
    return np.stack(found)


def lower_with_heap(
    value: np.ndarray,
    test: SecondTestWithHeap,
    targets: Callable[[np.ndarray], np.ndarray],
    moments: np.ndarray,
) -> None:
    """Lower the scores of one regulator and some targets in place, ``(m,)``; ``moments`` is ``(15, m)``."""
    step = int(np.clip(VALUES // max(1, len(test.of.z)), 1, AT_ONCE))
    for low in range(0, len(value), step):
        at = np.arange(low, min(low + step, len(value)))
        second, doubt = test(targets(at), moments[:, at])
        value[at] = lowered(value[at], second, doubt, test.of.n_columns)

"""A second variance of the bends' scores: that of noise whose variance is a power of the mean.

HC3 takes the noise of the few samples with a large x from these samples themselves. Where x is skewed and y
comes in bursts (on in one sample of ten), most of them are off, their squared residuals are small, and the
variance of the scores is missed. The other samples tell how the noise grows: Var(y|x) = phi m^kappa, m the
fitted line, kappa between 0 and 2 by likelihood. The p-value of a bend is the larger of the two.

The likelihood needs sum u^2 / m^kappa for every pair. 1 / m^kappa is a smooth function of x for each slope
of the line, so it is fitted by what HC3 multiplies u^2 with already (products of two columns, and 1):
no further matrix product is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SLOPES = np.array([-1.0, -0.8, -0.4, 0.0, 0.4, 0.7, 0.9, 1.0])
"""Slopes of the line for which tables are made: at 1 it is 0 at the smallest x, at -1 at the largest."""
LEAST_MEAN = 0.05
"""The line is held above this part of the mean of y."""
SAMPLES = 100
"""Samples at even ranks of x that stand for all in the tables."""
CONDITION = 1e-6
"""Directions of the fit that vary less than this beside the largest are left out."""


class VarianceTables(NamedTuple):
    """What the variance model needs of a block of regulators; the first axis is that of the regulators."""

    low: np.ndarray
    """-1 over the smallest q_1, shape ``(R,)``."""
    high: np.ndarray
    """1 over the largest q_1, shape ``(R,)``."""
    fit: np.ndarray
    """Weights of 1 and of the products of columns in ``1 / m``, then in ``1 / m^2``, for every slope; shape
    ``(R, 2 n_slopes, 1 + n_products)``."""
    log_mean: np.ndarray
    """Mean of log m, shape ``(R, n_slopes)``."""
    first: np.ndarray
    """sum_i q_j q_l q_1 over the bends j <= l, shape ``(R, n_bends)``."""
    second: np.ndarray
    """sum_i q_j q_l q_1^2, same shape."""

    def take(self, chosen: np.ndarray) -> VarianceTables:
        """Of some regulators."""
        return VarianceTables(*(values[chosen] for values in self))

    def astype(self, dtype: type) -> VarianceTables:
        """In another floating-point type."""
        return VarianceTables(*(values.astype(dtype) for values in self))


def variance_tables(basis: np.ndarray, weight: np.ndarray, pairs: list[tuple[int, int]]) -> VarianceTables:
    """Tables of a block of regulators in one level.

    Parameters
    ----------
    basis
        Orthonormal columns, shape ``(R, k, n)``.
    weight
        HC3 weights, shape ``(R, n)``.
    pairs
        The products of columns that are multiplied with u^2, in their order.
    """
    line = basis[:, 0]
    low, high = (1 / np.maximum(of, 1e-12) for of in (-line.min(axis=1), line.max(axis=1)))
    n = line.shape[1]
    ranks = np.unique(np.linspace(0, n - 1, min(n, SAMPLES)).astype(int))
    at = np.argsort(line, axis=1, kind="stable")[:, ranks]
    chosen = np.take_along_axis(basis, at[:, None], axis=2)
    slopes = np.where(SLOPES > 0, low[:, None] * SLOPES, high[:, None] * SLOPES)
    mean = np.maximum(1 + slopes[:, :, None] * chosen[:, None, 0], LEAST_MEAN)
    some_weight = np.take_along_axis(weight, at, axis=1)
    columns = [np.ones_like(some_weight), *(some_weight * chosen[:, j] * chosen[:, m] for j, m in pairs)]
    fit = _least_squares(np.stack(columns, axis=1), np.concatenate([1 / mean, 1 / mean**2], axis=1))
    bends = [(j, m) for j, m in pairs if j >= 1]
    leaning = basis[:, 1:] * line[:, None]
    first = np.matmul(leaning, basis[:, 1:].transpose(0, 2, 1))
    second = np.matmul(leaning, leaning.transpose(0, 2, 1))
    first, second = (np.stack([of[:, j - 1, m - 1] for j, m in bends], axis=1) for of in (first, second))
    return VarianceTables(low, high, fit, np.log(mean).mean(axis=2), first, second)


def _least_squares(columns: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Weights of columns ``(R, c, n)`` that fit ``(R, t, n)``, small directions left out; ``(R, t, c)``."""
    size = np.sqrt((columns**2).sum(axis=2, keepdims=True))
    size = np.where(size > 0, size, 1.0)
    columns = columns / size
    values, vectors = np.linalg.eigh(np.matmul(columns, columns.transpose(0, 2, 1)))
    keep = values > CONDITION * values[:, -1:]
    inverse = np.where(keep, 1 / np.where(keep, values, 1.0), 0.0)
    right = np.matmul(np.matmul(wanted, columns.transpose(0, 2, 1)), vectors)
    return np.matmul(right * inverse[:, None], vectors.transpose(0, 2, 1)) / size[:, None, :, 0]


def model_variance(
    tables: VarianceTables,
    rows: np.ndarray,
    line: np.ndarray,
    mean: np.ndarray,
    residual: np.ndarray,
    n: int,
) -> list[np.ndarray]:
    """Covariance of the bends' scores under the model, for some pairs.

    Parameters
    ----------
    tables
        Of a block of regulators.
    rows
        Regulator of each pair, rising, shape ``(f,)``.
    line
        Coefficient of the line, shape ``(f,)``.
    mean
        Mean of the target, above 0, in the unit of ``line``.
    residual
        Sum of u^2, then sums of u^2 times each product of columns, shape ``(1 + n_products, f)``.
    n
        Samples.

    Returns
    -------
    Entries (j, l), j <= l, of the covariance, each ``(f,)``. The whole variance is at least that of the
    residuals.
    """
    slope = line / mean
    rising = slope > 0
    unit = np.where(rising, tables.low[rows], tables.high[rows])
    place = np.clip(slope / unit, -1.0, 1.0)
    at = np.clip(np.searchsorted(SLOPES, place, side="right") - 1, 0, len(SLOPES) - 2)
    share = ((place - SLOPES[at]) / (SLOPES[at + 1] - SLOPES[at])).astype(line.dtype)
    sums = np.empty((2 * len(SLOPES), len(rows)), dtype=line.dtype)
    edges = np.searchsorted(rows, np.arange(len(tables.low) + 1))
    for row in np.unique(rows):
        part = slice(edges[row], edges[row + 1])
        sums[:, part] = tables.fit[row] @ residual[:, part]
    pair = np.arange(len(rows))

    def read(of: np.ndarray) -> np.ndarray:
        return of[at, pair] * (1 - share) + of[at + 1, pair] * share

    least = 1e-3 * residual[0]
    whole = residual[0] / n
    phi = [whole, *(np.maximum(read(of), least) / n for of in (sums[: len(SLOPES)], sums[len(SLOPES) :]))]
    log_mean = tables.log_mean[rows, at] * (1 - share) + tables.log_mean[rows, at + 1] * share
    fits = [np.log(of) + kappa * log_mean for kappa, of in enumerate(phi)]  # -2/n log likelihood
    bow = fits[0] - 2 * fits[1] + fits[2]
    vertex = 1 + (fits[0] - fits[2]) / (2 * np.maximum(bow, 1e-9))
    kappa = np.clip(np.where(bow > 1e-9, vertex, np.where(fits[2] < fits[0], 2.0, 0.0)), 0.0, 2.0)
    mix = (
        np.maximum(1 - kappa, 0) * phi[0],
        (1 - np.abs(1 - kappa)) * phi[1],
        np.maximum(kappa - 1, 0) * phi[2],
    )
    held = unit * place
    constant, linear, square = mix[0] + mix[1] + mix[2], (mix[1] + 2 * mix[2]) * held, mix[2] * held**2
    grown = np.maximum(residual[0] / (n * constant + square), 1.0)
    n_bends = round((np.sqrt(8 * tables.first.shape[1] + 1) - 1) / 2)
    diagonal = [j == m for j in range(n_bends) for m in range(j, n_bends)]
    return [
        grown * (constant * same + linear * tables.first[rows, p] + square * tables.second[rows, p])
        for p, same in enumerate(diagonal)
    ]

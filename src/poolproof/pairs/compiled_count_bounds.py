"""Bounds of the share of single count pairs as compiled loops: to be imported where numba is installed.

They do what :mod:`poolproof.pairs.count_bounds` does with numpy; see `compiled_counts`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .compiled import loop
from .compiled_counts import LevelProducts, OfRegulators

_SINGLE = np.float32


class OfBound(NamedTuple):
    """What the bound needs of R regulators beside `OfRegulators`."""

    dd_sum: np.ndarray
    """From ``N_TEST`` on, shape ``(2, R, n_strata)``."""
    d_own_sum: np.ndarray
    """From ``N_TEST`` on, shape ``(9, R, n_strata)``."""
    inverse_n: np.ndarray
    """Inverse of N over the degrees resolved: 22, 23, 33, shape ``(3, R)``."""


@loop(sums=True)
def multiply_pairs(
    into: np.ndarray,
    pairs: np.ndarray,
    with_y: np.ndarray,
    with_y2: np.ndarray,
    y: np.ndarray,
    means: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Products of the columns of the bound for single pairs, float32, into shape ``(13, k)``.

    Parameters
    ----------
    pairs
        Place of the regulator and of the target, shape ``(2, k)``.
    with_y
        Two mixed columns and nine own ones, shape ``(11, R, n)``.
    with_y2
        Shape ``(2, R, n)``.
    y, means
        Centred targets ``(m, n)``; means of the strata ``(n_strata, m)``.
    edges
        Where strata begin and end, shape ``(n_strata + 1,)``.
    """
    for p in range(pairs.shape[1]):
        r, at = pairs[0, p], pairs[1, p]
        values = y[at]
        for c in range(13):
            into[c, p] = 0
        for s in range(len(edges) - 1):
            low, high = edges[s], edges[s + 1]
            of = values[low:high]
            for c in range(0, 2):
                into[c, p] += _dot(with_y[c, r, low:high], of) * means[s, at]
            for c in range(2, 11):
                into[c, p] += _dot(with_y[c, r, low:high], of)
            for c in range(2):
                into[11 + c, p] += _dot_square(with_y2[c, r, low:high], of)


@loop(sums=True)
def _dot(column: np.ndarray, values: np.ndarray) -> Any:
    total = _SINGLE(0)
    for i in range(len(column)):
        total += column[i] * values[i]
    return total


@loop(sums=True)
def _dot_square(column: np.ndarray, values: np.ndarray) -> Any:
    total = _SINGLE(0)
    for i in range(len(column)):
        total += column[i] * values[i] * values[i]
    return total


@loop()
def _with_means(product: float, rest: np.ndarray, means: np.ndarray, n: int) -> float:
    total = np.float64(product)
    for s in range(len(rest)):
        total += rest[s] * means[s]
    return total / n


@loop()
def bound_level(
    pieces: np.ndarray,
    pairs: np.ndarray,
    usable: np.ndarray,
    of: LevelProducts,
    regulators: OfRegulators,
    bound: OfBound,
    rest: np.ndarray,
    means: np.ndarray,
    n: int,
    weight: float,
) -> None:
    """Add the variances of `count_estimates.level_bound_pieces` of single pairs, shape ``(3, k)``.

    ``usable`` says which of the pairs, ``(k,)``; ``rest`` are the products of `multiply_pairs`.
    """
    mean, square = np.empty(means.shape[0]), np.empty(means.shape[0])
    for p in range(pairs.shape[1]):
        if not usable[p]:
            continue
        r, at = pairs[0, p], pairs[1, p]
        for s in range(len(mean)):
            mean[s] = means[s, at]
            square[s] = mean[s] * mean[s]
        own_mean, own = regulators.own_mean[:, r], regulators.own_cov[:, :, r]
        d_sum, dd_sum, d_own_sum = regulators.d_sum, regulators.dd_sum, regulators.d_own_sum
        a1 = _with_means(of.line[0, r, at], d_sum[0, r], mean, n)
        a2 = _with_means(of.line[1, r, at], d_sum[1, r], mean, n)
        a3 = _with_means(of.line[2, r, at], d_sum[2, r], mean, n)
        b = a1 * regulators.inverse[r]
        d2 = bound.inverse_n[0, r] * a2 + bound.inverse_n[1, r] * a3
        d3 = bound.inverse_n[1, r] * a2 + bound.inverse_n[2, r] * a3
        c11 = _with_means(of.square[0, r, at] + of.cross[0, r, at], dd_sum[0, r], square, n) - a1 * a1
        c22 = _with_means(of.square[1, r, at] + of.cross[1, r, at], dd_sum[1, r], square, n) - a2 * a2
        c23 = _with_means(of.square[2, r, at] + of.cross[2, r, at], dd_sum[2, r], square, n) - a2 * a3
        c33 = _with_means(of.square[3, r, at] + of.cross[3, r, at], dd_sum[3, r], square, n) - a3 * a3
        of_line = _with_means(of.own[0, r, at], d_own_sum[0, r], mean, n) - a1 * own_mean[2]
        of_22 = _with_means(of.own[1, r, at], d_own_sum[1, r], mean, n) - a2 * own_mean[0]
        of_23 = _with_means(of.own[2, r, at], d_own_sum[2, r], mean, n)
        of_23 -= a2 * own_mean[1] + a3 * own_mean[0]
        of_33 = _with_means(of.own[3, r, at], d_own_sum[3, r], mean, n) - a3 * own_mean[1]
        o22 = c22 - b * 2 * of_22 + b * b * own[0, 0]
        o23 = c23 - b * of_23 + b * b * own[0, 1]
        o33 = c33 - b * 2 * of_33 + b * b * own[1, 1]

        more, of_squares = bound.d_own_sum, bound.dd_sum
        c12 = _with_means(rest[0, p] + rest[11, p], of_squares[0, r], square, n) - a1 * a2
        c13 = _with_means(rest[1, p] + rest[12, p], of_squares[1, r], square, n) - a1 * a3
        u0 = _with_means(rest[2, p], more[0, r], mean, n) - a2 * own_mean[3]
        u1 = _with_means(rest[3, p], more[1, r], mean, n) - 2 * a2 * own_mean[4] - a3 * own_mean[3]
        u2 = _with_means(rest[4, p], more[2, r], mean, n) - a2 * own_mean[5] - 2 * a3 * own_mean[4]
        u3 = _with_means(rest[5, p], more[3, r], mean, n) - a3 * own_mean[5]
        v2 = _with_means(rest[6, p], more[4, r], mean, n) - a1 * own_mean[0] - a2 * own_mean[2] / 2
        v3 = _with_means(rest[7, p], more[5, r], mean, n) - a1 * own_mean[1] - a3 * own_mean[2] / 2
        v22 = _with_means(rest[8, p], more[6, r], mean, n) - a1 * own_mean[3]
        v23 = _with_means(rest[9, p], more[7, r], mean, n) - a1 * own_mean[4]
        v33 = _with_means(rest[10, p], more[8, r], mean, n) - a1 * own_mean[5]

        d22, d23, d33 = d2 * d2, d2 * d3, d3 * d3
        w3, w4, w5 = -d22 / 2, -d23, -d33 / 2
        size = d22 * o22 + 2 * d23 * o23 + d33 * o33 - d22 * (d2 * u0 + d3 * u1) - d33 * (d2 * u2 + d3 * u3)
        size += w3 * (w3 * own[3, 3] + w4 * own[3, 4] + w5 * own[3, 5])
        size += w4 * (w3 * own[4, 3] + w4 * own[4, 4] + w5 * own[4, 5])
        size += w5 * (w3 * own[5, 3] + w4 * own[5, 4] + w5 * own[5, 5])
        size -= 2 * b * d2 * (w3 * own[0, 3] + w4 * own[0, 4] + w5 * own[0, 5])
        size -= 2 * b * d3 * (w3 * own[1, 3] + w4 * own[1, 4] + w5 * own[1, 5])
        both = d2 * c12 + d3 * c13 + w3 * v22 + w4 * v23 + w5 * v33
        both += b * (b / 2 * (d2 * own[0, 2] + d3 * own[1, 2]) - d2 * v2 - d3 * v3)
        both -= b / 2 * (w3 * own[2, 3] + w4 * own[2, 4] + w5 * own[2, 5])
        pieces[0, p] += weight * size
        pieces[1, p] += weight * b * b * (c11 - b * of_line + b * b * own[2, 2] / 4)
        pieces[2, p] += weight * b * both

"""Spline bases of regulators and the columns of their products, as compiled loops; needs numba.

The numbers are those of :mod:`poolproof.basis` and of
:func:`~poolproof.pairs.score_kernels.level_features`, one regulator at a time while it is in cache.
"""

from __future__ import annotations

import math

import numpy as np

from ..basis import RANK_TOLERANCE
from .compiled import loop
from .compiled_scores import K

INNER = K - 1
"""Knots but for the outer two."""


@loop()
def _bend(
    into: np.ndarray, x: np.ndarray, at: np.ndarray, curvature: np.ndarray, cubic: np.ndarray, which: int
) -> None:
    """One cardinal spline, at every x; ``cubic`` has the pieces of all inner knots, ``(4, n)``."""
    left, middle, right = at[which], at[which + 1], at[which + 2]
    over_left, over_right = 1.0 / (middle - left), 1.0 / (right - middle)
    c0, c1, c2, c3 = curvature[0, which], curvature[1, which], curvature[2, which], curvature[3, which]
    first = -curvature[0, which] * (at[1] - at[0]) / 6
    last = curvature[INNER - 1, which] * (at[INNER + 1] - at[INNER]) / 6
    if which == 0:
        first += 1 / (at[1] - at[0])
    if which == INNER - 1:
        last -= 1 / (at[INNER + 1] - at[INNER])
    lowest, highest = at[0], at[INNER + 1]
    p0, p1, p2, p3 = cubic[0], cubic[1], cubic[2], cubic[3]
    for i in range(len(x)):
        rise = (x[i] - left) * over_left
        rise = min(max(rise, 0.0), 1.0)
        fall = (right - x[i]) * over_right
        fall = min(max(fall, 0.0), 1.0)
        value = rise + fall - 1.0 + c0 * p0[i] + c1 * p1[i] + c2 * p2[i] + c3 * p3[i]
        into[i] = value + first * min(x[i] - lowest, 0.0) + last * max(x[i] - highest, 0.0)


@loop()
def _cubic(into: np.ndarray, x: np.ndarray, left: float, middle: float, right: float) -> None:
    over_left, over_right = 1.0 / (middle - left), 1.0 / (right - middle)
    of_left, of_right = (middle - left) ** 2 / 6, (right - middle) ** 2 / 6
    for i in range(len(x)):
        rise = (x[i] - left) * over_left
        rise = min(max(rise, 0.0), 1.0)
        fall = (right - x[i]) * over_right
        fall = min(max(fall, 0.0), 1.0)
        into[i] = (rise * rise - 1.0) * rise * of_left + (fall * fall - 1.0) * fall * of_right


@loop()
def raw_bases(x: np.ndarray, at: np.ndarray, curvature: np.ndarray, basis: np.ndarray) -> None:
    """The line and the natural splines of genes that have all their knots, not orthonormal.

    Parameters
    ----------
    x
        Standardised values, shape ``(R, n)``.
    at, curvature
        Knots, ``(R, 6)``, and second derivatives at the inner ones, ``(R, 4, 4)``.
    basis
        Filled, shape ``(R, 5, n)``.
    """
    cubic = np.empty((INNER, x.shape[1]))
    for r in range(len(x)):
        basis[r, 0] = x[r]
        for i in range(INNER):
            _cubic(cubic[i], x[r], at[r, i], at[r, i + 1], at[r, i + 2])
        for i in range(INNER):
            _bend(basis[r, i + 1], x[r], at[r], curvature[r], cubic, i)


@loop(sums=True)
def _mean(values: np.ndarray) -> float:
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total / len(values)


@loop(sums=True)
def product(left: np.ndarray, right: np.ndarray) -> float:
    """Sum of products of two rows."""
    total = 0.0
    for i in range(len(left)):
        total += left[i] * right[i]
    return total


@loop()
def _subtract(values: np.ndarray, other: np.ndarray, factor: float) -> None:
    for i in range(len(values)):
        values[i] -= factor * other[i]


@loop()
def _shift_and_scale(into: np.ndarray, values: np.ndarray, shift: float, factor: float) -> None:
    for i in range(len(values)):
        into[i] = (values[i] - shift) * factor


@loop()
def orthonormalise(basis: np.ndarray, n_columns: np.ndarray) -> None:
    """Columns of bases ``(R, k, n)`` made orthonormal in place; see :mod:`poolproof.basis`."""
    column = np.empty(basis.shape[2])
    weights = np.empty(basis.shape[1])
    for r in range(len(basis)):
        used = 0
        for j in range(basis.shape[1]):
            _shift_and_scale(column, basis[r, j], _mean(basis[r, j]), 1.0)
            before = math.sqrt(product(column, column))
            for _ in range(2):
                for i in range(used):
                    weights[i] = product(column, basis[r, i])
                for i in range(used):
                    _subtract(column, basis[r, i], weights[i])
            after = math.sqrt(product(column, column))
            if after > RANK_TOLERANCE * before and (used > 0 or j == 0):
                _shift_and_scale(basis[r, used], column, 0.0, 1.0 / after)
                used += 1
        basis[r, used:] = 0.0
        n_columns[r] = used


@loop()
def _weigh(weight: np.ndarray, line: np.ndarray, nuisance: np.ndarray) -> None:
    for i in range(len(weight)):
        rest = max(1.0 - line[i] * line[i] - nuisance[i], 1e-3)
        weight[i] = 1.0 / (rest * rest)


@loop()
def _put(into: np.ndarray, values: np.ndarray) -> None:
    for i in range(len(into)):
        into[i] = np.float32(values[i])


@loop()
def _weighted_product(into: np.ndarray, weight: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    for i in range(len(into)):
        into[i] = weight[i] * left[i] * right[i]


@loop()
def _multiply(into: np.ndarray, by: np.ndarray) -> None:
    for i in range(len(into)):
        into[i] *= by[i]


@loop()
def robust_columns(
    basis: np.ndarray,
    nuisance: np.ndarray,
    with_y: np.ndarray,
    with_y2: np.ndarray,
    bound: np.ndarray,
    constant: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Columns of the products (see `compiled_scores`), float32.

    Parameters
    ----------
    basis
        Orthonormal columns, shape ``(R, 5, n)``.
    nuisance
        Leverage of the covariates, the constant included, shape ``(n,)``.
    with_y, with_y2, bound
        Filled, shapes ``(16, R, n)``, ``(15, R, n)`` and ``(4, R, n)``, float32.
    constant, weight
        Filled: sums w q_j q_m q_1^2, ``(15, R)``, and w, ``(R, n)``, float64.
    """
    row = np.empty(basis.shape[2])
    for r in range(len(basis)):
        line = basis[r, 0]
        _weigh(weight[r], line, nuisance)
        entry, at_bend = 0, K + 1
        for j in range(K):
            _put(with_y[j, r], basis[r, j])
            for m in range(j, K):
                _weighted_product(row, weight[r], basis[r, j], basis[r, m])
                _put(with_y2[entry, r], row)
                _multiply(row, line)
                constant[entry, r] = product(row, line)
                if j > 0:
                    _put(with_y[at_bend, r], row)
                    at_bend += 1
                elif m > 0:
                    _put(bound[m - 1, r], row)
                else:
                    _put(with_y[K, r], row)
                entry += 1


@loop()
def concentrations(basis: np.ndarray, fourth: np.ndarray, found: np.ndarray) -> None:
    """Sum of q_1^4, and how far few samples carry the bends, of every basis ``(R, 5, n)``; each ``(R,)``."""
    leverage = np.empty(basis.shape[2])
    for r in range(len(basis)):
        _weighted_product(leverage, basis[r, 0], basis[r, 0], np.ones(len(leverage)))
        fourth[r] = product(leverage, leverage)
        leverage[:] = 0.0
        whole = 0.0
        for j in range(1, K):
            _add_squares(leverage, basis[r, j])
            whole += product(basis[r, j], basis[r, j])
        found[r] = product(leverage, leverage) / (whole if whole > 0 else 1.0)


@loop()
def _add_squares(into: np.ndarray, values: np.ndarray) -> None:
    for i in range(len(into)):
        into[i] += values[i] * values[i]


@loop()
def pair_moments(
    basis: np.ndarray,
    weight: np.ndarray,
    row: np.ndarray,
    gene: np.ndarray,
    y: np.ndarray,
    scores: np.ndarray,
    variance: np.ndarray,
    null: np.ndarray,
) -> None:
    """Moments of single pairs in float64.

    Parameters
    ----------
    basis, weight
        Columns ``(R, 5, n)`` and weights ``(R, n)`` of regulators; no weights, ``(0, n)``, for scores alone.
    row, gene
        Regulator (rising) and row of ``y`` of each pair, shape ``(P,)``.
    y
        Targets, shape ``(m, n)``.
    scores, variance, null
        Filled: ``(5, P)`` and, of y less the line and of y, the upper triangle row by row, ``(15, P)``.
    """
    n = y.shape[1]
    robust = len(weight) > 0
    weighted, rest, square = np.empty((15, n)), np.empty(n), np.empty(n)
    last = -1
    for at in range(len(row)):
        r = row[at]
        of = y[gene[at]]
        for j in range(K):
            scores[j, at] = product(basis[r, j], of)
        if not robust:
            continue
        if r != last:
            entry = 0
            for j in range(K):
                for m in range(j, K):
                    _weighted_product(weighted[entry], weight[r], basis[r, j], basis[r, m])
                    entry += 1
            last = r
        rest[:] = of
        _subtract(rest, basis[r, 0], scores[0, at])
        _multiply(rest, rest)
        square[:] = of
        _multiply(square, square)
        for entry in range(15):
            variance[entry, at] = product(weighted[entry], rest)
            null[entry, at] = product(weighted[entry], square)

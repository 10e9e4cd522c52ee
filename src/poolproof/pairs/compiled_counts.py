"""The corrected test as compiled loops: to be imported where numba is installed, and only there.

In float32 they do what :mod:`poolproof.pairs.count_estimates`, :mod:`poolproof.pairs.bursts` and
:mod:`poolproof.pairs.count_bounds` do with numpy, one regulator at a time, so that nothing between the
products and the sums over levels leaves the processor's cache. Loops are kept apart, each with few arrays: of
many the compiler does not see that they do not overlap, and takes numbers one by one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .bursts import KURTOSIS, RELATIVE_VARIANCE
from .compiled import loop

_NEAR = 1e-3
"""Relative distance from a threshold of the guard within which float64 decides."""
_SINGLE = np.float32


class LevelProducts(NamedTuple):
    """Products of R regulators with m targets, float32; see `count_estimates.Products`."""

    line: np.ndarray
    square: np.ndarray
    cross: np.ndarray
    own: np.ndarray


class OfRegulators(NamedTuple):
    """What a level says of R regulators, float32."""

    d_sum: np.ndarray
    """Shape ``(3, R, n_strata)``, as the next two from `CountFeatures`."""
    dd_sum: np.ndarray
    d_own_sum: np.ndarray
    own_mean: np.ndarray
    """Shape ``(6, R)``."""
    own_cov: np.ndarray
    """Shape ``(6, 6, R)``."""
    inverse: np.ndarray
    """1 / V1, 0 where there is no test, shape ``(R,)``."""
    size: np.ndarray
    """Bend as a quadratic form of g_2 and g_3: of squares, of the product, shape ``(3, R)``; may be NaN."""


class Guarded(NamedTuple):
    """What the guard against bursty targets knows of R regulators and m targets."""

    wald_from: float
    """Statistic from which on a bend is guarded."""
    itself: np.ndarray
    """Place of the regulator among the targets, or -1, shape ``(R,)``."""
    line: np.ndarray
    """F_1, float32, shape ``(R, n)``."""
    upper: np.ndarray
    """1 in the upper bin of F_1, 0 elsewhere, float32, shape ``(R, n)``."""
    n_upper: np.ndarray
    moments: np.ndarray
    """As for `bursts.wald_from_sums`, shape ``(R, 6, 5)``."""
    y: np.ndarray
    """Centred targets, float32, shape ``(m, n)``."""
    ybar: np.ndarray
    """Their means, shape ``(m,)``."""


@loop()
def _mean(into: np.ndarray, product: np.ndarray, rest: np.ndarray, means: np.ndarray, n: float) -> None:
    for j in range(len(into)):
        into[j] = product[j]
    for s in range(len(rest)):
        of = rest[s]
        row = means[s]
        for j in range(len(into)):
            into[j] += of * row[j]
    over = _SINGLE(1.0) / _SINGLE(n)
    for j in range(len(into)):
        into[j] *= over


@loop()
def _plus(into: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    for j in range(len(into)):
        into[j] = first[j] + second[j]


@loop()
def _less_product(into: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    for j in range(len(into)):
        into[j] -= first[j] * second[j]


@loop()
def _less_times(into: np.ndarray, of: np.ndarray, factor: float) -> None:
    for j in range(len(into)):
        into[j] -= of[j] * factor


@loop()
def _times(into: np.ndarray, of: np.ndarray, factor: float) -> None:
    for j in range(len(into)):
        into[j] = of[j] * factor


@loop()
def _influence(into: np.ndarray, mixed: np.ndarray, b: np.ndarray, factor: float, square: float) -> None:
    for j in range(len(into)):
        into[j] += b[j] * (b[j] * square - factor * mixed[j])


@loop()
def _whole(into: np.ndarray, cov: np.ndarray, b: np.ndarray, square: float) -> None:
    """What an influence would be if nothing cancelled, times the least part that may be left."""
    least = _SINGLE(0.02)
    for j in range(len(into)):
        into[j] = least * (cov[j] + b[j] * b[j] * square)


@loop()
def _below(doubt: np.ndarray, value: np.ndarray, least: np.ndarray) -> None:
    for j in range(len(doubt)):
        doubt[j] |= np.int32(value[j] < least[j])


@loop()
def _determinant(into: np.ndarray, o22: np.ndarray, o23: np.ndarray, o33: np.ndarray) -> None:
    for j in range(len(into)):
        into[j] = o22[j] * o33[j] - o23[j] * o23[j]


@loop()
def _singular(
    doubt: np.ndarray, determinant: np.ndarray, o22: np.ndarray, o33: np.ndarray, least: float
) -> None:
    for j in range(len(doubt)):
        doubt[j] |= np.int32(determinant[j] < least * o22[j] * o33[j])


@loop()
def _form(
    into: np.ndarray, o22: np.ndarray, o23: np.ndarray, o33: np.ndarray, g2: np.ndarray, g3: np.ndarray
) -> None:
    two = _SINGLE(2.0)
    for j in range(len(into)):
        into[j] = o33[j] * g2[j] * g2[j] - two * o23[j] * g2[j] * g3[j] + o22[j] * g3[j] * g3[j]


@loop()
def _ratio(wald: np.ndarray, determinant: np.ndarray, o22: np.ndarray, o33: np.ndarray, n: float) -> None:
    least, none, size = _SINGLE(1e-6), _SINGLE(0.0), _SINGLE(n)
    for j in range(len(wald)):
        sound = (determinant[j] > least * o22[j] * o33[j]) & (o22[j] > none)
        value = size * wald[j] / determinant[j]
        wald[j] = value if sound else none


@loop()
def _square_over(into: np.ndarray, mean: np.ndarray, variance: np.ndarray, n: float) -> None:
    none, size = _SINGLE(0.0), _SINGLE(n)
    for j in range(len(into)):
        value = size * mean[j] * mean[j] / variance[j]
        into[j] = value if variance[j] > none else none


@loop()
def _add_bend(into: np.ndarray, use: np.ndarray, g2: np.ndarray, g3: np.ndarray, form: np.ndarray) -> None:
    none = _SINGLE(0.0)
    of_22, of_23, of_33 = form[0], form[1], form[2]
    for j in range(len(into)):
        value = of_22 * g2[j] * g2[j] + of_23 * g2[j] * g3[j] + of_33 * g3[j] * g3[j]
        into[j] += value if use[j] else none


@loop()
def _add_square(into: np.ndarray, use: np.ndarray, of: np.ndarray, factor: float) -> None:
    none = _SINGLE(0.0)
    for j in range(len(into)):
        value = of[j] * of[j] * factor
        into[j] += value if use[j] else none


@loop()
def _add_used(into: np.ndarray, use: np.ndarray, of: np.ndarray) -> None:
    none = _SINGLE(0.0)
    for j in range(len(into)):
        into[j] += of[j] if use[j] else none


@loop()
def _add_doubt(into: np.ndarray, use: np.ndarray, doubt: np.ndarray) -> None:
    for j in range(len(into)):
        into[j] |= use[j] & (doubt[j] != 0)


@loop(sums=True)
def _residual_sums(y: np.ndarray, x: np.ndarray, upper: np.ndarray, slope: float) -> tuple[Any, Any, Any]:
    """Sums of squares of what the line leaves, of those in the upper bin, of fourth powers."""
    squares, high, fourths = _SINGLE(0), _SINGLE(0), _SINGLE(0)
    for i in range(len(y)):
        rest = y[i] - slope * x[i]
        square = rest * rest
        squares += square
        high += square * upper[i]
        fourths += square * square
    return squares, high, fourths


@loop()
def _guarded(
    sums: tuple[float, float, float],
    n: int,
    n_upper: int,
    moments: np.ndarray,
    slope: float,
    ybar: float,
    bends: tuple[float, float],
    own: tuple[float, float, float],
    wald: float,
) -> tuple[float, bool]:
    """The statistic by the model of `bursts.wald_from_sums`; and whether float64 must decide.

    ``own`` are Omega_22, Omega_23 and Omega_33 less the mean of y^2 times products of F.
    """
    zero, one, two, four = np.empty(6), np.empty(6), np.empty(6), np.empty(6)
    aa, ab, bb = ybar * ybar, ybar * slope, slope * slope
    for i in range(6):
        m = moments[i]
        zero[i] = m[0]
        one[i] = ybar * m[0] + slope * m[1]
        two[i] = aa * m[0] + 2 * ab * m[1] + bb * m[2]
        four[i] = (
            aa * aa * m[0] + 4 * aa * ab * m[1] + 6 * ab * ab * m[2] + 4 * ab * bb * m[3] + bb * bb * m[4]
        )
    mean = sums[0] / n
    c0, c2 = mean, 0.0
    if 0 < n_upper < n:
        low_u, high_u = (sums[0] - sums[1]) / (n - n_upper), sums[1] / n_upper
        low_m, high_m = n * (two[0] - two[1]) / (n - n_upper), n * two[1] / n_upper
        step = high_m - low_m
        slant = (high_u - low_u) / step if step > 0 else 0.0
        start = low_u - slant * low_m
        if step > 0 and slant >= 0:
            c0, c2 = start, slant
            if start < 0:
                c0, c2 = 0.0, mean / two[0] if two[0] > 0 else mean
    of_squares = c0 * c0 * zero[2] + 2 * c0 * c2 * two[2] + c2 * c2 * four[2]
    kurtosis = sums[2] / (n * (c0 * c0 + 2 * c0 * c2 * two[0] + c2 * c2 * four[0]))
    spread = n * (c0 * zero[3] + c2 * two[3]) ** 2
    relative = kurtosis * of_squares / spread
    if not (kurtosis > KURTOSIS * (1 - _NEAR) and relative > RELATIVE_VARIANCE * (1 - _NEAR)):
        return wald, False
    o22 = own[0] + c0 * zero[3] + c2 * two[3] + two[3] - 2 * ybar * one[3] + aa * zero[3]
    o23 = own[1] + c0 * zero[4] + c2 * two[4] + two[4] - 2 * ybar * one[4] + aa * zero[4]
    o33 = own[2] + c0 * zero[5] + c2 * two[5] + two[5] - 2 * ybar * one[5] + aa * zero[5]
    determinant = o22 * o33 - o23 * o23
    if not (determinant > 1e-2 * o22 * o33 and o22 > 0.02 * abs(own[0]) and o33 > 0.02 * abs(own[2])):
        return wald, True
    g2, g3 = bends
    value = n * (o33 * g2 * g2 - 2 * o23 * g2 * g3 + o22 * g3 * g3) / determinant
    near = not (kurtosis > KURTOSIS * (1 + _NEAR) and relative > RELATIVE_VARIANCE * (1 + _NEAR))
    return min(value, wald), near


@loop()
def test_level(
    of: LevelProducts,
    regulators: OfRegulators,
    means: np.ndarray,
    guard: Guarded,
    usable: np.ndarray,
    weight: float,
    line: np.ndarray,
    bend: np.ndarray,
    statistic: np.ndarray,
    z2: np.ndarray,
    doubt: np.ndarray,
) -> None:
    """Add both tests of one level, and its line and bend, to sums over levels, shape ``(R, m)`` each.

    Parameters
    ----------
    means
        Of the targets in the strata, float32, shape ``(n_strata, m)``.
    usable
        Pairs that can be tested in the level, shape ``(R, m)``.
    weight
        Share of the level in all cells.
    line, bend, statistic, z2, doubt
        Added to.
    """
    n = guard.y.shape[1]
    m = usable.shape[1]
    single = of.line.dtype
    a1, a2, a3 = np.empty(m, single), np.empty(m, single), np.empty(m, single)
    c11, c22, c23, c33 = np.empty(m, single), np.empty(m, single), np.empty(m, single), np.empty(m, single)
    mixed, b, determinant = np.empty(m, single), np.empty(m, single), np.empty(m, single)
    wald, least, doubtful = np.empty(m, single), np.empty(m, single), np.empty(m, np.int32)
    squares = means * means
    for r in range(len(usable)):
        use = usable[r]
        own_mean, own_cov = regulators.own_mean[:, r], regulators.own_cov[:, :, r]
        _mean(a1, of.line[0, r], regulators.d_sum[0, r], means, n)
        _mean(a2, of.line[1, r], regulators.d_sum[1, r], means, n)
        _mean(a3, of.line[2, r], regulators.d_sum[2, r], means, n)
        _times(b, a1, regulators.inverse[r])
        doubtful[:] = 0

        _plus(least, of.square[0, r], of.cross[0, r])
        _mean(c11, least, regulators.dd_sum[0, r], squares, n)
        _less_product(c11, a1, a1)
        _mean(mixed, of.own[0, r], regulators.d_own_sum[0, r], means, n)
        _less_times(mixed, a1, own_mean[2])
        _whole(least, c11, b, own_cov[2, 2])
        _influence(c11, mixed, b, _SINGLE(2.0), own_cov[2, 2])
        _below(doubtful, c11, least)
        _square_over(wald, a1, c11, n)
        _add_used(z2[r], use, wald)

        _plus(least, of.square[1, r], of.cross[1, r])
        _mean(c22, least, regulators.dd_sum[1, r], squares, n)
        _less_product(c22, a2, a2)
        _mean(mixed, of.own[1, r], regulators.d_own_sum[1, r], means, n)
        _less_times(mixed, a2, own_mean[0])
        _whole(least, c22, b, own_cov[0, 0])
        _influence(c22, mixed, b, _SINGLE(2.0), own_cov[0, 0])
        _below(doubtful, c22, least)

        _plus(least, of.square[2, r], of.cross[2, r])
        _mean(c23, least, regulators.dd_sum[2, r], squares, n)
        _less_product(c23, a2, a3)
        _mean(mixed, of.own[2, r], regulators.d_own_sum[2, r], means, n)
        _less_times(mixed, a2, own_mean[1])
        _less_times(mixed, a3, own_mean[0])
        _influence(c23, mixed, b, _SINGLE(1.0), own_cov[0, 1])

        _plus(least, of.square[3, r], of.cross[3, r])
        _mean(c33, least, regulators.dd_sum[3, r], squares, n)
        _less_product(c33, a3, a3)
        _mean(mixed, of.own[3, r], regulators.d_own_sum[3, r], means, n)
        _less_times(mixed, a3, own_mean[1])
        _whole(least, c33, b, own_cov[1, 1])
        _influence(c33, mixed, b, _SINGLE(2.0), own_cov[1, 1])
        _below(doubtful, c33, least)

        _determinant(determinant, c22, c23, c33)
        _singular(doubtful, determinant, c22, c33, _SINGLE(0.01))
        _form(wald, c22, c23, c33, a2, a3)
        _ratio(wald, determinant, c22, c33, n)
        over = _SINGLE(n)
        for j in range(m):
            if use[j] and wald[j] > guard.wald_from and doubtful[j] == 0 and j != guard.itself[r]:
                slope = of.line[0, r, j] / (guard.moments[r, 0, 2] * n)
                sums = _residual_sums(guard.y[j], guard.line[r], guard.upper[r], _SINGLE(slope))
                own = (
                    np.float64(c22[j] - of.square[1, r, j] / over),
                    np.float64(c23[j] - of.square[2, r, j] / over),
                    np.float64(c33[j] - of.square[3, r, j] / over),
                )
                value, near = _guarded(
                    (np.float64(sums[0]), np.float64(sums[1]), np.float64(sums[2])),
                    n,
                    guard.n_upper[r],
                    guard.moments[r],
                    np.float64(slope),
                    guard.ybar[j],
                    (np.float64(a2[j]), np.float64(a3[j])),
                    own,
                    np.float64(wald[j]),
                )
                wald[j] = _SINGLE(value)
                doubtful[j] = np.int32(near)
        _add_used(statistic[r], use, wald)
        inverse = regulators.inverse[r]
        _add_square(line[r], use, a1, inverse * weight)
        _add_bend(bend[r], use, a2, a3, regulators.size[:, r] * weight)
        _add_doubt(doubt[r], use, doubtful)

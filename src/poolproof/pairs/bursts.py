"""A second variance of the bend of counts, for pairs where squared residuals cannot be trusted.

Omega of the corrected test takes the noise of y from squared residuals. Where few cells have a large x, and y
is on in few cells, those few squares are mostly 0: the variance is missed, and the bend looks significant
(y on in 10 % of cells, x log-normal: .26 of affine truths rejected at 5 %, .03 at .01 %). There a model gives
the noise of y instead, variance c_0 + c_2 m^2 with m the line in x, learnt where there are cells, and the
smaller statistic of the two counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .count_kernels import CountTargets

UPPER = 2 / 3
"""Quantile of x that parts the two bins from which the model is learnt."""
KURTOSIS = 7.0
"""Of the residuals in units of the model, above which a target counts as bursty; gamma noise of squared CV
.25 with counting noise has 4 to 6."""
RELATIVE_VARIANCE = 1.0
"""Squared coefficient of variation of Omega_22 above which it is no estimate."""


TARGETS_AT_ONCE = 256


def guard_block(
    wald: np.ndarray,
    wanted: np.ndarray,
    f: np.ndarray,
    moments: tuple[Sequence[np.ndarray], Sequence[np.ndarray], np.ndarray],
    sizes: np.ndarray,
    targets: Callable[[np.ndarray], CountTargets],
) -> None:
    """Guard the statistics of a block of regulators where it is wanted, in place.

    Parameters
    ----------
    wald, wanted
        Shape ``(R, m)``.
    f
        F_1, F_2, F_3 of the regulators, shape ``(3, R, n)``.
    moments
        Omega_22, Omega_23, Omega_33; the means of a_1, a_2, a_3; the parts of Omega that are the mean of y^2
        times products of F: each an array of shape ``(R, m)``.
    sizes
        Cells of each stratum.
    targets
        Gives some of the m targets, float64.
    """
    omega, mean, square = moments
    for r in np.flatnonzero(wanted.any(axis=1)):
        at = np.flatnonzero(wanted[r])
        columns = f[:, r].astype(np.float64)
        for low in range(0, len(at), TARGETS_AT_ONCE):
            some = at[low : low + TARGETS_AT_ONCE]
            block = targets(some)
            wald[r, some] = guarded_wald(
                columns,
                block.centred,
                (sizes @ block.mean) / sizes.sum(),
                (mean[1][r, some], mean[2][r, some]),
                (omega[0][r, some], omega[1][r, some], omega[2][r, some]),
                (square[0, r, some], square[1, r, some], square[2, r, some]),
                wald[r, some],
            )


def guarded_wald(
    f: np.ndarray,
    y: np.ndarray,
    ybar: np.ndarray,
    bends: tuple[np.ndarray, np.ndarray],
    omega: tuple[np.ndarray, np.ndarray, np.ndarray],
    square: tuple[np.ndarray, np.ndarray, np.ndarray],
    wald: np.ndarray,
) -> np.ndarray:
    """Statistics of one regulator against m targets, by the model where residuals cannot be trusted.

    Parameters
    ----------
    f
        F_1, F_2, F_3 of the regulator, shape ``(3, n)``.
    y
        Centred targets, shape ``(m, n)``.
    ybar
        Their means, shape ``(m,)``.
    bends, omega, square
        g_2, g_3; Omega_22, Omega_23, Omega_33; and the part of each that is the mean of y^2 times products of
        F_2 and F_3; each of shape ``(m,)``.
    wald
        The statistics so far, shape ``(m,)``; none becomes larger.
    """
    n = y.shape[1]
    x = f[0]
    slope = (y @ x) / (x @ x)
    u2 = np.dot(slope[:, None], x[None])
    np.subtract(y, u2, out=u2)
    np.multiply(u2, u2, out=u2)
    high = upper_bin(x)
    products = f[1] * f[1], f[1] * f[2], f[2] * f[2]
    moments = _moments(np.stack([np.ones(n), high, products[0] ** 2, *products]), x)
    sums = u2 @ np.stack([np.ones(n), high]).T
    found = Residuals(sums[:, 0], sums[:, 1], np.einsum("mn,mn->m", u2, u2))
    return wald_from_sums(n, int(high.sum()), moments, slope, ybar, found, bends, omega, square, wald)


class Residuals(NamedTuple):
    """Sums over cells of what the line leaves of m targets, each of shape ``(m,)``."""

    squares: np.ndarray
    upper: np.ndarray
    """Of squares in the upper bin of x."""
    fourths: np.ndarray


def wald_from_sums(
    n: int,
    n_high: int,
    moments: np.ndarray,
    slope: np.ndarray,
    ybar: np.ndarray,
    residuals: Residuals,
    bends: tuple[np.ndarray, np.ndarray],
    omega: tuple[np.ndarray, np.ndarray, np.ndarray],
    square: tuple[np.ndarray, np.ndarray, np.ndarray],
    wald: np.ndarray,
) -> np.ndarray:
    """The statistics of :func:`guarded_wald` from sums over n cells, ``n_high`` of them in the upper bin.

    ``moments`` holds the means of 1, the upper bin, F_2^4, F_2^2, F_2 F_3 and F_3^2 times powers 0 to 4 of x,
    shape ``(6, 5)``; ``slope`` is that of every target on x, shape ``(m,)``.
    """
    one, of_high, squares, *own = _along(moments, ybar, slope)
    c0, c2 = _model(residuals, n, n_high, one, of_high)
    of_squares = c0 * c0 * squares.zero + 2 * c0 * c2 * squares.two + c2 * c2 * squares.four
    with np.errstate(divide="ignore", invalid="ignore"):  # targets that x explains wholly: not guarded
        kurtosis = residuals.fourths / (n * (c0 * c0 + 2 * c0 * c2 * one.two + c2 * c2 * one.four))
        relative = kurtosis * of_squares / (n * (c0 * own[0].zero + c2 * own[0].two) ** 2)
    modelled = []
    for of, whole, part in zip(own, omega, square, strict=True):
        along = of.two - 2 * ybar * of.one + ybar**2 * of.zero  # of (m - ybar)^2
        modelled.append(whole - part + c0 * of.zero + c2 * of.two + along)
    o22, o23, o33 = modelled
    g2, g3 = bends
    determinant = o22 * o33 - o23 * o23
    sound = (determinant > 1e-6 * o22 * o33) & (o22 > 0)
    value = n * (o33 * g2 * g2 - 2 * o23 * g2 * g3 + o22 * g3 * g3) / np.where(sound, determinant, 1.0)
    wanted = sound & (kurtosis > KURTOSIS) & (relative > RELATIVE_VARIANCE)
    return np.where(wanted, np.minimum(value, wald), wald)


class _OfLine(NamedTuple):
    """Means over cells of a weight times powers of the line m."""

    zero: float
    """Of the weight alone."""
    one: np.ndarray
    """Times m, shape ``(m,)``."""
    two: np.ndarray
    """Times m^2."""
    four: np.ndarray
    """Times m^4."""


def _moments(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Means over cells of weights ``(w, n)`` times powers 0 to 4 of x, shape ``(w, 5)``."""
    powers = np.ones((5, len(x)))
    for j in range(1, 5):
        np.multiply(powers[j - 1], x, out=powers[j])
    return np.asarray(weights @ powers.T / len(x))


def _along(moment: np.ndarray, ybar: np.ndarray, slope: np.ndarray) -> list[_OfLine]:
    """Means of weights times powers of the line ybar + slope x of every target."""
    a, b = ybar, slope
    one = moment[:, :2] @ np.stack([a, b])
    two = moment[:, :3] @ np.stack([a * a, 2 * a * b, b * b])
    aa, ab, bb = a * a, a * b, b * b
    four = moment @ np.stack([aa * aa, 4 * aa * ab, 6 * ab * ab, 4 * ab * bb, bb * bb])
    return [_OfLine(*of) for of in zip(moment[:, 0].tolist(), one, two, four, strict=True)]


def upper_bin(x: np.ndarray) -> np.ndarray:
    """Cells with large x, about a third of them; ties go to the smaller bin unless that is tiny."""
    place = UPPER * (len(x) - 1)
    low = int(place)
    high = min(low + 1, len(x) - 1)
    below, above = np.partition(x, (low, high))[[low, high]]
    edge = below + (place - low) * (above - below)
    large: np.ndarray = x > edge
    return large if large.sum() >= len(x) / 20 else x >= edge


def _model(
    residuals: Residuals, n: int, n_high: int, of_all: _OfLine, of_high: _OfLine
) -> tuple[np.ndarray, np.ndarray]:
    """c_0 and c_2 of every target, neither below 0, from the mean squares in two bins of x."""
    mean = residuals.squares / n
    if n_high in (0, n):
        return mean, np.zeros(len(mean))
    low_u, high_u = (residuals.squares - residuals.upper) / (n - n_high), residuals.upper / n_high
    low_m, high_m = n * (of_all.two - of_high.two) / (n - n_high), n * of_high.two / n_high
    step = high_m - low_m
    c2 = (high_u - low_u) / np.where(step > 0, step, 1.0)
    c0 = low_u - c2 * low_m
    flat = (step <= 0) | (c2 < 0)
    steep = ~flat & (c0 < 0)
    c0 = np.where(flat, mean, np.where(steep, 0.0, c0))
    whole = of_all.two
    c2 = np.where(flat, 0.0, np.where(steep, mean / np.where(whole > 0, whole, 1.0), c2))
    return c0, c2

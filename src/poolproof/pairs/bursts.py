"""A second variance of the bend of counts, for pairs where squared residuals cannot be trusted.

Omega of the corrected test takes the noise of y from squared residuals. Where few cells have a large x, and y
is on in few cells, those few squares are mostly 0: the variance is missed, and the bend looks significant
(y on in 10 % of cells, x log-normal: .26 of affine truths rejected at 5 %, .03 at .01 %). There a model gives
the noise of y instead, variance c_0 + c_2 m^2 with m the line in x, learnt where there are cells, and the
smaller statistic of the two counts.
"""

from __future__ import annotations

import numpy as np

UPPER = 2 / 3
"""Quantile of x that parts the two bins from which the model is learnt."""
KURTOSIS = 7.0
"""Of the residuals in units of the model, above which a target counts as bursty; gamma noise of squared CV
.25 with counting noise has 4 to 6."""
RELATIVE_VARIANCE = 1.0
"""Squared coefficient of variation of Omega_22 above which it is no estimate."""


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
    u2 = y - slope[:, None] * x
    np.multiply(u2, u2, out=u2)
    high = _upper_bin(x)
    c0, c2 = _model(u2, ybar, slope, x, high)
    products = f[1] * f[1], f[1] * f[2], f[2] * f[2]
    weights = np.stack([np.ones(n), products[0] ** 2, *products])
    line, heavy, light, *others = _powers(ybar, slope, x, weights)  # means of m^0 .. m^4
    fourth = np.einsum("mn,mn->m", u2, u2) / n
    of_squares = c0 * c0 * heavy[0] + 2 * c0 * c2 * heavy[2] + c2 * c2 * heavy[4]
    with np.errstate(divide="ignore", invalid="ignore"):  # targets that x explains wholly: not guarded
        kurtosis = fourth / (c0 * c0 + 2 * c0 * c2 * line[2] + c2 * c2 * line[4])
        relative = kurtosis * of_squares / (n * (c0 * light[0] + c2 * light[2]) ** 2)
    modelled = []
    for of, whole, part in zip((light, *others), omega, square, strict=True):
        along = of[2] - 2 * ybar * of[1] + ybar**2 * of[0]  # of (m - ybar)^2
        modelled.append(whole - part + c0 * of[0] + c2 * of[2] + along)
    o22, o23, o33 = modelled
    g2, g3 = bends
    determinant = o22 * o33 - o23 * o23
    sound = (determinant > 1e-6 * o22 * o33) & (o22 > 0)
    value = n * (o33 * g2 * g2 - 2 * o23 * g2 * g3 + o22 * g3 * g3) / np.where(sound, determinant, 1.0)
    wanted = sound & (kurtosis > KURTOSIS) & (relative > RELATIVE_VARIANCE)
    return np.where(wanted, np.minimum(value, wald), wald)


def _upper_bin(x: np.ndarray) -> np.ndarray:
    """Cells with large x, about a third of them; ties go to the smaller bin unless that is tiny."""
    edge = np.quantile(x, UPPER)
    high = x > edge
    return high if high.sum() >= len(x) / 20 else x >= edge


def _model(
    u2: np.ndarray, ybar: np.ndarray, slope: np.ndarray, x: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """c_0 and c_2 of every target, neither below 0, from the mean squares in two bins of x."""
    if high.all() or not high.any():
        return u2.mean(axis=1), np.zeros(len(u2))
    bins = np.stack([~high, high]).astype(np.float64)
    sizes = bins.sum(axis=1)
    low_u, high_u = (u2 @ (bins / sizes[:, None]).T).T
    low_m, high_m = (
        of[2] * len(x) / size for of, size in zip(_powers(ybar, slope, x, bins), sizes, strict=True)
    )
    step = high_m - low_m
    c2 = (high_u - low_u) / np.where(step > 0, step, 1.0)
    c0 = low_u - c2 * low_m
    mean = u2.mean(axis=1)
    whole = (low_m * sizes[0] + high_m * sizes[1]) / len(x)
    flat = (step <= 0) | (c2 < 0)
    steep = ~flat & (c0 < 0)
    c0 = np.where(flat, mean, np.where(steep, 0.0, c0))
    c2 = np.where(flat, 0.0, np.where(steep, mean / np.where(whole > 0, whole, 1.0), c2))
    return c0, c2


def _powers(
    ybar: np.ndarray, slope: np.ndarray, x: np.ndarray, weights: np.ndarray
) -> list[list[np.ndarray]]:
    """Means over cells of weights ``(w, n)`` times m^0 .. m^4, m = ybar + slope x; each of shape ``(m,)``."""
    powers = np.stack([np.ones_like(x), x, x**2, x**3, x**4])
    a, b = ybar, slope
    binomial = [  # of (a + b x)^j
        [np.ones_like(a)],
        [a, b],
        [a**2, 2 * a * b, b**2],
        [a**3, 3 * a**2 * b, 3 * a * b**2, b**3],
        [a**4, 4 * a**3 * b, 6 * a**2 * b**2, 4 * a * b**3, b**4],
    ]
    return [
        [sum((c * mean for c, mean in zip(of, moment, strict=False)), np.zeros_like(a)) for of in binomial]
        for moment in (weights @ powers.T / len(x)).tolist()
    ]

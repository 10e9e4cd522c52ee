"""Power of the tests of a pair and of a triple for a design (method 7c).

The robust tests are scores over their own estimate of variance, s'M^-1 s with M the sum of z z', z what
each sample adds to s. M holds s itself, so that the statistic is n times a squared multiple correlation: for
normal z it follows Hotelling's law bent back, Q = n T2 / (n - 1 + T2). That, and the weight 1 / (1 - h)^2 of
M, are why few samples show so little.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy import special, stats

Array = np.ndarray
Number = np.ndarray | float
Z_UPPER = 1.645
"""Quantile of the bound of the share, and of the calls of triples."""
Z_UPPER_COUNTS = 1.96


def sample_kurtosis(kurtosis: Number, n: Number) -> Array:
    """What a sample of n shows of a kurtosis (3: normal): few samples seldom hold the far values.

    An approximation to simulated means (gamma and log-normal laws, n = 30 to 1,000; within a tenth or so).

    Examples
    --------
    >>> sample_kurtosis(6.0, np.array([60, 1e6])).round(2).tolist()
    [5.25, 6.0]
    """
    excess = np.asarray(kurtosis) - 3.0
    return np.asarray(3 + excess / (1 + 20 * np.maximum(excess, 0) / (3 * np.asarray(n, dtype=float))))


def leverage_weight(kurtosis: Number, n: Number) -> Array:
    """By how much HC3 enlarges the variance of a score: 1 + 2 (1 + kurtosis) / n, from mean leverages."""
    return np.asarray(1 + 2 * (1 + np.asarray(kurtosis)) / n)


def score_power(ncp: Number, n: Number, cut: Number, n_columns: int, weight: Number = 1.0) -> Array:
    """Power of a score of ``n_columns`` columns over its own sum of squares, tested as chi-square.

    Parameters
    ----------
    ncp
        n times squared effects over the variance of the noise.
    n
        Independent units.
    cut
        p-value below which the test rejects.
    n_columns
        Columns of the score.
    weight
        By how much the variance is taken too large.
    """
    q = stats.chi2.isf(cut, n_columns) * weight / n
    inside = q < 1
    q = np.where(inside, q, 0.5)
    f = q / (1 - q) * np.maximum(n - n_columns, 1) / n_columns
    power = 1 - special.ncfdtr(n_columns, np.maximum(n - n_columns, 1), np.maximum(ncp, 1e-9), f)
    return np.asarray(np.where(inside, power, 0.0))


def wald_power(ncp: Number, n: Number, cut: Number, n_columns: int, *, hotelling: bool) -> Array:
    """Power of a quadratic form in effects over their estimated covariance from n units.

    Tested by Hotelling's law (replicates) or, as for counts, by that of chi-square.

    Examples
    --------
    >>> wald_power(0.0, 8.0, 0.05, 2, hotelling=True).round(3).tolist()
    0.05
    >>> wald_power(0.0, 200.0, 0.05, 2, hotelling=False).round(3).tolist()
    0.053
    """
    rest = np.maximum(np.asarray(n, dtype=float) - n_columns, 1)
    if hotelling:
        f = stats.f.isf(cut, n_columns, rest)
    else:
        f = stats.chi2.isf(cut, n_columns) / n_columns * rest / np.maximum(np.asarray(n) - 1.0, 1)
    return np.asarray(1 - special.ncfdtr(n_columns, rest, np.maximum(ncp, 1e-9), f))


def bend_power(
    line: Array, bend: Array, n: Number, cut: Number, *, noise: Number = 1.0, kurtosis: Number = 3.0
) -> Array:
    """Power to find the bend of one pair of values at a p-value.

    Parameters
    ----------
    line, bend
        Shares of the variance of y in the units tested, any shape.
    n
        Units.
    cut
        p-value below which a pair counts as bent.
    noise
        Variance of q u along the bend over that of u: 1 where the spread of y does not depend on x.
    kurtosis
        Of the regulator in these units.

    Examples
    --------
    >>> bend_power(np.array([0.3]), np.array([0.05]), np.array([60, 250, 1000]), 1e-3).round(2).tolist()
    [0.01, 0.59, 1.0]
    """
    variance = np.maximum((1 - line) * noise - bend, 1e-3)
    k = columns_of(n)
    weight = leverage_weight(sample_kurtosis(kurtosis, n), n)
    return score_power(n * bend / variance, n, cut, k - 1, weight)


def columns_of(n: Number) -> int:
    """Columns of a spline basis: 5, with fewer than 30 samples n // 6, at least 2."""
    n = int(np.min(n))
    return 5 if n >= 30 else max(n // 6, 2)


def association_power(
    line: Array, bend: Array, n: Number, cut: Number, *, noise: Number = 1.0, kurtosis: Number = 3.0
) -> Array:
    """Power to find that x explains y, by the line or by all columns (Bonferroni), values.

    The line is a t test with HC3 and n / kurtosis degrees of freedom; the score of all columns takes y itself
    for noise. Both look at the same samples: half of what an independent second test would add is added.

    Examples
    --------
    >>> association_power(np.array([0.1]), np.array([0.0]), np.array([60, 250]), 1e-3).round(2).tolist()
    [0.08, 0.96]
    """
    n = np.asarray(n, dtype=float)
    tails = sample_kurtosis(kurtosis, n)
    df = np.maximum(np.minimum(n / tails, n - 2), 1.0)
    slope = n * line / np.maximum((1 - line) * noise * leverage_weight(tails, n), 1e-3)
    by_line = 1 - special.ncfdtr(1, df, np.maximum(slope, 1e-9), stats.f.isf(np.asarray(cut) / 2, 1, df))
    around = np.maximum(1 - line + (tails - 1) * line - line, 1e-3)
    every = n * (line / around + bend / np.maximum((1 - line) * noise, 1e-3))
    by_all = score_power(every, n, np.asarray(cut) / 2, columns_of(n))
    larger, smaller = np.maximum(by_line, by_all), np.minimum(by_line, by_all)
    return np.asarray(larger + 0.5 * (1 - larger) * smaller)


_NODES, _WEIGHTS = hermegauss(24)


def affine_power(
    line: Array,
    bend: Array,
    n: Number,
    margin: Number,
    *,
    n_bends: int = 4,
    noise: Number = 1.0,
    kurtosis: Number = 3.0,
    z: float = Z_UPPER,
) -> Array:
    """Power to call a pair affine: the bound r - c b + z sqrt(v) of method 7.2 falls below 0.

    b is normal around its value, n r^2 over its variance a non-central chi-square; c^2 = margin / (1 -
    margin).

    Examples
    --------
    >>> affine_power(np.array([0.3]), np.array([0.0]), np.array([100, 300, 1000]), 0.1).round(2).tolist()
    [0.01, 0.6, 1.0]
    """
    c = np.sqrt(np.asarray(margin) / (1 - np.asarray(margin)))[..., None]
    line, bend, n, noise, tails = np.broadcast_arrays(
        *(
            np.asarray(of, dtype=float)[..., None]
            for of in (line, bend, n, noise, sample_kurtosis(kurtosis, n))
        )
    )
    variance = np.maximum((1 - line) * noise, 1e-9) / n
    b = np.sqrt(line) + _NODES * np.sqrt(variance * (1 - line))
    reach = z * np.sqrt(variance * leverage_weight(tails, n) * (1 + c * c))
    room = np.maximum(c * np.abs(b) - reach, 0.0)
    inside = special.chndtr(room**2 / variance, n_bends, np.maximum(bend / variance, 1e-9))
    return np.asarray((inside * _WEIGHTS).sum(axis=-1) / _WEIGHTS.sum())


def column_kurtosis(n22: float) -> float:
    """Kurtosis of the column x^2 - 1 - g3 x of a gamma regulator with this n22; 15 where x is normal.

    A gamma law of shape a has the cumulants (r - 1)! a^(1 - r/2), and n22 = 2 + 2 / a; cells of a pool add up
    to such a law again.

    Examples
    --------
    >>> round(column_kurtosis(2.0), 1), round(column_kurtosis(3.0), 1)
    (15.0, 141.0)
    """
    t = max(n22 - 2.0, 0.0) / 2  # 1 / a
    cumulants = [0.0, 1.0, *(math.factorial(r - 1) * t ** (r / 2 - 1) for r in range(3, 9))]
    moments = [1.0]
    for n in range(1, 9):
        moments.append(
            sum(math.comb(n - 1, k - 1) * cumulants[k - 1] * moments[n - k] for k in range(1, n + 1))
        )
    column = np.polynomial.Polynomial([-1.0, -moments[3], 1.0])
    square, fourth = ((column**power).coef @ np.array(moments[: 2 * power + 1]) for power in (2, 4))
    return float(fourth / square**2)


def triple_power(
    given_curve: Number,
    given_line: Number,
    n: Number,
    margin: float,
    *,
    noise: Number = 1.0,
    tails: float = 15.0,
) -> dict[str, Array]:
    """Power to tell a triple: separated (given a curve), and kept, distorted, or dependent.

    Parameters
    ----------
    given_curve, given_line
        Partial correlations of x and z given a curve, and a line, in y.
    n
        Units.
    margin
        Partial correlations below it count as none.
    noise
        Variance of the product of residuals over that of unrelated ones of equal size.
    tails
        Kurtosis of the bend that both ends have in common: what the line leaves of it is in the standard
        error of ``given_line``. Where that is large the estimate is, too, so that their difference scatters
        no more than without.

    Returns
    -------
    ``separated``, and the calls ``kept``, ``distorted``, ``hidden``, ``dependent``: each a share of runs.

    Examples
    --------
    >>> found = triple_power(0.0, 0.3, np.array([200.0, 1000.0, 5000.0]), 0.1)
    >>> found["distorted"].round(2).tolist()
    [0.0, 0.87, 1.0]
    """
    rho_s, rho_l, n, noise = np.broadcast_arrays(
        *(np.asarray(of, dtype=float) for of in (given_curve, given_line, n, noise))
    )
    error_s, error_l = (np.sqrt(noise / n) * (1 - rho**2) for rho in (rho_s, rho_l))
    bend = np.abs(rho_l - rho_s)
    shared = np.clip(1 - bend, 0.0, 0.999)[..., None]
    told_s = np.sqrt(noise / n)
    told_l = np.sqrt((noise + bend**2 * (sample_kurtosis(tails, n) - 1)) / n)
    nodes, weights = np.linspace(-5, 5, 401), stats.norm.pdf(np.linspace(-5, 5, 401))
    weights /= weights.sum()
    found = {}
    at = rho_s[..., None] + error_s[..., None] * nodes
    room = margin - Z_UPPER * told_s[..., None]
    separated = np.abs(at) < room
    dependent = np.abs(at) > margin + Z_UPPER * told_s[..., None]
    middle = rho_l[..., None] + error_l[..., None] * shared * nodes
    spread = np.maximum(error_l[..., None] * np.sqrt(1 - shared**2), 1e-12)
    low, high = (margin + sign * Z_UPPER * told_l[..., None] for sign in (-1, 1))
    small = np.where(
        low > 0, special.ndtr((low - middle) / spread) - special.ndtr((-low - middle) / spread), 0
    )
    large = special.ndtr((middle - high) / spread) + special.ndtr((-high - middle) / spread)
    found["separated"] = (separated * weights).sum(axis=-1)
    for name, first, second in (
        ("kept", separated, small),
        ("distorted", separated, large),
        ("hidden", dependent, small),
        ("dependent", dependent, large),
    ):
        found[name] = (first * second * weights).sum(axis=-1)
    return found


def false_edges(distortion: Number, n: Number, cut: Number) -> Array:
    """Share of separated triples that a test of linear partial correlations takes for edges in pools.

    ``distortion`` is the root mean square of what pooling adds to a partial correlation (method 8.6), taken
    as normal over triples; errors are 1 / sqrt(n).

    Examples
    --------
    >>> false_edges(0.05, np.array([100.0, 1000.0, 10000.0]), 0.05).round(2).tolist()
    [0.08, 0.29, 0.7]
    """
    z = stats.norm.isf(np.asarray(cut) / 2)
    return np.asarray(2 * stats.norm.sf(z / np.sqrt(1 + np.asarray(n) * np.asarray(distortion) ** 2)))


def fdr_cut(power: Callable[[float], float], fdr: float, n_pairs: float) -> float:
    """The p-value at which Benjamini & Hochberg cut when pairs have this power on average.

    The largest p with p <= fdr * (rejected share at p); ``fdr / n_pairs`` where there is none.

    Parameters
    ----------
    power
        From a p-value to the mean share rejected over all tested pairs, unrelated ones included.
    """
    low, high = np.log(fdr / n_pairs), np.log(fdr)
    steps = np.linspace(high, low, 13)
    passed = next((i for i, at in enumerate(steps) if np.exp(at) <= fdr * power(float(np.exp(at)))), None)
    if passed is None:
        return fdr / n_pairs
    inside, outside = steps[passed], steps[max(passed - 1, 0)]
    for _ in range(8):
        middle = (inside + outside) / 2
        if np.exp(middle) <= fdr * power(float(np.exp(middle))):
            inside = middle
        else:
            outside = middle
    return float(np.exp(inside))

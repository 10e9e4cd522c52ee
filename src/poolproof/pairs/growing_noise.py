"""A second test of a bend, where HC3 cannot know the noise: least squares weighted by how noise grows with x.

HC3 takes the noise of the few samples with a large x from these samples themselves. Where x is skewed and y
comes in bursts (on in one sample of ten), most of them are off, their squared residuals are small, and the
variance of the score is missed (method 7b: .28 of affine truths rejected at 5 %, .02 at .01 %). The other
samples tell how noise grows: its variance is one of few shapes in x, by likelihood, and the bends are tested
by the F statistic of the weighted fit. The smaller statistic counts, as far as the first one is in doubt.

No zero of a gene matters: shapes are built from the distance to the smallest and to the largest x, in units
of the standard deviation of x, so that all here stays the same if x or y is shifted or scaled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy import special

from .score_kernels import MaskedColumns

SQUARES = (0.05, 0.2, 0.6, 2.0)
"""Variance (c + t)^2, t the distance to an end of x: these c."""
LINES = (0.05, 0.4)
"""Variance c + t."""
HEED = 0.06
"""P-value of a bend from which on the second test is not asked; nor does it make any larger than this. No
false-discovery cut at 5 % lies above it."""
BURSTY = 0.15
"""Concentration of the bends of x times kurtosis of y, below which the second test is not asked."""
DOUBT = (0.1, 0.2)
"""Squared relative error of the variance of the score between which the second test gets its full say."""


class Regulators(NamedTuple):
    """What the second test needs of a block of regulators in one level, float64 always."""

    x: np.ndarray
    """Values, shape ``(R, n)``."""
    columns: np.ndarray
    """Orthonormal columns, shape ``(k, R, n)``."""
    concentration: np.ndarray
    """See :func:`concentration`, shape ``(R,)``."""

    def take(self, chosen: np.ndarray) -> Regulators:
        """Those of some regulators."""
        return Regulators(self.x[chosen], self.columns[:, chosen], self.concentration[chosen])


def concentration(columns: np.ndarray) -> np.ndarray:
    """How far few samples carry the bends: sum of squared leverages over their sum, from k/n to 1.

    ``columns`` has shape ``(k, R, n)``; the first one, the line, does not count. Shape ``(R,)``.
    """
    leverage = np.einsum("krn,krn->rn", columns[1:], columns[1:])
    whole = leverage.sum(axis=1)
    return np.einsum("rn,rn->r", leverage, leverage) / np.where(whole > 0, whole, 1.0)


def shapes(x: np.ndarray) -> np.ndarray:
    """Shapes that the variance of y may have over x, one row each, ``(n_shapes, n)``: constant, or growing.

    Examples
    --------
    >>> shapes(np.arange(9.0)).shape
    (13, 9)
    """
    rows = [np.ones_like(x)]
    for distance in (x - x.min(), x.max() - x):
        t = distance / x.std()
        rows += [(c + t) ** 2 for c in SQUARES] + [c + t for c in LINES]
    return np.stack(rows)


def weighted_statistics(
    x: np.ndarray, columns: np.ndarray, nuisance: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Test the bends of one regulator by weighted least squares, and say how sure HC3 can be.

    Parameters
    ----------
    x
        Values of the regulator, shape ``(n,)``.
    columns
        Its orthonormal columns, the line first, no column 0, shape ``(k, n)``.
    nuisance
        Orthonormal columns of covariates, the constant first, shape ``(n, p)``.
    y
        Targets, covariates projected out, shape ``(m, n)``.

    Returns
    -------
    statistic
        The bends' sum of squares over the variance that the line leaves, chi-square with k - 1 degrees of
        freedom if E[y|x] is affine; shape ``(m,)``.
    doubt
        Squared relative error of the variance of the plain score, kurtosis of the standardised residuals
        times the share-weighted concentration of that variance in few samples; shape ``(m,)``.
    """
    n = len(x)
    u = y - np.outer(y @ columns[0], columns[0])
    square = u * u
    variance = shapes(x)
    weight = 1 / variance
    left = square @ weight.T  # sum of u^2 / v, (m, n_shapes)
    with np.errstate(divide="ignore"):  # nothing left: the first shape is as good as any
        loss = n * np.log(left) + np.log(variance).sum(axis=1)
    best = loss.argmin(axis=1)
    each = np.arange(len(y))
    square *= square
    with np.errstate(divide="ignore", invalid="ignore"):
        kurtosis = n * (square @ (weight * weight).T)[each, best] / left[each, best] ** 2
    design = np.concatenate([nuisance.T, columns])
    n_null = nuisance.shape[1] + 1
    statistic, doubt = np.zeros(len(y)), np.zeros(len(y))
    for shape in np.unique(best).tolist():
        chosen = best == shape
        weighted = design * weight[shape]
        lower = np.linalg.cholesky(weighted @ design.T)
        fitted = scipy.linalg.solve_triangular(lower, weighted @ u[chosen].T, lower=True) ** 2
        rest = left[chosen, shape] - fitted[:n_null].sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (n - n_null) * fitted[n_null:].sum(axis=0) / rest
        statistic[chosen] = np.where(rest > 0, found, np.inf)
        doubt[chosen] = kurtosis[chosen] * _of_variance(columns[1:], variance[shape])
    return statistic, np.where(np.isfinite(doubt), doubt, 0.0)


def _of_variance(bends: np.ndarray, variance: np.ndarray) -> float:
    """Sum of the squared shares that samples have of the scores' variance, in its own metric, per column."""
    whole = (bends * variance) @ bends.T
    share = variance * np.einsum("jn,jn->n", bends, np.linalg.inv(whole) @ bends)
    return float(share @ share / len(bends))


def lowered(
    statistic: np.ndarray, x: np.ndarray, columns: np.ndarray, nuisance: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Robust scores of one regulator after a second look; parameters of :func:`weighted_statistics`.

    None is lowered below where it has the p-value `HEED`.
    """
    second, doubt = weighted_statistics(x, columns, nuisance, y)
    return np.maximum(doubted(statistic, second, doubt), least(len(columns)))


def least(n_columns: np.ndarray | int) -> np.ndarray:
    """The score of bends that has the p-value `HEED`, for bases of so many columns."""
    return np.asarray(special.chdtri(np.maximum(np.asarray(n_columns) - 1, 1), HEED))


def lower_incomplete(statistic: np.ndarray, x: np.ndarray, masked: MaskedColumns) -> None:
    """Lower statistics of one regulator and targets with missing values, in place, shape ``(m,)``.

    Every pair has samples of its own, and is looked at by itself.
    """
    mask: np.ndarray = masked.mask > 0
    leverage = (masked.own[:, 1:] ** 2).sum(axis=1)
    whole = leverage.sum(axis=1)
    narrow = (leverage**2).sum(axis=1) / np.where(whole > 0, whole, 1.0)
    kurtosis = mask.sum(axis=1) * (masked.values**4).sum(axis=1)
    usable: np.ndarray = np.any(masked.own != 0, axis=2)
    n_columns = usable.sum(axis=1)
    wanted = np.asarray((statistic > least(n_columns)) & (narrow * kurtosis > BURSTY) & (n_columns > 1))
    known = x[masked.known]
    for pair in np.flatnonzero(wanted).tolist():
        at = mask[pair]
        columns = masked.own[pair][usable[pair]][:, at]
        nuisance = masked.nuisance[pair]
        nuisance = nuisance[nuisance.any(axis=1)][:, at].T
        one = slice(pair, pair + 1)
        statistic[one] = lowered(statistic[one], known[at], columns, nuisance, masked.values[one, at])


def doubted(statistic: np.ndarray, second: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """The statistic, moved towards the smaller of the two as far as it is in doubt; any one shape.

    Examples
    --------
    >>> doubted(np.array([20.0, 20.0, 20.0]), np.array([4.0, 4.0, 30.0]), np.array([0.1, 0.15, 0.9]))
    array([20., 12., 20.])
    """
    low, high = DOUBT
    say = np.clip((doubt - low) / (high - low), 0.0, 1.0)
    return statistic - say * np.maximum(statistic - second, 0.0)

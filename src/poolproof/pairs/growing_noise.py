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

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special

from .score_kernels import MaskedColumns

SQUARES = (0.05, 0.2, 0.6, 2.0)
"""Variance (c + t)^2, t the distance to an end of x: these c."""
LINES = (0.05, 0.4)
"""Variance c + t."""
OFFSETS = np.array(SQUARES + LINES)
N_SHAPES = 1 + 2 * len(OFFSETS)
AT_ONCE = 64
"""Targets looked at together: their arrays stay in the processor's cache."""
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
    variance = np.ones((N_SHAPES, len(x)))
    _fill_shapes(x, variance)
    return variance


def _fill_shapes(x: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Put the growing shapes into rows of ones; returns the sum of the logarithms of each row."""
    n_grow = len(OFFSETS)
    logs = np.zeros(N_SHAPES)
    for start, distance in ((1, x - x.min()), (1 + n_grow, x.max() - x)):
        rows = slice(start, start + n_grow)
        np.add(distance / x.std(), OFFSETS[:, None], out=variance[rows])
        logs[rows] = np.log(variance[rows]).sum(axis=1)
        squares = slice(start, start + len(SQUARES))
        logs[squares] *= 2
        variance[squares] *= variance[squares]
    return logs


class SecondTest:
    """The second test in one level, for one regulator after the other.

    Its arrays are kept from one to the next: to allocate them takes longer than to fill them.

    Parameters
    ----------
    nuisance
        Orthonormal columns of covariates, the constant first, shape ``(n, p)``.
    """

    def __init__(self, nuisance: np.ndarray) -> None:
        n = len(nuisance)
        self._nuisance = np.ascontiguousarray(nuisance.T)
        self._variance, self._weight = np.ones((N_SHAPES, n)), np.ones((N_SHAPES, n))
        self._share = np.empty((N_SHAPES, n))
        self._rows = np.empty((3, AT_ONCE, n))

    def statistics(self, x: np.ndarray, columns: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Test the bends of one regulator by weighted least squares, and say how sure HC3 can be.

        Parameters
        ----------
        x
            Values of the regulator, shape ``(n,)``.
        columns
            Its orthonormal columns, the line first, no column 0, shape ``(k, n)``.
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
        logs = _fill_shapes(x, self._variance)
        np.divide(1.0, self._variance[1:], out=self._weight[1:])
        design = np.concatenate([self._nuisance, columns])
        least_squares = _Fits(design, self._weight)
        parts = [
            self._some(design, len(columns), logs, least_squares, y[low : low + AT_ONCE])
            for low in range(0, len(y), AT_ONCE)
        ]
        statistic, doubt, best = (np.concatenate(part) for part in zip(*parts, strict=True))
        doubt *= self._of_variance(columns[1:])[best]
        return statistic, np.where(np.isfinite(doubt), doubt, 0.0)

    def _some(
        self, design: np.ndarray, k: int, logs: np.ndarray, fits: _Fits, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Statistics of a few targets, the kurtosis of their standardised residuals, and their shapes."""
        m, n = y.shape
        n_null = len(design) - k + 1
        u, square, scaled = (rows[:m] for rows in self._rows)
        line = design[n_null - 1]
        np.multiply((y @ line)[:, None], line, out=u)
        np.subtract(y, u, out=u)
        np.multiply(u, u, out=square)
        sums = square @ self._weight.T  # of u^2 / v, (m, n_shapes)
        with np.errstate(divide="ignore"):  # nothing left: the first shape is as good as any
            best = (n * np.log(sums) + logs).argmin(axis=1)
        whole = sums[np.arange(m), best]
        np.take(self._weight, best, axis=0, out=scaled, mode="clip")
        scaled *= u
        fitted = fits.coefficients(scaled @ design.T, best) ** 2
        scaled *= u
        rest = whole - fitted[:, :n_null].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (n - n_null) * fitted[:, n_null:].sum(axis=1) / rest
            kurtosis = n * np.einsum("mn,mn->m", scaled, scaled) / whole**2
        return np.where(rest > 0, found, np.inf), kurtosis, best

    def _of_variance(self, bends: np.ndarray) -> np.ndarray:
        """Sum of the squared shares that samples have of the scores' variance, per column, for every shape."""
        left, right = _triangle(len(bends))
        products = bends[left] * bends[right]
        whole = np.empty((N_SHAPES, len(bends), len(bends)))
        whole[:, left, right] = whole[:, right, left] = self._variance @ products.T
        inverse = np.linalg.inv(whole)[:, left, right] * np.where(left == right, 1.0, 2.0)
        share = np.matmul(inverse, products, out=self._share)
        share *= self._variance
        return np.einsum("sn,sn->s", share, share) / len(bends)


class _Fits:
    """Weighted least squares on one design, by the Cholesky factors of those shapes that are asked for."""

    def __init__(self, design: np.ndarray, weight: np.ndarray) -> None:
        self._design, self._weight = design, weight
        self._back: dict[int, np.ndarray] = {}

    def coefficients(self, right: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Coefficients along the columns of the design, each made orthonormal after those before it.

        ``right`` holds the weighted scores of m targets, shape ``(m, d)``, ``shape`` their shapes, ``(m,)``.
        """
        found = np.empty_like(right)
        for s in np.unique(shape).tolist():
            if s not in self._back:
                gram = (self._design * self._weight[s]) @ self._design.T
                self._back[s] = np.linalg.inv(np.linalg.cholesky(gram))
            chosen = shape == s
            found[chosen] = right[chosen] @ self._back[s].T
        return found


@lru_cache
def _triangle(k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(k)


def weighted_statistics(
    x: np.ndarray, columns: np.ndarray, nuisance: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Test the bends of one regulator: :meth:`SecondTest.statistics`, with its covariates ``(n, p)``."""
    return SecondTest(nuisance).statistics(x, columns, y)


def lowered(
    statistic: np.ndarray, test: SecondTest, x: np.ndarray, columns: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Robust scores of one regulator after a second look; parameters of :meth:`SecondTest.statistics`.

    None is lowered below where it has the p-value `HEED`.
    """
    second, doubt = test.statistics(x, columns, y)
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
        statistic[one] = lowered(
            statistic[one], SecondTest(nuisance), known[at], columns, masked.values[one, at]
        )


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

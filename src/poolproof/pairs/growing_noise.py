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

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special

from .calls import minus_log_sf

SQUARES = (0.05, 0.2, 0.6, 2.0)
"""Variance (c + t)^2, t the distance to an end of x: these c."""
LINES = (0.05, 0.4)
"""Variance c + t."""
OFFSETS = np.array(SQUARES + LINES)
N_SHAPES = 1 + 2 * len(OFFSETS)
FEW_COLUMNS = 12
"""Up to so many columns of the design all their products are made at once."""
AT_ONCE = 64
"""Targets looked at together: their arrays stay in the processor's cache."""
HEED = 0.06
"""P-value of a bend from which on the second test is not asked; nor does it make any larger than this. No
false-discovery cut at 5 % lies above it."""
BURSTY = 0.15
"""Concentration of the bends of x times kurtosis of y, below which the second test is not asked."""
DOUBT = (0.1, 0.2)
"""Squared relative error of the variance of the score between which the second test gets its full say."""


class Growth(NamedTuple):
    """What all targets of one regulator share."""

    logs: np.ndarray
    """Sum of the logarithms of each shape, shape ``(n_shapes,)``."""
    back: np.ndarray
    """Weighted scores along the design to coefficients along its columns made orthonormal, one after the
    other; shape ``(n_shapes, d, d)``."""
    share: np.ndarray
    """Sum of the squared shares that samples have of the scores' variance, per column; ``(n_shapes,)``."""


@dataclass(frozen=True, eq=False)
class Regulators:
    """What the second test needs of a block of regulators in one level, float64 always."""

    x: np.ndarray
    """Values, shape ``(R, n)``."""
    columns: np.ndarray
    """Orthonormal columns, shape ``(k, R, n)``."""
    concentration: np.ndarray
    """See :func:`concentration`, shape ``(R,)``."""
    known: dict[int, Growth] = field(default_factory=dict)
    """By place in the block, those that were asked for before."""

    def take(self, chosen: np.ndarray) -> Regulators:
        """Those of some regulators."""
        known = {new: self.known[old] for new, old in enumerate(chosen.tolist()) if old in self.known}
        return Regulators(self.x[chosen], self.columns[:, chosen], self.concentration[chosen], known)


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


def _fill_shapes(x: np.ndarray, variance: np.ndarray) -> None:
    """Put the growing shapes into rows of ones."""
    centred = x - x.mean()
    distance = np.stack([x - x.min(), x.max() - x]) / np.sqrt(centred @ centred / len(x))
    growing = variance[1:].reshape(2, len(OFFSETS), -1)
    np.add(distance[:, None], OFFSETS[:, None], out=growing)
    squares = growing[:, : len(SQUARES)]
    np.multiply(squares, squares, out=squares)


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
        self._rows = np.empty((3, AT_ONCE, n))

    def statistics(
        self, x: np.ndarray, columns: np.ndarray, y: np.ndarray, known: Growth | None = None
    ) -> tuple[np.ndarray, np.ndarray, Growth]:
        """Test the bends of one regulator by weighted least squares, and say how sure HC3 can be.

        Parameters
        ----------
        x
            Values of the regulator, shape ``(n,)``.
        columns
            Its orthonormal columns, the line first, no column 0, shape ``(k, n)``.
        y
            Targets, covariates projected out, shape ``(m, n)``.
        known
            What this gave before for the same regulator.

        Returns
        -------
        statistic
            The bends' sum of squares over the variance that the line leaves, chi-square with k - 1 degrees of
            freedom if E[y|x] is affine; shape ``(m,)``.
        doubt
            Squared relative error of the variance of the plain score, kurtosis of the standardised residuals
            times the share-weighted concentration of that variance in few samples; shape ``(m,)``.
        known
            What other targets of this regulator need as well.
        """
        _fill_shapes(x, self._variance)
        np.divide(1.0, self._variance[1:], out=self._weight[1:])
        design = np.concatenate([self._nuisance, columns])
        if known is None:
            known = self._growth(design, len(columns))
        parts = [
            self._some(design, len(columns), known, y[low : low + AT_ONCE])
            for low in range(0, len(y), AT_ONCE)
        ]
        statistic, doubt = (np.concatenate(part) for part in zip(*parts, strict=True))
        return statistic, np.where(np.isfinite(doubt), doubt, 0.0), known

    def _growth(self, design: np.ndarray, k: int) -> Growth:
        d = len(design)
        logs = np.log(self._variance).sum(axis=1)
        if d <= FEW_COLUMNS:
            products = _products(design)
            left, right = _triangle(d)
            gram = np.empty((N_SHAPES, d, d))
            gram[:, left, right] = gram[:, right, left] = self._weight @ products.T
            products = products[len(products) - k * (k - 1) // 2 :]
        else:
            gram = np.stack([(design * weight) @ design.T for weight in self._weight])
            products = _products(design[d - k + 1 :])
        back = np.linalg.inv(np.linalg.cholesky(gram))
        left, right = _triangle(k - 1)
        whole = np.empty((N_SHAPES, k - 1, k - 1))
        whole[:, left, right] = whole[:, right, left] = self._variance @ products.T
        share = (np.linalg.inv(whole)[:, left, right] * np.where(left == right, 1.0, 2.0)) @ products
        share *= self._variance
        return Growth(logs, back, np.einsum("sn,sn->s", share, share) / (k - 1))

    def _some(
        self, design: np.ndarray, k: int, known: Growth, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Statistic and doubt of at most `AT_ONCE` targets."""
        m, n = y.shape
        n_null = len(design) - k + 1
        u, square, scaled = self._rows[:, :m]
        line = design[n_null - 1]
        np.dot((y @ line)[:, None], line[None], out=u)
        np.subtract(y, u, out=u)
        np.multiply(u, u, out=square)
        sums = square @ self._weight.T  # of u^2 / v, (m, n_shapes)
        with np.errstate(divide="ignore"):  # nothing left: the first shape is as good as any
            best = (n * np.log(sums) + known.logs).argmin(axis=1)
        whole = sums[np.arange(m), best]
        np.take(self._weight, best, axis=0, out=scaled, mode="clip")
        scaled *= u
        score = np.matmul(known.back[best], (scaled @ design.T)[:, :, None])[:, :, 0]
        score *= score
        scaled *= u
        rest = whole - score[:, :n_null].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (n - n_null) * score[:, n_null:].sum(axis=1) / rest
            kurtosis = n * np.einsum("mn,mn->m", scaled, scaled) / whole**2
        return np.where(rest > 0, found, np.inf), kurtosis * known.share[best]


def _products(rows: np.ndarray) -> np.ndarray:
    """Products of every row with itself and those after it, in the order of :func:`_triangle`."""
    n_rows = len(rows)
    found = np.empty((n_rows * (n_rows + 1) // 2, rows.shape[1]))
    low = 0
    for i in range(n_rows):
        np.multiply(rows[i], rows[i:], out=found[low : low + n_rows - i])
        low += n_rows - i
    return found


@lru_cache
def _triangle(k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(k)


def weighted_statistics(
    x: np.ndarray, columns: np.ndarray, nuisance: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Test the bends of one regulator: :meth:`SecondTest.statistics`, with its covariates ``(n, p)``."""
    return SecondTest(nuisance).statistics(x, columns, y)[:2]


def lowered(
    value: np.ndarray, second: np.ndarray, doubt: np.ndarray, k: int, *, replicates: bool = False
) -> np.ndarray:
    """Robust scores after a second look, with ``replicates`` their -ln p, which follows another law.

    None is lowered below where it has the p-value `HEED`. ``k`` columns have the basis.
    """
    if replicates:
        second = minus_log_sf(second, k - 1)
    return np.maximum(doubted(value, second, doubt), least(k, replicates=replicates))


def least(n_columns: np.ndarray | int, *, replicates: bool = False) -> np.ndarray:
    """The score of bends (with ``replicates`` -ln p) of p-value `HEED`, for bases of so many columns."""
    if replicates:
        return np.full(np.shape(n_columns), -np.log(max(HEED, 1e-300)))
    return np.asarray(special.chdtri(np.maximum(np.asarray(n_columns) - 1, 1), HEED))


def lower_block(
    value: np.ndarray,
    wanted: np.ndarray,
    of: Regulators,
    n_columns: np.ndarray,
    covariates: np.ndarray,
    targets: Callable[[np.ndarray], np.ndarray],
    *,
    replicates: bool,
) -> None:
    """Lower the scores (see :func:`lowered`) of a block of regulators where they are wanted, in place.

    Parameters
    ----------
    value, wanted
        Shape ``(R, m)``.
    n_columns
        Columns of each basis, shape ``(R,)``.
    covariates
        Orthonormal columns, the constant first, shape ``(n, p)``.
    targets
        Gives some of the m targets, covariates projected out, shape ``(len(at), n)``.
    """
    if not wanted.any():
        return
    test = SecondTest(covariates)
    for row in np.flatnonzero(wanted.any(axis=1)).tolist():
        at = np.flatnonzero(wanted[row])
        columns = of.columns[: int(n_columns[row]), row]
        second, doubt, of.known[row] = test.statistics(of.x[row], columns, targets(at), of.known.get(row))
        value[row, at] = lowered(value[row, at], second, doubt, len(columns), replicates=replicates)


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

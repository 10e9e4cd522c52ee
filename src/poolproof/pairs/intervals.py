"""Intervals of a share of two sums over pairs that share samples and genes.

Two things vary: the samples (or replicates), and the genes. The variance over samples comes from their
influences (the infinitesimal jackknife; Efron & Stein 1981 for the jackknife itself), the one over genes from
leaving out one module at a time, its pairs as regulators and as targets; they add. The quantile is that of t,
degrees of freedom by Satterthwaite (1946), those over modules by how many of equal size would count as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from .. import _names as names

MOST_OF_IT = 0.9
"""Largest part of all that is explained that one unit is taken to hold."""
CLEAR = 3.0
"""Standard errors by which what is explained must exceed 0."""


@dataclass(frozen=True)
class Share:
    """A share of two sums and its interval."""

    n_pairs: int
    bend: float
    """Sum of bends."""
    line: float
    """Sum of lines."""
    bend_share: float
    standard_error: float
    low: float
    high: float
    status: str
    samples_error: float = np.nan
    """The part of the standard error over samples; the rest is over genes."""

    @property
    def explained(self) -> float:
        """Mean of what a pair explains; NaN without pairs."""
        return (self.bend + self.line) / self.n_pairs if self.n_pairs else np.nan


def variances(bend: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Variances of two sums and their covariance from the influences of independent units on them.

    Parameters
    ----------
    bend, line
        Shape ``(.., D)``.

    Returns
    -------
    Shape ``(3, ..)``: of the first, of the second, covariance; D / (D - 1) times the centred squares.

    Examples
    --------
    >>> variances(np.array([1.0, -1.0]), np.array([2.0, -2.0])).tolist()
    [4.0, 16.0, 8.0]
    """
    d = bend.shape[-1]
    bend = bend - bend.mean(axis=-1, keepdims=True)
    line = line - line.mean(axis=-1, keepdims=True)
    products = ((bend, bend), (line, line), (bend, line))
    return np.stack([(a * b).sum(axis=-1) for a, b in products]) * (d / max(d - 1, 1))


def share_of(
    n_pairs: float,
    total: np.ndarray,
    variance: np.ndarray,
    n_axis: int,
    of_genes: tuple[float, float] = (0.0, 1.0),
) -> Share:
    """Share of the first of two sums in both, with its 95 % interval.

    Parameters
    ----------
    n_pairs
        Pairs summed over.
    total
        The sums of bends and of lines, shape ``(2,)``.
    variance
        Of the first, of the second, covariance, over samples, shape ``(3,)``.
    n_axis
        Samples or replicates.
    of_genes
        Variance of the share over genes, and its degrees of freedom.
    """
    n_pairs = round(n_pairs)
    whole = float(total.sum())
    nan = np.nan
    if n_pairs == 0:
        return Share(0, 0.0, 0.0, nan, nan, nan, nan, names.NO_PAIRS)
    bend, line = float(total[0]), float(total[1])
    error = float(np.sqrt(max(variance[0] + variance[1] + 2 * variance[2], 0.0)))
    if not whole > CLEAR * error or whole <= 0:
        return Share(n_pairs, bend, line, nan, nan, nan, nan, names.NOTHING_EXPLAINED)
    share = bend / whole
    rest = 1 - share
    of_samples = (rest**2 * variance[0] + share**2 * variance[1] - 2 * share * rest * variance[2]) / whole**2
    parts = [(max(float(of_samples), 0.0), max(n_axis - 1.0, 1.0)), of_genes]
    squared = sum(v for v, _ in parts)
    df = squared**2 / sum(v * v / d for v, d in parts) if squared > 0 else 1.0
    standard_error = float(np.sqrt(squared))
    reach = float(stats.t.ppf(0.975, df)) * standard_error
    return Share(
        n_pairs,
        bend,
        line,
        share,
        standard_error,
        share - reach,
        share + reach,
        names.OK,
        float(np.sqrt(parts[0][0])),
    )


def unit_variance(total: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Variance of a share over units of genes, and its degrees of freedom.

    Parameters
    ----------
    total
        Sums of bends and of lines, shape ``(2,)``.
    units
        What each unit takes with it when it is left out, shape ``(2, U)``.

    Returns
    -------
    Squared influences of the units, each over 1 less the part that it holds (for U equal units that is the
    factor U / (U - 1)), and the number of units of equal size that would count as much, less 1. Zeros where
    there is one unit.

    Examples
    --------
    >>> variance, df = unit_variance(np.array([4.0, 4.0]), np.array([[0.5, 1.5] * 2, [1.5, 0.5] * 2]))
    >>> round(variance, 4), round(df, 4)
    (0.0208, 3.0)
    """
    whole = total.sum()
    if whole <= 0:
        return 0.0, 1.0
    part = np.clip(units.sum(axis=0) / whole, 0.0, MOST_OF_IT)
    if (part > 0).sum() < 2:
        return 0.0, 1.0
    influence = (units[0] - total[0] / whole * units.sum(axis=0)) / whole
    df = part.sum() ** 2 / (part**2).sum() - 1
    return float((influence**2 / (1 - part)).sum()), float(max(df, 1.0))


def pair_variance(total: np.ndarray, squares: np.ndarray) -> tuple[float, float]:
    """Variance of the share of one gene over its pairs, and its degrees of freedom.

    Parameters
    ----------
    total
        Sums over the pairs of bends and of lines, shape ``(2,)``.
    squares
        Sums of squared bends, of squared lines, of their products, shape ``(3,)``.

    Returns
    -------
    As for :func:`unit_variance`, every pair a unit.

    Examples
    --------
    >>> pairs = np.array([[0.5, 1.5, 0.5, 1.5], [1.5, 0.5, 1.5, 0.5]])
    >>> squares = np.array([(pairs[0] ** 2).sum(), (pairs[1] ** 2).sum(), (pairs[0] * pairs[1]).sum()])
    >>> variance, df = pair_variance(pairs.sum(axis=1), squares)
    >>> round(variance, 4), round(df, 4)
    (0.0208, 3.0)
    """
    whole = total.sum()
    size = squares[0] + squares[1] + 2 * squares[2]
    if whole <= 0 or size <= 0:
        return 0.0, 1.0
    share = total[0] / whole
    rest = 1 - share
    spread = rest**2 * squares[0] + share**2 * squares[1] - 2 * share * rest * squares[2]
    df = max(float(whole**2 / size) - 1, 1.0)
    return float(max(spread, 0.0) / whole**2) * (df + 1) / df, df


def both_ends(square: np.ndarray) -> np.ndarray:
    """What each module takes with it as regulators and as targets, ``(.., K, K)`` to ``(.., K)``.

    Examples
    --------
    >>> both_ends(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [6.0, 9.0]
    """
    return np.asarray(square.sum(axis=-1) + square.sum(axis=-2) - np.einsum("...kk->...k", square))


def number_or_none(value: float) -> float | None:
    """A number for JSON: None where there is none.

    Examples
    --------
    >>> number_or_none(np.nan), number_or_none(0.5)
    (None, 0.5)
    """
    return float(value) if np.isfinite(value) else None

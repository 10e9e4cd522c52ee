"""How donors differ: variance of genes between donors over that inside them (method 7c)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._random import stream

MIN_DONORS = 5
"""Donors from which variance between them is told."""


@dataclass(frozen=True, eq=False)
class DonorVariance:
    """How donors differ."""

    n: int
    """Donors; 0: not known."""
    between: np.ndarray
    """Variance between donors over that of cells inside them, shape ``(G,)``."""
    line: float
    """Mean share of the variance between donors that lines of pairs explain."""

    def line_of(self, n_pairs: int, seed: int) -> np.ndarray:
        """An exponential law of explained shares with that mean, in an order drawn by the seed."""
        values = stream(seed, "pilot donors").exponential(size=n_pairs) * self.line
        return np.asarray(np.minimum(values, 0.9))


def no_donors(n_genes: int, n: int = 0) -> DonorVariance:
    """Donors that are not known, or too few."""
    return DonorVariance(n, np.zeros(n_genes), 0.0)


def variance_of_donors(
    mean: np.ndarray, error: np.ndarray, inside: np.ndarray, n_present: int
) -> DonorVariance:
    """Variance between donors from their means.

    Parameters
    ----------
    mean
        Mean fraction of each gene in each donor, shape ``(D, G)``.
    error
        Variance of these means as estimates, shape ``(D, G)``.
    inside
        Variance of cells inside donors, noise of counting taken out, shape ``(G,)``.
    n_present
        Donors that there are, those included that are too small to have a mean.

    Examples
    --------
    >>> mean = np.random.default_rng(0).normal(size=(2000, 2))
    >>> found = variance_of_donors(mean, np.full_like(mean, 0.5), np.array([1.0, 2.0]), 2000)
    >>> [bool(abs(share - truth) < 0.1) for share, truth in zip(found.between, (0.5, 0.25), strict=True)]
    [True, True]
    """
    d = len(mean)
    if d < MIN_DONORS:
        return no_donors(mean.shape[1], n_present)
    between = np.maximum(mean.var(axis=0, ddof=1) - error.mean(axis=0), 0.0)
    r = np.corrcoef(mean[:, mean.std(axis=0) > 0].T)
    adjusted = 1 - (1 - r[np.triu_indices(len(r), 1)] ** 2) * (d - 1) / (d - 2)
    line = float(max(adjusted.mean(), 0.0)) if adjusted.size else 0.0
    return DonorVariance(d, np.where(inside > 0, between / np.where(inside > 0, inside, 1), 0.0), line)


def donor_means(
    fraction: np.ndarray, codes: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of donors of at least so many units, what the units vary by, and the donors' sizes.

    Parameters
    ----------
    fraction
        Of each gene in each unit, shape ``(n, G)``.
    codes
        Donor of each unit, shape ``(n,)``, 0 .. D - 1.
    """
    sizes = np.bincount(codes).astype(float)
    big = np.flatnonzero(sizes >= least)
    member = (codes[:, None] == big).astype(float)
    mean = member.T @ fraction / sizes[big][:, None]
    square = member.T @ fraction**2 / sizes[big][:, None]
    return mean, square - mean**2, sizes[big]

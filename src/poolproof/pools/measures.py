"""What is measured of pools: cumulants inside strata, and a skeleton by partial correlations (method 9)."""

from __future__ import annotations

import numpy as np
from scipy import stats

SKELETON_LEVEL = 0.01
"""Level of each test of a partial correlation."""


def beyond_depth(values: np.ndarray, depth: np.ndarray | None, groups: np.ndarray) -> np.ndarray:
    """Values less what their depth gives at the gene's mean share: x - depth * sum(x) / sum(depth).

    A value over its depth is a ratio, whose skewness falls faster or more slowly than that of a sum. This
    difference adds up over cells, and tells the same once depths are nearly equal.

    Parameters
    ----------
    values
        Shape ``(n, n_genes)``, not divided by depth.
    depth
        Shape ``(n,)``, positive; None: all alike.
    groups
        Code of each row's group, shape ``(n,)``, 0 .. n_groups - 1; each has its own mean share.

    Examples
    --------
    >>> beyond_depth(np.array([[1.0], [5.0]]), np.array([1.0, 2.0]), np.zeros(2, dtype=int)).ravel()
    array([-1.,  1.])
    """
    depth = np.ones(len(values)) if depth is None else depth
    total = np.bincount(groups, weights=depth)
    return values - depth[:, None] * (_sums_inside(values, groups) / total[:, None])[groups]


def _sums_inside(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of each group, shape ``(n_groups, n_genes)``."""
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums


def mean_cumulants(values: np.ndarray, strata: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Second to fourth cumulant inside strata, without bias, averaged over the strata.

    Cumulants, not moments: those of a sum of independent cells add up, so their averages over strata do
    too, whatever the strata's variances.

    Parameters
    ----------
    values
        Shape ``(n, n_genes)``, any unit.
    strata
        Code of each row's stratum, shape ``(n,)``, 0 .. n_strata - 1, each with at least 4 rows.
    weights
        Weight of each stratum, shape ``(n_strata,)``; None: its rows.

    Returns
    -------
    Shape ``(3, n_genes)``; NaN where a value is missing.

    Notes
    -----
    Fisher's k-statistics: Kendall, M. G. and Stuart, A. (1969). *The Advanced Theory of Statistics*, vol. 1,
    section 12.

    Examples
    --------
    >>> mean_cumulants(np.array([[0.0], [0.0], [0.0], [4.0]]), np.zeros(4, dtype=int)).ravel().tolist()
    [4.0, 16.0, 64.0]
    """
    weights = np.bincount(strata) if weights is None else np.asarray(weights)
    parts = [_cumulants(values[strata == code]) for code in range(len(weights))]
    return np.tensordot(weights / weights.sum(), np.array(parts), axes=1)


def _cumulants(x: np.ndarray) -> np.ndarray:
    """k-statistics 2 to 4 of each column."""
    n = len(x)
    centred = x - x.mean(axis=0)
    square = centred**2
    m2, m3, m4 = square.mean(axis=0), (square * centred).mean(axis=0), (square**2).mean(axis=0)
    k4 = n**2 * ((n + 1) * m4 - 3 * (n - 1) * m2**2) / ((n - 1) * (n - 2) * (n - 3))
    return np.array([n * m2 / (n - 1), n**2 * m3 / ((n - 1) * (n - 2)), k4])


def shapes(cumulants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skewness and excess kurtosis of each gene from `mean_cumulants`; NaN without variance.

    Examples
    --------
    >>> skewness, kurtosis = shapes(np.array([[4.0], [16.0], [64.0]]))
    >>> float(skewness[0]), float(kurtosis[0])
    (2.0, 4.0)
    """
    second, third, fourth = cumulants
    variance = np.where(second > 0, second, np.nan)
    return third / variance**1.5, fourth / variance**2


def correlations(values: np.ndarray, strata: np.ndarray) -> tuple[np.ndarray, int]:
    """Correlations of genes inside strata, and the degrees of freedom that they have.

    Parameters
    ----------
    values
        Shape ``(n, n_genes)``.
    strata
        Code of each row's stratum, shape ``(n,)``, 0 .. n_strata - 1.

    Returns
    -------
    Shape ``(n_genes, n_genes)``, 0 where a gene is constant or has missing values; and n less the number of
    strata.
    """
    n = np.bincount(strata)
    centred = values - (_sums_inside(values, strata) / n[:, None])[strata]
    largest = np.abs(values).max(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    varies = length > 1e-9 * np.sqrt(len(values)) * largest  # not so where one is missing
    unit = np.where(varies, centred, 0.0) / np.where(varies, length, 1.0)
    return unit.T @ unit, len(values) - len(n)


def skeleton(correlation: np.ndarray, df: int, *, level: float = SKELETON_LEVEL) -> np.ndarray:
    """Edges between genes that no other single gene separates.

    Parameters
    ----------
    correlation
        Shape ``(n_genes, n_genes)``.
    df
        Degrees of freedom of its entries: samples less the means that were taken off.
    level
        Of each test.

    Returns
    -------
    True at the edges: shape ``(n_genes, n_genes)``, symmetric, False on the diagonal.

    Notes
    -----
    Fisher's z of the correlation and of every partial correlation given one other gene: the first two steps
    of the PC algorithm, but given all other genes instead of neighbours, so that nothing depends on order.

    Examples
    --------
    >>> chain = np.array([[1.0, 0.6, 0.36], [0.6, 1.0, 0.6], [0.36, 0.6, 1.0]])
    >>> skeleton(chain, 200).astype(int).tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    cut = stats.norm.isf(level / 2)
    edge = _fisher_z(correlation, df - 2) > cut
    np.fill_diagonal(edge, False)
    for given in range(len(correlation)):
        to = correlation[given]
        left = np.sqrt(np.clip(1 - to**2, 1e-12, None))
        partial = (correlation - np.outer(to, to)) / np.outer(left, left)
        stays = _fisher_z(partial, df - 3) > cut
        stays[given] = stays[:, given] = True  # a gene does not separate itself from others
        edge &= stays
    return edge


def _fisher_z(correlation: np.ndarray, weight: int) -> np.ndarray:
    """Size of Fisher's z in standard deviations."""
    inside = np.clip(np.abs(correlation), 0.0, 1 - 1e-12)
    return np.arctanh(inside) * np.sqrt(max(weight, 0))


def share_changed(edge: np.ndarray, reference: np.ndarray) -> float:
    """Edges that only one of two skeletons has, as a share of those that any has; NaN if none has any.

    Examples
    --------
    >>> share_changed(np.array([[0, 1], [1, 0]]), np.array([[0, 0], [0, 0]]))
    1.0
    """
    any_has = np.count_nonzero((edge != 0) | (reference != 0))
    if not any_has:
        return float("nan")
    return float(np.count_nonzero((edge != 0) != (reference != 0)) / any_has)

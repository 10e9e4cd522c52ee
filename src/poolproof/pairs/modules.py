"""Modules of genes: clusters by absolute correlation, the units that are left out for intervals.

Genes of one module are not independent: what bends one pair bends its neighbours. Intervals by single genes
covered .31 instead of .95 in systems of modules; by module .93 and more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

MIN_MODULES = 5
"""Fewest modules, counted as so many of equal size: else what hangs together is cut finer."""
FINER = 10
"""Modules of equal size that a finer cut makes."""
MAX_MODULES = 100
MAX_CLUSTERED = 1500
"""Most genes that are clustered; the others join the module that they are closest to."""
MIN_RELIABILITY = 0.05


def modules_of(standard: np.ndarray, reliability: np.ndarray, least: float, chosen: np.ndarray) -> np.ndarray:
    """Cluster genes by average linkage of one minus the absolute correlation.

    Parameters
    ----------
    standard
        Centred values of unit norm, shape ``(g, n)``, in an order that does not depend on the input's.
    reliability
        Share of each gene's variance that is not sampling noise, shape ``(g,)``.
    least
        Mean absolute correlation down to which clusters are joined.
    chosen
        Genes that are clustered, rising places; the others join the module of the largest mean correlation.

    Returns
    -------
    Module of each gene, shape ``(g,)``, numbered from 0 in the order of their first genes. Where everything
    hangs together, average linkage leaves one module and stragglers; Ward's method then cuts it into parts of
    like size.

    Examples
    --------
    >>> rows = np.array([[1.0, -1, 0, 0], [1, -1, 0, 0], [0, 0, 1, -1]]) / np.sqrt(2)
    >>> modules_of(rows, np.ones(3), 0.5, np.arange(3)).tolist()   # few genes: each is its own module
    [0, 1, 2]
    """
    scale = 1 / np.sqrt(np.maximum(reliability, MIN_RELIABILITY))
    standard = standard * scale[:, None].astype(standard.dtype)
    return modules_from(lambda some: standard[some] @ standard[chosen].T, len(standard), least, chosen)


def modules_from(
    correlation: Callable[[np.ndarray], np.ndarray], g: int, least: float, chosen: np.ndarray
) -> np.ndarray:
    """The same from the correlations of some genes with the chosen ones, noise taken off."""
    if len(chosen) <= FINER:
        return np.arange(g) if len(chosen) == g else np.arange(g) % max(len(chosen), 1)
    near = np.minimum(np.abs(correlation(chosen)).astype(np.float64), 1.0)
    near = (near + near.T) / 2
    np.fill_diagonal(near, 1.0)
    tree = linkage(squareform(1 - near, checks=False), method="average")
    labels = fcluster(tree, 1 - least, criterion="distance")
    weights = (near**2).sum(axis=0) - 1  # what a gene shares with others: what it adds to the sums
    if n_equal(labels, weights) < MIN_MODULES:
        labels = _cut_finer(1 - near, weights)
    elif labels.max() > MAX_MODULES:
        labels = fcluster(tree, MAX_MODULES, criterion="maxclust")
    every = np.empty(g, dtype=np.int64)
    if len(chosen) < g:
        for low in range(0, g, 1024):
            some = np.arange(low, min(low + 1024, g))
            close = np.minimum(np.abs(correlation(some)), 1.0)
            member = (labels[:, None] == np.arange(1, labels.max() + 1)).astype(close.dtype)
            member /= member.sum(axis=0)
            every[some] = (close @ member).argmax(axis=1) + 1
    every[chosen] = labels
    _, first, codes = np.unique(every, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes]


def n_equal(labels: np.ndarray, weights: np.ndarray) -> float:
    """How many modules of equal weight spread genes as these do: 1 over the chance that two share one.

    Examples
    --------
    >>> n_equal(np.array([0, 0, 1, 1]), np.ones(4)), n_equal(np.array([1, 1, 1, 1]), np.ones(4))
    (2.0, 1.0)
    """
    sizes = np.bincount(labels, weights)
    return float(sizes.sum() ** 2 / max((sizes**2).sum(), 1e-300))


def _cut_finer(distance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As few clusters by Ward's method as make `FINER` of equal weight."""
    tree = linkage(squareform(distance, checks=False), method="ward")
    for n in range(FINER, min(MAX_MODULES, len(distance)) + 1):
        labels = fcluster(tree, n, criterion="maxclust")
        if n_equal(labels, weights) >= FINER:
            break
    return np.asarray(labels)

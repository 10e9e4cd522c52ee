"""Correlation: the size of Pearson's r of every pair."""

from __future__ import annotations

import numpy as np

from ...basis import standardise
from ..graph import Graph


def correlation_graph(values: np.ndarray, names: tuple[str, ...], *, seed: int = 0) -> Graph:
    """Weigh every pair by the size of its correlation.

    Parameters
    ----------
    values
        Samples x genes, shape ``(n, p)``, finite, in any unit, genes that vary.
    names
        Genes, in the order of the columns.
    seed
        Not used: nothing is drawn.

    Returns
    -------
    Weights from 0 to 1, the same both ways, and no edges.

    Notes
    -----
    Pearson (1895, *Proceedings of the Royal Society* 58:240). Indirect relations and shared causes weigh as
    much as direct ones.

    Examples
    --------
    >>> values = np.array([[0.0, 1, 5], [1, 2, 3], [2, 3, 4], [3, 4, 1]])
    >>> correlation_graph(values, ("a", "b", "c")).weights.round(2).tolist()
    [[0.0, 1.0, 0.83], [1.0, 0.0, 0.83], [0.83, 0.83, 0.0]]
    """
    standard, _ = standardise(values)
    weights = np.abs(standard.T @ standard) / len(standard)
    np.fill_diagonal(weights, 0.0)
    return weighted(names, (weights + weights.T) / 2)


def weighted(names: tuple[str, ...], weights: np.ndarray) -> Graph:
    """A graph that has weights alone."""
    none = np.zeros(weights.shape, dtype=bool)
    return Graph(names, none, none.copy(), weights)

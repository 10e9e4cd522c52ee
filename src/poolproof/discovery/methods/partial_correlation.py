"""Partial correlation given all other genes, from a shrunken correlation matrix."""

from __future__ import annotations

import numpy as np

from ...basis import standardise
from ..graph import Graph
from .correlation import weighted


def partial_correlation_graph(
    values: np.ndarray, names: tuple[str, ...], *, seed: int = 0, shrinkage: float | None = None
) -> Graph:
    """Weigh every pair by the size of its partial correlation given all other genes.

    Parameters
    ----------
    values, names, seed
        As for :func:`~poolproof.discovery.methods.correlation.correlation_graph`. Samples may be fewer than
        genes.
    shrinkage
        From 0 (none) to 1 (no correlation left); None: from the data.

    Returns
    -------
    Weights from 0 to 1, the same both ways, no edges, and ``facts["shrinkage"]``.

    Notes
    -----
    Schäfer & Strimmer (2005, *Statistical Applications in Genetics and Molecular Biology* 4:32): the
    correlations r are multiplied by 1 - s, s = sum of var(r_ij) over sum of r_ij^2 over all pairs, held in
    0..1. With standardised values x and w_k = x_ki x_kj, var(r) = n / (n - 1)^3 sum_k (w_k - mean w)^2.
    Partial correlations are -P_ij / sqrt(P_ii P_jj), P the inverse.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=400)
    >>> x, z = y + rng.normal(size=(2, 400)) / 2
    >>> weights = partial_correlation_graph(np.column_stack([x, y, z]), ("x", "y", "z")).weights
    >>> bool(weights[0, 2] < 0.1 < 0.5 < weights[0, 1])
    True
    """
    n = len(values)
    standard = standardise(values)[0] * np.sqrt(1 - 1 / n)  # variance 1 with the divisor n - 1
    correlations = standard.T @ standard / (n - 1)
    if shrinkage is None:
        shrinkage = estimated_shrinkage(standard, correlations)
    shrunken = (1 - shrinkage) * correlations
    np.fill_diagonal(shrunken, 1.0)
    precision = np.linalg.pinv(shrunken, hermitian=True)
    scale = np.sqrt(np.diagonal(precision))
    weights = np.abs(precision / np.outer(scale, scale))
    np.fill_diagonal(weights, 0.0)
    graph = weighted(names, (weights + weights.T) / 2)
    return Graph(graph.names, graph.directed, graph.undirected, graph.weights, {"shrinkage": shrinkage})


def estimated_shrinkage(standard: np.ndarray, correlations: np.ndarray) -> float:
    """The s of the notes above, from values with variance 1 (divisor n - 1), shape ``(n, p)``."""
    n = len(standard)
    squares = standard**2
    mean = correlations * (n - 1) / n
    variance = n / (n - 1) ** 3 * (squares.T @ squares - n * mean**2)
    off = ~np.eye(len(correlations), dtype=bool)
    total = float((correlations[off] ** 2).sum())
    return float(np.clip(variance[off].sum() / total, 0.0, 1.0)) if total > 0 else 1.0

"""DirectLiNGAM, from causal-learn."""

from __future__ import annotations

import numpy as np

from ...basis import standardise
from ..graph import Graph
from ..libraries import library


def direct_lingam_graph(values: np.ndarray, names: tuple[str, ...], *, seed: int = 0) -> Graph:
    """DirectLiNGAM: every direction, from linear equations with noise that is not Gaussian (DAG).

    Parameters
    ----------
    values, names
        As for :func:`~poolproof.discovery.methods.pc.pc_graph`. They are standardised, so that weights have
        one unit.
    seed
        Not used: nothing is drawn.

    Returns
    -------
    Arrows where the adaptive lasso keeps a coefficient, and its size as weight.

    Raises
    ------
    InputError
        causal-learn is not installed.

    Notes
    -----
    Shimizu and others (2011, *JMLR* 12:1225), measure of Hyvärinen & Smith (2013, *JMLR* 14:111);
    ``DirectLiNGAM`` of causal-learn, whose matrix has the effect in the row. Sums over many cells are
    near-Gaussian, and their directions guesses.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.exponential(size=500)
    >>> y = x + rng.exponential(size=500)
    >>> graph = direct_lingam_graph(np.column_stack([y, x]), ("y", "x"))
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'y']]
    """
    model = library("causallearn.search.FCMBased.lingam.direct_lingam", "causal-learn").DirectLiNGAM()
    model.fit(standardise(values)[0])
    weights = np.abs(np.asarray(model.adjacency_matrix_)).T
    return Graph(names, weights > 0, np.zeros(weights.shape, dtype=bool), weights)

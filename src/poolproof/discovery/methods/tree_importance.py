"""GENIE3: importance of each gene in a random forest for each other, over scikit-learn."""

from __future__ import annotations

import numpy as np

from ..._checks import check_whole
from ..._random import stream
from ...basis import standardise
from ..graph import Graph
from ..libraries import library
from .correlation import weighted


def tree_importance_graph(
    values: np.ndarray, names: tuple[str, ...], *, seed: int = 0, n_trees: int = 100
) -> Graph:
    """Weigh i -> j by the importance of gene i in a random forest that predicts gene j.

    Parameters
    ----------
    values, names
        As for :func:`~poolproof.discovery.methods.correlation.correlation_graph`.
    seed
        Of the samples and genes that each tree sees.
    n_trees
        Trees in each forest.

    Returns
    -------
    Weights of at least 0 in both directions, and no edges.

    Raises
    ------
    InputError
        scikit-learn is not installed, or ``n_trees`` is below 1.

    Notes
    -----
    GENIE3 (Huynh-Thu and others 2010, *PLoS ONE* 5:e12776): targets have variance 1, each split looks at
    sqrt(p - 1) genes, and the importance is the variance that splits on a gene take away, not scaled to sum
    1, so that targets compare. Slower than ``trees``, and the reference beside it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 300))
    >>> values = np.column_stack([x, x**2 + y / 4, y])
    >>> weights = tree_importance_graph(values, ("x", "y", "z"), n_trees=20).weights
    >>> bool(weights[0, 1] == weights.max())
    True
    """
    check_whole("n_trees", n_trees, 1)
    forest_of = library("sklearn.ensemble", "scikit-learn").RandomForestRegressor
    standard, _ = standardise(values)
    p = standard.shape[1]
    weights = np.zeros((p, p))
    for j in range(p):
        others = np.delete(np.arange(p), j)
        state = int(stream(seed, "tree_importance", names[j]).integers(2**31))
        forest = forest_of(n_trees, max_features="sqrt", random_state=state, n_jobs=1)
        forest.fit(standard[:, others], standard[:, j])
        each = [tree.tree_.compute_feature_importances(normalize=False) for tree in forest.estimators_]
        weights[others, j] = np.mean(each, axis=0)
    return weighted(names, weights)

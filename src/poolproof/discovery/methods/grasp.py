"""GRaSP, a search over orders of genes, from causal-learn."""

from __future__ import annotations

import numpy as np

from ..._docs import texts_of
from ..graph import Graph
from ..libraries import search_orders
from .ges import PENALTY, ges_graph


@texts_of(ges_graph)
def grasp_graph(
    values: np.ndarray, names: tuple[str, ...], *, seed: int = 0, penalty: float = PENALTY
) -> Graph:
    """Greedy relaxations of the sparsest permutation, with the Gaussian BIC: a graph up to what the score can
    tell (CPDAG).

    Parameters
    ----------
    values, names, penalty
        See :func:`poolproof.ges_graph`.
    seed
        Of the orders that are tried.

    Returns
    -------
    Arrows and lines.

    Raises
    ------
    InputError
        causal-learn is not installed.

    Notes
    -----
    Lam, Andrews & Ramsey (2022, UAI, arXiv:2206.05421); ``grasp`` of causal-learn with
    ``local_score_BIC_from_cov`` and ``lambda_value = penalty / 2``. It draws from Python's ``random``, which
    is seeded here.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500))
    >>> z = x + y + rng.normal(size=500)
    >>> graph = grasp_graph(np.column_stack([x, y, z]), ("x", "y", "z"))
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'z'], ['y', 'z']]
    """
    return search_orders("GRaSP", values, names, seed, penalty)

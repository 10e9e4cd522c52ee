"""GRaSP, a search over orders of genes, from causal-learn."""

from __future__ import annotations

import numpy as np

from ..graph import Graph
from ..libraries import from_causal_learn, library, seeded
from .ges import PENALTY


def grasp_graph(
    values: np.ndarray, names: tuple[str, ...], *, seed: int = 0, penalty: float = PENALTY
) -> Graph:
    """Greedy relaxations of the sparsest permutation, with the Gaussian BIC: a graph up to what the score can
    tell (CPDAG).

    Parameters
    ----------
    values, names
        As for :func:`~poolproof.discovery.methods.pc.pc_graph`.
    seed
        Of the orders that are tried.
    penalty
        Of one edge, times ln(n) / 2: 1 is the BIC, 2 twice the BIC.

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
    search = library("causallearn.search.PermutationBased.GRaSP", "causal-learn").grasp
    with seeded(seed):
        found = search(
            np.array(values, dtype=np.float64), parameters={"lambda_value": penalty / 2}, verbose=False
        )
    return from_causal_learn(found.graph, names)

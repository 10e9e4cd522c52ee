"""BOSS, a search over orders of genes, from causal-learn."""

from __future__ import annotations

import numpy as np

from ..graph import Graph
from ..libraries import from_causal_learn, library, seeded
from .ges import PENALTY


def boss_graph(
    values: np.ndarray, names: tuple[str, ...], *, seed: int = 0, penalty: float = PENALTY
) -> Graph:
    """Best order score search with the Gaussian BIC: a graph up to what the score can tell (CPDAG).

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
    Andrews and others (2023, NeurIPS, arXiv:2310.17679); ``boss`` of causal-learn with
    ``local_score_BIC_from_cov`` and ``lambda_value = penalty / 2``. It draws from Python's ``random``, which
    is seeded here.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500))
    >>> z = x + y + rng.normal(size=500)
    >>> graph = boss_graph(np.column_stack([x, y, z]), ("x", "y", "z"))
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'z'], ['y', 'z']]
    """
    search = library("causallearn.search.PermutationBased.BOSS", "causal-learn").boss
    with seeded(seed):
        found = search(
            np.array(values, dtype=np.float64), parameters={"lambda_value": penalty / 2}, verbose=False
        )
    return from_causal_learn(found.graph, names)

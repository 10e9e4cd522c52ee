"""Greedy equivalence search, from causal-learn."""

from __future__ import annotations

import numpy as np

from ..._docs import texts_of
from ..graph import Graph
from ..libraries import from_causal_learn, library
from .pc import pc_graph

PENALTY = 2.0
"""Times ln(n) / 2 for each edge: twice the BIC. One for all methods that score a whole graph, whose own
defaults are 1 (GES), 2 (FLOP) and 4 (BOSS, GRaSP)."""


@texts_of(pc_graph)
def ges_graph(
    values: np.ndarray, names: tuple[str, ...], *, seed: int = 0, penalty: float = PENALTY
) -> Graph:
    """Greedy equivalence search with the Gaussian BIC: a graph up to what the score can tell (CPDAG).

    Parameters
    ----------
    values, names
        See :func:`poolproof.pc_graph`.
    seed
        Not used: nothing is drawn.
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
    Chickering (2002, *JMLR* 3:507); ``ges`` of causal-learn with ``local_score_BIC`` and
    ``lambda_value = penalty / 2``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500))
    >>> z = x + y + rng.normal(size=500)
    >>> graph = ges_graph(np.column_stack([x, y, z]), ("x", "y", "z"))
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'z'], ['y', 'z']]
    """
    search = library("causallearn.search.ScoreBased.GES", "causal-learn").ges
    result = search(np.array(values, dtype=np.float64), "local_score_BIC", lambda_value=penalty / 2)
    return from_causal_learn(result["G"].graph, names)

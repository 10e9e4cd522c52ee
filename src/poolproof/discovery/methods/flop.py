"""FLOP, a fast search over orders of genes, from flopsearch."""

from __future__ import annotations

import numpy as np

from ..._docs import texts_of
from ..graph import Graph
from ..libraries import library
from .ges import PENALTY, ges_graph


@texts_of(ges_graph)
def flop_graph(
    values: np.ndarray,
    names: tuple[str, ...],
    *,
    seed: int = 0,
    penalty: float = PENALTY,
    n_restarts: int = 100,
) -> Graph:
    """FLOP with the Gaussian BIC: a graph up to what the score can tell (CPDAG).

    Parameters
    ----------
    values, names, penalty
        See :func:`poolproof.ges_graph`.
    seed
        Not used: the library takes none. Reruns differ where few restarts end in another optimum: of 8 genes
        x 200 samples 4 of 200 reruns with 20 restarts, none with 100.
    n_restarts
        How often the search starts anew from a disturbed order.

    Returns
    -------
    Arrows and lines.

    Raises
    ------
    InputError
        flopsearch is not installed.

    Notes
    -----
    Wienöbst, Henckel & Weichwald (2025, arXiv:2510.04970); ``flop`` of flopsearch, which writes 1 in row i
    and column j for i -> j, and 2 both ways for a line.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500))
    >>> z = x + y + rng.normal(size=500)
    >>> graph = flop_graph(np.column_stack([x, y, z]), ("x", "y", "z"))
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'z'], ['y', 'z']]
    """
    search = library("flopsearch", "flopsearch").flop
    found = np.asarray(search(np.array(values, dtype=np.float64), penalty, restarts=n_restarts))
    return Graph(names, found == 1, found == 2)

"""GRNBoost2: importance of each gene in boosted trees for each other, from rustscenic."""

from __future__ import annotations

import numpy as np

from ..graph import Graph
from ..libraries import library
from .correlation import weighted


def trees_graph(values: np.ndarray, names: tuple[str, ...], *, seed: int = 0) -> Graph:
    """Weigh i -> j by the importance of gene i in boosted trees that predict gene j.

    Parameters
    ----------
    values, names
        As for :func:`~poolproof.discovery.methods.correlation.correlation_graph`.
    seed
        Of the samples and genes that each tree sees.

    Returns
    -------
    Weights of at least 0 in both directions, and no edges.

    Raises
    ------
    InputError
        rustscenic is not installed.

    Notes
    -----
    Moerman and others (2019, *Bioinformatics* 35:2159); ``grn.infer`` of rustscenic, every gene a candidate.
    A direction weighs more for what it predicts, not for what it causes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 300))
    >>> weights = trees_graph(np.column_stack([x, x**2 + y / 4, y]), ("x", "y", "z")).weights
    >>> bool(weights[0, 1] == weights.max())
    True
    """
    infer = library("rustscenic.grn", "rustscenic").infer
    columns = [str(i) for i in range(len(names))]  # the library adds up genes whose symbols are alike
    found = infer((np.array(values, dtype=np.float32), columns), columns, seed=seed, verbose=False)
    weights = np.zeros((len(names), len(names)))
    weights[found["TF"].astype(int), found["target"].astype(int)] = found["importance"]
    return weighted(names, weights)

"""PC with partial correlations, from tigramite."""

from __future__ import annotations

import numpy as np

from ..._checks import check_share
from ..graph import Graph
from ..libraries import library


def pc_graph(
    values: np.ndarray,
    names: tuple[str, ...],
    *,
    seed: int = 0,
    alpha: float = 0.01,
    max_given: int | None = None,
) -> Graph:
    """PC with Fisher's test of partial correlations: a graph up to what tests can tell (CPDAG).

    Parameters
    ----------
    values
        Samples x genes, shape ``(n, p)``, finite, genes that vary; more samples than genes.
    names
        Genes, in the order of the columns.
    seed
        Not used: nothing is drawn.
    alpha
        Level of each test.
    max_given
        Most genes conditioned on at once; None: no limit.

    Returns
    -------
    Arrows and lines. A line also stands where colliders contradict each other (``facts["n_conflicts"]``).

    Raises
    ------
    InputError
        tigramite is not installed, or ``alpha`` does not lie between 0 and 1.

    Notes
    -----
    Spirtes, Glymour & Scheines (2000, *Causation, Prediction, and Search*) in the form that no order of
    columns changes (Colombo & Maathuis 2014, *JMLR* 15:3741), colliders by majority; Runge and others (2019,
    *Science Advances* 5:eaau4996), ``run_pcalg_non_timeseries_data`` of tigramite with ``ParCorr``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500))
    >>> z = x + y + rng.normal(size=500)
    >>> graph = pc_graph(np.column_stack([x, y, z]), ("x", "y", "z"))
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'z'], ['y', 'z']]
    """
    check_share("alpha", alpha)
    frame = library("tigramite.data_processing", "tigramite").DataFrame(np.array(values, dtype=np.float64))
    test = library("tigramite.independence_tests.parcorr", "tigramite").ParCorr(significance="analytic")
    search = library("tigramite.pcmci", "tigramite").PCMCI(dataframe=frame, cond_ind_test=test, verbosity=0)
    result = search.run_pcalg_non_timeseries_data(pc_alpha=alpha, max_conds_dim=max_given)
    return from_tigramite(result["graph"][:, :, 0], names)


def from_tigramite(marks: np.ndarray, names: tuple[str, ...]) -> Graph:
    """Read tigramite's marks: ``marks[i, j]`` is ``-->``, ``<--``, ``o-o``, ``x-x`` (conflict) or empty."""
    conflict = marks == "x-x"
    lines = (marks == "o-o") | conflict
    return Graph(names, marks == "-->", lines | lines.T, facts={"n_conflicts": int(conflict.sum()) // 2})

"""Ask one method for the graph of one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._checks import InputError, PoolproofError, printable
from .graph import Graph
from .in_process import run_method
from .worker import OK, REFUSED, Worker


def discover(
    values: np.ndarray,
    names: Sequence[str],
    method: str = "pc",
    *,
    seed: int = 0,
    time_limit: float | None = None,
    **options: Any,
) -> Graph:
    """Learn a graph of genes from samples by a method of causal discovery or network inference.

    Parameters
    ----------
    values
        Samples x genes, shape ``(n, p)``, finite; log values or others, in any unit: they are standardised.
    names
        Genes, in the order of the columns.
    method
        A name of ``poolproof.list_methods()``, or ``package.module:function`` for a function of your own,
        called as ``function(values, names, seed=seed, **options)`` with standardised values; it returns a
        Graph.
    seed
        Of methods that draw. Python's and numpy's random numbers are set, and put back afterwards.
    time_limit
        Seconds; the method then runs in a process of its own. None: in this one, without a limit.
    options
        Of the method, as its function names them: ``alpha``, ``penalty``, ...

    Returns
    -------
    The graph, genes in the order given: arrows and lines, weights, or both.

    Raises
    ------
    InputError
        What goes in would have the library answer wrongly: values are missing or infinite, a gene is
        constant, two are copies or multiples, samples are as few as genes (methods that give a graph). Or the
        library is not installed, or the method has no such option.
    PoolproofError
        The method failed, or did not end in time.

    Notes
    -----
    Columns go in by the order of their names, so that their order in the table changes nothing. What a method
    assumes stands at its function in ``poolproof.discovery.methods``. Genes that were not measured, and pools
    of cells, break most of it: see ``poolproof.check`` and ``poolproof.audit``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500))
    >>> z = x**2 + y + rng.normal(size=500) / 2
    >>> graph = discover(np.column_stack([x, y, z]), ["x", "y", "z"], "spline_pc", alpha=0.001)
    >>> graph.table[["regulator", "target"]].values.tolist()
    [['x', 'z'], ['y', 'z']]
    """
    if time_limit is None:
        return run_method(values, names, method, seed=seed, options=options)
    if not time_limit > 0:
        raise InputError(f"time_limit must be above 0 seconds; found {printable(time_limit)!r}")
    with Worker() as worker:
        outcome = worker.run(values, names, method, seed=seed, time_limit=time_limit, options=options)
    if outcome.graph is None or outcome.status != OK:
        kind = InputError if outcome.status == REFUSED else PoolproofError
        raise kind(outcome.reason)
    return outcome.graph

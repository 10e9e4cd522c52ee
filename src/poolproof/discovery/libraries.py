"""Libraries of others: loaded on use, kept silent, and their random numbers set."""

from __future__ import annotations

import contextlib
import io
import random
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from .._checks import InputError
from .graph import Graph

INSTALL = "pip install 'poolproof[discovery]'"


def library(module: str, package: str) -> Any:
    """Import a module of an optional package.

    Raises
    ------
    InputError
        It is not installed; the message says how to install it.

    Examples
    --------
    >>> library("no_such_module", "no-such-package")
    Traceback (most recent call last):
    poolproof._checks.InputError: this method needs no-such-package, which is not installed: pip install ...
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return import_module(module)
        except ModuleNotFoundError:
            raise InputError(f"this method needs {package}, which is not installed: {INSTALL}") from None


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set Python's and numpy's global random numbers, and put them back as they were.

    Examples
    --------
    >>> with seeded(1):
    ...     first = random.random(), np.random.rand()  # noqa: NPY002
    >>> with seeded(1):
    ...     again = random.random(), np.random.rand()  # noqa: NPY002
    >>> first == again
    True
    """
    python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)  # noqa: NPY002


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep what a library prints and warns of away from the user's screen."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield


def from_causal_learn(matrix: np.ndarray, names: tuple[str, ...]) -> Graph:
    """Read the matrix of causal-learn's GeneralGraph.

    i -> j is written ``matrix[j, i] = 1, matrix[i, j] = -1``, and i - j as -1 in both.

    Examples
    --------
    >>> from_causal_learn(np.array([[0, -1, -1], [1, 0, 0], [-1, 0, 0]]), ("a", "b", "c")).table.kind.tolist()
    ['directed', 'undirected']
    """
    matrix = np.asarray(matrix)
    return Graph(names, (matrix == -1) & (matrix.T == 1), (matrix == -1) & (matrix.T == -1))


def search_orders(name: str, values: np.ndarray, names: tuple[str, ...], seed: int, penalty: float) -> Graph:
    """One of causal-learn's searches over orders of genes, ``BOSS`` or ``GRaSP``, with the Gaussian BIC."""
    module = library(f"causallearn.search.PermutationBased.{name}", "causal-learn")
    search = getattr(module, name.lower())
    with seeded(seed):
        found = search(
            np.array(values, dtype=np.float64), parameters={"lambda_value": penalty / 2}, verbose=False
        )
    return from_causal_learn(found.graph, names)

"""Small things that several kernels need of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from threadpoolctl import ThreadpoolController

Task = TypeVar("Task")
Result = TypeVar("Result")


def add(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Sum of at least one array.

    Examples
    --------
    >>> add([np.array([1.0, 2.0]), np.array([3.0, 4.0])])
    array([4., 6.])
    """
    return reduce(np.add, parts)


def dense_columns(matrix: Any, genes: np.ndarray) -> np.ndarray:
    """Columns of a dense or sparse matrix as a dense float64 array, shape ``(n, len(genes))``.

    Examples
    --------
    >>> dense_columns(sp.csc_matrix([[0, 1, 2]]), np.array([2, 0]))
    array([[2., 0.]])
    """
    block = matrix[:, genes]
    if sp.issparse(matrix):
        block = block.toarray()
    return np.asarray(block, dtype=np.float64)


def as_slice(index: np.ndarray | slice) -> np.ndarray | slice:
    """Consecutive rising indices as a slice, which takes rows without copying them.

    Examples
    --------
    >>> as_slice(np.array([3, 4, 5]))
    slice(3, 6, None)
    """
    if isinstance(index, slice) or len(index) == 0 or index[-1] - index[0] != len(index) - 1:
        return index
    return slice(int(index[0]), int(index[-1]) + 1) if (np.diff(index) == 1).all() else index


def keep_freed_memory() -> None:
    """Have the C library keep freed memory of less than 32 MB, which is taken and given back all the time.

    glibc asks the system for every larger block anew, page by page, which takes longer than the arithmetic;
    what "larger" is rises with the largest block freed (mallopt(3)). Elsewhere this does nothing.
    """
    np.empty((32 << 20) - (1 << 16), dtype=np.uint8)


def in_threads(work: Callable[[Task], Result], tasks: Sequence[Task], threads: int) -> list[Result]:
    """Do tasks side by side, each with one thread of linear algebra; results in the order of tasks.

    Examples
    --------
    >>> in_threads(abs, [-1, 2, -3], threads=2)
    [1, 2, 3]
    """
    with _linear_algebra().limit(limits=1):
        if threads == 1 or len(tasks) < 2:
            return [work(task) for task in tasks]
        with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
            return list(pool.map(work, tasks))


@cache
def _linear_algebra() -> ThreadpoolController:
    """The libraries whose threads are limited; looking for them takes 6 ms, longer than a small task."""
    import_module("scipy.linalg")  # it brings a library of its own
    return ThreadpoolController()

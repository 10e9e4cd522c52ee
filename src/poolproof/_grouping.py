"""Cells in groups: which cell is in which, sums and medians of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from ._checks import InputError


def check_groups(values: Any, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the group of each cell, int64; -1 is in none.

    Raises
    ------
    InputError
        They are not one whole number from -1 to ``n_groups - 1`` for each cell.
    """
    groups = np.asarray(groups)
    if values.ndim != 2 or groups.shape != values.shape[:1]:
        raise InputError(
            f"cells x genes and one group per cell expected; found shapes {values.shape} and {groups.shape}"
        )
    if groups.dtype.kind not in "iu" and groups.size:
        raise InputError(f"groups must be whole numbers; found {groups.dtype}")
    if groups.size and not (groups.min() >= -1 and groups.max() < n_groups):
        raise InputError(
            f"groups must lie between -1 and {n_groups - 1}; found {groups.min()} to {groups.max()}"
        )
    return groups.astype(np.int64, copy=False)


def indicator(groups: np.ndarray, n_groups: int, weights: Sequence[float] | None) -> Any:
    """Pools x cells: the weight of each cell in its pool. Rows keep the order of the cells."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=n_groups)
    data = np.ones(len(groups)) if weights is None else np.tile(np.asarray(weights), n_groups)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return sp.csr_matrix((data, order, ends), shape=(n_groups, len(groups)))


def divide_rows(totals: Any, sizes: np.ndarray) -> Any:
    """Sparse rows over the sizes of their pools; a row of NaN for an empty pool, as in a dense mean."""
    totals.data = totals.data / np.repeat(sizes, np.diff(totals.indptr))
    empty = np.flatnonzero(sizes == 0)
    if len(empty) == 0:
        return totals
    rows, columns = np.repeat(empty, totals.shape[1]), np.tile(np.arange(totals.shape[1]), len(empty))
    return totals + sp.csr_matrix((np.full(len(rows), np.nan), (rows, columns)), shape=totals.shape)


def medians(ordered: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Median of consecutive rows, pools of one size together; NaN for an empty pool."""
    pooled = np.full((len(sizes), ordered.shape[1]), np.nan)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]):
        pools = np.flatnonzero(sizes == size)
        rows = starts[pools][:, None] + np.arange(size)
        pooled[pools] = np.median(ordered[rows], axis=1)
    return pooled


def runs(n: int, step: int) -> Iterator[np.ndarray]:
    """Places 0 to ``n - 1``, at most ``step`` at a time."""
    for start in range(0, n, step):
        yield np.arange(start, min(start + step, n))


def neighbours(values: np.ndarray, n_groups: int) -> np.ndarray:
    """Equally large groups of neighbours, shape ``(n,)``: halves along the widest column, again and again.

    With one column these are runs in its order.

    Parameters
    ----------
    values
        Shape ``(n, p)``; n is a multiple of ``n_groups``.

    Examples
    --------
    >>> neighbours(np.array([[3.0], [1.0], [4.0], [1.5]]), 2).tolist()
    [1, 0, 1, 0]
    """
    size, groups = len(values) // n_groups, np.empty(len(values), dtype=np.int64)
    waiting = [(np.arange(len(values)), 0, n_groups)]
    while waiting:
        rows, first, n = waiting.pop()
        if n == 1:
            groups[rows] = first
            continue
        widest = int(np.argmax(values[rows].std(axis=0)))
        rows = rows[np.argsort(values[rows, widest], kind="stable")]
        cut = n // 2
        waiting += [(rows[: cut * size], first, cut), (rows[cut * size :], first + cut, n - cut)]
    return groups

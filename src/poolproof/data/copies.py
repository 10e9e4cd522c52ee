"""Samples that are exact copies of others, and numbers that stand for missing values."""

from __future__ import annotations

from typing import Any

import numpy as np

from .scale import is_sparse

LEAST_ENTRIES, LEAST_VALUES = 20, 5
"""Entries other than 0, and different ones among them, from which equal samples are no chance."""
BLOCK = 256
"""Rows whose checksums are computed at a time."""
SENTINELS = (-99.0, -999.0, -9999.0, -99999.0)
"""Numbers that tables of older tools hold where a value is missing."""


def exact_copies(matrix: Any) -> np.ndarray:
    """Say which samples hold the very values of an earlier one, shape ``(n_obs,)``.

    Samples with few entries are not looked at: cells with few counts are equal by chance.

    Examples
    --------
    >>> values = np.arange(60.0).reshape(2, 30)
    >>> exact_copies(np.vstack([values, values[:1]]))
    array([False, False,  True])
    """
    seen: dict[bytes, int] = {}
    copies = np.zeros(matrix.shape[0], dtype=bool)
    for row in range(matrix.shape[0]) if is_sparse(matrix) else _alike(matrix):
        if is_sparse(matrix):
            part = slice(matrix.indptr[row], matrix.indptr[row + 1])
            values = matrix.data[part]
            key = matrix.indices[part].tobytes() + values.tobytes()
        else:
            values = matrix[row]
            key = values.tobytes()
        if seen.setdefault(key, row) != row:
            values = values[np.isfinite(values) & (values != 0)]
            copies[row] = len(values) >= LEAST_ENTRIES and len(np.unique(values)) >= LEAST_VALUES
    return copies


def _alike(matrix: np.ndarray) -> np.ndarray:
    """Rows that may be equal to another one: their bits have the same checksum."""
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    weights = np.random.default_rng(0).integers(1 << 63, size=matrix.shape[1], dtype=np.uint64) | np.uint64(1)
    sums = np.empty(len(matrix), dtype=np.uint64)
    for low in range(0, len(matrix), BLOCK):
        sums[low : low + BLOCK] = (matrix[low : low + BLOCK].view(np.uint64) * weights).sum(axis=1)
    _, which, times = np.unique(sums, return_inverse=True, return_counts=True)
    return np.flatnonzero(times[which] > 1)


def sentinels_missing(matrix: Any) -> tuple[Any, str]:
    """Return values with NaN where a number such as -9999 stands for a missing one, and a sentence."""
    values = matrix.data if is_sparse(matrix) else matrix
    if values.size == 0:
        return matrix, ""
    low = float(np.fmin.reduce(values, axis=None))
    if low not in SENTINELS:
        return matrix, ""
    bad = values == low
    rest = values[~bad & ~np.isnan(values)]
    if not rest.size or float(rest.min()) < low / 3:
        return matrix, ""
    values[bad] = np.nan
    return (
        matrix,
        f"{int(bad.sum())} values of {low:g} were taken as missing; write NA where a value is missing",
    )

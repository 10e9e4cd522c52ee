"""What values must be before an audit looks at them; each refusal names the first bad one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .._checks import InputError, printable
from .scale import LARGEST, Facts, is_sparse, nan_sum


def check_values(matrix: Any, genes: np.ndarray, obs_names: np.ndarray, warnings: list[str]) -> None:
    """Refuse infinite values, too few samples or genes; note missing values and constant genes."""
    _refuse(
        matrix,
        lambda v: (v > LARGEST) | (v < -LARGEST),
        f"finite numbers up to {LARGEST:.0e}",
        "is infinite or too large",
        "write NaN where missing",
        genes,
        obs_names,
    )
    if matrix.shape[0] < 10:
        raise InputError(
            f"expected at least 10 samples in rows; found {matrix.shape[0]} (and {matrix.shape[1]} genes in "
            f"columns); "
            "if genes are in rows, pass --orientation genes-in-rows or transpose the data"
        )
    if is_sparse(matrix):
        low, high = (np.asarray(f(axis=0).toarray()).ravel() for f in (matrix.nanmin, matrix.nanmax))
    else:
        low, high = np.fmin.reduce(matrix, axis=0), np.fmax.reduce(matrix, axis=0)
    n_constant = int(np.count_nonzero(~(high > low)))
    if matrix.shape[1] - n_constant < 2:
        raise InputError(
            f"expected at least 2 genes that vary; found {matrix.shape[1] - n_constant} of "
            f"{matrix.shape[1]}; if genes "
            "are in rows, pass --orientation genes-in-rows or transpose the data"
        )
    if n_constant:
        warnings.append(f"{n_constant} of {matrix.shape[1]} genes are constant and cannot be tested")
    missing = np.isnan(matrix.data if is_sparse(matrix) else matrix)
    if missing.any():
        columns = matrix.indices[missing] if is_sparse(matrix) else np.nonzero(missing)[1]
        share = missing.sum() / (matrix.shape[0] * matrix.shape[1])
        warnings.append(
            f"{int(missing.sum())} values ({share:.2g} of all) in {len(np.unique(columns))} genes are "
            f"missing; "
            "they are not filled in"
        )


def _refuse(
    matrix: Any,
    test: Callable[[np.ndarray], np.ndarray],
    expected: str,
    found: str,
    way_out: str,
    genes: np.ndarray,
    obs_names: np.ndarray,
) -> None:
    """Raise if any value fails a test, naming the first one."""
    bad = test(matrix.data if is_sparse(matrix) else matrix.ravel())
    if not bad.any():
        return
    first = int(np.flatnonzero(bad)[0])
    if is_sparse(matrix):
        row = int(np.searchsorted(matrix.indptr, first, side="right")) - 1
        column, value = int(matrix.indices[first]), matrix.data[first]
    else:
        row, column = divmod(first, matrix.shape[1])
        value = matrix[row, column]
    raise InputError(
        f"expected {expected}; {value:g} at sample {printable(obs_names[row], 40)!r}, gene "
        f"{printable(genes[column], 40)!r} {found} ({int(bad.sum())} in all); {way_out}"
    )


def check_counts(
    facts: Facts, matrix: Any, genes: np.ndarray, obs_names: np.ndarray, warnings: list[str]
) -> None:
    """Refuse counts that are negative or not whole; note what they may be instead."""
    way_out = "pass --scale additive or log, or the layer that holds the counts"
    if not facts.counts:
        _refuse(matrix, lambda v: v < 0, "counts", "is negative", way_out, genes, obs_names)
        _refuse(
            matrix,
            lambda v: np.isfinite(v) & (v != np.floor(v)),
            "counts",
            "is not whole",
            way_out,
            genes,
            obs_names,
        )
    if facts.maximum <= 1:
        warnings.append("all counts are 0 or 1: they say what was detected, not how much")
    totals = nan_sum(matrix, axis=1)
    positive = totals[totals > 0]
    if len(positive) and np.ptp(positive) <= 1e-3 * positive.mean():
        warnings.append(
            f"all samples have nearly the same total ({positive.mean():.6g}), as normalised values have; if "
            "these were rounded, they are no counts: pass --scale additive"
        )


def find_counts_elsewhere(data: AnnData | pd.DataFrame, layer: str | None) -> tuple[str, ...]:
    """Names of the other matrices of an AnnData that hold counts."""
    if isinstance(data, pd.DataFrame):
        return ()
    others = {name: data.layers[name] for name in data.layers if name != layer}
    if data.raw is not None and layer != "raw":
        others["raw"] = data.raw.X
    return tuple(str(name) for name, values in others.items() if _holds_counts(values))


def _holds_counts(values: Any) -> bool:
    """Say whether a matrix holds whole numbers of at least 0, more than 0 and 1 among them."""
    found = values.data if is_sparse(values) else np.asarray(values)
    if found.dtype.kind not in "iuf" or found.size == 0:
        return False
    return bool((found >= 0).all() and (found > 1).any() and (found == np.floor(found)).all())

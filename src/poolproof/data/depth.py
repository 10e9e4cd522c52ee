"""Size factors and totals: how deeply each sample was sequenced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .._checks import InputError, check_choice, check_column, printable
from .scale import is_sparse, nan_sum

LIBRARY_COLUMNS = (
    "total_counts",
    "n_counts",
    "nCount_RNA",
    "total_umi",
    "total_umis",
    "n_umi",
    "n_umis",
    "nUMI",
    "total_count_per_cell",
    "library_size",
    "lib.size",
    "psbulk_counts",
)
"""Columns of ``obs`` known to hold the library size, by scanpy, Seurat, edgeR and others."""
METHODS = ("none", "total", "median-ratio")
MIN_RATIO_GENES = 10
MIN_ROWS = 20
LEAST_AGREEMENT = 0.2
"""Rank correlation of library sizes and sums of rows below which the sizes are of other values."""


@dataclass(frozen=True)
class Depth:
    """Depth of each sample, and how it was found."""

    factors: np.ndarray | None
    """Size factors, shape ``(n_obs,)``, mean 1; NaN for a sample without counts; None: not used."""
    totals: np.ndarray | None
    """Total over all measured genes, shape ``(n_obs,)``; None unless counts."""
    known: bool
    """True if the factors come from a column that the user named."""
    method: str
    """``none``, ``total``, ``median-ratio`` or ``obs:COLUMN``."""
    warnings: list[str]


def find_depth(matrix: Any, obs: pd.DataFrame, *, method: str, kind: str, scale: str) -> Depth:
    """Return size factors and totals.

    Parameters
    ----------
    matrix
        Values on the tested scale, shape ``(n_obs, n_genes)``, float64, dense or CSR.
    obs
        Columns that describe the samples, among them perhaps the library size.
    method
        ``auto``, one of `METHODS`, or ``obs:COLUMN``.
    kind, scale
        ``bulk`` or ``single-cell``; the scale of ``matrix``.

    Raises
    ------
    InputError
        The method is unknown, does not fit the scale, or names a column that is missing or not positive.
    """
    said: list[str] = []
    counts = scale == "counts"
    method = _checked_method(method, kind, scale)
    totals, measured = None, True
    if counts or method in ("total", "median-ratio"):
        totals, measured = _totals(matrix, obs if counts else None, said)
    factors = None
    if method.startswith("obs:"):
        factors = _from_column(obs, method[4:])
    elif method == "median-ratio":
        factors = _median_ratio_or_none(matrix, said)
        method = "total" if factors is None else method
    if method == "total":
        factors = totals
        if not measured:
            _warn_of_few_genes(matrix, said)
    if counts and totals is not None and not (totals > 0).all():
        said.append(f"{int((totals <= 0).sum())} samples have no counts: they are left out of the tests")
    return Depth(
        factors=None if factors is None else mean_one(factors),
        totals=totals if counts else None,
        known=method.startswith("obs:"),
        method=method,
        warnings=said,
    )


def _checked_method(method: str, kind: str, scale: str) -> str:
    """The method, chosen where it is ``auto``."""
    if not method.startswith("obs:"):
        check_choice("size_factors", method, ("auto", *METHODS, "obs:COLUMN"))
        if method == "obs:COLUMN":
            raise InputError("--size-factors obs:COLUMN needs the name of a column of obs in place of COLUMN")
    if method == "auto":
        method = "none" if scale != "counts" else "total" if kind == "single-cell" else "median-ratio"
    if scale == "log" and method != "none":
        raise InputError(
            "size factors divide values, not logs; undo the log with --log-base and --log-offset"
        )
    return method


def _totals(matrix: Any, obs: pd.DataFrame | None, said: list[str]) -> tuple[np.ndarray, bool]:
    """Library sizes as ``obs`` has them, else sums of rows; and whether they were measured over all genes."""
    rows = nan_sum(matrix, axis=1)
    library = None if obs is None else _library_size(obs, rows, said)
    return (rows, False) if library is None else (library, True)


def mean_one(factors: np.ndarray) -> np.ndarray:
    """Scale size factors to mean 1; what is not positive becomes NaN.

    Examples
    --------
    >>> mean_one(np.array([1.0, 3.0, 0.0]))
    array([0.5, 1.5, nan])
    """
    usable = np.isfinite(factors) & (factors > 0)
    if not usable.any():
        raise InputError("expected samples with positive totals; found none; check --layer and --scale")
    return np.where(usable, factors / factors[usable].mean(), np.nan)


def median_ratio(counts: Any) -> tuple[np.ndarray, int]:
    """Return size factors by the median of ratios to a reference sample, and the genes used.

    Parameters
    ----------
    counts
        Shape ``(n_obs, n_genes)``, dense or CSR, not negative.

    Returns
    -------
    Factors, shape ``(n_obs,)``, not normalised, NaN where a sample has none of the genes used; and
    the number of genes that are positive in every sample. If those are fewer than 10, the genes positive
    in more than half of the samples are used, with geometric means over the positive entries.

    Notes
    -----
    Anders, S. and Huber, W. (2010). Differential expression analysis for sequence count data.
    *Genome Biology* 11:R106.

    Examples
    --------
    >>> gene = np.arange(1.0, 13.0)
    >>> median_ratio(np.array([gene, 4 * gene]))
    (array([0.5, 2. ]), 12)
    """
    n_positive = np.asarray((counts > 0).sum(axis=0)).ravel()
    everywhere = n_positive == counts.shape[0]
    n_everywhere = int(everywhere.sum())
    chosen = everywhere if n_everywhere >= MIN_RATIO_GENES else n_positive > counts.shape[0] / 2
    if not chosen.any():
        return np.full(counts.shape[0], np.nan), n_everywhere
    part = counts[:, np.flatnonzero(chosen)]
    part = part.toarray() if is_sparse(part) else part
    logs = np.full(part.shape, np.nan)
    np.log(part, out=logs, where=part > 0)
    logs -= np.nanmean(logs, axis=0)
    factors = np.full(len(logs), np.nan)
    some = ~np.isnan(logs).all(axis=1)
    factors[some] = np.exp(np.nanmedian(logs[some], axis=1))
    return factors, n_everywhere


def _median_ratio_or_none(matrix: Any, said: list[str]) -> np.ndarray | None:
    factors, n_everywhere = median_ratio(matrix)
    if np.isnan(factors[nan_sum(matrix, axis=1) > 0]).any() or np.isnan(factors).all():
        said.append("size factors are totals: too few genes are found in most samples for medians of ratios")
        return None
    if n_everywhere < MIN_RATIO_GENES:
        said.append(
            f"only {n_everywhere} genes are positive in every sample: size factors come from the genes that "
            f"are "
            "positive in most samples"
        )
    return factors


def _library_size(obs: pd.DataFrame, rows: np.ndarray, said: list[str]) -> np.ndarray | None:
    """Return the first column of library sizes that can be one: never below the sum of the row."""
    by_name = {str(column).lower(): column for column in obs.columns}
    for name in LIBRARY_COLUMNS:
        if name.lower() not in by_name:
            continue
        column = by_name[name.lower()]
        values = _numeric(obs[column])
        if np.isfinite(values).all() and (values > 0).all() and _is_stale(values, rows):
            said.append(
                f"obs column {printable(column, 40)!r} is not used as library size: it does not go with the "
                "sums of the counts, so it may be that of other values"
            )
            continue
        if np.isfinite(values).all() and (values > 0).all() and (values >= rows * (1 - 1e-6)).all():
            said.append(f"library sizes (totals) taken from obs column {printable(column, 40)!r}")
            return values
        said.append(
            f"obs column {printable(column, 40)!r} is not used as library size: it is missing, not positive, "
            f"or below "
            "the sum of the counts for some samples"
        )
    return None


def _is_stale(sizes: np.ndarray, rows: np.ndarray) -> bool:
    """Say whether library sizes vary but do not rise with the sums of the rows, whatever genes those lack."""
    if len(rows) < MIN_ROWS or np.std(sizes) < 0.05 * np.mean(sizes):
        return False
    return float(stats.spearmanr(sizes, rows).statistic) < LEAST_AGREEMENT if np.ptp(rows) > 0 else True


def _from_column(obs: pd.DataFrame, name: str) -> np.ndarray:
    check_column(obs.columns, name, where="the sample table (obs)", option="--size-factors")
    values = _numeric(obs[name])
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"expected positive size factors in obs column {printable(name)!r}; found others")
    return values


def _numeric(column: Any) -> np.ndarray:
    return pd.to_numeric(pd.Series(column).astype(object), errors="coerce").to_numpy(dtype=np.float64)


def _warn_of_few_genes(matrix: Any, said: list[str]) -> None:
    """Note what makes the row total a poor library size: few genes, or one that holds much of it."""
    by_gene = nan_sum(matrix, axis=0)
    share = float(by_gene.max() / by_gene.sum()) if by_gene.sum() > 0 else 0.0
    way_out = "if the library size is known, put it in obs and pass --size-factors obs:COLUMN"
    if matrix.shape[1] < 2000:
        said.append(f"library sizes are sums over {matrix.shape[1]} genes only; {way_out}")
    if share > 0.1:
        said.append(f"one gene holds {share:.0%} of all counts, so sums depend on it; {way_out}")

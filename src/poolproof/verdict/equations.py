"""The equation of each child on all its parents jointly: affine, or bent (method 6.10)?

Two genes may look bent because a third drives both. Where regulators are known, the child is therefore
fitted on all its parents at once: an additive spline against an affine function, by a score test that
holds its level under unequal variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .._checks import InputError, check_share
from .._names import AFFINE, INCONCLUSIVE, NONLINEAR, NOT_ASSOCIATED, OK, PAIR_CALLS, PAIR_STATUSES
from ..basis import N_COLUMNS
from ..pairs.calls import bh_adjust, lies_below, reaches
from .equation_kernels import COLLINEAR, EquationTest, as_columns, equation_test

__all__ = ["EquationTest", "Equations", "equation_test", "joint_equations"]


@dataclass(frozen=True, eq=False)
class Equations:
    """Joint tests of many children."""

    table: pd.DataFrame
    """One row per child: target, n_parents, parents (joined by semicolons), n, k, df, r2_linear,
    r2_spline, gain, nonlinear_share, nonlinear_share_upper, statistic, p_value, q_value, call, status."""
    edges: pd.DataFrame
    """One row per edge, in the order given: regulator, target, joint_statistic, joint_df, joint_p_value,
    joint_q_value, joint_status. It tests the bend of that parent alone."""
    summary: dict[str, Any]
    """Counts: children, tested, associated and the calls among the associated, with their shares."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """k, fdr, margin, min_r2 and whether levels, replicates and covariates were used."""


def joint_equations(
    values: np.ndarray,
    edges_index: np.ndarray,
    genes: Sequence[str],
    *,
    covariates: np.ndarray | None = None,
    levels: np.ndarray | None = None,
    replicate: np.ndarray | None = None,
    k: int = N_COLUMNS,
    fdr: float = 0.05,
    margin: float = 0.1,
    min_r2: float = 0.02,
) -> Equations:
    """Test the equation of every child on all its parents, and the bend of every edge within it.

    Parameters
    ----------
    values
        Expression on the tested scale, shape ``(n, n_genes)``. Samples where a child, one of its parents
        or a covariate is NaN are left out for that child.
    edges_index
        Columns of regulator and target of each edge, integers, shape ``(n_edges, 2)``; each ordered
        pair once, no gene its own parent.
    genes
        Names, shape ``(n_genes,)``.
    covariates, levels, replicate, k
        As in :func:`equation_test`.
    fdr
        False-discovery rate, by Benjamini & Hochberg over the children tested (and over the edges tested).
    margin
        Largest non-linear share that still counts as affine.
    min_r2
        Least r2_spline of an associated child.

    Returns
    -------
    Children in ascending order of their column. ``call``: ``not_associated`` unless the parents explain
    the child (omnibus test within ``fdr``, and ``min_r2``); then ``affine`` where the upper bound of the
    non-linear share is below ``margin``, else ``nonlinear`` where ``q_value`` is within ``fdr``, else
    ``inconclusive``. Without a test the call is missing, and ``status`` says why.

    Raises
    ------
    InputError
        Shapes do not fit, an edge is repeated or leads from a gene to itself, or a share is not in (0, 1).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> a, b = rng.gamma(2.0, size=(2, 300))
    >>> child = np.tanh(2 * a) + 0.1 * b + rng.normal(0, 0.2, 300)
    >>> result = joint_equations(np.column_stack([a, b, child]), [(0, 2), (1, 2)], ["a", "b", "child"])
    >>> result.table[["target", "parents", "call"]]
      target parents       call
    0  child     a;b  nonlinear
    >>> (result.edges["joint_q_value"] < 0.05).tolist()
    [True, False]
    """
    for name, share in (("fdr", fdr), ("margin", margin), ("min_r2", min_r2)):
        check_share(name, share)
    values = np.asarray(values, dtype=np.float64)
    index = _check_edges(edges_index, values, genes)
    extra = np.empty((len(values), 0)) if covariates is None else as_columns(covariates)
    order = np.lexsort((np.arange(len(index)), index[:, 1]))
    starts = np.flatnonzero(np.diff(index[order, 1], prepend=-1))
    tests, children, edge_rows = [], [], np.split(order, starts[1:]) if len(order) else []
    for rows in edge_rows:
        parents, child = index[rows, 0], int(index[rows[0], 1])
        used = np.isfinite(values[:, [*parents, child]]).all(axis=1) & np.isfinite(extra).all(axis=1)
        tests.append(
            equation_test(
                values[np.ix_(used, parents)],
                values[used, child],
                extra[used],
                levels=None if levels is None else np.asarray(levels)[used],
                replicate=None if replicate is None else np.asarray(replicate)[used],
                k=k,
            )
        )
        children.append((child, parents))
    table = _children_table(tests, children, genes, fdr, margin, min_r2)
    edges = _edges_table(tests, edge_rows, index, genes)
    settings = {
        "k": k,
        "fdr": fdr,
        "margin": margin,
        "min_r2": min_r2,
        "levels": levels is not None,
        "replicate": replicate is not None,
        "n_covariates": extra.shape[1],
    }
    return Equations(table, edges, _summary(table, edges, fdr), settings)


def _check_edges(edges_index: np.ndarray, values: np.ndarray, genes: Sequence[str]) -> np.ndarray:
    """Edges as integers of shape ``(n_edges, 2)``, distinct and inside the data."""
    if values.ndim != 2 or values.shape[1] != len(genes):
        raise InputError(
            f"expected values of shape (n, {len(genes)}), one column per gene; found {values.shape}"
        )
    index = np.asarray(edges_index)
    if index.ndim != 2 or index.shape[1] != 2 or not np.issubdtype(index.dtype, np.integer):
        raise InputError(
            f"expected edges as integers of shape (n_edges, 2); found {index.dtype} {index.shape}"
        )
    if index.min(initial=0) < 0 or index.max(initial=0) >= len(genes):
        raise InputError(
            f"expected edges between columns 0 to {len(genes) - 1}; found {index.min()} to {index.max()}"
        )
    if (index[:, 0] == index[:, 1]).any():
        raise InputError(
            "expected edges between two genes; found a gene that regulates itself; drop such edges"
        )
    if len(np.unique(index, axis=0)) < len(index):
        raise InputError("expected each edge once; found repeated edges; drop the repeats")
    return index


def _children_table(
    tests: list[EquationTest],
    children: list[tuple[int, np.ndarray]],
    genes: Sequence[str],
    fdr: float,
    margin: float,
    min_r2: float,
) -> pd.DataFrame:
    """One row per child, with its call."""

    def numbers(name: str) -> np.ndarray:
        return np.array([getattr(test, name) for test in tests], dtype=np.float64)

    q_value = bh_adjust(numbers("p_value"))
    r2_linear, r2_spline, upper = numbers("r2_linear"), numbers("r2_spline"), numbers("nonlinear_share_upper")
    associated = (bh_adjust(numbers("association_p_value")) <= fdr) & reaches(r2_spline, min_r2)
    tested = np.array([test.status == OK for test in tests], dtype=bool)
    call = np.select(
        [~tested, ~associated, lies_below(upper, margin), q_value <= fdr],
        ["", NOT_ASSOCIATED, AFFINE, NONLINEAR],
        INCONCLUSIVE,
    )
    return pd.DataFrame(
        {
            "target": [str(genes[child]) for child, _ in children],
            "n_parents": np.array([len(parents) for _, parents in children], dtype=np.int32),
            "parents": [";".join(str(genes[parent]) for parent in parents) for _, parents in children],
            "n": np.array([test.n for test in tests], dtype=np.int32),
            "k": np.array([test.k for test in tests], dtype=np.int32),
            "df": np.array([test.df for test in tests], dtype=np.int32),
            "r2_linear": r2_linear,
            "r2_spline": r2_spline,
            "gain": r2_spline - r2_linear,
            "nonlinear_share": numbers("nonlinear_share"),
            "nonlinear_share_upper": upper,
            "statistic": numbers("statistic"),
            "p_value": numbers("p_value"),
            "q_value": q_value,
            "call": pd.Categorical(call, categories=list(PAIR_CALLS)),
            "status": pd.Categorical([test.status for test in tests], categories=list(PAIR_STATUSES)),
        }
    )


def _edges_table(
    tests: list[EquationTest], edge_rows: list[np.ndarray], index: np.ndarray, genes: Sequence[str]
) -> pd.DataFrame:
    """One row per edge, in the order of ``index``."""
    statistic, p_value = np.full((2, len(index)), np.nan)
    df = np.zeros(len(index), dtype=np.int32)
    status = np.full(len(index), OK, dtype=object)
    for test, rows in zip(tests, edge_rows, strict=True):
        statistic[rows], df[rows], p_value[rows] = test.edge_statistic, test.edge_df, test.edge_p_value
        status[rows] = test.edge_status
    return pd.DataFrame(
        {
            "regulator": [str(genes[i]) for i in index[:, 0]],
            "target": [str(genes[i]) for i in index[:, 1]],
            "joint_statistic": statistic,
            "joint_df": df,
            "joint_p_value": p_value,
            "joint_q_value": bh_adjust(p_value),
            "joint_status": pd.Categorical(status, categories=[*PAIR_STATUSES, COLLINEAR]),
        }
    )


def _summary(table: pd.DataFrame, edges: pd.DataFrame, fdr: float) -> dict[str, Any]:
    """Counts of children and of their calls; shares are of the associated."""
    calls = table["call"].value_counts()
    n_associated = int(sum(calls[[NONLINEAR, AFFINE, INCONCLUSIVE]]))
    summary: dict[str, Any] = {
        "n_children": len(table),
        "n_tested": int((table["status"] == OK).sum()),
        "n_associated": n_associated,
    }
    for call in (NONLINEAR, AFFINE, INCONCLUSIVE):
        summary[f"n_{call}"] = int(calls[call])
        summary[f"share_{call}"] = int(calls[call]) / n_associated if n_associated else None
    summary["n_edges"] = len(edges)
    summary["n_edges_tested"] = int((edges["joint_status"] == OK).sum())
    summary["n_edges_bent"] = int((edges["joint_q_value"] <= fdr).sum())
    return summary

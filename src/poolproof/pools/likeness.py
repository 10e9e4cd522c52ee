"""Are the cells of a pool alike, and in what? Random pools, and metacells of all kinds (method 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import stats

from .. import _names as names
from .._checks import InputError, check_column, printable
from .._notebook import summary_html
from .._random import stream
from ..basis import spline_basis
from ..data.expression import Expression
from ..pairs.calls import bh_adjust
from .marks import in_a_pool

RANDOM, ALIKE, OWN = KINDS = ("random", "alike", "alike-in-these-genes")
"""What pools are: like random ones; of cells that are alike; of cells alike in what only these genes say."""
MAX_GENES, CELLS_PER_GENE = 300, 8
"""Genes whose own part is looked at, drawn where there are more; cells for each, at least."""
CELLS_PER_COLUMN, MOST_COLUMNS = 4, 6
"""Cells for each column of a curve, at least; columns of a curve, at most."""
MIN_CELLS = 20
"""Cells beyond the first of each pool, without which sums say nothing of likeness."""
LEVEL, OWN_LEVEL = 0.05, 0.001
"""False-discovery rates of genes that are shared, and of own parts: one of three by chance would decide."""
SMALLEST, OWN_SMALLEST = 0.005, 0.02
"""Shares of variance, and of own parts, below it count as none, however sure: what splines miss of a curve
is in own parts too."""
RIDGE = 0.01
"""Added to the diagonal of correlations before they are inverted."""
FEW, MOST = 0.1, 0.5
"""Shares of genes: up to ``FEW`` alike is random, above ``MOST`` alike in their own part is made of them."""
COLUMNS = tuple(column.name for column in names.ASSIGNMENT_COLUMNS)


@dataclass(frozen=True, eq=False, repr=False)
class Likeness:
    """How alike the cells of a pool are."""

    table: pd.DataFrame
    """One row per gene that varies: ``shared``, the share of its variance that the cells of a pool share
    beyond what cells of random pools do (0 on average there), with p-value and q-value of the F test; and
    the same of its own part, what a ridge regression on curves of the other genes leaves (missing where not
    drawn)."""
    summary: dict[str, Any]
    """The entry ``assignment`` of verdict.json."""

    @property
    def kind(self) -> str:
        """``random``, ``alike`` or ``alike-in-these-genes``."""
        return str(self.summary["kind"])

    def __str__(self) -> str:
        return str(self.summary["sentence"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html("Pools", [str(self)], self.table, [], rows="first")


def pool_likeness(expression: Expression, obs: pd.DataFrame, assignment: str, *, seed: int = 0) -> Likeness:
    """Test whether an assignment of cells to pools is random, and else in what the cells are alike.

    Parameters
    ----------
    expression
        The cells, described; depth-normalised amounts are compared.
    obs
        Table of the cells.
    assignment
        Column of ``obs`` that names the pool of each cell; marks of cells that are in none are left out.
    seed
        Of the genes whose own part is looked at, where they are too many.

    Raises
    ------
    InputError
        The samples are no cells, the column is not there, or there are not two pools with two cells each.
    """
    if expression.kind != names.SINGLE_CELL:
        raise InputError("--assignment puts single cells into pools; these are bulk samples")
    check_column(obs.columns, assignment, where="the table of cells (obs)", option="--assignment")
    used, left_out = in_a_pool(obs[assignment])
    codes = pd.factorize(obs[assignment].where(used).astype(object), sort=False)[0]
    sizes = np.bincount(codes[codes >= 0]) if (codes >= 0).any() else np.zeros(0, dtype=int)
    if (sizes >= 2).sum() < 2:
        found = (
            f"{len(sizes):,} pools in {printable(assignment, 40)}, {(sizes >= 2).sum():,} of several cells"
        )
        raise InputError(f"--assignment needs at least two pools of several cells; found {found}")
    with np.errstate(invalid="ignore"):
        values = np.asarray(expression.normalised(np.arange(len(expression.genes))), dtype=np.float64)
    kept = (codes >= 0) & np.isfinite(values).any(axis=1)  # a cell without a count has no normalised value
    values, codes = values[kept], codes[kept]
    varies = np.isfinite(values).all(axis=0) & (values.std(axis=0) > 0)
    if not varies.any():
        raise InputError("--assignment needs genes without missing values that vary; found none")
    values = values[:, varies]
    gene = np.asarray(expression.genes, dtype=object)[varies]
    table = pd.DataFrame({"gene": gene})
    table["shared"], table["p_value"] = shared_variance(values, codes)
    table["q_value"] = bh_adjust(table["p_value"].to_numpy())
    drawn = _drawn(gene, len(values), seed)
    own = np.full((3, len(gene)), np.nan)
    if len(drawn) >= 2:
        own[0, drawn], own[1, drawn] = shared_variance(own_parts(values[:, drawn]), codes)
        own[2, drawn] = bh_adjust(own[1, drawn])
    table["own_shared"], table["own_p_value"], table["own_q_value"] = own
    return Likeness(table[list(COLUMNS)], _summary(table, assignment, sizes, left_out, len(drawn)))


def shared_variance(values: np.ndarray, pool_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of each column's variance that rows of a pool share, and the p-value of the F test.

    1 - (mean square within pools) / (mean square of all): 0 on average where pools are drawn at random,
    whatever the law of a column (analysis of variance; Fisher 1925). Below 0, cells of a pool differ by more.

    Parameters
    ----------
    values
        Shape ``(n, p)``; no column is constant.
    pool_of
        Number of the pool of each row, from 0 on, shape ``(n,)``.

    Examples
    --------
    >>> share, p_value = shared_variance(np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([0, 0, 1, 1]))
    >>> round(float(share[0]), 4), bool(p_value[0] < 0.001)
    (0.9994, True)
    """
    sizes = np.bincount(pool_of)
    sizes = sizes[sizes > 0]
    apart = values - values.mean(axis=0)
    order = np.argsort(pool_of, kind="stable")
    sums = np.add.reduceat(apart[order], np.cumsum(sizes) - sizes, axis=0)
    return _shared((apart**2).sum(axis=0), (sums**2 / sizes[:, None]).sum(axis=0), len(sizes), len(values))


def shared_in_sums(sums: Any, squares: Any, n_cells: np.ndarray) -> float:
    """Median over genes of the share of variance that the cells of a pool share, from sums over pools.

    Parameters
    ----------
    sums, squares
        Sums over the cells of each pool, of values and of their squares, shape ``(n_pools, n_genes)``; dense
        or CSR.
    n_cells
        Cells of each pool, shape ``(n_pools,)``.

    Returns
    -------
    NaN where no gene varies, or there are fewer than `MIN_CELLS` cells beyond one for each pool.
    """
    n, n_pools = int(n_cells.sum()), len(n_cells)
    if n_pools < 2 or n < n_pools + MIN_CELLS:
        return float("nan")
    mean_part = np.asarray(sums.sum(axis=0), dtype=np.float64).ravel() ** 2 / n
    weight = sp.csr_array(1.0 / n_cells[None, :])
    squared: Any = sums.astype(np.float64)
    squared = squared.power(2) if sp.issparse(sums) else squared**2
    between = _dense(weight @ squared) - mean_part
    total = _dense(squares.sum(axis=0)) - mean_part
    varies = total > 1e-9 * np.maximum(mean_part, 1e-300)
    if not varies.any():
        return float("nan")
    return float(np.median(_shared(total[varies], between[varies], n_pools, n)[0]))


def _dense(row: Any) -> np.ndarray:
    return np.asarray(row.toarray() if hasattr(row, "toarray") else row, dtype=np.float64).ravel()


def _shared(total: np.ndarray, between: np.ndarray, n_pools: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares and p-values of sums of squares, all of them and between pools."""
    inside = np.maximum(total - between, 0.0) / (n - n_pools)
    with np.errstate(divide="ignore"):
        ratio = between / (n_pools - 1) / inside
    return 1 - inside / (total / (n - 1)), stats.f.sf(ratio, n_pools - 1, n - n_pools)


def own_parts(values: np.ndarray) -> np.ndarray:
    """What a ridge regression of each column on curves (splines) of all others leaves, shape as ``values``.

    A row of the inverse of a correlation matrix is the regression of a variable on all others (Whittaker
    1990, section 5.7); a column's own curve is taken out of it by the rule for the inverse of a part.
    """
    n, p = values.shape
    k = int(np.clip(n // (CELLS_PER_COLUMN * p), 1, MOST_COLUMNS))
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    features = [scaled]
    if k > 1:
        curves = [spline_basis(column, k)[:, 1:] * np.sqrt(n) for column in scaled.T]
        curves = [np.pad(curve, ((0, 0), (0, k - 1 - curve.shape[1]))) for curve in curves]
        features += curves  # columns of a gene side by side; too few values: columns of zeros
    every = np.hstack(features)
    inverse = np.linalg.inv(every.T @ every / n + RIDGE * np.eye(every.shape[1]))
    weights = inverse[:p]
    if k > 1:
        own = p + (k - 1) * np.arange(p)[:, None] + np.arange(k - 1)
        across = inverse[np.arange(p)[:, None], own]
        inside = inverse[own[:, :, None], own[:, None, :]]
        times = np.linalg.solve(inside, across[:, :, None])[:, :, 0]
        weights = weights - np.einsum("gk,gkf->gf", times, inverse[own])
    return np.asarray(every @ (weights / np.diag(weights)[:, None]).T)


def _drawn(genes: np.ndarray, n_cells: int, seed: int) -> np.ndarray:
    """Positions of the genes whose own part is looked at; a draw goes by their names."""
    most = min(MAX_GENES, n_cells // CELLS_PER_GENE)
    if len(genes) <= most:
        return np.arange(len(genes))
    order = np.argsort(genes.astype(str), kind="stable")
    return np.sort(order[stream(seed, "likeness").permutation(len(genes))[:most]])


def _summary(
    table: pd.DataFrame, assignment: str, sizes: np.ndarray, left_out: int, n_own: int
) -> dict[str, Any]:
    alike = (table["q_value"] < LEVEL) & (table["shared"] > SMALLEST)
    own = ((table["own_q_value"] < OWN_LEVEL) & (table["own_shared"] > OWN_SMALLEST))[
        table["own_shared"].notna()
    ]
    share_alike, share_own = float(alike.mean()), float(own.mean()) if len(own) else None
    kind = RANDOM if share_alike <= FEW else OWN if share_own is not None and share_own > MOST else ALIKE
    summary: dict[str, Any] = {
        "column": assignment,
        "kind": kind,
        "n_pools": len(sizes),
        "n_cells": int(sizes.sum()),
        "median_cells": float(np.median(sizes)),
        "n_left_out": left_out,
        "n_genes": len(table),
        "shared": float(table["shared"].median()),
        "share_alike": share_alike,
        "n_genes_own": n_own,
        "own_shared": float(table["own_shared"].median()) if n_own >= 2 else None,
        "share_own": share_own,
    }
    return summary | {"sentence": _sentence(summary)}


def _sentence(s: dict[str, Any]) -> str:
    head = (
        f"{s['n_pools']:,} pools of {printable(s['column'], 40)}, {s['median_cells']:,.0f} cells in the "
        f"median: cells of a pool share {100 * s['shared']:.1f}% of a gene's variance (median)"
    )
    if s["kind"] == RANDOM:
        return f"{head}, as in pools drawn at random: what is said of random pools holds for them."
    own = (
        ""
        if s["own_shared"] is None
        else f", and {100 * s['own_shared']:.1f}% of what the other genes leave of it"
    )
    if s["kind"] == OWN:
        return (
            f"{head}{own}, in {100 * s['share_own']:.0f}% of genes: cells were put together by what only "
            "these genes say, and such pools break independences among them even where equations are affine; "
            "make pools by other genes, or at random."
        )
    return (
        f"{head}{own}: cells are alike. Such pools keep bent curves of what the cells share, and of nothing "
        "else; what is said of random pools does not hold for them."
    )

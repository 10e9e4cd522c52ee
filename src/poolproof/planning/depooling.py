"""Take pools of known size apart: what their cells are like (method 7c)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import stats

from .._arrays import dense_columns
from .._checks import InputError, check_column, check_whole, printable
from .._files import replace_file, to_json, write_parquet
from .._notebook import Spoken, summary_html
from .._random import stream
from ..data.scale import is_sparse
from ..data.taking import genes_only, take
from ..pairs.needed import samples_needed
from ..pairs.plan import as_list
from .cumulants import (
    N_BLOCKS,
    BlockSums,
    bend_share_of_cells,
    block_sums,
    cell_cumulants,
    jackknife,
    shrunk_n22,
)
from .folder import save_files

MIN_POOLS = 40
"""Pools below which blocks of them hold one each."""
MAX_GENES = 200
LARGEST = 100
"""Cells in a pool up to which depooling was tried."""
MIN_MEAN = 2.0
"""Mean count of a pool from which a gene is used."""
MAX_ERROR = 0.15
"""Standard error of the bend share above which it is not given."""
CLEAR = 3.0
OK, TOO_FEW = "ok", "too_few_pools"
FILES = ("depooled_genes.parquet", "depooled_pairs.parquet", "depooled.json")


@dataclass(frozen=True, eq=False, repr=False)
class Depooled(Spoken):
    """What the cells of pools are like."""

    table: pd.DataFrame
    """One row an ordered pair: covariance of cells, its standard error, third cumulant of x, x and y."""
    genes: pd.DataFrame
    """One row a gene: mean of a cell, variance without the noise of counting, skewness, n22, and errors."""
    summary: dict[str, Any]
    """The content of depooled.json."""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def sentence(self) -> str:
        """The bend share of the cells, or why there is none."""
        return str(self.summary["sentence"])

    def _repr_html_(self) -> str:
        columns = ("regulator", "target", "covariance", "covariance_error", "correlation", "third")
        return summary_html(
            "Depooled", [self.sentence], self.table, self.summary["notes"], columns=columns, rows="first"
        )

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write depooled.json and the two tables into a folder."""
        writers: dict[str, Callable[[Path], object]] = {
            FILES[0]: lambda place: write_parquet(self.genes, place),
            FILES[1]: lambda place: write_parquet(self.table, place),
            FILES[2]: lambda place: replace_file(place, to_json(self.summary) + "\n"),
        }
        return save_files(folder, writers, force=force)


def depool(
    pools: AnnData,
    *,
    cells_per_pool: int | str,
    within: str | Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    seed: int = 0,
) -> Depooled:
    """Say what the cells of pools of known size are like: means, covariances, third cumulants, bend share.

    Parameters
    ----------
    pools
        Sums of cells, pools x genes: counts (the noise of counting is taken out) or other amounts.
    cells_per_pool
        Cells in each pool: a number, or the column of obs that holds it.
    within
        Columns of obs whose levels are taken apart each by its own shares: composition, batch, donor.
    genes
        Names of genes; None: at most 200 of those seen twice a pool on average, drawn by the seed.
    layer
        Layer to take, or ``raw``; None: X.
    seed
        Of the blocks of pools and of the genes.

    Returns
    -------
    Depooled

    Raises
    ------
    InputError
        Fewer than 40 pools, sizes that are missing or no whole numbers of at least 1, logs, no genes.

    Notes
    -----
    Section 7c of the method. Pools are taken as sums of cells that are independent and alike inside a level:
    what pools differ by beside their cells counts as variance of the cells, K times.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> level = rng.gamma(2.0, size=(400, 5, 3)) * [4, 8, 6]
    >>> level[:, :, 1] = 4 * level[:, :, 0]
    >>> sums = np.column_stack([rng.poisson(level.sum(axis=1)), rng.poisson(2000, size=400)])
    >>> found = depool(AnnData(sums.astype(float)), cells_per_pool=5)
    >>> found.summary["n_cells"], found.table.shape[0]
    (2000, 12)
    """
    taken = genes_only(take(pools, layer))
    matrix, names_of = taken.matrix, taken.var.index.to_numpy().astype(str)
    n_cells = sizes_of(pools.obs, cells_per_pool)
    if matrix.shape[0] < MIN_POOLS:
        raise InputError(
            f"expected at least {MIN_POOLS} pools; found {matrix.shape[0]:,}; no moment of cells can be told "
            "from fewer"
        )
    counted = _check_values(matrix)
    total = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    strata = strata_of(pools.obs, as_list(within), "--within")
    keep = (total > 0) & (strata >= 0)
    chosen = _genes(matrix, names_of, genes, seed)
    values = dense_columns(matrix, chosen).astype(np.float64)[keep]
    total, n_cells, strata = total[keep], n_cells[keep], strata[keep]
    expected = expected_of(values, total, strata)
    sums = block_sums(values, expected, n_cells, blocks_of(len(values), seed), counted=counted)
    notes = _notes(n_cells, counted, strata)
    found = share_of_cells(sums)
    gene_table = _gene_table(sums, values, n_cells, names_of[chosen], found["n22"])
    summary = {
        "schema_version": 1,
        "tool": {"name": "poolproof", "version": version("poolproof")},
        "n_pools": len(values),
        "n_cells": int(n_cells.sum()),
        "cells_per_pool": {"least": int(n_cells.min()), "most": int(n_cells.max())},
        "counted": counted,
        "n_genes": len(chosen),
        **{key: found[key] for key in ("status", "bend_share", "standard_error", "low", "high", "needed")},
        "sentence": share_sentence(found, len(values)),
        "notes": notes,
        "seed": seed,
    }
    settings = {
        "cells_per_pool": cells_per_pool,
        "within": as_list(within),
        "genes": None if genes is None else list(genes),
        "layer": layer,
    }
    return Depooled(_pair_table(sums, names_of[chosen]), gene_table, summary, settings, seed)


def sizes_of(obs: pd.DataFrame, cells_per_pool: int | str) -> np.ndarray:
    """Cells in each pool, from a number or a column of obs.

    Raises
    ------
    InputError
        There is no such column, or a pool has no whole number of at least 1.
    """
    if isinstance(cells_per_pool, str):
        check_column(
            obs.columns.astype(str),
            cells_per_pool,
            where="the table of pools (obs)",
            option="--cells-per-pool",
        )
        values = pd.to_numeric(obs[cells_per_pool], errors="coerce").to_numpy(dtype=float)
    else:
        values = np.full(len(obs), float(check_whole("cells_per_pool", cells_per_pool, 1)))
    bad = ~(np.isfinite(values) & (values >= 1) & (values == np.rint(values)))
    if bad.any():
        raise InputError(
            "--cells-per-pool: expected a whole number of at least 1 for every pool; found "
            f"{int(bad.sum()):,} of {len(values):,} without one"
        )
    return np.asarray(values)


def _check_values(matrix: Any) -> bool:
    """Whether these are counts; refuse what is no sum of amounts."""
    values = matrix.data if is_sparse(matrix) else np.asarray(matrix)
    if values.size and (np.isnan(values).any() or values.min() < 0):
        raise InputError(
            "expected sums of amounts; found negative or missing values; give the counts (--layer)"
        )
    counted = bool((values == np.rint(values)).all())
    if not counted and values.size and values.max() < 50:
        raise InputError(
            f"expected sums of amounts; found values up to {values.max():.3g} that look like logs; give the "
            "counts (--layer)"
        )
    return counted


def strata_of(obs: pd.DataFrame, columns: list[str], option: str) -> np.ndarray:
    """Code of the level of each pool; -1: in a level of fewer than 10, or without one."""
    codes = np.zeros(len(obs), dtype=np.int64)
    for column in columns:
        check_column(obs.columns.astype(str), column, where="the table of pools (obs)", option=option)
        own = pd.factorize(obs[column].astype(object))[0]
        codes = np.where((codes < 0) | (own < 0), -1, codes * (own.max() + 1) + own)
    _, codes_of, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    return np.where((sizes[codes_of] >= 10) & (codes >= 0), codes_of, -1)


def _genes(matrix: Any, names_of: np.ndarray, genes: Sequence[str] | None, seed: int) -> np.ndarray:
    if genes is not None:
        place = {name: i for i, name in enumerate(names_of)}
        missing = [name for name in genes if name not in place]
        if missing:
            raise InputError(f"expected names of genes; found {printable(missing[0], 40)!r}, which is none")
        return np.array([place[name] for name in dict.fromkeys(genes)])
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    seen = np.flatnonzero(mean >= MIN_MEAN)
    if len(seen) < 2:
        raise InputError(
            f"expected at least 2 genes with {MIN_MEAN:g} counts a pool; found {len(seen)}; give deeper pools"
        )
    if len(seen) <= MAX_GENES:
        return seen
    order = seen[np.argsort(names_of[seen], kind="stable")]
    return np.sort(stream(seed, "depool genes").choice(order, MAX_GENES, replace=False))


def blocks_of(n: int, seed: int) -> np.ndarray:
    """Block of each pool, drawn by the seed, shape ``(n,)``."""
    block = np.empty(n, dtype=np.int64)
    block[stream(seed, "depool blocks").permutation(n)] = np.arange(n) % N_BLOCKS
    return block


def expected_of(values: np.ndarray, total: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Share of a gene in its level times the total of the pool."""
    member = (strata == np.unique(strata)[:, None]).astype(np.float64)
    share = (member @ values) / (member @ total)[:, None]
    at = np.searchsorted(np.unique(strata), strata)
    return np.asarray(share[at] * total[:, None])


def share_of_cells(sums: BlockSums) -> dict[str, Any]:
    """Bend share of the cells, its error, and whether it can be had; n22 of genes; error of all explained."""
    n_blocks = len(sums.n)
    every = np.ones(n_blocks, dtype=bool)
    left = [np.arange(n_blocks) != b for b in range(n_blocks)]
    raw = cell_cumulants(sums).n22
    error = jackknife(np.array([cell_cumulants(sums, keep).n22 for keep in left]))
    n22, of_mean = shrunk_n22(raw, error)
    bend, line, share = bend_share_of_cells(sums, n22, every)
    of_blocks = np.array([bend_share_of_cells(sums, n22, keep) for keep in left])
    whole = bend + line
    whole_error = float(jackknife(of_blocks[:, :2].sum(axis=1)))
    share_error = float(jackknife(of_blocks[:, 2])) if np.isfinite(of_blocks[:, 2]).all() else float("inf")
    bend_error = float(jackknife(of_blocks[:, 0])) / whole if whole > 0 else float("inf")
    known = np.isfinite(n22)
    centre = float(np.nanmean(n22)) if known.any() else 0.0
    # a relative error of n22 is one of the bends
    share_error = float(np.hypot(share_error, share * (1 - share) * of_mean / max(centre, 0.1)))
    clear = whole > CLEAR * whole_error and of_mean < 0.5 * centre
    of_all = {"n22": n22, "whole_error": whole_error / whole if whole > 0 else float("inf")}
    n = int(sums.n.sum())
    if clear and share_error <= MAX_ERROR:
        reach = float(stats.t.ppf(0.975, n_blocks - 1)) * share_error
        return {
            "status": OK,
            "bend_share": share,
            "standard_error": share_error,
            "low": share - reach,
            "high": share + reach,
            "needed": None,
            **of_all,
        }
    return {
        "status": TOO_FEW,
        "bend_share": None,
        "standard_error": share_error if np.isfinite(share_error) else None,
        "low": None,
        "high": None,
        "needed": _needed(n, bend_error, whole, whole_error, of_mean / max(centre, 1e-9)),
        **of_all,
    }


def _needed(n: int, share_error: float, whole: float, whole_error: float, of_n22: float) -> int | None:
    """Pools that would do; None where not even the sign of what pairs explain is clear."""
    if whole <= 0 or not np.isfinite(share_error):
        return None
    most = samples_needed(n, share_error, share_error, MAX_ERROR)[0] if share_error > MAX_ERROR else n
    most = max(most, n * (CLEAR * whole_error / whole), n * (of_n22 / 0.5) ** 2)
    return int(np.ceil(most / 10) * 10)


def share_sentence(found: dict[str, Any], n: int) -> str:
    """The bend share of the cells from n pools, or why there is none."""
    if found["status"] == OK:
        return (
            f"Bend share of the cells {found['bend_share']:.1%} (95 % interval {found['low']:.1%} to "
            f"{found['high']:.1%}), from {n:,} pools"
        )
    if found["needed"] is None:
        return (
            f"The bend share of the cells cannot be had from {n:,} pools: pairs explain nothing beyond chance"
        )
    return (
        f"The bend share of the cells cannot be had from {n:,} pools: about {found['needed']:,} like these "
        "would be needed"
    )


def _notes(n_cells: np.ndarray, counted: bool, strata: np.ndarray) -> list[str]:
    notes = []
    if not counted:
        notes.append("These are no counts: the noise of measuring is not taken out and counts as cells'.")
    if n_cells.max() > LARGEST:
        notes.append(f"Pools of more than {LARGEST} cells: third cumulants need very many of them.")
    if len(np.unique(strata)) > 1:
        notes.append(f"{len(np.unique(strata))} levels, each with its own shares of genes.")
    return notes


def _gene_table(
    sums: BlockSums, values: np.ndarray, n_cells: np.ndarray, names_of: np.ndarray, n22: np.ndarray
) -> pd.DataFrame:
    moments = cell_cumulants(sums)
    variance, third = np.diag(moments.covariance), np.diag(moments.third)
    left = [cell_cumulants(sums, np.arange(len(sums.n)) != b) for b in range(len(sums.n))]
    safe = np.where(variance > 0, variance, np.nan)
    return pd.DataFrame(
        {
            "gene": names_of,
            "n_pools": len(values),
            "n_cells": int(n_cells.sum()),
            "mean": values.sum(axis=0) / n_cells.sum(),
            "variance": variance,
            "variance_error": jackknife(np.array([np.diag(of.covariance) for of in left])),
            "skewness": third / safe**1.5,
            "n22": n22,
        }
    )


def _pair_table(sums: BlockSums, names_of: np.ndarray) -> pd.DataFrame:
    """All ordered pairs, strongest covariance first."""
    moments = cell_cumulants(sums)
    left = [cell_cumulants(sums, np.arange(len(sums.n)) != b) for b in range(len(sums.n))]
    errors = [jackknife(np.array([getattr(of, part) for of in left])) for part in ("covariance", "third")]
    x, y = np.nonzero(~np.eye(len(names_of), dtype=bool))
    variance = np.diag(moments.covariance)
    scale = np.sqrt(np.where(variance > 0, variance, np.nan))
    table = pd.DataFrame(
        {
            "regulator": names_of[x],
            "target": names_of[y],
            "covariance": moments.covariance[x, y],
            "covariance_error": errors[0][x, y],
            "correlation": moments.covariance[x, y] / (scale[x] * scale[y]),
            "third": moments.third[x, y],
            "third_error": errors[1][x, y],
        }
    )
    strength = (table["covariance"] / table["covariance_error"].replace(0, np.nan)).abs()
    return table.iloc[np.argsort(-strength.fillna(0).to_numpy(), kind="stable")].reset_index(drop=True)

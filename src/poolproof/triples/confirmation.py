"""A sample of triples, confirmed by slower standard tests, with single cells as the baseline (method 8.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._arrays import in_threads
from .._random import stream
from ..pairs.design import Level
from ..pairs.screening import Associations
from .citest import MIN_SAMPLES, ci_test
from .every_triple import Options, Triples, judge_listed
from .score_conditioner import fill_missing

N_DRAWN = 5_000
"""Triples drawn and judged, among which separated and dependent ones are looked for."""
N_CONFIRMED = 20
"""Triples of each kind that are tested."""
LEVEL = 0.05
POOLED = 10
"""Cells of a pool, beside single cells."""
MANY_POOLS = 100
N_KERNEL = 200
"""Most samples of the kernel test, whose time grows with their cube."""
TESTS = ("fisher_z", "spline_gcm", "kernel")


def confirm_triples(result: Triples, associations: Associations, options: Options) -> dict[str, Any] | None:
    """Test a random sample of the screened triples by Fisher z, the spline GCM and the kernel test.

    Parameters
    ----------
    result
        A screen.
    associations
        Of the same genes.
    options
        Those of the screen.

    Returns
    -------
    The entry ``confirmation`` of verdict.json: how many triples were drawn, and for each test and number of
    cells in a pool how often independence of x and z given y was rejected among separated and dependent
    triples. Values are depth-normalised, without covariates, of the largest level; single-cell data are
    tested as cells and as pools of up to 10 cells, with as many cells as there are pools. None where no
    triple of either kind was drawn, or samples are too few.

    Notes
    -----
    Sampling noise is not removed here: for counts a rejected separation is no contradiction, as noise in the
    middle gene destroys every conditional independence. The tests have blind spots of their own:
    see :func:`poolproof.triples.citest.ci_test`.
    """
    drawn = _draw(result, associations, options.seed)
    if len(drawn) == 0:
        return None
    table = judge_listed(result.expression, result.design, drawn, options, result.settings).table
    calls = table["call"].astype(str)
    kinds = {
        "separated": table[calls.isin((names.KEPT, names.DISTORTED))].head(N_CONFIRMED),
        "dependent": table[calls.isin((names.DEPENDENT, names.HIDDEN))].head(N_CONFIRMED),
    }
    chosen = pd.concat(kinds.values(), ignore_index=True)
    if len(chosen) == 0:
        return None
    place = {gene: i for i, gene in enumerate(result.expression.genes)}
    at = np.array([[place[gene] for gene in row] for row in chosen[["x", "y", "z"]].itertuples(index=False)])
    level = max(result.design.levels, key=lambda of: len(of.rows))
    genes, columns = np.unique(at, return_inverse=True)
    values = _values(result, genes, level)
    is_separated = np.arange(len(chosen)) < len(kinds["separated"])
    found = []
    for n_cells, rows in _samples(level, result.expression.kind, options.seed):
        for test in TESTS:
            p = _p_values(values, columns.reshape(-1, 3), rows, test, options)
            found.append(
                {
                    "test": test,
                    "n_cells": n_cells,
                    "n": len(rows) if test != "kernel" else min(len(rows), N_KERNEL),
                    "n_separated": int((is_separated & ~np.isnan(p)).sum()),
                    "rejected_separated": int((is_separated & (p < LEVEL)).sum()),
                    "n_dependent": int((~is_separated & ~np.isnan(p)).sum()),
                    "rejected_dependent": int((~is_separated & (p < LEVEL)).sum()),
                    "level": LEVEL,
                }
            )
    return {"n_drawn": len(drawn), "tests": found} if found else None


def _draw(result: Triples, associations: Associations, seed: int) -> pd.DataFrame:
    """Random triples with the middle genes and ends of the screen."""
    genes = result.expression.genes
    order = np.argsort(genes.astype(str), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    ends = associations.rank(place)
    n_screened = result.genes["n_screened"].to_numpy()[order].astype(float)
    if n_screened.sum() == 0:
        return pd.DataFrame({"x": [], "y": [], "z": []})
    random = stream(seed, "triples to confirm")
    rows = []
    for middle in random.choice(len(genes), size=N_DRAWN, p=n_screened / n_screened.sum()).tolist():
        mine = ends[middle]
        x, z = np.sort(random.choice(mine[mine != middle], size=2, replace=False))
        rows.append((genes[order[x]], genes[order[middle]], genes[order[z]]))
    return pd.DataFrame(rows, columns=["x", "y", "z"]).drop_duplicates(ignore_index=True)


def _samples(level: Level, kind: str, seed: int) -> list[tuple[int, np.ndarray]]:
    """Samples to test: cells per pool, and each pool's places in the level, shape ``(n_pools, n_cells)``.

    Pools hold up to 10 cells, fewer where that would leave fewer than 100 pools.
    """
    rows = np.argsort(level.rows)[stream(seed, "cells to confirm").permutation(len(level.rows))]
    if len(rows) < MIN_SAMPLES:
        return []
    n_cells = min(POOLED, len(rows) // MANY_POOLS) if kind == "single-cell" else 1
    if n_cells < 2:
        return [(1, rows[:, None])]
    pools = rows[: len(rows) // n_cells * n_cells].reshape(-1, n_cells)
    return [(1, pools[:, :1]), (n_cells, pools)]


def _values(result: Triples, genes: np.ndarray, level: Level) -> np.ndarray:
    """Depth-normalised values of genes in a level, covariates projected out, shape ``(n, len(genes))``."""
    values = np.asarray(fill_missing(result.expression.normalised(genes, level.rows)))
    if level.covariates.shape[1] > 1:
        values = values - level.covariates @ (level.covariates.T @ values)
    return values


def _p_values(
    values: np.ndarray, triples: np.ndarray, rows: np.ndarray, test: str, options: Options
) -> np.ndarray:
    """P-values of one test on sums of the ``rows`` of each pool; ``triples`` are columns of ``values``."""
    if test == "kernel":
        rows = rows[:N_KERNEL]

    def one(triple: np.ndarray) -> float:
        x, y, z = (values[rows, column].sum(axis=1) for column in triple.tolist())
        return ci_test(test, x, z, y, seed=options.seed).p_value

    return np.array(in_threads(one, list(triples), options.threads))

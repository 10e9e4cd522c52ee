"""Which genes, pairs and triples a pooling curve looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._checks import InputError, check_column, printable
from .._random import stream
from ..data.expression import Expression
from ..data.matching import table_of
from ..pairs.plan import plan_task
from ..triples.every_triple import screen_triples
from .draws import WITHIN, Strata
from .measures import mean_cumulants
from .meter import Labels, restrict

SKELETON_GENES = 30
N_TRIPLES = 50
"""Distorted triples that are followed, where none are given."""
MAX_CELLS = 20_000
"""Cells that they are searched in: with counts each triple takes a product as long as that."""
GENES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Scope:
    """Genes and pairs that are looked at; names, sorted."""

    genes: np.ndarray
    skeleton_genes: np.ndarray
    pairs: list[tuple[str, str]] | None

    @classmethod
    def choose(
        cls,
        expression: Expression,
        strata: Strata,
        pairs: pd.DataFrame | Sequence[tuple[str, str]] | None,
        n_genes: int,
        notes: list[str],
    ) -> Scope:
        """Choose the genes that vary most among the most expressed, or among those of given pairs."""
        task = plan_task(expression, None, pairs)
        every = np.arange(len(expression.genes)) if task.pairs is None else np.unique(task.pairs)
        every = every[np.argsort(expression.genes[every].astype(str), kind="stable")]
        mean = _mean_size(expression, strata)
        expressed = _first(every, mean[every], 2 * n_genes)
        chosen = _first(expressed, _dispersion(expression, strata, expressed), n_genes)
        if len(chosen) < 2:
            raise InputError(
                f"expected at least 2 genes that vary and have no missing values; found {len(chosen)}"
            )
        skeleton = _first(chosen, mean[chosen], SKELETON_GENES)
        genes, skeleton_genes = (np.sort(expression.genes[at].astype(str)) for at in (chosen, skeleton))
        listed = None
        if task.pairs is not None:
            named = expression.genes[task.pairs].astype(str)
            listed = [(x, y) for x, y in named if x in set(genes) and y in set(genes)]
            if len(listed) < len(named):
                notes.append(f"{len(listed):,} of {len(named):,} pairs are followed: {len(genes):,} genes")
        return cls(genes, skeleton_genes, listed)


def _first(genes: np.ndarray, by: np.ndarray, n: int) -> np.ndarray:
    """The ``n`` genes with the largest value, of those above 0; ties stay in their order."""
    order = np.argsort(-by, kind="stable")
    return genes[order[by[order] > 0][:n]]


def _mean_size(expression: Expression, strata: Strata) -> np.ndarray:
    """Mean of each gene's values over size factors, signs dropped; NaN where one is missing."""
    rows = np.concatenate(strata.cells)
    matrix: Any = expression.matrix
    weights = np.zeros(matrix.shape[0])
    weights[rows] = 1.0 if expression.size_factors is None else 1 / expression.size_factors[rows]
    if expression.scale_tested != "counts":
        matrix = abs(matrix)
    return np.asarray(matrix.T @ weights) / len(rows)


def _dispersion(expression: Expression, strata: Strata, genes: np.ndarray) -> np.ndarray:
    """Variance of genes inside strata, for each unit of their mean; 0 where it is rounding error."""
    codes = np.repeat(np.arange(len(strata.cells)), strata.sizes)
    parts = []
    for low in range(0, len(genes), GENES_AT_ONCE):
        values = expression.normalised(genes[low : low + GENES_AT_ONCE], np.concatenate(strata.cells))
        mean, variance = np.abs(values).mean(axis=0), mean_cumulants(values, codes)[0]
        parts.append(np.where(variance > 1e-18 * mean**2, variance / mean, 0.0))
    return np.concatenate(parts) if parts else np.zeros(0)


def places(expression: Expression, genes: np.ndarray) -> np.ndarray:
    """Places of genes in the data."""
    place = {str(name): i for i, name in enumerate(expression.genes)}
    return np.array([place[name] for name in genes], dtype=np.intp)


def find_triples(
    expression: Expression,
    obs: pd.DataFrame,
    rows: np.ndarray,
    genes: np.ndarray,
    labels: Labels,
    test: str,
    seed: int,
    threads: int | None,
) -> pd.DataFrame:
    """Strongest distorted triples of some genes, columns x, y, z; from at most `MAX_CELLS` cells."""
    drawn = stream(seed, "pooling_curves", "triples").permutation(rows)[:MAX_CELLS]
    kept = rows[np.isin(rows, drawn)]
    found = screen_triples(
        restrict(expression, places(expression, genes), kept),
        correction="poisson" if test == "corrected" else "none",
        obs=obs.iloc[kept].reset_index(drop=True),
        threads=threads,
        **labels.options(WITHIN),
    ).table
    found = found[found["call"] == names.DISTORTED].head(N_TRIPLES)
    return found[["x", "y", "z"]].astype(str).reset_index(drop=True)


def list_triples(
    triples: pd.DataFrame | Sequence[tuple[str, str, str]], expression: Expression, notes: list[str]
) -> pd.DataFrame:
    """Triples that are given, by the identifiers of their genes, columns x, y, z.

    Raises
    ------
    InputError
        A column is missing, or none of the triples has all its genes in the data.
    """
    named = table_of(triples, ("x", "y", "z"), "triples")
    for column in ("x", "y", "z"):
        check_column(named.columns, column, where="the table of triples", option="triples")
    given = named[["x", "y", "z"]].astype(str).drop_duplicates(ignore_index=True)
    genes, symbols = expression.genes.astype(str), expression.symbols.astype(str)
    identifier = dict(zip([*symbols, *genes], [*genes, *genes], strict=True))  # identifiers before symbols
    listed = given.apply(lambda column: column.map(identifier)).dropna(ignore_index=True)
    if len(listed) < len(given):
        notes.append(f"{len(listed):,} of {len(given):,} triples name genes of the data")
    if len(given) and listed.empty:
        raise InputError(
            f"expected triples of genes of the data; found {printable(', '.join(given.iloc[0]), 80)}, ..."
        )
    return listed

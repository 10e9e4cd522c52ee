"""A data set as the study looks at it: its usable samples, its genes in the order of choice, its options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._checks import check_column
from .._random import stream
from ..data.datasets import load_dataset, usable, usable_notes
from ..data.expression import Expression, describe
from ..pairs.plan import as_list
from ..pools.meter import restrict
from .plan import Entry, study_settings

VALUE_OPTIONS = frozenset({"layer", "kind", "scale", "log_base", "log_offset", "size_factors", "gene_column"})
"""Settings of the registry that say how to read the values; the others are options of the tests."""
CONSECUTIVE = "consecutive"
"""Unit of samples whose neighbours in the file belong together."""
GENES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Subject:
    """A data set, read and cut to what is studied."""

    entry: Entry
    every: Expression
    """All genes of the usable samples, or of ``few_samples`` of them."""
    few: Expression
    """At most ``few_genes`` of those chosen, without missing values."""
    obs: pd.DataFrame
    """Table of the samples of both."""
    chosen: Expression
    """At most ``max_genes`` genes of all usable samples, in the order of their names: for the audit."""
    chosen_obs: pd.DataFrame
    """Table of all usable samples."""
    options: dict[str, Any]
    """``within``, ``replicate``, ``covariates``, ...: what the registry says."""
    notes: tuple[str, ...]
    """What was left out, and what was guessed."""

    @property
    def within(self) -> list[str]:
        """Columns of obs inside whose levels pairs are tested."""
        return as_list(self.options.get("within"))

    def labels(self, columns: Sequence[str]) -> np.ndarray:
        """Code of each sample's combination of columns, shape ``(n_obs,)``; all 0 without columns."""
        return codes_of(self.obs, columns)

    def groups(self, n: int, seed: int) -> np.ndarray:
        """Group of each sample, 0 .. n - 1: whole units, drawn by the seed; shape ``(n_obs,)``."""
        unit = self.entry.unit
        if unit == CONSECUTIVE:
            return np.arange(len(self.obs)) * n // len(self.obs)
        units = np.arange(len(self.obs)) if unit is None else self.labels([unit])
        shuffled = stream(seed, "study", self.entry.name, "groups").permutation(units.max() + 1)
        return shuffled[units] % n


def read_subject(entry: Entry, seed: int = 0) -> Subject:
    """Read a data set and choose its genes; of very many samples some are drawn for all but the audit.

    Raises
    ------
    InputError
        The file is missing, damaged, or of another shape than the registry says.
    """
    data = entry.dataset
    adata = usable(load_dataset(data.name, path=entry.path), data)
    options = {name: value for name, value in data.settings.items() if name not in VALUE_OPTIONS}
    every = describe(adata, **{name: data.settings[name] for name in VALUE_OPTIONS & data.settings.keys()})
    if entry.unit not in (None, CONSECUTIVE):
        check_column(adata.obs.columns, entry.unit, where="the table of samples", option=data.name)
    settings = study_settings()
    levels = codes_of(adata.obs, as_list(options.get("within")))
    ranked = rank_genes(every, levels, settings["max_genes"])
    few = by_name(every, ranked[complete(every, ranked)][: settings["few_genes"]])
    part = min(settings["few_samples"] / adata.n_obs, 1.0)
    strata = codes_of(adata.obs, [*as_list(options.get("within")), *as_list(options.get("replicate"))])
    rows = some_of(strata, part, stream(seed, "study", entry.name, "few samples"))
    return Subject(
        entry,
        every=restrict(every, np.arange(len(every.genes)), rows),
        few=restrict(every, few, rows),
        obs=adata.obs.iloc[rows],
        chosen=restrict(every, by_name(every, ranked)),
        chosen_obs=adata.obs,
        options=options,
        notes=(*usable_notes(adata), *every.warnings),
    )


def some_of(strata: np.ndarray, part: float, random: np.random.Generator) -> np.ndarray:
    """Rows of a part of the samples of each stratum, rising.

    Examples
    --------
    >>> len(some_of(np.repeat([0, 1], 8), 0.25, np.random.default_rng(0)))
    4
    """
    order = np.lexsort((random.random(len(strata)), strata))
    sizes = np.bincount(strata[order])
    rank = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < np.rint(part * sizes)[strata[order]]])


def rank_genes(expression: Expression, levels: np.ndarray, n: int) -> np.ndarray:
    """Choose, among the ``2 n`` most expressed genes, the ``n`` that vary most inside levels for their mean.

    Parameters
    ----------
    expression
        Values; divided by size factors here.
    levels
        Code of each sample's level, shape ``(n_obs,)``.
    n
        At most so many genes.

    Returns
    -------
    Positions of genes, those that vary most first; constant genes are left out. Signs are dropped from the
    mean, missing values from both; ties stay in the order of names.
    """
    genes = np.argsort(expression.genes.astype(str), kind="stable")
    if isinstance(expression.matrix, sp.csr_matrix):  # columns are taken from CSC much faster
        by_gene: Any = expression.matrix.tocsc()
        expression = replace(expression, matrix=by_gene)
    mean, variance = np.zeros(len(genes)), np.zeros(len(genes))
    with np.errstate(invalid="ignore", divide="ignore"):
        for low in range(0, len(genes), GENES_AT_ONCE):
            at = slice(low, low + GENES_AT_ONCE)
            values = pd.DataFrame(expression.normalised(genes[at]))
            mean[at] = values.abs().mean(axis=0)
            inside = values - values.groupby(levels).transform("mean")
            variance[at] = (inside**2).mean(axis=0)
    varies = variance > 1e-18 * mean**2
    expressed = np.argsort(-np.where(varies, mean, -np.inf), kind="stable")[: min(2 * n, int(varies.sum()))]
    expressed.sort()
    order = np.argsort(-variance[expressed] / mean[expressed], kind="stable")
    return genes[expressed[order][:n]]


def complete(expression: Expression, genes: np.ndarray) -> np.ndarray:
    """Whether genes have no missing value, shape ``(len(genes),)``."""
    return ~np.isnan(expression.normalised(genes)).any(axis=0)


def by_name(expression: Expression, genes: np.ndarray) -> np.ndarray:
    """Positions of genes in the order of their names."""
    return genes[np.argsort(expression.genes[genes].astype(str), kind="stable")]


def codes_of(obs: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Code of each sample's combination of columns, shape ``(n_obs,)``; all 0 without columns."""
    if not columns:
        return np.zeros(len(obs), dtype=np.intp)
    return pd.factorize(obs[list(columns)].astype(str).agg("\x1f".join, axis=1), sort=True)[0]

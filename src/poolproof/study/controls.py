"""Controls of the study, on each data set's own genes: nothing, lines and Hill curves, the truth known.

*Permuted*: each gene's values are shuffled among the samples of a stratum, so that no gene knows another.
*Affine* and *Hill*: a target is made of a measured gene x and another one z, shuffled,

    y = mean(z) [w f(x) / mean(f(x)) + (1 - w) shuffled(z) / mean(z)],   f(x) = x, or x^h / (x^h + median^h),

so that E[y|x] is a line, or a Hill curve, while depths, levels and the law of each gene are those of the
data. Values get a gamma factor of mean 1 besides: noise in proportion to the mean. Counts are drawn: the
measured fractions count as the true ones, and x and y are Poisson around them at each cell's own depth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from .._random import stream
from ..data.expression import Expression
from .subject import Subject, by_name

PERMUTED, AFFINE, HILL = ("permuted", "affine", "hill")


@dataclass(frozen=True, eq=False)
class Relations:
    """Simulated relations: columns x_0, y_0, x_1, y_1, ..."""

    expression: Expression
    pairs: pd.DataFrame
    """Columns ``regulator`` and ``target``, one row a relation."""
    true_share: np.ndarray
    """Non-linear share of the true curve in these samples, shape ``(n_pairs,)``."""
    mean: np.ndarray
    """Mean of the regulator as it is measured, shape ``(n_pairs,)``."""


def permuted(subject: Subject, seed: int) -> Expression:
    """The few genes, each shuffled inside strata; depth is taken out first (counts: taken as equal)."""
    strata = strata_of(subject)
    few = subject.few
    counts = few.scale_tested == "counts" and few.umi_like
    values = (few.matrix.toarray() if hasattr(few.matrix, "toarray") else few.matrix) if counts else None
    if values is None:
        values = few.normalised(np.arange(len(few.genes)))
    values = np.array(values, dtype=np.float64)
    for i, gene in enumerate(few.genes):
        random = stream(seed, "study", subject.entry.name, "permuted", str(gene))
        values[:, i] = shuffled(values[:, i], strata, random)
    if counts:
        equal = np.ones(len(values))
        return replace(few, matrix=values, size_factors=equal, totals=equal, totals_known=True)
    return as_values(few, values)


def relations(subject: Subject, kind: str, settings: dict[str, Any], seed: int) -> Relations:
    """Simulate relations of a kind."""
    few, levels, strata = subject.few, subject.labels(subject.within), strata_of(subject)
    counts = few.scale_tested == "counts" and few.umi_like
    genes = by_name(few, np.arange(len(few.genes)))
    values = few.normalised(genes)
    values = values[:, (values != values[:1]).any(axis=0)]  # a gene without counts has no relation to scale
    depth = few.size_factors if few.size_factors is not None else np.ones(len(values))
    n = settings["n_pairs"]
    columns = np.empty((len(values), 2 * n))
    share, mean = np.empty(n), np.empty(n)
    for i in range(n):
        random = stream(seed, "study", subject.entry.name, kind, i)
        x, z = (values[:, at] for at in random.choice(values.shape[1], 2, replace=False))
        curve = x if kind == AFFINE else hill(x, settings["hill"])
        y = settings["weight"] * curve / curve.mean() * z.mean()
        y = y + (1 - settings["weight"]) * shuffled(z, strata, random)
        share[i] = bend_of(curve, x, levels)
        if counts:
            x, y = (random.poisson(np.maximum(of, 0) * depth).astype(np.float64) for of in (x, y))
        else:
            shape = settings["noise_cv"] ** -2
            y = y * random.gamma(shape, 1 / shape, len(y))
        columns[:, 2 * i], columns[:, 2 * i + 1] = x, y
        mean[i] = x.mean()
    names = np.array([f"{end}{i:04d}" for i in range(n) for end in "xy"], dtype=object)
    named = replace(few, genes=names, symbols=names)
    if counts:
        made = replace(named, matrix=columns, size_factors=depth, totals=depth, totals_known=True)
    else:
        made = as_values(named, columns)
    pairs = pd.DataFrame({"regulator": names[::2], "target": names[1::2]})
    return Relations(made, pairs, share, mean)


def strata_of(subject: Subject) -> np.ndarray:
    """Code of the stratum in which samples are shuffled: level, replicate and categorical covariates."""
    obs, options = subject.obs, subject.options
    columns = [*subject.within, *([options["replicate"]] if options.get("replicate") else [])]
    columns += [c for c in options.get("covariates", ()) if not pd.api.types.is_numeric_dtype(obs[c])]
    return subject.labels(columns)


def as_values(expression: Expression, values: np.ndarray) -> Expression:
    """Values that need no size factors any more."""
    scale = "additive" if expression.scale_tested == "counts" else expression.scale_tested
    return replace(
        expression, matrix=values, scale_tested=scale, size_factors=None, totals=None, umi_like=False
    )


def shuffled(values: np.ndarray, strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Values, permuted inside strata.

    Examples
    --------
    >>> shuffled(np.arange(6.0), np.array([0, 0, 0, 1, 1, 1]), np.random.default_rng(0)).tolist()
    [2.0, 1.0, 0.0, 3.0, 4.0, 5.0]
    """
    order = np.lexsort((random.random(len(values)), strata))
    mixed = np.empty_like(values)
    mixed[np.argsort(strata, kind="stable")] = values[order]
    return mixed


def hill(x: np.ndarray, exponent: float) -> np.ndarray:
    """Hill function with its half at the median of the values above 0.

    Examples
    --------
    >>> hill(np.array([0.0, 1.0, 2.0, 4.0]), 2).round(2).tolist()
    [0.0, 0.2, 0.5, 0.8]
    """
    positive = np.maximum(x, 0.0)
    half = np.median(positive[positive > 0]) if (positive > 0).any() else 1.0
    power = (positive / half) ** exponent
    return power / (1 + power)


def bend_of(curve: np.ndarray, x: np.ndarray, levels: np.ndarray) -> float:
    """Share of a curve's variance inside levels that the line of each level leaves.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 1.0])
    >>> [round(bend_of(of, x, np.zeros(3, dtype=int)), 6) for of in (2 * x + 1, x**2)]
    [0.0, 1.0]
    """
    left = total = 0.0
    for level in np.unique(levels):
        mine = levels == level
        y, regulator = curve[mine] - curve[mine].mean(), x[mine] - x[mine].mean()
        square = regulator @ regulator
        slope = regulator @ y / square if square > 0 else 0.0
        left += ((y - slope * regulator) ** 2).sum()
        total += y @ y
    return float(left / total) if total > 0 else 0.0

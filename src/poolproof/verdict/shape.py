"""Before anything is called compatible: do products of regulators, or spreads that bend, hide in the data?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._random import stream
from ..pairs.design import Level
from ..pairs.every_pair import Linearity
from ..pairs.intervals import number_or_none
from .shape_kernels import N_BLOCKS, N_HALVINGS, Sums, product_sums, share_with_interval, spread_sums

MAX_TARGETS = 100
"""Targets that are looked at; of more, some are drawn."""
MIN_TARGETS = 10
"""Fewer say nothing of a population."""
MIN_IN_BLOCK = 5
LEAST_RELIABLE = 0.3
"""Share of a regulator's variance that must not be counting: noisier ones show no shape."""

Interval = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Shape:
    """What one-parent curves cannot see, over targets with their two strongest regulators."""

    n_products: int
    """Targets with two regulators."""
    product: Interval
    """Share of what is explained that the product of the two lines adds, and its 95 % interval."""
    n_spreads: int
    """Targets with a regulator."""
    spread: Interval
    """Variance of the bent part of the conditional variance, in units of its squared mean."""
    margin: float

    @property
    def passed(self) -> bool | None:
        """Whether both lie below the margin; None where they could not be measured."""
        if (
            min(self.n_products, self.n_spreads) < MIN_TARGETS
            or not np.isfinite([*self.product, *self.spread]).all()
        ):
            return None
        return bool(self.product[2] < self.margin and self.spread[2] < self.margin)

    @property
    def sentence(self) -> str:
        """Both in words."""
        products, spreads = self.product, self.spread
        by_products, by_spreads = (
            f"{at:z.1%} ({low:z.1%} to {high:z.1%})" for at, low, high in (products, spreads)
        )
        return (
            f"Products of regulators add {by_products} to what their curves explain of {self.n_products:,} "
            f"targets, and spreads bend by {by_spreads}: "
            f"{'both' if self.passed else 'not both shown to be'} below the margin of {self.margin:.0%}."
        )

    def as_dict(self) -> dict[str, Any]:
        """The entry ``shape`` of verdict.json."""

        def entry(found: Interval) -> dict[str, float | None]:
            return dict(zip(("estimate", "low", "high"), map(number_or_none, found), strict=True))

        return {
            "n_products": self.n_products,
            "product": entry(self.product),
            "n_spreads": self.n_spreads,
            "spread": entry(self.spread),
            "passed": self.passed,
            "sentence": self.sentence,
        }


def shape_of(result: Linearity) -> Shape:
    """Test products and spreads of the associated pairs of an analysis.

    Regulators of a target are those that explain most of it: given ones where directions were given, else
    any gene. Of counts, divided by depth, the variance of counting is taken off the spread, and what noise
    in the regulators flattens is put back; regulators that are mostly noise are left out.
    """
    parents = _parents(result)
    firsts = pd.Series([of[0] for of in parents.values()], index=list(parents), dtype=object)
    pairs = {target: of for target, of in parents.items() if len(of) == 2}
    nothing = (float("nan"),) * 3
    product = spread = nothing
    if len(pairs) >= MIN_TARGETS:
        product = share_with_interval(_summed(result, pairs), firsts[list(pairs)].to_numpy())
    if len(parents) >= MIN_TARGETS:
        one = {target: of[:1] for target, of in parents.items()}
        spread = share_with_interval(_summed(result, one), firsts.to_numpy())
    return Shape(len(pairs), product, len(parents), spread, result.settings["margin"])


def _parents(result: Linearity) -> dict[str, list[str]]:
    """The two strongest regulators of each target, or the one, of at most so many targets."""
    table = result.table
    known = table[(table["call"] != names.NOT_ASSOCIATED) & (table["r2_spline"] < 1)]
    by = known.sort_values(["target", "r2_spline", "regulator"], ascending=[True, False, True])
    found = by.groupby("target", observed=True)["regulator"].apply(lambda of: of.astype(str).tolist()[:2])
    targets = sorted(map(str, found.index))
    if len(targets) > MAX_TARGETS:
        chosen = stream(result.seed, "shape targets").choice(len(targets), MAX_TARGETS, replace=False)
        targets = [targets[i] for i in np.sort(chosen)]
    return {target: found[target] for target in targets}


def _summed(result: Linearity, parents: dict[str, list[str]]) -> Sums:
    """Sums of all levels, each weighing as its samples."""
    place = {str(name): i for i, name in enumerate(result.expression.genes)}
    of_y = np.array([place[target] for target in parents])
    of_x = np.array([[place[name] for name in of] for of in parents.values()])
    n_blocks = _n_blocks(result)
    random = stream(result.seed, "shape halves")
    halvings = np.stack([random.permutation(np.arange(n_blocks) % 2) for _ in range(N_HALVINGS)])
    total: list[np.ndarray] = []
    for level in result.design.levels:
        blocks, order = _blocks(result, level, n_blocks)
        if np.bincount(blocks, minlength=n_blocks).min() < MIN_IN_BLOCK:
            continue
        rows = level.rows[order]
        genes, at = np.unique(np.concatenate([of_y, of_x.ravel()]), return_inverse=True)
        values = np.nan_to_num(result.expression.normalised(genes, rows))
        covariates = level.covariates[order]
        counting = _counting_variance(result, values, rows)
        y = values[:, at[: len(of_y)]]
        y = y - covariates @ (covariates.T @ y)
        place_x = at[len(of_y) :].reshape(of_x.shape)
        x, halves = values[:, place_x], halvings.astype(np.float64)
        if x.shape[2] == 2:
            part = product_sums(y, x, blocks, halves)
        else:
            part = spread_sums(y, x[:, :, 0], blocks, halves, counting[at[: len(of_y)]])
        reliability = _reliability(values, counting)[place_x]
        seen = reliability.min(axis=1) >= LEAST_RELIABLE
        # Noise in x flattens the product of two lines by both reliabilities, a parabola by the square of one.
        flattened = reliability.prod(axis=1) if x.shape[2] == 2 else reliability[:, 0] ** 2
        numerator = part.numerator * np.where(seen, 1 / np.where(seen, flattened, 1.0), 0.0)[:, None]
        total.append(np.stack([numerator, part.denominator * seen[:, None]]) * len(rows))
    if not total:
        return Sums(np.zeros((len(parents), 1 + n_blocks)), np.zeros((len(parents), 1 + n_blocks)))
    return Sums(*np.sum(total, axis=0))


def _counting_variance(result: Linearity, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Variance that counting alone gives each gene, divided by depth as it is: the mean of c / s²."""
    factors = result.expression.size_factors
    if result.expression.scale_tested != "counts":
        return np.zeros(values.shape[1])
    return np.asarray((values if factors is None else values / factors[rows, None]).mean(axis=0))


def _reliability(values: np.ndarray, counting: np.ndarray) -> np.ndarray:
    """Share of the variance of each gene that is not counting."""
    variance = values.var(axis=0)
    return np.clip(1 - counting / np.where(variance > 0, variance, 1.0), 0.0, 1.0)


def _n_blocks(result: Linearity) -> int:
    n_clusters = result.design.n_clusters
    return max(min(N_BLOCKS, n_clusters), 2) if n_clusters else N_BLOCKS


def _blocks(result: Linearity, level: Level, n_blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Block of each sample of a level, whole replicates together, and the order of samples it is meant in."""
    order = np.argsort(result.expression.obs_names[level.rows].astype(str), kind="stable")
    if level.clusters is not None:
        return np.asarray(level.clusters)[order] % n_blocks, order
    return stream(result.seed, "shape blocks", level.name).permutation(len(order)) % n_blocks, order

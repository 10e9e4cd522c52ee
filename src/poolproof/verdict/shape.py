"""Before anything is called compatible: do products of regulators, or spreads that bend, hide in the data?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .. import _names as names
from .._random import stream
from ..basis import standardise
from ..pairs.design import Level
from ..pairs.every_pair import Linearity
from ..pairs.intervals import number_or_none
from .shape_kernels import N_BLOCKS, N_HALVINGS, Sums, curve, product_sums, share_with_interval, spread_sums
from .shape_search import strongest_products, strongest_spreads

MAX_TARGETS = 100
"""Targets that are looked at; of more, some are drawn."""
MAX_REGULATORS = 600
"""Regulators among which hidden ones are sought, 179,700 pairs; of more, some are drawn."""
MIN_BLOCKS = 8
"""Blocks of samples (replicates) without which there are no halves to seek and to measure in."""
MIN_TARGETS = 10
"""Fewer say nothing of a population."""
MIN_IN_BLOCK = 5
LEAST_RELIABLE = 0.3
"""Share of a regulator's variance that must not be counting: noisier ones show no shape."""

Interval = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Shape:
    """What one-parent curves cannot see: with their strongest regulators, and with any that are hidden."""

    n_products: int
    """Targets with two regulators."""
    product: Interval
    """Share of what is explained that the product of the two lines adds, and its 95 % interval."""
    n_spreads: int
    """Targets with a regulator."""
    spread: Interval
    """Variance of the bent part of the conditional variance, in units of its squared mean."""
    n_sought: int
    """Targets, explained or not, for which hidden regulators were sought."""
    hidden_product: Interval
    """As ``product``, with the two regulators whose product goes most with the target in other samples."""
    hidden_spread: Interval
    """As ``spread``, with the regulator with which its squares bend most in other samples."""
    margin: float

    @property
    def passed(self) -> bool | None:
        """Whether all lie below the margin; None where they could not be measured."""
        found = (self.product, self.spread, self.hidden_product, self.hidden_spread)
        if min(self.n_products, self.n_spreads, self.n_sought) < MIN_TARGETS or not np.isfinite(found).all():
            return None
        return all(high < self.margin for _, _, high in found)

    @property
    def sentence(self) -> str:
        """All in words."""
        products, spreads, hidden_products, hidden_spreads = (
            f"{at:z.1%} ({low:z.1%} to {high:z.1%})"
            for at, low, high in (self.product, self.spread, self.hidden_product, self.hidden_spread)
        )
        return (
            f"Products of regulators add {products} to what their curves explain of {self.n_products:,} "
            f"targets, and spreads bend by {spreads}; sought among all regulators of {self.n_sought:,} "
            f"targets, explained or not, products add {hidden_products} and spreads bend by "
            f"{hidden_spreads}: "
            f"{'all' if self.passed else 'not all shown to be'} below the margin of {self.margin:.0%}."
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
            "n_sought": self.n_sought,
            "hidden_product": entry(self.hidden_product),
            "hidden_spread": entry(self.hidden_spread),
            "passed": self.passed,
            "sentence": self.sentence,
        }


def shape_of(result: Linearity) -> Shape:
    """Test products and spreads of an analysis.

    Regulators of a target are those that explain most of it: given ones where directions were given, else
    any gene. A product of two that explain nothing alone, and a regulator of the spread alone, are sought
    besides, for targets whether explained or not. Of counts, divided by depth, the variance of counting is
    taken off the spread, and what noise in the regulators flattens is put back; regulators that are mostly
    noise are left out.
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
    sought = _tested(result, "target", MAX_TARGETS)
    hidden_product = hidden_spread = nothing
    if len(sought) >= MIN_TARGETS and _n_blocks(result) >= MIN_BLOCKS:
        hidden = _hidden(result, sought, parents)
        hidden_product, hidden_spread = (_measured_apart(result, of) if of else nothing for of in hidden)
    margin = result.settings["margin"]
    return Shape(
        *(len(pairs), product, len(parents), spread),
        *(len(sought), hidden_product, hidden_spread, margin),
    )


def _measured_apart(result: Linearity, parents: dict[str, list[str]]) -> Interval:
    """A share over the samples in which nothing was sought."""
    firsts = np.array([of[0] for of in parents.values()], dtype=object)
    return share_with_interval(_summed(result, parents, apart=True), firsts)


def _tested(result: Linearity, role: str, most: int) -> list[str]:
    """Names of the genes tested as ``regulator`` or ``target``, at most so many, drawn."""
    if result.population is None:
        return []
    table = result.population.table
    found = sorted(table.loc[table["set"] == role, "name"].astype(str))
    if len(found) > most:
        chosen = stream(result.seed, "shape", role).choice(len(found), most, replace=False)
        found = [found[i] for i in np.sort(chosen)]
    return found


def _hidden(
    result: Linearity, targets: list[str], parents: dict[str, list[str]]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Two regulators of each target that may act by their product, and one that may act on its spread."""
    regulators = _tested(result, "regulator", MAX_REGULATORS)
    place = {str(name): i for i, name in enumerate(result.expression.genes)}
    genes = np.array([place[name] for name in (*targets, *regulators)])
    y, x = [], []
    n_blocks = _n_blocks(result)
    for level in result.design.levels:
        blocks, order = _blocks(result, level, n_blocks)
        rows = order[blocks % 2 == 0]
        if len(rows) < MIN_IN_BLOCK * n_blocks // 2:
            continue
        values = np.nan_to_num(result.expression.normalised(genes, level.rows[rows]))
        covariates = level.covariates[rows]
        values -= covariates @ np.linalg.lstsq(covariates, values, rcond=None)[0]
        values = standardise(values)[0]
        y.append(_rest(values[:, : len(targets)], values, targets, regulators, parents))
        x.append(values[:, len(targets) :])
    if not y:
        return {}, {}
    of_y, of_x = np.vstack(y), np.vstack(x)
    own = np.array([regulators.index(name) if name in set(regulators) else -1 for name in targets])
    pairs, _ = strongest_products(of_y, of_x, own)
    ones, _ = strongest_spreads(of_y, of_x, own)
    return (
        {name: [regulators[i] for i in pair] for name, pair in zip(targets, pairs, strict=True)},
        {name: [regulators[i]] for name, i in zip(targets, ones, strict=True)},
    )


def _rest(
    y: np.ndarray,
    values: np.ndarray,
    targets: list[str],
    regulators: list[str],
    parents: dict[str, list[str]],
) -> np.ndarray:
    """Targets without what the curves of their known regulators explain, standardised."""
    place = {name: len(targets) + i for i, name in enumerate(regulators)}
    rest = y.copy()
    for column, target in enumerate(targets):
        known = [place[name] for name in parents.get(target, []) if name in place]
        if known:
            design = np.column_stack([np.ones(len(y)), *(curve(values[:, i]) for i in known)])
            rest[:, column] -= design @ np.linalg.lstsq(design, y[:, column], rcond=None)[0]
    return standardise(rest)[0]


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


def _summed(result: Linearity, parents: dict[str, list[str]], *, apart: bool = False) -> Sums:
    """Sums of all levels, each weighing as its samples; ``apart``: of every second block alone."""
    place = {str(name): i for i, name in enumerate(result.expression.genes)}
    of_y = np.array([place[target] for target in parents])
    of_x = np.array([[place[name] for name in of] for of in parents.values()])
    n_all = _n_blocks(result)
    n_blocks = n_all // 2 if apart else n_all
    random = stream(result.seed, "shape halves")
    halvings = np.stack([random.permutation(np.arange(n_blocks) % 2) for _ in range(N_HALVINGS)])
    total: list[np.ndarray] = []
    for level in result.design.levels:
        blocks, order = _blocks(result, level, n_all)
        if apart:
            second = blocks % 2 == 1
            blocks, order = blocks[second] // 2, order[second]
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

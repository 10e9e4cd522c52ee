"""Measures of one drawing of pools: values, pairs, triples, skeleton (method 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from .._arrays import dense_columns
from .._checks import check_threads
from ..aggregation import Aggregation
from ..data.expression import Expression
from ..pairs.analyst import Analyst, NothingTestable
from ..pairs.plan import plan_design, plan_task
from ..pairs.screening import Rule
from ..pairs.settings import EngineSettings
from ..triples.every_triple import screen_triples
from .draws import BETWEEN, WITHIN, Drawing, Plan
from .measures import beyond_depth, correlations, mean_cumulants, shapes, share_changed, skeleton
from .sums import Members, Seen, pool_matrix

GENES_AT_ONCE = 16
MEMORY = 1e9
"""Bytes for pair arrays; a few hundred genes need far less."""

SHARE_NONLINEAR, SHARE_AFFINE, N_ASSOCIATED = "share_nonlinear", "share_affine", "n_associated"
SKEWNESS, EXCESS_KURTOSIS = "skewness", "excess_kurtosis"
PARTIAL_LINEAR, PARTIAL_SPLINE = "partial_linear", "partial_spline"
SKELETON_EDGES, SKELETON_CHANGED = "skeleton_edges", "skeleton_changed"
MEASURES = (
    SHARE_NONLINEAR,
    SHARE_AFFINE,
    N_ASSOCIATED,
    SKEWNESS,
    EXCESS_KURTOSIS,
    PARTIAL_LINEAR,
    PARTIAL_SPLINE,
    SKELETON_EDGES,
    SKELETON_CHANGED,
)


@dataclass(frozen=True)
class Labels:
    """Columns that say which cells belong together."""

    within: tuple[str, ...]
    replicate: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys([*self.within, *([self.replicate] if self.replicate else [])]))

    def options(self, regime: str) -> dict[str, Any]:
        """How tests of this regime's pools, or cells, take the labels into account."""
        if regime == WITHIN:
            return {"within": list(self.within), "covariates": [self.replicate] if self.replicate else []}
        return {"within": list(self.within) if regime == BETWEEN else [], "covariates": []}


def restrict(expression: Expression, genes: np.ndarray, rows: np.ndarray | None = None) -> Expression:
    """Return some genes, of all samples or of some; totals and size factors stay those of all genes."""
    matrix = expression.matrix[:, genes]
    found = replace(
        expression, matrix=matrix, genes=expression.genes[genes], symbols=expression.symbols[genes]
    )
    if rows is None:
        return found
    return replace(
        found,
        matrix=matrix[rows],
        obs_names=expression.obs_names[rows],
        size_factors=None if expression.size_factors is None else expression.size_factors[rows],
        totals=None if expression.totals is None else expression.totals[rows],
    )


def pool_expression(cells: Expression, members: Members) -> Expression:
    """Pools of cells: counts are added, other amounts averaged.

    A pool's total and its size factor are the sums of those of its cells: so both are exact where the
    factor is proportional to the total, and pools of different numbers of cells can be compared.
    """
    counts = cells.scale_tested == "counts"
    sums = pool_matrix(cells.matrix, members, Aggregation.sum() if counts else Aggregation.mean(), Seen())
    values = sums if isinstance(sums, np.ndarray) else sums.toarray()
    factors, totals = _sum_of(cells.size_factors, members), _sum_of(cells.totals, members)
    if counts and factors is None:
        factors = members.n_cells.astype(np.float64)
    return replace(
        cells,
        matrix=np.asarray(values, dtype=np.float64),
        obs_names=np.array([f"pool {i}" for i in range(len(members.n_cells))], dtype=object),
        size_factors=None if factors is None else factors / factors.mean(),
        totals=totals,
    )


def _sum_of(of_cells: np.ndarray | None, members: Members) -> np.ndarray | None:
    if of_cells is None:
        return None
    return np.add.reduceat(of_cells[members.cells], members.ends[:-1])


@dataclass(frozen=True, eq=False)
class Meter:
    """Everything that is measured, of whatever pools."""

    cells: Expression
    """All cells; the genes that are looked at, sorted by name."""
    obs: pd.DataFrame
    """Labels of all cells."""
    rows: np.ndarray
    """Cells that are used."""
    genes: np.ndarray
    """Names of the genes of the pair tests and of the shapes, sorted."""
    skeleton_genes: np.ndarray
    """Names of the genes of the skeleton, sorted."""
    pairs: Sequence[tuple[str, str]] | None
    """Ordered pairs to test; None: all of ``genes``."""
    triples: pd.DataFrame
    """Triples to follow, columns x, y, z; may be empty."""
    labels: Labels
    test: str
    """Test of pairs, in pools of drawn cells."""
    rule: Rule
    """Thresholds of the pair tests."""
    threads: int | None

    def measure(self, drawing: Drawing, reference: np.ndarray) -> dict[str, float]:
        """Measure pools, but for the partial correlations of triples: see :mod:`poolproof.pools.signed`.

        Parameters
        ----------
        drawing
            The pools.
        reference
            Skeleton that theirs is compared with, from `edges`.
        """
        pools = self.pool(drawing)
        edges = self.edges(pools, drawing.groups)
        skewness, kurtosis = self.shapes(pools, drawing)
        return {
            **self._shares(pools, drawing),
            SKEWNESS: skewness,
            EXCESS_KURTOSIS: kurtosis,
            SKELETON_EDGES: float(np.count_nonzero(edges) // 2),
            SKELETON_CHANGED: share_changed(edges, reference),
        }

    def pool(self, drawing: Drawing) -> Expression:
        """Values of the pools."""
        return pool_expression(self.cells, drawing.members)

    def edges(self, pools: Expression, groups: np.ndarray) -> np.ndarray:
        """Skeleton of pools, shape ``(n_skeleton_genes, n_skeleton_genes)``."""
        return skeleton(*correlations(pools.normalised(self._at(self.skeleton_genes)), groups))

    def shapes(self, pools: Expression, drawing: Drawing) -> tuple[float, float]:
        """Medians over genes of skewness and excess kurtosis inside groups."""
        at, groups = self._at(self.genes), drawing.groups
        if drawing.regime == BETWEEN:  # pools of different sizes
            values = pools.normalised(at)
        else:
            values = beyond_depth(dense_columns(pools.matrix, at), pools.size_factors, groups)
        skewness, kurtosis = shapes(mean_cumulants(values, groups))
        return median(skewness), median(kurtosis)

    def shapes_of_cells(self, plan: Plan) -> tuple[float, float]:
        """As `shapes`, from all cells of a plan's strata, each stratum weighing as its pools do."""
        rows = np.concatenate(plan.strata.cells)
        strata = np.repeat(np.arange(len(plan.pools)), plan.strata.sizes)
        factors = None if self.cells.size_factors is None else self.cells.size_factors[rows]
        at, parts = self._at(self.genes), []
        for low in range(0, len(at), GENES_AT_ONCE):
            values = dense_columns(self.cells.matrix, at[low : low + GENES_AT_ONCE])[rows]
            parts.append(mean_cumulants(beyond_depth(values, factors, strata), strata, plan.pools))
        skewness, kurtosis = shapes(np.concatenate(parts, axis=1))
        return median(skewness), median(kurtosis)

    def partials(
        self, expression: Expression, labels: pd.DataFrame, regime: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Partial correlations of the triples, given a line and given a spline: two of ``(n_triples,)``."""
        if self.triples.empty:
            return np.zeros(0), np.zeros(0)
        found = screen_triples(
            restrict(expression, self._at(np.unique(self.triples.to_numpy(dtype=str)))),
            triples=self.triples,
            correction=self.correction_of(regime),
            obs=labels,
            threads=self.threads,
            **self.labels.options(regime),
        ).table
        values = found[[PARTIAL_LINEAR, PARTIAL_SPLINE]].to_numpy(dtype=np.float64)
        by_triple = dict(zip(_keys(found), values, strict=True))
        missing = np.full(2, np.nan)
        linear, spline = np.array([by_triple.get(key, missing) for key in _keys(self.triples)]).T
        return linear, spline

    def partials_of_cells(self, rows: np.ndarray, regime: str) -> tuple[np.ndarray, np.ndarray]:
        """As `partials`, of single cells."""
        cells = restrict(self.cells, np.arange(len(self.cells.genes)), rows)
        return self.partials(cells, self.obs.iloc[rows].reset_index(drop=True), regime)

    def _shares(self, pools: Expression, drawing: Drawing) -> dict[str, float]:
        """What the pair tests find; no control is run, and no level alone."""
        expression = restrict(pools, self._at(self.genes))
        test, labels = self._test_of(drawing.regime), self.labels.options(drawing.regime)
        threads = check_threads(self.threads)
        task = plan_task(expression, None, self.pairs)
        try:
            design = plan_design(expression, drawing.labels, test, replicate=None, **labels)
            analyse = Analyst(
                expression, task, self.rule, EngineSettings(test, threads=threads, memory=MEMORY)
            )
            found = analyse(design, keep="top", limit=1, level="pools").summary
        except NothingTestable:
            found = {SHARE_NONLINEAR: None, SHARE_AFFINE: None, N_ASSOCIATED: 0}
        shares = {name: _number(found[name]) for name in (SHARE_NONLINEAR, SHARE_AFFINE)}
        return shares | {N_ASSOCIATED: float(found[N_ASSOCIATED])}

    def correction_of(self, regime: str) -> str:
        """Correction of the triples: that of the pair test."""
        return "poisson" if self._test_of(regime) == "corrected" else "none"

    def _test_of(self, regime: str) -> str:
        """The corrected test needs more pools than there are replicates, whose pools are deep."""
        return "robust" if regime == BETWEEN and self.test == "corrected" else self.test

    def _at(self, genes: np.ndarray) -> np.ndarray:
        """Places of genes among those of the cells."""
        return np.array([self._place[name] for name in genes], dtype=np.intp)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.cells.genes)}


def _keys(triples: pd.DataFrame) -> list[tuple[str, ...]]:
    return [tuple(triple) for triple in triples[["x", "y", "z"]].astype(str).to_numpy()]


def median(values: np.ndarray) -> float:
    """Median of what is known; NaN if nothing is.

    Examples
    --------
    >>> median(np.array([1.0, np.nan, 3.0]))
    2.0
    """
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def mean(values: Iterable[float]) -> float:
    """Mean of what is known; NaN if nothing is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)

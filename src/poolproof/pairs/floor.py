"""The matched affine floor: the bend share that affine equations alone would show in the same data.

Common causes, hidden or measured, bend pairs of genes without any bent equation. The floor is the bend share
of the same samples after every gene has been made affine in the factors that it shares with others; see
:mod:`~poolproof.pairs.floor_kernels` (values) and :mod:`~poolproof.pairs.floor_counts` (counts). By how much
the share of data with affine equations exceeds its floor is learnt from copies that have them by construction
(surrogates of surrogates).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .. import _names as names
from .._arrays import in_threads
from .._notebook import summary_html
from .._random import stream
from .count_engine import CountTest
from .floor_counts import CountTable
from .floor_kernels import FactorCurves, affine_copy, factor_curves
from .outcome import Engine
from .population_measures import Measure, measure_of
from .score_engine import ScoreTest

MAX_GENES = 150
"""Genes that are drawn, where there are more."""
LARGEST = 500
"""Most that may be asked for."""
N_COPIES = 9
"""Copies with affine equations from which the law of the excess is learnt."""
TOLERANCE = 0.005
"""Excess that is never evidence, whatever the copies say."""
RELATIVE_TOLERANCE = 0.05
"""The same as a part of the share: what factors too many or too weak to be found came to in affine data."""
LEVEL = 0.025
BLOCK = 32


@dataclass(frozen=True, eq=False, repr=False)
class AffineFloor:
    """The floor of a bend share, and whether the share lies above what affine equations make of it."""

    bend_share: float
    """Of the genes drawn, all pairs of them; NaN where they explain nothing in each other."""
    floor: float
    """The same after every gene has been made affine in its factors."""
    law: np.ndarray
    """Share less floor in copies with affine equations, shape ``(n_copies,)``."""
    table: pd.DataFrame
    """One row a level: its samples and the factors found."""
    settings: dict[str, Any]
    """Genes, copies, splits."""
    seed: int
    """Of the genes drawn, the halves of genes and the copies."""

    @property
    def excess(self) -> float:
        """Share less floor."""
        return self.bend_share - self.floor

    @property
    def limit(self) -> float:
        """The 97.5 % point of the excess under affine equations, for one more draw of its law."""
        n = len(self.law)
        if n < 2:
            return float("nan")
        spread = self.law.std(ddof=1) * np.sqrt(1 + 1 / n)
        point = self.law.mean() + stats.t.ppf(1 - LEVEL, n - 1) * spread
        least = max(TOLERANCE, RELATIVE_TOLERANCE * self.bend_share)
        return float(max(point, self.law.max(), least))

    @property
    def decided(self) -> bool:
        """Whether the data can tell: some level has factors, and genes explain something in each other."""
        return bool(np.isfinite(self.excess + self.limit) and self.table["n_factors"].max() > 0)

    @property
    def evidence(self) -> bool:
        """Whether affine equations with causes of any kind would not have made a share as large."""
        return self.decided and bool(self.excess > self.limit)

    @property
    def sentence(self) -> str:
        """The answer in words."""
        if not self.decided:
            return (
                "Affine floor: not decided, the genes share no factor that their bends could be compared with"
            )
        said = (
            f"of a bend share of {self.bend_share:.1%} in {self.settings['n_genes']} genes, affine equations "
            f"with common causes can make {self.floor:.1%}; the excess of {self.excess:.1%} lies "
        )
        if self.evidence:
            return f"Affine floor: {said}above the {self.limit:.1%} that they reach by chance: bent equations"
        return f"Affine floor: {said}within the {self.limit:.1%} that they reach by chance: no evidence"

    def __str__(self) -> str:
        return self.sentence

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html(
            "Affine floor",
            [self.sentence],
            self.table,
            columns=[str(name) for name in self.table],
            rows="first",
        )

    def as_dict(self) -> dict[str, Any]:
        """The entry ``floor`` of verdict.json."""

        def number(value: float) -> float | None:
            return float(value) if np.isfinite(value) else None

        return {
            "bend_share": number(self.bend_share),
            "floor": number(self.floor),
            "excess": number(self.excess),
            "limit": number(self.limit),
            "decided": self.decided,
            "evidence": self.evidence,
            **self.settings,
        }


def affine_floor(
    engine: Engine,
    genes: np.ndarray,
    *,
    max_genes: int = MAX_GENES,
    n_copies: int = N_COPIES,
    seed: int = 0,
    threads: int = 1,
    progress: Callable[[int], object] = lambda n: None,
) -> AffineFloor:
    """Measure the affine floor of an engine's data.

    Parameters
    ----------
    engine
        The test of the data: its levels, covariates, replicates and counts are those of the floor.
    genes
        Names, shape ``(n_genes,)``.
    max_genes
        Most genes that are used, 3 to 500; more are drawn from by the seed.
    n_copies
        Copies with affine equations, at least 5.
    progress
        Called with 1 after the data and after every copy.

    Notes
    -----
    Evidence of bent equations is an excess above the 97.5 % point of its law in the copies (t quantile for
    one more draw, their largest, 0.005 or a twentieth of the share, whichever is largest). No law of a
    factor is estimated and none is assumed: factors may depend on each other in any way, so states,
    composition and batches that no label tells are affine causes too. Bends of genes that all follow one
    bent function of a hidden cause are affine in it, and give no evidence.

    Examples
    --------
    >>> from .design import make_design
    >>> draw = np.random.default_rng(0)
    >>> cause = np.where(draw.random((200, 1)) < 0.4, 3.0, 0.5)      # of two states, and not measured
    >>> values = (1 + cause) * draw.lognormal(0, 0.3, (200, 12))
    >>> engine = ScoreTest(values, None, make_design(pd.DataFrame(index=range(200))))
    >>> floor = affine_floor(engine, np.array([f"g{i}" for i in range(12)]), n_copies=3)
    >>> floor.bend_share > 0.1, floor.evidence
    (True, False)
    """
    table = _table(engine, drawn_genes(engine, genes, min(max_genes, LARGEST), seed))
    if len(table.genes) < 3:
        return _answer(np.nan, np.nan, np.zeros(0), table, [0] * len(table.source.levels), seed)

    def measured(values: list[np.ndarray], *task: str | int) -> tuple[float, float, list[FactorCurves]]:
        curves = [
            factor_curves(of, stream(seed, "floor curves", *task, i))
            for i, of in enumerate(table.residuals(values))
        ]
        straight = table.straight(values, curves, stream(seed, "floor straight", *task))
        share, floor = bend_shares(table.engine(values), table.engine(straight))
        progress(1)
        return share, floor, curves

    share, floor, curves = measured(table.values, "data")
    n_factors = [of.n_factors for of in curves]
    if not max(n_factors):
        return _answer(share, floor, np.zeros(0), table, n_factors, seed)
    straight = table.straight(table.values, curves, stream(seed, "floor straight", "data"))

    def excess(copy: int) -> float:
        values = table.copy(straight, curves, stream(seed, "floor copy", copy))
        of_copy, its_floor, _ = measured(values, copy)
        return of_copy - its_floor

    law = np.array(in_threads(excess, range(n_copies), threads))
    return _answer(share, floor, law, table, n_factors, seed)


def _answer(
    share: float, floor: float, law: np.ndarray, table: Table, n_factors: list[int], seed: int
) -> AffineFloor:
    levels = table.source.levels
    rows = pd.DataFrame(
        {
            "level": [level.name for level in levels],
            "n_samples": [len(level.rows) for level in levels],
            "n_factors": n_factors,
        }
    )
    settings = {"n_genes": len(table.genes), "n_copies": len(law)}
    return AffineFloor(share, floor, law[np.isfinite(law)], rows, settings, seed)


def drawn_genes(engine: Engine, genes: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Genes whose bends can be measured, in the order of their names, drawn where there are too many."""
    known = (engine.regulator_status == names.OK) & (engine.target_status == names.OK)
    if isinstance(engine, ScoreTest):
        known &= ~engine.targets.missing
    chosen = np.flatnonzero(known)
    chosen = chosen[np.argsort(genes[chosen].astype(str), kind="stable")]
    if len(chosen) > most:
        chosen = chosen[np.sort(stream(seed, "floor genes").choice(len(chosen), most, replace=False))]
    return chosen


def bend_shares(*engines: Engine) -> tuple[float, ...]:
    """Bend shares of several data sets with the same genes, over the pairs that all of them can measure."""
    measures: list[Measure] = [measure_of(engine, np.float64) for engine in engines]
    n_genes = engines[0].n_genes
    every = np.arange(n_genes)
    targets = [measure.targets(every) for measure in measures]
    totals = np.zeros((len(engines), 2))
    for low in range(0, n_genes, BLOCK):
        columns = [measure.columns(every[low : low + BLOCK]) for measure in measures]
        parts = list(zip(measures, columns, targets, strict=True))
        counted = np.all([measure.counted(of, block) for measure, of, block in parts], axis=0)
        for total, (measure, of, block) in zip(totals, parts, strict=True):
            for level in measure.sums(of, block, []):
                total += [(level.bend * counted).sum(), (level.line * counted).sum()]
    return tuple(float(bend / (bend + line)) if bend + line > 0 else np.nan for bend, line in totals)


class ScoreTable:
    """Values of some genes, level by level, and how to test what is made of them."""

    def __init__(self, engine: ScoreTest, genes: np.ndarray) -> None:
        self.source, self.genes = engine, genes
        raw = engine.targets.raw(genes)
        self.values = [raw[rows] for rows in engine.targets.slices]

    def residuals(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Values of every level, covariates projected out."""
        parts = zip(values, self.source.levels, strict=True)
        return [of - level.covariates @ (level.covariates.T @ of) for of, level in parts]

    def straight(
        self, values: list[np.ndarray], curves: list[FactorCurves], generator: np.random.Generator
    ) -> list[np.ndarray]:
        """Values without the bends; nothing is drawn."""
        return [of - curve.bends for of, curve in zip(values, curves, strict=True)]

    def copy(
        self, straight: list[np.ndarray], curves: list[FactorCurves], generator: np.random.Generator
    ) -> list[np.ndarray]:
        """Values with affine equations, noises drawn anew; what covariates explain is kept."""
        parts = zip(straight, self.residuals(straight), curves, strict=True)
        return [of - own + affine_copy(own, curve.lines, generator) for of, own, curve in parts]

    def engine(self, values: list[np.ndarray]) -> ScoreTest:
        """The same test of other values."""
        levels = self.source.levels
        matrix = np.zeros((max(level.rows.max() for level in levels) + 1, len(self.genes)))
        for of, level in zip(values, levels, strict=True):
            matrix[level.rows] = of
        return ScoreTest(
            matrix,
            None,
            self.source.design,
            test=self.source.test,
            k=self.source.k,
            dtype=np.float64,
        )


Table = ScoreTable | CountTable


def _table(engine: Engine, genes: np.ndarray) -> Table:
    if isinstance(engine, CountTest):
        return CountTable(engine, genes)
    if isinstance(engine, ScoreTest):
        return ScoreTable(engine, genes)
    raise TypeError(f"no bend share of {type(engine).__name__}")

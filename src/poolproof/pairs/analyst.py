"""One analysis of one design: engine, screening, counts, table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from .. import _names as names
from .._arrays import dense_columns
from .._checks import InputError
from .._parts import Parts
from .._phases import phase
from ..data.expression import Expression
from .calls import bh_adjust
from .collection import Columns
from .control import SplitControl, split_control
from .count_engine import CountTest
from .design import Design
from .floor import N_COPIES, AffineFloor, affine_floor
from .outcome import Engine
from .plan import Task
from .population import Population, population_of, restricted
from .quick_scores import QuickScores
from .score_engine import ScoreTest
from .screening import INCONCLUSIVE, NEAR, UNTESTED, Associations, Rule, Screen, screen
from .sensitivity import Sensitivity, share_sensitivity
from .settings import EngineSettings
from .stream_share import StreamedShare
from .table import (
    Tally,
    associated_columns,
    list_columns,
    screened_columns,
    sort_rows,
    table_of,
    tally_list,
    tally_screen,
)
from .typical import detectable_share, median, spread_pairs

Sink = Callable[[pd.DataFrame], None]
Made = TypeVar("Made")


def engine_of(expression: Expression, design: Design, settings: EngineSettings) -> Engine:
    """The test that the settings ask for, made ready for a design."""
    kind = CountTest if settings.test == "corrected" else ScoreTest
    return kind.of(expression, design, settings)


class NothingTestable(InputError):
    """No gene can be tested in this design."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What one analysis found; see :class:`poolproof.pairs.Linearity`."""

    table: pd.DataFrame
    genes: pd.DataFrame
    summary: dict[str, Any]
    control: SplitControl | None
    associations: Associations | None
    population: Population | None
    floor: AffineFloor | None
    sensitivity: Sensitivity | None


@dataclass(frozen=True, eq=False)
class Analyst:
    """Everything about an analysis but its design."""

    expression: Expression
    task: Task
    rule: Rule
    settings: EngineSettings
    progress: bool = False
    parts: Parts = field(default_factory=Parts)

    def __call__(
        self,
        design: Design,
        *,
        keep: str = "associated",
        limit: int,
        sink: Sink | None = None,
        control: bool = False,
        population: bool = False,
        floor: bool = False,
        level: str = "",
        wide: Design | None = None,
    ) -> Analysis:
        """Analyse one design; ``level`` names it where it is one of several.

        ``wide`` is the design of all cells, where these are more than memory holds: pairs are tested on them.
        """
        engines = _Engines(self, design, wide, level)
        kept = self.parts if sink is None else Parts()  # rows that went into a sink are not made twice

        def part(name: str, make: Callable[[], Made]) -> Made:
            return self.parts(f"{name} of {level}" if level else name, make)

        split = part("split-count control", lambda: self._control(engines.held, design)) if control else None
        table, gene_table, summary, associations = kept(
            f"pairs of {level}" if level else "pairs",
            lambda: self._pairs(engines, design, keep=keep, limit=limit, sink=sink, level=level),
        )
        undirected = not self.task.directed
        return Analysis(
            table=table,
            genes=gene_table,
            summary=summary | {"control": None if split is None else split.as_dict()},
            control=split,
            associations=associations,
            population=part("bend share", lambda: self._population(engines, level)) if population else None,
            floor=part("affine floor", lambda: self._floor(engines.held)) if floor and undirected else None,
            sensitivity=part("what is technical", lambda: self._sensitivity(engines.held)) if floor else None,
        )

    def _pairs(
        self, engines: _Engines, design: Design, *, keep: str, limit: int, sink: Sink | None, level: str
    ) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], Associations | None]:
        """Test the pairs: their table, that of the genes, the summary, and who is associated with whom."""
        engine = engines.tested
        associations = quick = None
        genes = self.expression.genes
        with self._phase("pairs", level) as done:
            if self.task.pairs is not None:
                columns, cut = list_columns(engine, self.task.pairs, self.rule, self.settings.threads)
                done(len(self.task.regulators))
                tally = tally_list(columns, len(genes))
            else:
                result = self.screen(engine, done, limit)
                quick = result.quick
                cut = result.bend_cut.p_value
                associations = Associations.of(result)
                tally = tally_screen(result, len(genes), self.task.directed)
                columns = self._columns(result, engine, keep, limit, sink)
        if tally.n_tested == 0:
            raise NothingTestable(self._nothing(engine, engines.wide or design))
        columns = sort_rows(columns, genes, engine.cuts_r2)
        typical = columns
        if self.task.pairs is None and int((columns["call"] >= INCONCLUSIVE).sum()) < tally.n_associated:
            typical = screened_columns(result, spread_pairs(result, genes), self.settings.threads)
            typical = sort_rows(typical, genes, engine.cuts_r2)
        return (
            table_of(columns, engine, genes),
            self._gene_table(engine, tally, design),
            self._summary(tally, columns, typical, cut, engine, quick),
            associations,
        )

    def _sensitivity(self, engine: Engine) -> Sensitivity | None:
        if not isinstance(engine, CountTest):
            return None
        settings = self.settings
        with phase("what is technical", show=self.progress):
            return share_sensitivity(
                engine,
                self.expression.genes,
                margin=self.rule.margin,
                seed=settings.seed,
                threads=settings.threads,
            )

    def _floor(self, engine: Engine) -> AffineFloor:
        settings = self.settings
        with phase("affine floor", 1 + N_COPIES, unit="copy", show=self.progress) as done:
            return affine_floor(
                engine, self.expression.genes, seed=settings.seed, threads=settings.threads, progress=done
            )

    def _population(self, engines: _Engines, level: str) -> Population:
        wide = engines.wide
        if wide is None or self.settings.test != "corrected":
            engine = engines.held
            with self._phase("bend share", level) as done:
                return self.population(engine, engines.design, done)
        from .stream_engine import share_engine

        every = self.expression.all_cells
        with self._phase("bend share of all cells", level) as done:
            share = share_engine(
                *(every.blocks, every.whole, wide, self.settings),
                regulators=self.task.regulators,
                tested=vars(engines).get("tested"),
            )

            def half(of: Design, genes: np.ndarray) -> StreamedShare:
                return share_engine(every.blocks, every.whole, of, self.settings, genes=genes)

            return self._population_of(share, wide, half, done)

    def _phase(self, name: str, level: str) -> AbstractContextManager[Callable[[int], Any]]:
        """A phase that goes through the regulators, of one level where it is named."""
        named = f"{name} of {level}" if level else name
        return phase(named, len(self.task.regulators), show=self.progress, part=bool(level))

    def population(
        self, engine: Engine, design: Design, progress: Callable[[int], object] = lambda n: None
    ) -> Population:
        """The bend share of all pairs together."""

        def half(of: Design, genes: np.ndarray) -> Engine:
            return replace(self, expression=restricted(self.expression, genes)).engine(of)

        return self._population_of(engine, design, half, progress)

    def _population_of(
        self,
        engine: Engine | StreamedShare,
        design: Design,
        half: Callable[[Design, np.ndarray], Engine | StreamedShare],
        progress: Callable[[int], object],
    ) -> Population:
        return population_of(
            engine,
            design,
            self.expression.genes,
            self.task.regulators,
            self.task.pairs,
            half,
            directed=self.task.directed,
            min_r2=self.rule.min_r2,
            dtype=self.settings.dtype,
            seed=self.settings.seed,
            threads=self.settings.threads,
            progress=progress,
        )

    def engine(self, design: Design) -> Engine:
        """The test of a design."""
        settings = replace(self.settings, agree_below=self.rule.margin, bound_p=self.rule.fdr)
        return engine_of(self.expression, design, settings)

    def streamed(self, design: Design, report: Callable[[int], Any]) -> Engine:
        """The test of all cells, of which the expression holds a draw."""
        from .stream_engine import streamed_engine

        every = self.expression.all_cells
        return streamed_engine(
            every.blocks,
            every.whole,
            design,
            self.task.regulators,
            replace(self.settings, agree_below=self.rule.margin),
            bound_from=(1 - NEAR) * self.rule.min_r2 if self.task.pairs is None else 0.0,
            progress=report,
        )

    def _nothing(self, engine: Engine, design: Design) -> str:
        """Why no pair can be tested, and the way out."""
        n = sum(len(level.rows) for level in design.levels)
        status = np.concatenate([engine.regulator_status[self.task.regulators], engine.target_status])
        reasons = pd.Series(status[status != names.OK]).value_counts()
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        listed = f" (genes as regulators and targets: {listed})" if listed else ""
        rows, way_out = "samples", "give more samples, or pairs of genes that vary"
        if self.settings.test == "corrected":
            rows = "cells"
            way_out = (
                "the corrected test is made for many cells: pass --kind bulk if rows are samples or pools, "
                "--test robust, or give more cells"
            )
        return f"expected pairs that can be tested; found none with {n:,} {rows}{listed}; {way_out}"

    def _control(self, engine: Engine, design: Design) -> SplitControl | None:
        if not isinstance(engine, CountTest):
            return None
        total, _ = self.expression.count_depth()
        seed, threads = self.settings.seed, self.settings.threads
        with phase("split-count control", show=self.progress):
            return split_control(engine, total, self.expression.genes, design, seed, threads=threads)

    def screen(self, engine: Engine, report: Callable[[int], Any], limit: int = 0) -> Screen:
        """Screen all pairs, of which the ``limit`` strongest are wanted in a table."""
        tested = self.task.regulators[engine.regulator_status[self.task.regulators] == names.OK]
        targets = np.flatnonzero(engine.target_status == names.OK)
        if len(np.union1d(tested, targets)) < 2 or len(tested) == 0:
            reasons = pd.Series(engine.regulator_status[self.task.regulators]).value_counts()
            listed = ", ".join(f"{count} {status}" for status, count in reasons.items())
            way_out = "use more samples or genes, fewer --covariates, or another --test"
            if reasons.index[0] == names.TOO_FEW_REPLICATES:
                way_out = "use more replicates, or leave out --replicate and read its samples as independent"
            raise NothingTestable(
                f"at least 2 testable genes are needed, one of them a regulator; found {listed}; {way_out}"
            )
        if isinstance(engine, CountTest):
            engine.expect(len(tested) * len(targets))
        return screen(
            engine,
            tested,
            targets,
            self.rule,
            limit=limit,
            dtype=self.settings.dtype,
            threads=self.settings.threads,
            memory=0.75 * self.settings.memory,
            progress=report,
        )

    def _columns(
        self,
        result: Screen,
        engine: Engine,
        keep: str,
        limit: int,
        sink: Sink | None,
    ) -> Columns:
        if keep != "all":
            return associated_columns(result, limit, self.settings.threads)
        every = _all_pairs(result, self.task.regulators, engine, self.settings.threads)
        if sink is None:
            columns = every(slice(None))
            return columns | {"q_value": bh_adjust(np.where(columns["tested"], columns["p_value"], np.nan))}
        genes = self.expression.genes
        for low in range(0, len(self.task.regulators), 64):
            sink(table_of(every(slice(low, low + 64)), engine, genes))
        return associated_columns(result, limit, self.settings.threads)

    def _summary(
        self,
        tally: Tally,
        columns: Columns,
        typical: Columns,
        cut: float,
        engine: Engine,
        quick: QuickScores | None,
    ) -> dict[str, Any]:
        n = tally.n_associated
        associated = columns["call"] >= INCONCLUSIVE
        share = columns["nonlinear_share"][associated]
        p_cut = cut if cut > 0 else self.rule.fdr / max(tally.n_tested, 1)
        return {
            "test": self.settings.test,
            "n_pairs_tested": tally.n_tested,
            "n_associated": n,
            "n_nonlinear": tally.n_nonlinear,
            "n_affine": tally.n_affine,
            "n_inconclusive": tally.n_inconclusive,
            "share_nonlinear": _share(tally.n_nonlinear, n),
            "share_affine": _share(tally.n_affine, n),
            "share_inconclusive": _share(tally.n_inconclusive, n),
            "n_unordered": tally.n_unordered,
            "n_unordered_affine": tally.n_unordered_affine,
            "directed": self.task.directed,
            "share_contradicting": tally.share_contradicting,
            "median_nonlinear_share": median(share),
            "detectable_share": None
            if engine.has_replicates
            else detectable_share(typical, engine, p_cut, quick),
            "p_value_cut": p_cut,
            "n_kept": len(columns["call"]),
            "fdr": self.rule.fdr,
            "margin": self.rule.margin,
            "min_r2": self.rule.min_r2,
        }

    def _facts(self, engine: Engine, design: Design) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, variance and share of zeros of every gene on the tested scale, depth divided out."""
        expression = self.expression
        every = expression.all_cells
        if every is not None and hasattr(engine, "gene_facts"):
            return engine.gene_facts(every.whole.size_factors)
        rows = np.concatenate([level.rows for level in design.levels])
        factors = expression.size_factors
        facts = [_facts(expression.matrix, at, rows, factors) for at in _chunks(len(expression.genes))]
        mean, variance, zero = (np.concatenate([f[i] for f in facts]) for i in range(3))
        return mean, variance, zero

    def _gene_table(self, engine: Engine, tally: Tally, design: Design) -> pd.DataFrame:
        expression = self.expression
        mean, variance, zero = self._facts(engine, design)
        table = {
            "gene": expression.genes,
            "symbol": expression.symbols,
            "mean": mean,
            "variance": variance,
            "zero_share": zero,
            "status": pd.Categorical(engine.regulator_status, categories=names.PAIR_STATUSES),
        }
        return pd.DataFrame(table | tally.by_gene)


@dataclass(frozen=True, eq=False)
class _Engines:
    """The tests of one analysis, each made when it is first asked for."""

    analyst: Analyst
    design: Design
    wide: Design | None
    level: str

    @cached_property
    def held(self) -> Engine:
        """That of the cells in memory."""
        with phase(f"bases of {self.level or 'genes'}", show=self.analyst.progress, part=bool(self.level)):
            return self.analyst.engine(self.design)

    @cached_property
    def tested(self) -> Engine:
        """That of all cells."""
        if self.wide is None:
            return self.held
        with self.analyst._phase("pairs of all cells", self.level) as done:
            return self.analyst.streamed(self.wide, done)


def _all_pairs(
    result: Screen, regulators: np.ndarray, engine: Engine, threads: int
) -> Callable[[slice], Columns]:
    """Return a function that gives the columns of some regulators against all genes, untested included."""
    everything = np.arange(engine.n_genes)

    def columns(which: slice) -> Columns:
        mine = regulators[which]
        inside = np.isin(result.regulators, mine)
        wanted = np.zeros(result.calls.shape, dtype=bool)
        wanted[inside] = result.calls[inside] != UNTESTED
        part = screened_columns(result, wanted, threads)
        x, y = np.repeat(mine, len(everything)), np.tile(everything, len(mine))
        x, y = x[x != y], y[x != y]
        order = np.argsort(mine)
        row = order[np.searchsorted(mine[order], part["regulator"])]
        at = row * (len(everything) - 1) + part["target"] - (part["target"] > part["regulator"])
        full: Columns = {"regulator": x, "target": y}
        for name, values in part.items():
            if name in full:
                continue
            blank = np.nan if values.dtype.kind == "f" else 0
            full[name] = np.full(len(x), blank, dtype=values.dtype)
            full[name][at] = values
        return full

    return columns


def _chunks(n: int, size: int = 1024) -> list[np.ndarray]:
    return [np.arange(low, min(low + size, n)) for low in range(0, n, size)]


def _facts(
    matrix: Any, genes: np.ndarray, rows: np.ndarray, factors: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and share of zeros of some genes on the tested scale, depth divided out."""
    values = dense_columns(matrix, genes)[rows]
    known = ~np.isnan(values)
    n = np.maximum(known.sum(axis=0), 1)
    zero = ((values == 0) & known).sum(axis=0) / n
    if factors is not None:
        values = values / factors[rows, None]
    values = np.where(known, values, 0.0)
    mean = values.sum(axis=0) / n
    variance = np.where(known, values - mean, 0.0) ** 2
    return mean, variance.sum(axis=0) / np.maximum(n - 1, 1), zero


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

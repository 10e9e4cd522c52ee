"""How far the bend share of counts moves with what is technical and shared by all molecules of a cell.

The split-count control cannot see what both halves of a count share: overdispersion of the measurement, a few
genes that swell and so shrink the fractions of all others, doublets, cells that are nearly empty, batches.
Each is varied here, and the share compared with that of the data as given *over the same pairs*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from .._arrays import in_threads
from .._checks import InputError
from .count_engine import CountTest
from .design import MIN_SAMPLES, Design, Level
from .floor import MAX_GENES, bend_shares, drawn_genes
from .intervals import number_or_none

OVERDISPERSIONS = (0.0, 0.02, 0.05, 0.1)
"""Squared coefficients of variation of technical noise that are tried."""
N_TOP = 20
"""Most counted genes that are left out of the totals; of small panels a tenth of the genes."""
DOUBLETS = 0.05
"""Share of the cells of a level, those with the highest totals, that are left out as doublets."""
SHALLOW = 0.1
"""Share of the cells of a level, those with the lowest totals, that are left out."""
MIN_STRATUM = 20
"""Cells that a batch must have inside a stratum."""
CHUNK = 512

_OVERDISPERSION = "overdispersion "
_COLUMNS = ("variant", "n_samples", "n_genes", "bend_share", "as_given", "moved")


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity:
    """Bend shares under variants of what is technical."""

    table: pd.DataFrame
    """One row a variant: ``variant``, ``n_samples`` and ``n_genes`` used, ``bend_share``, ``as_given`` (that
    of the data as given, over the same pairs) and ``moved``, their difference; NaN where nothing is left."""
    settings: dict[str, Any]
    """Genes and the seed that drew them, the overdispersion of the data as given, and the margin."""

    @property
    def largest(self) -> float:
        """The farthest that the share moved, with its sign; NaN if nothing could be tried."""
        moved = self.table["moved"].dropna().to_numpy(dtype=np.float64)
        return float(moved[np.abs(moved).argmax()]) if len(moved) else float("nan")

    @property
    def sentence(self) -> str:
        """The answer in words."""
        if not np.isfinite(self.largest):
            return "Sensitivity: no variant of the data left anything to compare"
        place = int(np.nanargmax(self.table["moved"].abs().to_numpy()))
        name, _, _, share, given, moved = self.table.iloc[place]
        turning, margin = self.turning_overdispersion, self.settings["margin"]
        turns = (
            f"no overdispersion up to {max(OVERDISPERSIONS):g} takes it across {margin:g}"
            if turning is None
            else f"it crosses {margin:g} at overdispersion {turning:.2g}"
        )
        return (
            f"Sensitivity: the bend share moves by {moved:+.1%} at most, {given:.1%} to {share:.1%}: {name}; "
            f"{turns}"
        )

    @property
    def turning_overdispersion(self) -> float | None:
        """Overdispersion of the measurement at which the share would cross the margin, by straight lines
        between those tried: the answer of size turns there. None: at none up to the largest tried.
        """
        given = self.settings["overdispersion"]
        points = {given: float(self.table["as_given"].iloc[0])} if len(self.table) else {}
        for name, share in zip(self.table["variant"], self.table["bend_share"], strict=True):
            if str(name).startswith(_OVERDISPERSION):
                points[float(str(name).removeprefix(_OVERDISPERSION))] = float(share)
        known = sorted((phi, share) for phi, share in points.items() if np.isfinite(share) and phi >= given)
        for (low, before), (high, after) in pairwise(known):
            below, above = sorted((before, after))
            if below < self.settings["margin"] <= above:
                return low + (high - low) * (self.settings["margin"] - before) / (after - before)
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """The entry ``sensitivity`` of verdict.json."""
        rows = self.table[["variant", "bend_share", "as_given"]].itertuples(index=False)
        listed = [
            {"variant": str(name), "bend_share": number_or_none(share), "as_given": number_or_none(given)}
            for name, share, given in rows
        ]
        turning, margin = self.turning_overdispersion, self.settings["margin"]
        if turning is not None:
            name = f"{_OVERDISPERSION}{turning:.2g}: the share crosses {margin:g}"
            given = number_or_none(self.table["as_given"].iloc[0])
            listed.append({"variant": name, "bend_share": margin, "as_given": given})
        return listed

    def __str__(self) -> str:
        return self.sentence

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown = self.table.to_html(index=False, border=0, escape=True, float_format="{:.3f}".format)
        return f"<div><p>{escape(self.sentence)}</p>\n{shown}</div>"


def share_sensitivity(
    engine: CountTest,
    genes: np.ndarray,
    *,
    batch: np.ndarray | None = None,
    margin: float = 0.1,
    max_genes: int = MAX_GENES,
    seed: int = 0,
    threads: int = 1,
) -> Sensitivity:
    """Measure how far the bend share of counts moves when what is technical is varied.

    Parameters
    ----------
    engine
        The count test of the data.
    genes
        Names, shape ``(n_genes,)``.
    batch
        Label of the batch of every cell of the file, shape ``(n_obs,)``; None: there is none.
    margin
        Share at which the answer turns.
    max_genes
        Most genes whose pairs are summed; more are drawn from by the seed.

    Raises
    ------
    InputError
        ``batch`` has fewer labels than the file has cells.
    """
    n_rows = 1 + max(int(level.rows.max()) for level in engine.levels)
    if batch is not None and len(batch) < n_rows:
        raise InputError(
            f"batch must have one label for each of the {n_rows:,} cells; found {len(batch):,}; take it from "
            "the table of cells that the counts came with"
        )
    chosen = drawn_genes(engine, genes, max_genes, seed)
    base = _Counts(engine, chosen)
    variants: list[tuple[str, Callable[[], tuple[CountTest, CountTest] | None]]] = [
        (f"{_OVERDISPERSION}{phi:g}", lambda phi=phi: (base.engine(), base.engine(overdispersion=phi)))  # type: ignore[misc]
        for phi in OVERDISPERSIONS
        if phi != engine.overdispersion
    ]
    if not engine.depth[0].known:
        n_top = max(1, min(N_TOP, engine.n_genes // 10))
        variants.append((f"totals without the {n_top} most counted genes", lambda: base.without_top(n_top)))
    variants += [
        ("cells of the highest totals left out", lambda: base.with_cells(0.0, 1 - DOUBLETS)),
        ("cells of the lowest totals left out", lambda: base.with_cells(SHALLOW, 1.0)),
    ]
    if batch is not None:
        variants.append(("batches inside", lambda: base.inside(np.asarray(batch).astype(str))))

    def row(variant: tuple[str, Callable[[], tuple[CountTest, CountTest] | None]]) -> tuple[Any, ...]:
        name, make = variant
        engines = make()
        if engines is None or engines[0].n_genes < 2:
            return name, 0, 0, np.nan, np.nan, np.nan
        given, share = bend_shares(*engines)
        return name, engines[1].n_samples, engines[1].n_genes, share, given, share - given

    table = pd.DataFrame(in_threads(row, variants, threads), columns=list(_COLUMNS))
    settings: dict[str, Any] = {"n_genes": len(chosen), "seed": seed}
    settings |= {"overdispersion": engine.overdispersion, "margin": margin}
    return Sensitivity(table, settings)


class _Counts:
    """Counts of the chosen genes, and engines of variants of them."""

    def __init__(self, source: CountTest, genes: np.ndarray) -> None:
        self.source, self.genes = source, genes
        self._n_rows = 1 + max(int(level.rows.max()) for level in source.levels)
        self._counts = np.zeros((self._n_rows, len(genes)))
        self._total = np.ones(self._n_rows)
        for level, depth in zip(source.levels, source.depth, strict=True):
            self._counts[level.rows] = source.counts_of(genes, level).T
            self._total[level.rows] = depth.total

    def engine(
        self,
        *,
        kept: np.ndarray | slice = slice(None),
        total: np.ndarray | None = None,
        levels: list[Level] | None = None,
        overdispersion: float | None = None,
    ) -> CountTest:
        """The test of some genes, with other totals, levels or overdispersion."""
        design = self.source.design
        if levels is not None:
            design = Design(tuple(levels), design.n_clusters, design.numeric_covariates, design.warnings)
        return CountTest(
            self._counts[:, kept],
            self._total if total is None else total,
            self.source.depth[0].known,
            design,
            overdispersion=self.source.overdispersion if overdispersion is None else overdispersion,
            dtype=np.float64,
        )

    def without_top(self, n_top: int) -> tuple[CountTest, CountTest] | None:
        """Totals without the most counted genes, which are left out of the pairs of both."""
        source = self.source
        chunks = [np.arange(i, min(i + CHUNK, source.n_genes)) for i in range(0, source.n_genes, CHUNK)]
        sums = np.concatenate(
            [
                np.sum([source.counts_of(genes, level).sum(axis=1) for level in source.levels], axis=0)
                for genes in chunks
            ]
        )
        top = np.argsort(-sums, kind="stable")[:n_top]
        total = self._total.copy()
        levels = []
        for level in source.levels:
            total[level.rows] -= source.counts_of(top, level).sum(axis=0)
            levels.append(_part(level, total[level.rows] >= MIN_SAMPLES))
        if not all(levels):
            return None
        kept = np.flatnonzero(~np.isin(self.genes, top))
        usable = [level for level in levels if level is not None]
        return self.engine(kept=kept, levels=usable), self.engine(kept=kept, total=total, levels=usable)

    def with_cells(self, low: float, high: float) -> tuple[CountTest, CountTest] | None:
        """Cells between two quantiles of the totals of their level."""
        levels = []
        for level, depth in zip(self.source.levels, self.source.depth, strict=True):
            ends = np.quantile(depth.total, [low, high])
            levels.append(_part(level, (depth.total >= ends[0]) & (depth.total <= ends[1])))
        usable = [level for level in levels if level is not None]
        return (self.engine(), self.engine(levels=usable)) if usable else None

    def inside(self, batch: np.ndarray) -> tuple[CountTest, CountTest] | None:
        """Batches as strata: cells are compared with those of their own batch alone."""
        given, split = [], []
        for level in self.source.levels:
            joined = np.unique(
                np.stack([level.strata.astype(str), batch[level.rows]]), axis=1, return_inverse=True
            )[1].ravel()
            keep = np.bincount(joined)[joined] >= MIN_STRATUM
            part = _part(level, keep)
            if part is not None:
                given.append(part)
                split.append(_restratified(part, joined[keep]))
        return (self.engine(levels=given), self.engine(levels=split)) if given else None


def _part(level: Level, keep: np.ndarray) -> Level | None:
    """Cells of a level; None if too few are left."""
    if keep.sum() < MIN_SAMPLES:
        return None
    part = replace(
        level,
        rows=level.rows[keep],
        covariates=np.full((int(keep.sum()), 1), keep.sum() ** -0.5),
        clusters=None if level.clusters is None else level.clusters[keep],
    )
    return _restratified(part, level.strata[keep])


def _restratified(level: Level, strata: np.ndarray) -> Level:
    """The level with other strata, its cells sorted as levels are."""
    keys = (level.rows, strata) if level.clusters is None else (level.rows, strata, level.clusters)
    order = np.lexsort(keys)
    clusters = None if level.clusters is None else level.clusters[order]
    return replace(level, rows=level.rows[order], strata=pd.factorize(strata[order])[0], clusters=clusters)

"""Pooling curves: what pools of 1, 2, 5, 10, ... of the user's own cells show (method 4 and 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import _names as names
from .._checks import InputError, check_column, check_share, check_whole, printable
from .._docs import texts_of
from .._notebook import summary_html
from .._phases import phase
from ..data.expression import Expression, ValueOptions, describe
from ..pairs.every_pair import linearity
from ..pairs.plan import as_list, choose_test
from ..pairs.screening import Rule
from .choice import Scope, find_triples, list_triples, places
from .draws import (
    BETWEEN,
    LADDER,
    MIN_PER_STRATUM,
    MIN_REPLICATES,
    MIXED,
    WITHIN,
    Plan,
    Strata,
    default_pools,
    make_strata,
    plan_pools,
    plan_replicates,
)
from .meter import (
    EXCESS_KURTOSIS,
    MEASURES,
    PARTIAL_LINEAR,
    PARTIAL_SPLINE,
    SHARE_NONLINEAR,
    SKELETON_CHANGED,
    SKELETON_EDGES,
    SKEWNESS,
    Labels,
    Meter,
    mean,
    restrict,
)
from .signed import SignedPartials


@dataclass(frozen=True, eq=False, repr=False)
class PoolingCurves:
    """What pools of the data's own cells show, against the number of cells in a pool."""

    table: pd.DataFrame
    """One row per regime, number of cells, repeat and measure; columns ``poolproof._names.CURVE_COLUMNS``."""
    summary: dict[str, Any]
    """The entry ``pooling`` of verdict.json: ``test``, ``correction``, ``repeats``, ``n_genes``,
    ``n_skeleton_genes``, ``n_triples``, and ``curves``: one entry per regime and number of cells with
    ``regime``, ``n_cells``, ``n_pools`` and the mean of each measure, None where it is missing."""
    settings: dict[str, Any]
    """All options, defaults filled in, and the genes that were chosen."""
    seed: int
    """Seed of every draw."""
    warnings: tuple[str, ...]
    """What was guessed or left out."""

    def __str__(self) -> str:
        return "\n".join(_sentences(self.summary)) or "no pooling curves"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html(
            "Pooling curves",
            _sentences(self.summary),
            self.table,
            self.warnings,
            columns=[column.name for column in names.CURVE_COLUMNS],
            rows="first",
        )


@texts_of(describe, linearity)
def pooling_curves(
    adata: AnnData | pd.DataFrame | Expression | str | PathLike[str],
    *,
    sizes: Sequence[int] | None = None,
    n_pools: int | None = None,
    repeats: int = 3,
    within: str | Sequence[str] | None = None,
    replicate: str | None = None,
    pairs: pd.DataFrame | Sequence[tuple[str, str]] | None = None,
    triples: pd.DataFrame | Sequence[tuple[str, str, str]] | None = None,
    n_genes: int = 100,
    test: str = "auto",
    fdr: float = 0.05,
    margin: float = 0.1,
    min_r2: float = 0.02,
    layer: str | None = None,
    kind: str = "auto",
    scale: str = "auto",
    log_base: float | str | None = None,
    log_offset: float | None = None,
    size_factors: str = "auto",
    gene_column: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
    obs: pd.DataFrame | None = None,
) -> PoolingCurves:
    """Measure what pooling does, on pools of 1, 2, 5, 10, ... of the data's own cells.

    Parameters
    ----------
    adata
        Single cells x genes: AnnData, DataFrame, the path of a file, or an
        :class:`~poolproof.data.expression.Expression`.
    sizes
        Numbers of cells in a pool; 1 is always among them. None: 1, 2, 5, 10, 20, 50, ... as far as there
        are cells enough. A size without room for ``n_pools`` is left out, with a warning.
    n_pools
        Pools of every size, at least 20. None: as many as 50 cells each leave room for, but 100 to 300.
    repeats
        Drawings of each size.
    within
        Columns of obs, cell type say: regime ``within`` pools and compares inside each of their levels.
    replicate
        Column of obs with the independent unit (donor). Regime ``within`` pools inside each, regime
        ``between`` makes one pool of each, if there are at least 10.
    pairs
        Ordered pairs to test: (regulator, target) tuples, or a table with those columns. None: all pairs of
        the genes chosen.
    triples
        Triples to follow: (x, y, z) tuples, y the middle gene, or a table with those columns, ``distorted``
        ones say. None: the first 50 that :func:`poolproof.screen_triples` calls distorted among the genes
        chosen. Empty: none.
    n_genes
        Genes that are looked at: of the 2 ``n_genes`` most expressed those that vary most inside strata for
        their mean (variance / mean).
    test, fdr, margin, min_r2
        See :func:`poolproof.linearity`.
    layer, kind, scale, log_base, log_offset, size_factors, gene_column
        See :func:`poolproof.describe`.
    seed
        Of every draw.
    threads, progress, obs
        See :func:`poolproof.linearity`.

    Returns
    -------
    PoolingCurves

    Raises
    ------
    InputError
        The values are bulk samples, or logs that cannot be undone: neither are cells to add up. There are
        fewer cells than two for each pool; a column, a gene or an option is not as described.

    Notes
    -----
    *Regimes.* ``mixed`` draws pools from all cells, whatever their labels. ``within`` draws inside
    each combination of ``within`` and ``replicate``: the cells of a pool share their parameters. It uses the
    combinations that can give 20 pools of each size. ``between`` takes the cells of a pool from one replicate
    each: up to all of them, which is pseudobulk (``n_cells`` is then the median). At one size a cell is in
    one pool at most, and in each regime every size has the same number of pools, from the same strata.

    *Measures*, on values over size factors (the sum of those of the pool's cells), ``within`` compared
    inside strata and ``between`` inside levels of ``within``:

    - ``share_nonlinear`` and ``share_affine`` of the ``n_associated`` ordered pairs, as
      :func:`poolproof.linearity` has them; counts take the corrected test with the pool's total, but in
      ``between`` the robust one, for few but deep pools;
    - ``skewness`` and ``excess_kurtosis``: medians over genes, from unbiased cumulants; except in
      ``between`` of a gene's value less its mean share of the size factor, which adds up over cells;
    - ``partial_linear`` and ``partial_spline``: medians over the triples, each with the sign of its
      ``partial_linear`` in single cells: the size alone would count noise as distortion. Signs come from one
      half of the cells and pools from the other, and the other way round, averaged, so that what is 0 stays 0
      (from all cells ``between`` replicates, and where half the cells hold no 20 pools in each stratum);
    - ``skeleton_edges``: edges between the 30 most expressed of the genes that no single other gene separates
      (Fisher's z at 1 %); ``skeleton_changed``: those not shared with the skeleton of another drawing of
      single cells, as a share of the edges of either.

    *Predictions* take the cells of a stratum as independent, with one law; sampling noise is part of it.
    From all single cells: skewness falls as K^-1/2 and excess kurtosis as 1/K (exact, but few pools seldom
    hold the cells that make long tails, and then stay below, kurtosis most); ``partial_linear`` stays, and
    ``partial_spline`` tends to it, which is the prediction given. From the single cells drawn: the skeleton
    stays, so that ``skeleton_changed`` stays what two drawings of single cells differ by. These are
    approximate where values are divided by depth. No prediction: the shares, and all of ``between``, where
    replicates add their differences.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.gamma(2.0, size=4000)                       # x and z depend on y alone, both bent
    >>> x, z = np.tanh(y) + 0.15 * rng.normal(size=4000), y**2 / 5 + 0.2 * rng.normal(size=4000)
    >>> cells = pd.DataFrame({"x": x, "y": y, "z": z})
    >>> curves = pooling_curves(cells, kind="single-cell", scale="additive", triples=[("x", "y", "z")])
    >>> spline = curves.table.query("measure == 'partial_spline'").groupby("n_cells")["value"].mean()
    >>> bool(abs(spline[1]) < 0.15), bool(spline[20] > 0.35)  # cells show no edge, pools of 20 do
    (True, True)
    """
    sizes = LADDER if sizes is None else _check_sizes(sizes)
    _check_numbers(repeats, n_genes, n_pools, {"fdr": fdr, "margin": margin, "min_r2": min_r2})
    expression, obs = ValueOptions(layer, kind, scale, log_base, log_offset, size_factors, gene_column).read(
        adata, obs
    )
    _check_cells(expression)
    labels = Labels(tuple(as_list(within)), replicate)
    notes = list(expression.warnings)
    rows = _usable(expression, obs, labels, notes)
    n_pools = default_pools(len(rows)) if n_pools is None else int(n_pools)
    strata = make_strata(obs, labels.columns, expression.obs_names, rows)
    whole = make_strata(obs, (), expression.obs_names, rows)
    plans = _plan_regimes(whole, strata, labels, sizes, n_pools, notes)
    chosen = choose_test(expression, test)
    rows = whole.cells[0]  # in the order of their names
    scope = Scope.choose(expression, plans[0].strata, pairs, n_genes, notes)
    table = obs[list(labels.columns)].astype(str).reset_index(drop=True)
    if triples is None:
        listed = find_triples(expression, table, rows, scope.genes, labels, chosen, seed, threads)
    else:
        listed = list_triples(triples, expression, notes)
    looked_at = np.union1d(scope.genes, listed.to_numpy(dtype=str).ravel())
    meter = Meter(
        cells=restrict(expression, places(expression, looked_at)),
        obs=table,
        rows=rows,
        genes=scope.genes,
        skeleton_genes=scope.skeleton_genes,
        pairs=scope.pairs,
        triples=listed,
        labels=labels,
        test=chosen,
        rule=Rule(fdr, margin, min_r2),
        threads=threads,
    )
    found = _measure(meter, plans, repeats, seed, progress)
    settings = {
        **expression.settings,
        "sizes": list(sizes),
        "n_pools": n_pools,
        "repeats": repeats,
        "within": list(labels.within),
        "replicate": replicate,
        "test": chosen,
        "fdr": fdr,
        "margin": margin,
        "min_r2": min_r2,
        "n_genes": n_genes,
        "genes": scope.genes.tolist(),
        "skeleton_genes": scope.skeleton_genes.tolist(),
    }
    return PoolingCurves(found, _summary(found, meter, repeats), settings, seed, tuple(dict.fromkeys(notes)))


# --- what is asked for, and of which cells ----------------------------------------------------------------


def _check_sizes(sizes: Any) -> tuple[int, ...]:
    several = isinstance(sizes, Iterable) and not isinstance(sizes, (str, bytes))
    given = list(sizes) if several else [sizes]
    found = {check_whole("sizes", size, 1) for size in given}
    if found <= {1}:
        raise InputError("sizes must name a number of cells above 1; found none; 1 is always among them")
    return tuple(sorted({1, *found}))


def _check_numbers(repeats: int, n_genes: int, n_pools: int | None, shares: Mapping[str, float]) -> None:
    check_whole("repeats", repeats, 1)
    check_whole("n_genes", n_genes, 2)
    if n_pools is not None:
        check_whole("n_pools", n_pools, MIN_PER_STRATUM)
    for name, share in shares.items():
        check_share(name, share)


def _check_cells(expression: Expression) -> None:
    if expression.kind == "bulk":
        raise InputError(
            "pooling curves add up single cells; found bulk samples, which are pools already; pass --kind "
            "single-cell if rows are cells"
        )
    if expression.scale_tested == "log":
        raise InputError(
            "pooling curves add up amounts; found logs that cannot be undone; pass --log-base and "
            "--log-offset, or --layer to name the layer that holds counts"
        )


def _usable(expression: Expression, obs: pd.DataFrame, labels: Labels, notes: list[str]) -> np.ndarray:
    """Rows of the cells that have counts and every label."""
    if len(obs) != len(expression.obs_names):
        raise InputError(
            f"expected a table of {len(expression.obs_names):,} samples; found one of {len(obs):,} rows"
        )
    for name in labels.within:
        check_column(obs.columns, name, where="the table of samples", option="--within")
    if labels.replicate is not None:
        check_column(obs.columns, labels.replicate, where="the table of samples", option="--replicate")
    labelled = ~obs[list(labels.columns)].isna().any(axis=1).to_numpy(dtype=bool)
    if not labelled.all():
        named = ", ".join(printable(name, 40) for name in labels.columns)
        notes.append(f"{int((~labelled).sum()):,} cells are in no pool: no value in {named}")
    usable = labelled
    for depth in (expression.size_factors, expression.totals):
        usable = usable & (True if depth is None else np.isfinite(depth) & (depth > 0))
    if not usable.any():
        raise InputError("expected cells with counts and labels; found none; check --within and --replicate")
    return np.flatnonzero(usable)


def _plan_regimes(
    whole: Strata, strata: Strata, labels: Labels, sizes: tuple[int, ...], n_pools: int, notes: list[str]
) -> list[Plan]:
    """Plan what there are cells enough for, and note what there are not."""
    mixed = plan_pools(whole, MIXED, sizes, n_pools)
    n_cells = int(whole.sizes.sum())
    if len(mixed.sizes) < 2:
        raise InputError(
            f"expected at least {n_pools * sizes[1]:,} cells, for {n_pools:,} pools of {sizes[1]:,}; found "
            f"{n_cells:,}; pass fewer n_pools or smaller sizes"
        )
    plans = [mixed]
    if labels.columns:
        within = plan_pools(strata, WITHIN, sizes, n_pools)
        if len(within.sizes) > 1:
            plans.insert(0, within)
            left_out = len(strata.names) - len(within.strata.names)
            if left_out:
                notes.append(
                    f"pools within labels use {len(within.strata.names):,} of {len(strata.names):,} "
                    f"combinations of labels: the others cannot give {MIN_PER_STRATUM} pools of "
                    f"{within.sizes[-1]:,} cells, or there are pools enough without them"
                )
        else:
            notes.append(
                f"no pools within labels: no room for {n_pools:,} pools of {sizes[1]:,} cells, "
                f"{MIN_PER_STRATUM} from each combination of labels"
            )
    for plan in plans:
        if plan.sizes[-1] < sizes[-1] and sizes != LADDER:
            absent = ", ".join(f"{size:,}" for size in sizes if size not in plan.sizes)
            notes.append(f"no {plan.regime} pools of {absent} cells: no room for {n_pools:,} of them")
    if labels.replicate is not None:
        between = plan_replicates(strata, labels.within, sizes)
        if between is None:
            notes.append(f"no pools of whole replicates: fewer than {MIN_REPLICATES} of them can be compared")
        else:
            plans.append(between)
    return plans


# --- measuring --------------------------------------------------------------------------------------------


def _measure(meter: Meter, plans: list[Plan], repeats: int, seed: int, progress: bool) -> pd.DataFrame:
    """Measure every drawing of every regime: one row per measure."""
    total = sum(len(plan.sizes) * repeats + (plan.regime == BETWEEN) for plan in plans)
    rows: list[dict[str, Any]] = []
    with phase("pooling curves", total, unit="drawing", show=progress) as done:
        for plan in plans:
            rows += _measure_regime(meter, plan, repeats, seed, done)
    table = pd.DataFrame(rows, columns=[column.name for column in names.CURVE_COLUMNS])
    return table.astype({column.name: column.dtype for column in names.CURVE_COLUMNS})


def _measure_regime(
    meter: Meter, plan: Plan, repeats: int, seed: int, report: Callable[[int], Any]
) -> Iterator[dict[str, Any]]:
    """Rows of one regime, with what the single cells predict."""
    single = plan.draw(1, 0, seed)
    reference = meter.edges(meter.pool(single), single.groups)
    signed = SignedPartials.of(meter, plan, seed)
    found = []
    for drawing in plan.drawings(repeats, seed):
        found.append((drawing, meter.measure(drawing, reference) | signed.measure(drawing)))
        report(1)
    predicted = {}
    if plan.regime != BETWEEN:
        skewness, kurtosis = meter.shapes_of_cells(plan)
        predicted = {SKEWNESS: skewness, EXCESS_KURTOSIS: kurtosis}
        predicted |= dict.fromkeys((PARTIAL_LINEAR, PARTIAL_SPLINE), signed.prediction())
        for measure in (SKELETON_EDGES, SKELETON_CHANGED):
            predicted[measure] = mean(values[measure] for drawing, values in found if drawing.n_cells == 1)
    for drawing, values in found:
        falls = {SKEWNESS: drawing.n_cells**-0.5, EXCESS_KURTOSIS: 1 / drawing.n_cells}
        for measure in MEASURES:
            yield {
                "regime": plan.regime,
                "n_cells": drawing.n_cells,
                "repeat": drawing.repeat,
                "n_pools": len(drawing.members.n_cells),
                "measure": measure,
                "value": values[measure],
                "prediction": predicted.get(measure, np.nan) * falls.get(measure, 1.0),
            }


def _summary(table: pd.DataFrame, meter: Meter, repeats: int) -> dict[str, Any]:
    """The entry of verdict.json: means over repeats; what is missing is None."""
    curves = []
    for _, part in table.groupby(["regime", "n_cells"], sort=False):
        point = part.iloc[0]
        values = {name: mean(part.loc[part["measure"] == name, "value"]) for name in MEASURES}
        curves.append(
            {
                "regime": str(point["regime"]),
                "n_cells": int(point["n_cells"]),
                "n_pools": int(point["n_pools"]),
            }
            | {name: value if np.isfinite(value) else None for name, value in values.items()}
        )
    return {
        "test": meter.test,
        "correction": meter.correction_of(MIXED) if len(meter.triples) else None,
        "repeats": repeats,
        "n_genes": len(meter.genes),
        "n_skeleton_genes": len(meter.skeleton_genes),
        "n_triples": len(meter.triples),
        "curves": curves,
    }


def _sentences(summary: dict[str, Any]) -> list[str]:
    """One sentence a regime: from the smallest to the largest pools."""
    said = []
    for regime in dict.fromkeys(point["regime"] for point in summary["curves"]):
        points = [point for point in summary["curves"] if point["regime"] == regime]
        first, last = points[0], points[-1]
        parts = [
            f"{word} {_shown(first[name], form)} to {_shown(last[name], form)}"
            for name, word, form in (
                (SHARE_NONLINEAR, "non-linear pairs", ".1%"),
                (SKEWNESS, "skewness", ".2f"),
                (PARTIAL_SPLINE, "partial correlation of triples given a spline", ".2f"),
                (SKELETON_CHANGED, "edges unlike those of other single cells", ".0%"),
            )
            if first[name] is not None or last[name] is not None
        ]
        said.append(
            f"{regime}, {first['n_pools']:,} pools of {first['n_cells']:,} to {last['n_cells']:,} cells: "
            f"{', '.join(parts)}"
        )
    return said


def _shown(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)

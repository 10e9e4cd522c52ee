"""Every triple of genes: what pooling does to conditional independence (method 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .. import _names as names
from .._checks import InputError, check_choice, check_threads, check_whole, printable
from .._docs import texts_of
from .._files import write_parquet
from .._notebook import summary_html
from .._phases import phase
from .._random import stream
from ..basis import N_COLUMNS
from ..data.expression import Expression, ValueOptions, describe
from ..pairs.analyst import Analyst
from ..pairs.batches import at_common_means
from ..pairs.calls import bh_adjust
from ..pairs.count_engine import CountTest
from ..pairs.design import Design
from ..pairs.every_pair import check_options, linearity
from ..pairs.plan import Task, as_list, choose_test, plan_design
from ..pairs.screening import Associations, Rule
from ..pairs.settings import EngineSettings
from .choice import draw_middle, middle_genes, triple_positions
from .count_conditioner import CountConditioner
from .distortion import Distortion, distortion_of
from .partial import Conditioner
from .quick_screen import COMPILED_FROM
from .score_conditioner import ScoreConditioner
from .screening import DEPENDENT, DISTORTED, HIDDEN, KEPT, N_BINS, q_values, screen_triples_of
from .table import Rows, counts_summary, gene_table, histogram_table, rows_of, triple_table

N_LISTED = 1000
"""Triples of each call that are listed."""
SHOWN = (DISTORTED, HIDDEN, DEPENDENT, KEPT)
"""Order of the calls in the table."""
NOTEBOOK_COLUMNS = ("x", "y", "z", "partial_linear", "partial_spline", "q_value", "call")
SMALL = 20_000_000
"""Up to so many triples, all are screened in float64."""


@dataclass(frozen=True, eq=False, repr=False)
class Triples:
    """What the data say of triples of genes, and what pooling makes of them."""

    table: pd.DataFrame
    """Listed triples, the strongest of each call; columns as ``poolproof._names.TRIPLE_COLUMNS``."""
    genes: pd.DataFrame
    """Tallies by middle gene; columns as ``poolproof._names.TRIPLE_GENE_COLUMNS``."""
    histogram: pd.DataFrame
    """Screened triples on a grid of the two partial correlations: ``call``, ``linear``, ``spline`` (middle
    of the bin) and ``n``; only bins that hold any."""
    distortion: Distortion | None
    """How much pooling moves partial correlations, over every triple; None for lists of triples."""
    summary: dict[str, Any]
    """The entry ``triples`` of verdict.json."""
    settings: dict[str, Any]
    """All options, defaults filled in."""
    seed: int
    """Seed of every random draw."""
    warnings: tuple[str, ...]
    """What was guessed, left out or renamed."""
    expression: Expression = field(repr=False)
    """The values that were tested."""
    design: Design = field(repr=False)

    def __str__(self) -> str:
        return "; ".join([self._screened(), *([] if self.distortion is None else [self.distortion.sentence])])

    __repr__ = __str__

    def _screened(self) -> str:
        s = self.summary
        if not s["n_screened"]:
            return "no triples screened: no gene has two associated genes that can be conditioned on it"
        cells = self.expression.kind == "single-cell"  # bulk samples are pools already
        where, what = ("cells", "pooling") if cells else ("these samples", "further pooling")
        return (
            f"{s['n_screened']:,} triples screened: {s['n_separated']:,} separated in {where}, of which "
            f"{what} distorts {_percent(s['share_distorted'])}; {s['n_dependent']:,} dependent, of which it "
            f"hides {_percent(s['share_hidden'])}; {_percent(s['share_undetermined'])} undetermined"
        )

    def _repr_html_(self) -> str:
        return summary_html(
            "Triples of genes", [str(self)], self.table, self.warnings, columns=NOTEBOOK_COLUMNS
        )


def write_triples(result: Triples, place: Path) -> None:
    """Write the tables of a result into a folder that is ready for them."""
    write_parquet(result.table, place / "triples.parquet")
    write_parquet(result.genes, place / "triple_genes.parquet")
    if result.distortion is not None:
        write_parquet(result.distortion.table, place / "distortion.parquet")


@texts_of(describe, linearity)
def screen_triples(
    adata: AnnData | pd.DataFrame | Expression | str | PathLike[str],
    *,
    middle: Sequence[str] | int | None = None,
    triples: pd.DataFrame | Sequence[tuple[str, str, str]] | None = None,
    correction: str = "auto",
    margin: float = 0.1,
    fdr: float = 0.05,
    min_r2: float = 0.02,
    n_listed: int = N_LISTED,
    within: str | Sequence[str] | None = None,
    replicate: str | None = None,
    covariates: str | Sequence[str] = (),
    size_factors: str = "auto",
    layer: str | None = None,
    kind: str = "auto",
    scale: str = "auto",
    log_base: float | str | None = None,
    log_offset: float | None = None,
    gene_column: str | None = None,
    overdispersion: float = 0.0,
    k: int = N_COLUMNS,
    dtype: type = np.float32,
    seed: int = 0,
    threads: int | None = None,
    memory: float = 4e9,
    progress: bool = False,
    obs: pd.DataFrame | None = None,
) -> Triples:
    """Say of triples of genes whether x and z are separated given y in cells, and what pools will show.

    Parameters
    ----------
    adata
        Samples or cells x genes: AnnData, DataFrame, the path of a file, or an
        :class:`~poolproof.data.expression.Expression`.
    middle
        Middle genes y: names; a number of them, drawn with ``seed``; None: all.
    triples
        Triples to judge instead: (x, y, z) tuples, or a table with those columns. All are listed.
    correction
        ``poisson``: counts of molecules, sampling noise removed by factorial moments; ``none``: residuals of
        depth-normalised values given a spline in y; ``auto``: as the test of pairs.
    margin
        Partial correlations below it count as none.
    fdr, min_r2
        Of the associated pairs: only triples whose ends are both associated with the middle gene count.
    n_listed
        Triples of each call in the table, strongest first; counts are exact whatever it is.
    within, replicate, covariates
        As for :func:`poolproof.linearity`. With ``replicate``, or counts, every triple takes a product as
        long as the number of cells: choose ``middle`` genes where there are many.
    size_factors, layer, kind, scale, log_base, log_offset, gene_column
        See :func:`poolproof.describe`.
    overdispersion
        See :func:`poolproof.linearity`; for ``poisson``.
    k
        Columns of a spline basis, the linear one included.
    dtype
        Of the screening products; listed triples, and up to 20 million triples all, are in float64.
    seed
        Of the draw of middle genes.
    threads, memory, progress, obs
        See :func:`poolproof.linearity`.

    Returns
    -------
    Triples

    Raises
    ------
    InputError
        An option does not fit the data; see :func:`poolproof.describe` for the values themselves.

    Notes
    -----
    With residuals e of x and z given y, the partial correlation given a spline in y (counts: degree 2) is
    judged separated or dependent, and that given a line in y (what sums of many cells show, method 4)
    small or large, each by a one-sided 5 % test against ``margin``; standard errors are those under
    conditional independence. ``kept``: separated and small. ``distorted``: separated, yet large: pools show
    an edge that is not there. ``dependent``: both. ``hidden``: dependent, yet small: pools lose the edge.
    Else ``undetermined``. A separation is a vanishing residual covariance: necessary for conditional
    independence, not the whole of it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.gamma(2.0, size=2000)
    >>> data = pd.DataFrame({"X": np.tanh(y) + 0.15 * rng.normal(size=2000), "Y": y,
    ...                      "Z": y**2 / 5 + 0.2 * rng.normal(size=2000)})
    >>> result = screen_triples(data, kind="bulk", scale="additive", triples=[("X", "Y", "Z")])
    >>> result.table[["partial_linear", "partial_spline", "call"]].round(2).to_dict("records")
    [{'partial_linear': -0.51, 'partial_spline': 0.02, 'call': 'distorted'}]
    """
    check_options(fdr=fdr, margin=margin, min_r2=min_r2)
    check_choice("correction", correction, ("auto", *names.CORRECTIONS))
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise InputError(f"dtype must be float32 or float64; found {printable(dtype, 40)}")
    n_listed, k = check_whole("n_listed", n_listed, 1), check_whole("k", k, 2)
    expression, obs = ValueOptions(layer, kind, scale, log_base, log_offset, size_factors, gene_column).read(
        adata, obs
    )
    wanted = {"auto": "auto", "none": "robust", "poisson": "corrected"}[correction]
    if correction == "poisson" and expression.scale_tested != "counts":
        raise InputError(
            f"--correction poisson needs counts; found values on the {expression.scale} scale; use none"
        )
    test = choose_test(expression, wanted)
    within, covariates = as_list(within), as_list(covariates)
    design = plan_design(expression, obs, test, within, replicate, covariates)
    if test != "corrected":
        expression, design = at_common_means(expression, design, obs, covariates)
    options = Options(
        correction="poisson" if test == "corrected" else "none",
        margin=margin,
        min_r2=min_r2,
        n_listed=n_listed,
        overdispersion=overdispersion,
        k=k,
        dtype=dtype,
        seed=seed,
        threads=check_threads(threads),
        memory=memory,
        progress=progress,
    )
    settings = {
        **expression.settings,
        "correction": options.correction,
        "margin": margin,
        "fdr": fdr,
        "min_r2": min_r2,
        "n_listed": n_listed,
        "within": within,
        "replicate": replicate,
        "covariates": covariates,
        "overdispersion": overdispersion if test == "corrected" else None,
        "k": k if test != "corrected" else None,
        "dtype": np.dtype(dtype).name,
    }
    if triples is not None:
        if middle is not None:
            raise InputError("give either middle genes or triples, not both")
        return judge_listed(expression, design, triples, options, settings)
    analyst = Analyst(
        expression,
        Task(np.arange(len(expression.genes)), None, False, ()),
        Rule(fdr, margin, min_r2),
        EngineSettings(test, overdispersion, k, dtype, options.threads, memory, seed),
    )
    chosen, sentence = middle_genes(expression, middle)
    with phase("pairs", len(expression.genes), show=progress) as report:
        found = analyst.screen(analyst.engine(design), report)
    return screen_associated(expression, design, Associations.of(found), chosen, options, settings, sentence)


@dataclass(frozen=True)
class Options:
    """What a screen or a list of triples needs beside the data; see :func:`screen_triples`."""

    correction: str
    margin: float = 0.1
    min_r2: float = 0.02
    n_listed: int = N_LISTED
    overdispersion: float = 0.0
    k: int = N_COLUMNS
    dtype: type = np.float32
    seed: int = 0
    threads: int = 1
    memory: float = 4e9
    progress: bool = False


def screen_associated(
    expression: Expression,
    design: Design,
    associations: Associations,
    chosen: np.ndarray | int | None,
    options: Options,
    settings: dict[str, Any],
    notes: tuple[str, ...] = (),
    *,
    most: float | None = None,
) -> Triples:
    """Screen the triples whose ends are associated with the middle gene.

    ``chosen``: positions of middle genes; how many to draw; or None: all, or with ``most`` as many, drawn,
    as that number of triples allows.
    """
    order = np.argsort(expression.genes.astype(str), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    genes = expression.genes[order]
    conditioner = conditioner_of(expression, design, options, order)
    ends = associations.rank(place)
    no_ends = np.zeros(0, dtype=np.int32)
    usable = conditioner.end_status == names.OK

    def ends_of(middle: int) -> np.ndarray:
        mine = ends.get(middle, no_ends)
        return mine[usable[mine] & (mine != middle)]

    n_ends = np.array([len(ends_of(gene)) for gene in range(len(genes))])
    possible = np.flatnonzero((n_ends >= 2) & (conditioner.status == names.OK))
    n_triples = n_ends * (n_ends - 1) // 2
    middle = draw_middle(possible, chosen, place, options.seed)
    if most is not None:
        drawn = stream(options.seed, "middle genes").permutation(middle)
        middle = np.sort(drawn[: max(1, int((np.cumsum(n_triples[drawn]) <= most).sum()))])
    with phase("triples", len(middle), unit="middle gene", show=options.progress) as report:
        found = screen_triples_of(
            conditioner,
            ends_of,
            middle,
            margin=options.margin,
            n_listed=options.n_listed,
            dtype=np.float64 if int(n_triples[middle].sum()) <= SMALL else options.dtype,
            threads=options.threads,
            compiled=int(n_triples[middle].sum()) >= COMPILED_FROM,
            progress=report,
        )
    listed = np.stack([found.listed.left, found.listed.middle, found.listed.right], axis=1)
    shown = np.argsort([SHOWN.index(code) for code in found.listed.code.tolist()], kind="stable")
    listed, code = listed[shown], found.listed.code[shown]
    rows = _rows(conditioner, listed, options)
    same = rows.code == code  # float32 may have told a call that float64 does not
    listed, rows = listed[same], rows.take(same)
    table = triple_table(genes, listed, rows, q_values(found, rows.p_value))
    counts = np.zeros((len(genes), 5), dtype=np.int64)
    counts[middle] = found.counts
    asked = chosen if chosen is None or isinstance(chosen, np.ndarray) else order[middle]
    by_gene = gene_table(genes, expression.symbols[order], conditioner.status, n_ends, counts)
    return _labelled(
        table,
        by_gene.iloc[place].reset_index(drop=True),
        found.histogram,
        found.counts,
        _distortion(expression, design, asked, options),
        expression,
        design,
        options,
        settings,
        notes,
    )


def _distortion(
    expression: Expression, design: Design, middle: np.ndarray | None, options: Options
) -> Distortion:
    """Over every triple of the middle genes that were asked for, associated or not."""
    return distortion_of(
        expression,
        design,
        middle,
        correction=options.correction,
        overdispersion=options.overdispersion,
        k=options.k,
        dtype=options.dtype,
        seed=options.seed,
        threads=options.threads,
        memory=options.memory,
        progress=options.progress,
    )


def judge_listed(
    expression: Expression,
    design: Design,
    triples: pd.DataFrame | Sequence[tuple[str, str, str]],
    options: Options,
    settings: dict[str, Any],
) -> Triples:
    """Judge the triples of a list, whatever their association."""
    at, note = triple_positions(expression, triples)
    order = np.arange(len(expression.genes))
    conditioner = conditioner_of(expression, design, options, order)
    rows = _rows(conditioner, at, options)
    table = triple_table(expression.genes, at, rows, bh_adjust(rows.p_value))
    judged = rows.status == names.OK
    counts = np.zeros((len(order), 5), dtype=np.int64)
    np.add.at(counts, (at[judged, 1], rows.code[judged]), 1)
    pairs = np.unique(np.concatenate([at[:, [1, 0]], at[:, [1, 2]]]), axis=0)
    n_ends = np.bincount(pairs[:, 0], minlength=len(order))
    by_gene = gene_table(expression.genes, expression.symbols, conditioner.status, n_ends, counts)
    histogram = np.zeros((5, N_BINS, N_BINS), dtype=np.int64)
    bins = [
        np.clip((values[judged] + 1) * (N_BINS / 2), 0, N_BINS - 1).astype(int)
        for values in (rows.linear, rows.spline)
    ]
    np.add.at(histogram, (rows.code[judged], *bins), 1)
    used = counts[np.unique(at[:, 1])]
    return _labelled(table, by_gene, histogram, used, None, expression, design, options, settings, (note,))


def conditioner_of(
    expression: Expression, design: Design, options: Options, order: np.ndarray
) -> Conditioner:
    """Make the data of genes, in this order, ready for conditioning on any of them."""
    genes = None if (order == np.arange(len(order))).all() else order
    if options.correction == "poisson":
        settings = EngineSettings(
            "corrected", options.overdispersion, dtype=options.dtype, memory=options.memory
        )
        return CountConditioner(CountTest.of(expression, design, settings, genes))
    return ScoreConditioner(
        expression.columns(genes),
        expression.size_factors,
        design,
        k=options.k,
        dtype=options.dtype,
        memory=options.memory / 8,
    )


def _rows(conditioner: Conditioner, triples: np.ndarray, options: Options) -> Rows:
    nothing_left = names.TOO_FEW_COUNTS if options.correction == "poisson" else names.NO_VARIANCE_LEFT
    return rows_of(conditioner, triples, options.margin, nothing_left=nothing_left, threads=options.threads)


def _labelled(
    table: pd.DataFrame,
    by_gene: pd.DataFrame,
    histogram: np.ndarray,
    counts: np.ndarray,
    distortion: Distortion | None,
    expression: Expression,
    design: Design,
    options: Options,
    settings: dict[str, Any],
    notes: tuple[str, ...],
) -> Triples:
    summary = {
        "n_genes": len(expression.genes),
        "n_middle": len(counts),
        **counts_summary(counts),
        "correction": options.correction,
        "margin": options.margin,
        "min_r2": options.min_r2,
        "k": options.k if options.correction == "none" else None,
        "distortion": None if distortion is None else distortion.summary,
    }
    notes = (*notes, *(() if distortion is None else distortion.warnings))
    return Triples(
        table=table,
        genes=by_gene,
        histogram=histogram_table(histogram),
        distortion=distortion,
        summary=summary,
        settings=settings,
        seed=options.seed,
        warnings=(*expression.warnings, *_filled(expression), *design.warnings, *notes),
        expression=expression,
        design=design,
    )


def _filled(expression: Expression) -> tuple[str, ...]:
    values = expression.matrix.data if sp.issparse(expression.matrix) else expression.matrix
    said = "triples leave out samples without the middle gene; other missing values stand at the mean"
    return (said,) if np.isnan(values).any() else ()


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.1%}"

"""Every pair of genes: non-linear, affine by equivalence, or not to be told (method 6 and 7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .._checks import check_share, check_threads, printable
from .._docs import texts_of
from .._notebook import summary_html
from .._parts import Parts
from .._phases import phase
from ..basis import N_COLUMNS
from ..data.expression import Expression, ValueOptions, describe
from ..data.labels import meant
from ..data.large import read_values
from .analyst import Analyst, NothingTestable, Sink
from .anndata_slots import annotate
from .batches import at_common_means
from .control import SplitControl
from .design import Design, n_present
from .floor import AffineFloor
from .plan import as_list, check_keep, choose_test, plan_design, plan_task
from .population import Population
from .score_kernels import least_p_value
from .screening import Associations, Rule
from .sensitivity import Sensitivity
from .settings import MEMORY, EngineSettings

MAX_ROWS = 2_000_000
LEVEL_ROWS = 200_000
"""Rows of the table of one level."""
NO_WORK = (
    "the workers of Dask have nothing to do: they read counts or sparse amounts of cells in an h5ad or zarr "
    "file, for tests without replicates or covariates and for the corrected one"
)


@dataclass(frozen=True, eq=False, repr=False)
class Linearity:
    """What the data say of every pair of genes."""

    table: pd.DataFrame
    """Pairs, strongest first; columns as ``poolproof._names.PAIR_COLUMNS``."""
    genes: pd.DataFrame
    """One row per gene; columns as ``poolproof._names.GENE_COLUMNS``."""
    summary: dict[str, Any]
    """The entry ``linearity`` of verdict.json."""
    levels: dict[str, Linearity]
    """The same for each level of ``within`` alone; empty without ``within``."""
    settings: dict[str, Any]
    """All options, defaults filled in."""
    seed: int
    """Seed of every random draw."""
    warnings: tuple[str, ...]
    """What was guessed, left out or renamed."""
    expression: Expression = field(repr=False)
    """The values that were tested."""
    design: Design = field(repr=False)
    control: SplitControl | None = None
    """The split-count control, where counts were tested with the corrected test."""
    associations: Associations | None = field(default=None, repr=False)
    """Which genes each regulator is associated with, where all pairs were tested."""
    population: Population | None = None
    """The bend share of all pairs together; None for a level alone."""
    floor: AffineFloor | None = None
    """The bend share that affine equations would show in the same data, where it was asked for."""
    all_cells: Design | None = field(default=None, repr=False)
    """Where more cells were tested than memory holds: the design of all of them; ``expression`` and
    ``design`` are those of the cells drawn."""
    sensitivity: Sensitivity | None = None
    """How far the bend share of counts moves with what is technical, where the floor was asked for."""

    def __str__(self) -> str:
        s = self.summary
        if not s["n_associated"]:
            return f"{s['n_pairs_tested']:,} ordered pairs tested ({s['test']}): none associated"
        return (
            f"{s['n_pairs_tested']:,} ordered pairs tested ({s['test']}), {s['n_associated']:,} associated: "
            f"{s['share_nonlinear']:.1%} non-linear, {s['share_affine']:.1%} affine by equivalence, "
            f"{s['share_inconclusive']:.1%} inconclusive"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summary_html("Linearity of pairs of genes", [str(self)], self.table, self.warnings)

    def to_anndata(self, adata: AnnData, *, copy: bool = True) -> AnnData:
        """Write the result into an AnnData with the genes that were tested, or a part of them.

        Parameters
        ----------
        adata
            Genes are matched by name; those that the result does not know have the status ``not_audited``.
        copy
            Whether to leave ``adata`` unchanged and return a copy of it.

        Returns
        -------
        AnnData with, beside what it held:

        - ``varp``: ``poolproof_r2_linear``, ``poolproof_r2_spline``, ``poolproof_nonlinear_share``,
          ``poolproof_nonlinear_share_upper`` and ``poolproof_call``, sparse, regulators in rows and targets
          in columns, an entry for each associated pair of ``table``; ``poolproof_call`` holds codes.
        - ``var``: the columns of ``genes`` as ``poolproof_*``.
        - ``uns``: ``poolproof_call_codes`` (the call of each code), ``poolproof_linearity`` (``summary`` as
          JSON), ``poolproof_settings`` (JSON) and ``poolproof_n_pairs_left_out`` (pairs of genes that
          ``adata`` has not).

        Raises
        ------
        InputError
            ``adata`` has none of the genes, or is a view and ``copy`` is false.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x = rng.gamma(2.0, size=(200, 1))
        >>> adata = AnnData(np.hstack([x, x + rng.normal(size=x.shape)]))
        >>> adata.var_names = ["X", "Y"]
        >>> marked = linearity(adata, kind="bulk", scale="additive").to_anndata(adata)
        >>> marked.varp["poolproof_call"].toarray().tolist()  # X -> Y is affine; read backwards, it is bent
        [[0, 2], [3, 0]]
        >>> marked.uns["poolproof_call_codes"]
        ['not_associated', 'inconclusive', 'affine', 'nonlinear']
        """
        return annotate(adata, self.table, self.genes, self._slots(), copy=copy)

    def _slots(self) -> dict[str, Any]:
        """Entries of uns."""
        return {"linearity": self.summary, "settings": self.settings | {"seed": self.seed}}

    def curve(self, regulator: str, target: str, n_points: int = 100) -> pd.DataFrame:
        """Return the fitted line and curve of one pair; see :func:`poolproof.pairs.fitted.fitted_curve`."""
        from .fitted import fitted_curve

        return fitted_curve(
            self.expression, self.design, regulator, target, test=self.summary["test"], n_points=n_points
        )


@texts_of(describe)
def linearity(
    adata: AnnData | pd.DataFrame | Expression | str | PathLike[str],
    *,
    regulators: Sequence[str] | None = None,
    pairs: pd.DataFrame | Sequence[tuple[str, str]] | None = None,
    test: str = "auto",
    fdr: float = 0.05,
    margin: float = 0.1,
    min_r2: float = 0.02,
    keep: str = "associated",
    max_rows: int = MAX_ROWS,
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
    each_level: bool = True,
    control: bool = True,
    population: bool = True,
    floor: bool = False,
    dtype: type = np.float32,
    seed: int = 0,
    threads: int | None = None,
    memory: float = MEMORY,
    client: Any = None,
    progress: bool = False,
    obs: pd.DataFrame | None = None,
    sink: Sink | None = None,
    announce: Callable[[Sequence[str]], object] | None = None,
    parts: Parts | None = None,
) -> Linearity:
    """Test every ordered pair of genes for linearity of E[target | regulator].

    Parameters
    ----------
    adata
        Samples or cells x genes: AnnData, DataFrame, the path of a file, or an
        :class:`~poolproof.data.expression.Expression`.
    regulators
        Names of genes tested as regulators (against all genes); None: all.
    pairs
        Ordered pairs to test instead: (regulator, target) tuples, or a table with those columns.
    test
        ``classical`` (equal variance; for comparison), ``robust``, ``corrected`` (counts with the sampling
        noise removed), or ``auto``: corrected for UMI-like counts, robust else.
    fdr
        False-discovery rate of non-linear and of associated pairs, Benjamini-Hochberg over all tested
        ordered pairs.
    margin
        Largest non-linear share that still counts as affine.
    min_r2
        Smallest r2_spline of an associated pair.
    keep
        Rows of the table: ``associated``, ``all``, or ``top:N`` (the N strongest associated).
    max_rows
        At most so many associated rows, strongest first; counts and shares stay exact.
    within
        Columns of obs: bases are built and scores centred inside each of their levels.
    replicate
        Column of obs with the independent unit (donor): standard errors from whole replicates.
    covariates
        Columns of obs that are projected out; categorical only for the corrected test.
    size_factors, layer, kind, scale, log_base, log_offset, gene_column
        See :func:`poolproof.describe`.
    overdispersion
        Squared coefficient of variation of technical noise in counts beyond multinomial sampling, where
        it is known (spike-ins).
    k
        Columns of a spline basis, the linear one included.
    each_level
        Whether each level of ``within`` is also analysed alone.
    control
        Whether the corrected test is also run on the counts of each gene split in two.
    population
        Whether the bend share of all pairs together is measured.
    floor
        Whether the bend share that affine equations would show is measured too (not where directions are
        given), and of counts how far the share moves with what is technical.
    dtype
        Of the screening products: ``numpy.float32`` or ``numpy.float64``. Calls are made in float64.
    seed
        Of the split-count control.
    threads
        Threads; None: all processors.
    memory
        Bytes that may be used for arrays of pairs or triples. Counts of single cells in a file (AnnData in
        backed mode) that would not fit beside them are read by blocks; see ``docs/how-to/large-data.md``.
    client
        ``distributed.Client`` of a Dask cluster. Counts of cells in a file are then read by blocks whatever
        their number, by its workers, who must see the file under the same path; None: by threads.
    progress
        Show a progress bar.
    obs
        Table of samples, where ``adata`` is not an AnnData.
    sink
        With ``keep="all"``, called with each part of the table as it is made; ``table`` then holds the
        associated pairs only.
    announce
        Called once with what was guessed, left out or renamed, before the tests begin.
    parts
        What an interrupted run of the same left, see :func:`poolproof.audit`.

    Returns
    -------
    Linearity

    Raises
    ------
    InputError
        An option does not fit the data; see :func:`poolproof.describe` for the values themselves.

    Notes
    -----
    Robust score with the HC3 weight of the linear fit; factorial moments for counts; upper bound of the
    non-linear share by the delta method. ``statistic`` is F (classical, and with replicates) or
    chi-square. A gene is never paired with itself.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.gamma(2.0, size=500)
    >>> data = pd.DataFrame({"x": x, "line": 2 * x + rng.normal(size=500), "bent": np.tanh(x)})
    >>> result = linearity(data, kind="bulk", scale="additive", regulators=["x"])
    >>> result.table.set_index("target")["call"].to_dict()
    {'bent': 'nonlinear', 'line': 'affine'}
    """
    limit, keep = check_options(fdr=fdr, margin=margin, min_r2=min_r2, keep=keep, max_rows=max_rows)
    asked = ValueOptions(layer, kind, scale, log_base, log_offset, size_factors, gene_column)
    expression, obs = read_values(asked, adata, obs, memory=memory, seed=seed, by_blocks=client is not None)
    within, covariates = as_list(within), as_list(covariates)
    chosen_test = choose_test(expression, test)
    design = plan_design(expression, obs, chosen_test, within, replicate, covariates)
    wide, wide_notes = wide_design(expression, chosen_test, within, replicate, covariates)
    expression = with_its_note(expression, wide, chosen_test)
    if client is not None and wide is None:
        wide_notes = (*wide_notes, NO_WORK)
    if chosen_test != "corrected":  # which compares cells inside strata of the covariates
        cleaned, names_of, _ = meant(obs, [], covariates)
        expression, design = at_common_means(expression, design, cleaned, names_of)
    task = plan_task(expression, regulators, pairs)
    threads = check_threads(threads)
    rule = Rule(fdr, margin, min_r2)
    settings = {
        **expression.settings,
        "test": chosen_test,
        "fdr": fdr,
        "margin": margin,
        "min_r2": min_r2,
        "keep": keep if keep != "top" else f"top:{limit}",
        "max_rows": max_rows,
        "within": within,
        "replicate": replicate,
        "covariates": covariates,
        "covariates_used": [*covariates, *(c for c in design.numeric_covariates if c not in covariates)],
        "overdispersion": overdispersion if chosen_test == "corrected" else None,
        "k": k if chosen_test != "corrected" else None,
        "each_level": each_level,
        "control": control,
        "population": population,
        "floor": floor,
        "dtype": np.dtype(dtype).name,
    }
    computing = EngineSettings(chosen_test, overdispersion, k, dtype, threads, memory, seed, client)
    known = {"expression": expression, "design": design}
    kept = Parts() if parts is None else parts.knowing(**known)
    analyse = Analyst(expression, task, rule, computing, progress, kept)

    def run(
        of: Design, warnings: tuple[str, ...], levels: dict[str, Linearity], level: str, **rows: Any
    ) -> Linearity:
        found = analyse(of, level=level, **rows)
        return Linearity(
            table=found.table,
            genes=found.genes,
            summary=found.summary,
            levels=levels,
            settings=settings,
            seed=seed,
            warnings=warnings,
            expression=expression,
            design=of,
            control=found.control,
            associations=found.associations,
            population=found.population,
            floor=found.floor,
            sensitivity=found.sensitivity,
            all_cells=rows.get("wide"),
        )

    warnings = (
        *wide_notes,
        *described_values(expression, wide),
        *(wide or design).warnings,
        *task.sentences,
    )
    if announce is not None:
        announce(warnings)
    result = run(
        design,
        warnings,
        {},
        "",
        keep=keep,
        limit=limit,
        sink=sink,
        control=control,
        population=population,
        floor=floor,
        wide=wide,
    )
    if chosen_test == "robust" and not design.n_clusters:
        warnings = (*warnings, *_out_of_reach(design, k, result.summary["n_pairs_tested"], fdr))
        result = replace(result, warnings=warnings)
    every = wide or design
    if not each_level or not within or len(every.levels) == 1:
        return result
    levels: dict[str, Linearity] = {}
    skipped = []
    with phase("levels alone", len(every.levels), unit="level", show=progress) as done:
        for level in every.levels:
            alone = Design((level,), n_present(level), design.numeric_covariates, ())
            of_all = {} if wide is None else {"wide": alone}
            try:
                levels[level.name] = run(alone, (), {}, level.name, limit=min(limit, LEVEL_ROWS), **of_all)
            except NothingTestable:
                skipped.append(printable(level.name, 40))
            done(1)
    if skipped:
        warnings = (*warnings, f"levels without testable genes of their own: {', '.join(skipped)}")
    return replace(result, levels=levels, warnings=warnings)


def wide_design(
    expression: Expression, test: str, within: list[str], replicate: str | None, covariates: list[str]
) -> tuple[Design | None, tuple[str, ...]]:
    """The design of all cells, where only some were drawn and the test can read the others by blocks; a note
    where it cannot.
    """
    every = expression.all_cells
    if every is None:
        return None, ()
    if test != "corrected" and (replicate or covariates):
        said = (
            f"{len(every.obs):,} cells are more than --memory holds, and the {test} test with replicates or "
            f"covariates needs all values at once: it is that of {expression.matrix.shape[0]:,} cells drawn "
            "by the seed"
        )
        return None, (said,)
    return plan_design(every.whole, every.obs, test, within, replicate, covariates), ()


def with_its_note(expression: Expression, wide: Design | None, test: str) -> Expression:
    """Where only some cells were drawn: the note on them that fits the test, or none where it takes them."""
    every = expression.all_cells
    if every is None or (wide is not None and test != "corrected"):
        return expression
    put = () if wide is None else (every.note_of_counts,)

    def said(warnings: Sequence[str]) -> tuple[str, ...]:
        return tuple(new for text in warnings for new in (put if text == every.note else (text,)))

    whole = replace(every.whole, warnings=said(every.whole.warnings))
    return replace(expression, warnings=said(expression.warnings), all_cells=replace(every, whole=whole))


def described_values(expression: Expression, wide: Design | None) -> tuple[str, ...]:
    """What was guessed of the values, and how many of them were tested."""
    every = expression.all_cells
    return expression.warnings if every is None or wide is None else tuple(every.whole.warnings)


def _out_of_reach(design: Design, k: int, n_pairs: int, fdr: float) -> list[str]:
    """Say what no pair of so few samples could show."""
    least = least_p_value(design.levels, k)
    needed = math.ceil(least * n_pairs / fdr)
    if needed <= 1:
        return []
    n = sum(len(level.rows) for level in design.levels)
    many = (
        "none can be called non-linear"
        if needed > n_pairs
        else f"one is called non-linear only where at least {needed:,} are as bent as can be"
    )
    return [f"{n} samples give no bend a p-value below {least:.1g}: of {n_pairs:,} pairs, {many}"]


CHECKED = frozenset({"fdr", "margin", "min_r2", "keep", "max_rows"})
"""Options that can be checked before the data are looked at."""


def check_options(
    *,
    fdr: float = 0.05,
    margin: float = 0.1,
    min_r2: float = 0.02,
    keep: str = "associated",
    max_rows: int = MAX_ROWS,
) -> tuple[int, str]:
    """Check options that do not depend on the data; return the rows to keep: how many, and which.

    Raises
    ------
    InputError
        A share is not between 0 and 1, or ``keep`` or ``max_rows`` is not as described.
    """
    for name, share in (("fdr", fdr), ("margin", margin), ("min_r2", min_r2)):
        check_share(name, share)
    return check_keep(keep, max_rows)

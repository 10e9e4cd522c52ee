"""From options to a plan: which test, which pairs, which samples."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .. import _names as names
from .._checks import InputError, check_choice, printable
from ..data.expression import Expression
from ..data.labels import meant
from ..data.matching import match_edges, match_genes, table_of
from .count_kernels import MIN_SEEN, MIN_TOTAL, usable_cells
from .design import MIN_SAMPLES, Design, make_design

MOST_COMPLETE = 0.8
"""Share of the samples that must miss no value: the corrected test leaves the others out."""


@dataclass(frozen=True, eq=False)
class Task:
    """Which pairs to test."""

    regulators: np.ndarray
    pairs: np.ndarray | None
    directed: bool
    sentences: tuple[str, ...]


def choose_test(expression: Expression, test: str) -> str:
    """Return the test to use: the one asked for, if it fits the values.

    Raises
    ------
    InputError
        The corrected test is asked for, and the values are not counts.
    """
    check_choice("test", test, ("auto", *names.TESTS))
    counts = expression.scale_tested == "counts"
    if test == "corrected" and not counts:
        raise InputError(
            f"--test corrected needs counts; found values on the {expression.scale} scale; use --test "
            "robust, or --layer to name the layer that holds counts"
        )
    if test == "auto":
        whole = np.mean(complete_samples(expression)) >= MOST_COMPLETE
        enough = len(expression.obs_names) >= MIN_SEEN  # the corrected test needs so many cells with y
        return "corrected" if counts and expression.umi_like and whole and enough else "robust"
    return test


def complete_samples(expression: Expression) -> np.ndarray:
    """Say which samples have a value of every gene, shape ``(n_obs,)``."""
    matrix = expression.matrix
    if not isinstance(matrix, np.ndarray):
        missing = np.isnan(matrix.data)
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        return ~np.bincount(rows[missing], minlength=matrix.shape[0]).astype(bool)
    return ~np.isnan(matrix).any(axis=1)


def _refuse_shallow(expression: Expression, enough: np.ndarray) -> None:
    """Refuse counts of which hardly any cell has enough for the corrected test, and say so."""
    if int(enough.sum()) >= MIN_SAMPLES:
        return
    typical = np.median(expression.totals) if expression.totals is not None else 0.0
    raise InputError(
        f"expected cells with at least {MIN_TOTAL} counts in all, to remove the noise of counting; "
        f"found {int(enough.sum())} of {len(enough):,} (median total {typical:g}); give deeper counts, "
        "all genes that were measured, or pools of these cells (poolproof pool)"
    )


def check_keep(keep: str, max_rows: int) -> tuple[int, str]:
    """Largest number of rows of the table, and which: ``associated``, ``all`` or ``top``."""
    if isinstance(max_rows, bool) or int(max_rows) < 1:
        raise InputError(f"max_rows must be at least 1; found {max_rows}")
    if str(keep).startswith("top:"):
        number = str(keep)[4:]
        if not re.fullmatch(r"[1-9][0-9]{0,11}", number):
            raise InputError(f"keep must be associated, all or top:N with N of at least 1; found {keep!r}")
        return min(int(number), int(max_rows)), "top"
    check_choice("keep", keep, ("associated", "all", "top:N"))
    return int(max_rows), keep


def pair_thresholds(fdr: float, margin: float, min_r2: float) -> dict[str, float]:
    """What the columns of a table of pairs are compared with for their calls."""
    return {"q_value": fdr, "nonlinear_share_upper": margin, "r2_spline": min_r2}


def as_list(value: str | Sequence[str] | None) -> list[str]:
    """Names of columns, from a list or from a text with commas."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part for part in value.split(",") if part]
    return list(value)


def plan_design(
    expression: Expression,
    obs: pd.DataFrame,
    test: str,
    within: list[str],
    replicate: str | None,
    covariates: list[str],
) -> Design:
    """Levels, replicates and covariates, and what the test needs: enough counts, or log depth."""
    labels = [*within, *([replicate] if replicate else [])]
    obs, covariates, said = meant(obs, labels, covariates)
    columns = functools.partial(make_design, obs, within=within, replicate=replicate, covariates=covariates)
    distinct = ~np.isin(expression.obs_names.astype(str), expression.copies)
    design = _design_of(expression, test, columns, distinct)
    return replace(design, warnings=(*said, *design.warnings))


def _design_of(
    expression: Expression, test: str, columns: Callable[..., Design], distinct: np.ndarray
) -> Design:
    """The design for one test, of the samples that have the counts it needs and are no copies."""
    if test == "corrected":
        enough = usable_cells(*expression.count_depth())
        _refuse_shallow(expression, enough)
        usable = enough & complete_samples(expression) & distinct
        design = columns(usable=usable, categorical_only=True, min_per_stratum=20)
        for left_out, why in (
            (~enough, f"fewer than {MIN_TOTAL} counts in all"),
            (
                enough & ~complete_samples(expression),
                "counts are missing, and the corrected test needs all of a cell",
            ),
        ):
            if left_out.any():
                said = f"{int(left_out.sum())} cells left out: {why}"
                design = replace(design, warnings=(*design.warnings, said))
        return design
    extra: dict[str, np.ndarray] = {}
    usable = distinct.copy()
    if expression.size_factors is not None:
        usable &= np.isfinite(expression.size_factors) & (expression.size_factors > 0)
    if expression.scale_tested == "counts" and expression.totals is not None:
        usable &= expression.totals > 0
        extra["log depth"] = np.log(np.where(usable, expression.totals, 1.0))
    return columns(usable=usable, extra=extra)


def plan_task(
    expression: Expression,
    regulators: Sequence[str] | None,
    pairs: pd.DataFrame | Sequence[tuple[str, str]] | None,
) -> Task:
    """Which ordered pairs are tested: all, those of the regulators, or those listed."""
    if regulators is not None and pairs is not None:
        raise InputError("give either regulators or pairs, not both")
    if pairs is not None:
        edges = table_of(pairs, ("regulator", "target"), "pairs")
        matched = match_edges(edges, expression.genes, expression.symbols)
        listed = np.stack([matched.regulator_index, matched.target_index], axis=1)
        return Task(np.unique(listed[:, 0]), listed, True, (matched.sentence,))
    if regulators is not None:
        if isinstance(regulators, str) or not isinstance(regulators, Iterable):
            raise InputError(f"expected a list of regulators; found {printable(regulators)!r}")
        found = match_genes(list(regulators), expression.genes, expression.symbols)
        return Task(found.genes, None, True, (found.sentence,))
    return Task(np.arange(len(expression.genes)), None, False, ())

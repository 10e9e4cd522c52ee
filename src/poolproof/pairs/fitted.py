"""The fitted line and curve of one pair, for looking at."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._checks import InputError, printable
from ..basis import knots, spline_functions
from ..data.expression import Expression
from .count_engine import CountTest
from .design import Design
from .settings import EngineSettings


def fitted_curve(
    expression: Expression,
    design: Design,
    regulator: str,
    target: str,
    *,
    test: str,
    n_points: int = 100,
) -> pd.DataFrame:
    """Fit E[target | regulator] by a line and by a curve, in every level.

    Parameters
    ----------
    expression, design
        What was tested, as ``Linearity.expression`` and ``Linearity.design``.
    regulator, target
        Names of genes.
    test
        ``corrected``: the line and the cubic in the regulator's fraction of a cell's molecules, free of
        counting noise (values are fractions); else the line and the natural spline of the values.
    n_points
        Points of each curve.

    Returns
    -------
    Columns ``level``, ``x``, ``linear``, ``curve``, ``curve_error`` (pointwise standard error, robust to
    unequal variance; NaN for counts). Covariates are projected out and set to their mean.

    Raises
    ------
    InputError
        A gene is not in the data, or no level has values enough to fit the pair.
    """
    x, y = (find_gene(expression, name) for name in (regulator, target))
    if test == "corrected":
        parts = _count_curves(expression, design, x, y, n_points)
    else:
        parts = _spline_curves(expression, design, x, y, n_points)
    if not parts:
        raise InputError(
            f"{printable(regulator)!r} and {printable(target)!r} cannot be fitted: too few different values"
        )
    return pd.concat(parts, ignore_index=True)


def find_gene(expression: Expression, name: str) -> int:
    """Index of a gene, by identifier or else by symbol."""
    for names in (expression.genes, expression.symbols):
        found = np.flatnonzero(names.astype(str) == str(name))
        if len(found):
            return int(found[0])
    raise InputError(f"{printable(name)!r} is not among the {len(expression.genes):,} genes of the data")


def _spline_curves(
    expression: Expression, design: Design, x_gene: int, y_gene: int, n_points: int
) -> list[pd.DataFrame]:
    all_x, all_y = expression.normalised(np.array([x_gene, y_gene])).T
    parts = []
    for level in design.levels:
        x, y = all_x[level.rows], all_y[level.rows]
        known = ~(np.isnan(x) | np.isnan(y))
        x, y, nuisance = x[known], y[known], level.covariates[known, 1:]
        if np.ptp(x) == 0:
            continue
        at, grid = knots(x), np.linspace(x.min(), x.max(), n_points)
        nuisance = nuisance - nuisance.mean(axis=0)
        fits = []
        for n_columns in (1, len(at)):
            own = spline_functions(x, at)[:, :n_columns]
            columns = np.column_stack([np.ones(len(x)), own, nuisance])
            inverse = np.linalg.pinv(columns)
            residual = y - columns @ (inverse @ y)
            leverage = np.clip(np.einsum("ij,ji->i", columns, inverse), 0, 0.99)
            n_own = 1 + own.shape[1]
            new = np.column_stack([np.ones(n_points), spline_functions(grid, at)[:, :n_columns]])
            spread = (new @ inverse[:n_own]) * (residual / (1 - leverage))
            fits.append((new @ (inverse @ y)[:n_own], np.sqrt((spread**2).sum(axis=1))))
        parts.append(_frame(level.name, grid, fits[0][0], fits[1][0], fits[1][1]))
    return parts


def _count_curves(
    expression: Expression, design: Design, x_gene: int, y_gene: int, n_points: int
) -> list[pd.DataFrame]:
    settings = EngineSettings("corrected", dtype=np.float64)
    engine = CountTest.of(expression, design, settings, np.array([x_gene, y_gene]))
    return [
        _frame(name, grid, line, curve, np.full(n_points, np.nan))
        for name, grid, line, curve in engine.curves(n_points)
    ]


def _frame(
    level: str, x: np.ndarray, linear: np.ndarray, curve: np.ndarray, error: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame({"level": level, "x": x, "linear": linear, "curve": curve, "curve_error": error})

"""Batches that multiply: genes brought to a common mean before covariates are projected out.

A batch that captures, amplifies or sequences a gene at its own rate multiplies it. Projecting out the means
of such batches leaves slopes that differ between them, and an affine relation then looks bent. So the mean
that the covariates predict for a gene is divided out where the spread of genes grows with that mean; where
it does not, the covariates add, and projecting them out is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._arrays import dense_columns
from .._checks import printable
from ..data.expression import Expression
from .design import Design, Level, covariate_columns, orthonormal

SURE = 1 / 3
"""Largest relative error of a mean that is divided out."""
LEAST_MEAN = 0.01
"""Smallest mean beside the overall one: a gene that a batch hardly shows cannot be brought to its level."""
FEW_NEGATIVE = 0.05
"""Amounts may be so often negative (background subtracted), not more."""
DIFFERS = 10.0
"""F above which the means of a gene differ enough to learn from its spread."""
MULTIPLIES = 0.3
"""Power of the mean by which the spread grows: 0 where covariates add, 1 where they multiply, 1/2 where they
multiply and counting noise rules."""
STEPS = 12
CHUNK = 512


@dataclass(frozen=True)
class Evidence:
    """How the spread of genes grows with the mean that the covariates predict."""

    power: float
    """Spread ~ mean^power, over the genes whose means differ; NaN where none does."""
    error: float
    """Standard error of ``power``."""
    n_genes: int
    """Genes whose means differ."""
    n_usable: int
    """Genes that have means to compare."""

    @property
    def multiply(self) -> bool:
        """Whether the covariates multiply, beyond two standard errors."""
        return self.n_genes > 0 and self.power - 2 * self.error > MULTIPLIES

    @property
    def add(self) -> bool:
        """Whether they add, beyond two standard errors."""
        return self.n_genes > 0 and self.power + 2 * self.error < MULTIPLIES


def predicted_means(values: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of genes as the covariates predict them, each by a factor.

    Parameters
    ----------
    values
        Amounts, shape ``(n, m)``, finite.
    columns
        Orthonormal columns of the covariates, the constant first, shape ``(n, p)``.

    Returns
    -------
    means
        Shape ``(n, m)``; 1 for genes without means to divide by.
    f_statistic
        Variance between log means over that of a log mean by chance, shape ``(m,)``; 0 where not usable.
    usable
        Genes of which every mean is known to a third of itself, shape ``(m,)``.

    Notes
    -----
    The Poisson likelihood with a log link (McCullagh & Nelder 1989) keeps the mean of each category: of
    one categorical covariate, the means are those of its categories. Newton's steps, at most 1 in the log.
    """
    n, p = columns.shape
    overall = values.mean(axis=0)
    usable = (overall > 0) & ((values < 0).mean(axis=0) <= FEW_NEGATIVE)
    safe = np.where(usable, overall, 1.0)
    start = columns @ (columns.T @ np.where(usable, values, 1.0)) / safe
    coefficients = columns.T @ np.log(np.maximum(start, 0.1))
    for _ in range(STEPS):
        means = safe * np.exp(np.clip(columns @ coefficients, -20, 20))
        slope = columns.T @ np.where(usable, values - means, 0.0)
        weighted = np.einsum("ni,nm,nj->mij", columns, means, columns, optimize=True)
        weighted += 1e-9 * safe[:, None, None] * np.eye(p)
        step = np.linalg.solve(weighted, slope.T[:, :, None])[:, :, 0].T
        coefficients += step / np.maximum(1.0, np.abs(columns @ step).max(axis=0))
    means = safe * np.exp(np.clip(columns @ coefficients, -20, 20))
    variation = (((values - means) / means) ** 2).sum(axis=0) / max(n - p, 1)
    leverage = (columns**2).sum(axis=1).max()
    misfit = np.abs(columns.T @ (values - means)).max(axis=0)
    usable &= (means > LEAST_MEAN * safe).all(axis=0) & (misfit <= 1e-3 * safe) & (variation > 0)
    usable &= variation * leverage < SURE**2
    between = (np.log(means / safe) ** 2).sum(axis=0) / max(p - 1, 1)
    f_statistic = np.where(usable, between / np.where(variation > 0, variation, 1.0), 0.0)
    return np.where(usable, means, 1.0), f_statistic, usable


def spread_terms(values: np.ndarray, columns: np.ndarray) -> tuple[float, float, int, int]:
    """Sums of the regression of log |residual| on log mean, within genes.

    Returns ``xy``, ``xx``, the genes used (their means differ) and those that have means to compare.

    |residual|, not its square: a few far samples do not decide.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> batch = np.repeat([1.0, 3.0], 200)[:, None]
    >>> columns = orthonormal(np.hstack([np.ones((400, 1)), batch]))
    >>> amounts = rng.gamma(4.0, size=(400, 50))
    >>> xy, xx, n_genes, _ = spread_terms(batch * amounts, columns)
    >>> bool(abs(xy / xx - 1) < 0.1), n_genes
    (True, 50)
    >>> xy, xx, *_ = spread_terms(4 * batch + amounts, columns)
    >>> bool(abs(xy / xx) < 0.1)
    True
    """
    means, f_statistic, usable = predicted_means(values, columns)
    chosen = usable & (f_statistic > DIFFERS)
    if not chosen.any():
        return 0.0, 0.0, 0, int(usable.sum())
    rest = np.abs(values[:, chosen] - means[:, chosen])
    rest = np.log(np.maximum(rest, 1e-3 * np.sqrt((rest**2).mean(axis=0))))
    log_mean = np.log(means[:, chosen])
    log_mean -= log_mean.mean(axis=0)
    return float((log_mean * rest).sum()), float((log_mean**2).sum()), int(chosen.sum()), int(usable.sum())


_LOG_SPREAD = 1.11
"""Standard deviation of log |z| for a standard normal z: pi / sqrt(8)."""


def to_common_mean(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What each value is multiplied by, so that the covariates predict one mean for all samples.

    Shape as ``values``. The logarithm of a gene's factor is shrunk by 1 - 1/F: where its means differ by
    chance alone, dividing by them would only add their noise. Genes without means to divide by keep 1.

    Examples
    --------
    >>> columns = orthonormal(np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]]))
    >>> values = np.array([[9.0], [11.0], [29.0], [31.0]])
    >>> (values * to_common_mean(values, columns))[:, 0].round(1)
    array([17.9, 21.9, 19.4, 20.7])
    """
    means, f_statistic, usable = predicted_means(values, columns)
    shrunk = np.maximum(0.0, 1 - 1 / np.maximum(f_statistic, 1.0))
    overall = np.where(usable, values.mean(axis=0), 1.0)
    return (np.where(overall > 0, overall, 1.0) / means) ** shrunk


def at_common_means(
    expression: Expression, design: Design, obs: pd.DataFrame, covariates: list[str]
) -> tuple[Expression, Design]:
    """Bring genes to a common mean over the covariates, where the covariates multiply them.

    Parameters
    ----------
    expression
        Amounts: counts or the additive scale. A log scale is left alone, as there factors add.
    design
        Levels that are analysed apart: each has means of its own.
    obs
        Table of samples.
    covariates
        Columns named by the user; without any, nothing is done.

    Returns
    -------
    The expression, and the design with a sentence on what was found among its warnings.
    """
    if not covariates or expression.scale_tested == "log":
        return expression, design
    columns = {
        level.name: orthonormal(covariate_columns(obs, covariates, level.rows)) for level in design.levels
    }
    named = ", ".join(printable(c, 40) for c in covariates)
    found = _evidence(expression, design.levels, columns)
    if found.n_usable == 0:
        return expression, _told(
            design,
            f"whether {named} add to the genes or multiply them cannot be told, as no gene has means known "
            "to a third of themselves: projected out as they are (--within does without either)",
        )
    if found.n_genes == 0:
        return expression, design
    said = f"spread grows with the mean by a power of {found.power:.2f} over {found.n_genes:,} genes"
    if not found.multiply:
        how = "add to" if found.add else "may add to or multiply"
        return expression, _told(design, f"{named} {how} the genes ({said}): projected out as they are")
    matrix, n_left = _scaled(expression, design.levels, columns)
    left = f"; {n_left:,} genes keep theirs, not surely above 0" if n_left else ""
    return replace(expression, matrix=matrix), _told(
        design,
        f"{named} multiply the genes ({said}): each gene was divided by the mean predicted from them, then "
        f"they were projected out{left}",
    )


def _told(design: Design, sentence: str) -> Design:
    return replace(design, warnings=(*design.warnings, sentence))


def _evidence(expression: Expression, levels: tuple[Level, ...], columns: dict[str, np.ndarray]) -> Evidence:
    xy = xx = 0.0
    n_genes = n_usable = 0
    for _, values in _chunks(expression):
        for level in levels:
            complete = values[level.rows]
            known = ~np.isnan(complete).any(axis=0)
            terms = spread_terms(complete[:, known], columns[level.name])
            xy, xx = xy + terms[0], xx + terms[1]
            n_genes, n_usable = n_genes + terms[2], n_usable + terms[3]
    if xx == 0:
        return Evidence(float("nan"), float("nan"), 0, n_usable)
    return Evidence(xy / xx, _LOG_SPREAD / np.sqrt(xx), min(n_genes, len(expression.genes)), n_usable)


def _scaled(
    expression: Expression, levels: tuple[Level, ...], columns: dict[str, np.ndarray]
) -> tuple[np.ndarray | sp.csr_matrix, int]:
    """The matrix at common means, sparse as it was, and how many genes were left alone somewhere."""
    matrix = expression.matrix.tocsc() if sp.issparse(expression.matrix) else expression.matrix
    blocks = []
    n_left = 0
    for genes, values in _chunks(expression):
        factor = np.ones_like(values)
        left = np.zeros(values.shape[1], dtype=bool)
        for level in levels:
            part = values[level.rows]
            known = ~np.isnan(part)
            filled = np.where(known, part, _column_means(part, known))
            factor[level.rows] = to_common_mean(filled, columns[level.name])
            left |= ~predicted_means(filled, columns[level.name])[2] & (np.ptp(filled, axis=0) > 0)
        n_left += int(left.sum())
        stored = matrix[:, genes]
        blocks.append(stored.multiply(factor).tocsc() if sp.issparse(stored) else stored * factor)
    return (sp.hstack(blocks).tocsr() if sp.issparse(matrix) else np.hstack(blocks)), n_left


def _column_means(part: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.where(known, part, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _chunks(expression: Expression) -> Iterator[tuple[slice, np.ndarray]]:
    """Genes, some at a time, divided by the size factors."""
    matrix = expression.matrix.tocsc() if sp.issparse(expression.matrix) else expression.matrix
    n_genes = len(expression.genes)
    for low in range(0, n_genes, CHUNK):
        genes = slice(low, min(low + CHUNK, n_genes))
        values = dense_columns(matrix, np.arange(genes.start, genes.stop))
        if expression.size_factors is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = values / expression.size_factors[:, None]
        yield genes, values

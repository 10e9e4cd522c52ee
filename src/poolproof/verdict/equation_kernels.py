"""One child's equation on all its parents: the score test of additive bends (method 6.10), on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg, stats

from .._checks import InputError
from .._names import CONSTANT, OK, TOO_FEW_LEVELS, TOO_FEW_REPLICATES, TOO_FEW_SAMPLES
from ..basis import N_COLUMNS, spline_basis
from ..pairs.calls import share_upper

COLLINEAR = "collinear"
"""Status of an edge whose bend the other parents' columns reproduce: it cannot be told from theirs."""

SAMPLES_PER_COLUMN = 10
"""Samples per column of the fit, the constant included, that ``k`` columns per parent need."""

LEAST_SAMPLES_PER_COLUMN = 5
"""The same for the last resort, a line and one bend per parent; with fewer there is no test."""

FEWER_COLUMNS = (3, 2)
"""Columns per parent that are tried where the samples do not carry all ``k``."""

CONFIDENCE = 0.95
"""Confidence of the one-sided upper bound of the non-linear share."""

_RANK_TOLERANCE = 1e-4
_EXACT = 1e-10


@dataclass(frozen=True, eq=False)
class EquationTest:
    """Answer of :func:`equation_test` for one child; numbers are NaN unless ``status`` is ``ok``."""

    status: str
    """``ok``, ``constant``, ``too_few_levels``, ``too_few_samples`` or ``too_few_replicates``."""
    n: int
    """Samples used (those of levels that could be fitted)."""
    k: int
    """Columns per parent, the line included; the fewest over levels. 0 if nothing could be fitted."""
    df: int
    """Bends tested: degrees of freedom of the chi-squared law, or of the numerator of F."""
    statistic: float
    """Score statistic of all bends; with replicates the F value."""
    p_value: float
    """p-value of the affine equation."""
    association_p_value: float
    """p-value of no association: line and bends of all parents."""
    r2_linear: float
    """Share of the child's variance (covariates and levels projected out) that the lines explain."""
    r2_spline: float
    """Share that the additive spline explains. Not adjusted for its number of columns."""
    nonlinear_share: float
    """``(r2_spline - r2_linear) / r2_spline``."""
    nonlinear_share_upper: float
    """Upper 95 % bound of it; 1 where the lines are not significant."""
    edge_statistic: np.ndarray
    """Score statistic of each parent's bends, given all lines and the other parents' bends, ``(m,)``."""
    edge_df: np.ndarray
    """Degrees of freedom of each, shape ``(m,)``."""
    edge_p_value: np.ndarray
    """p-value of each, shape ``(m,)``."""
    edge_status: tuple[str, ...]
    """``ok``, or why an edge has no test: as ``status``, or ``collinear``."""


def equation_test(
    parents: np.ndarray,
    y: np.ndarray,
    covariates: np.ndarray | None = None,
    *,
    levels: np.ndarray | None = None,
    replicate: np.ndarray | None = None,
    k: int = N_COLUMNS,
) -> EquationTest:
    r"""Test whether a child is an affine function of its parents, against an additive spline.

    Parameters
    ----------
    parents
        Values of the parents, shape ``(n, m)``, finite, on the scale where affine is asked for.
    y
        Values of the child, shape ``(n,)``, finite.
    covariates
        Numbers that enter linearly and are not tested, shape ``(n, c)``.
    levels
        Integer level of each sample, shape ``(n,)``. Every level gets bases, lines and covariates of its
        own; statistics and degrees of freedom are added over the levels that have enough samples.
    replicate
        Integer code of the independent unit (donor) of each sample, shape ``(n,)``; None: samples are
        independent. Means of units are projected out, and units, not samples, carry the test.
    k
        Columns per parent, the line included, at least 2. Where the samples do not carry them, 3 and
        then 2 (a line and one bend) are tried.

    Raises
    ------
    InputError
        Shapes do not fit, a value is not finite, or ``k`` is below 2.

    Notes
    -----
    L: constant, covariates, lines. S: the bends, orthonormal and orthogonal to L. With
    :math:`u = y - P_L y`, leverage h of L and :math:`s = S'y`, the statistic
    :math:`s' [S' \mathrm{diag}(u^2 / (1 - h)^2) S]^{-1} s` is asymptotically chi-squared with rank(S)
    degrees, whatever the variance. With D replicates, :math:`s_d` the sum of :math:`S u` over one,
    :math:`M = \sum s_d s_d' - s s'/D` and p bends, :math:`s'M^{-1}s\,(D-p)/(pD)` is compared with
    F(p, D - p); over levels, which share donors, the smallest p-value times their number is taken.
    With fewer than p + 3 replicates there is no test.

    A fit of c columns (constant, covariates, k per parent) is used if n >= 10 c, at k = 2 if n >= 5 c.
    Few samples per column cost power, not level. Measured at 5 % (chi-squared, skewed correlated
    parents; size: largest of four laws of noise, 200 to 400 runs; power: one Hill parent of m):

    ==== === ====  ===============  ===============  ===============
       m   n       k = 5            k = 3            k = 2
    ==== === ====  ===============  ===============  ===============
       1  30 size  .02 (n/c 5)      .02 (7.5)        .04 (10)
       1  30 power .19              .30              .36
       3 100 size  .02 (6)          .02 (10)         .03 (14)
       3 100 power .60              .83              .73
       3 150 size  .05 (9)          .05 (15)         .07 (21)
       3 150 power .92              .97              .89
      10 278 size  .01 (5)          .03 (9)          .04 (13)
      10 278 power .25              .75              .66
      20 278 size  .00 (3)          .01 (5)          .02 (7)
      20 278 power .00              .01              .07
    ==== === ====  ===============  ===============  ===============

    Examples
    --------
    >>> x = np.linspace(0, 1, 300)[:, None]
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 300)
    >>> equation_test(x, x[:, 0] + noise).p_value > 0.05
    True
    >>> equation_test(x, x[:, 0] ** 2 + noise).p_value < 1e-4
    True
    """
    parents, y, covariates, levels, replicate = _check(parents, y, covariates, levels, replicate, k)
    codes = np.zeros(len(y), dtype=np.int64) if levels is None else levels
    of_level = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    fits: list[_Fit] = []
    failures: list[tuple[int, str]] = []
    for rows in of_level:
        donors = None if replicate is None else replicate[rows]
        fit = _fit(parents[rows], y[rows], covariates[rows], donors, k)
        if isinstance(fit, str):
            failures.append((len(rows), fit))
        else:
            fits.append(fit)
    if fits:
        return _combine(fits, parents)
    status = max(failures)[1] if failures else TOO_FEW_SAMPLES  # of the level with most samples
    return _not_tested(status, len(y), parents.shape[1])


class _Score(NamedTuple):
    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True, eq=False)
class _Fit:
    """The additive spline and the affine fit of one child inside one level."""

    k: int
    bends: _Score
    omnibus: _Score
    edges: list[_Score]
    total: float
    """Sum of squares of y, covariates projected out."""
    explained_linear: float
    explained_bends: float
    influence_linear: np.ndarray
    """Influence of each sample on ``explained_linear / 2``, shape ``(n,)``."""
    influence_bends: np.ndarray
    """Influence of each sample on ``explained_bends / 2``, shape ``(n,)``."""
    donors: np.ndarray | None


def _fit(
    parents: np.ndarray, y: np.ndarray, covariates: np.ndarray, donors: np.ndarray | None, k: int
) -> _Fit | str:
    """Fit one level with as many columns as it carries; a status if it carries none."""
    status = TOO_FEW_SAMPLES
    ladder = [k, *(fewer for fewer in FEWER_COLUMNS if fewer < k)]
    for columns in ladder:
        per_column = LEAST_SAMPLES_PER_COLUMN if columns == ladder[-1] else SAMPLES_PER_COLUMN
        fit = _fit_columns(parents, y, covariates, donors, columns, per_column)
        if isinstance(fit, _Fit):
            return fit
        status = fit
        if status in (CONSTANT, TOO_FEW_LEVELS):
            break
    return status


def _fit_columns(
    parents: np.ndarray,
    y: np.ndarray,
    covariates: np.ndarray,
    donors: np.ndarray | None,
    k: int,
    per_column: int,
) -> _Fit | str:
    """Fit one level with ``k`` columns per parent; a status if it does not carry them."""
    n = len(y)
    if n < 2 * per_column:  # a constant and a line
        return TOO_FEW_SAMPLES
    bases = [spline_basis(parent, k) for parent in parents.T]
    own_bends = [basis[:, 1:] for basis in bases]
    outside = _fixed_columns(n, covariates, donors)
    if outside.shape[1] >= n - 1:
        return TOO_FEW_SAMPLES
    lines = _span(np.hstack([basis[:, :1] for basis in bases]), outside)
    free = _residual(y, outside)
    if lines.shape[1] == 0 or free @ free <= _EXACT**2 * (y @ y):
        return CONSTANT
    affine = np.hstack([outside, lines])
    bends = _span(np.hstack(own_bends), affine)
    if bends.shape[1] == 0:
        return TOO_FEW_LEVELS
    n_donors = None if donors is None else len(np.unique(donors))
    short = _what_is_short(n, affine.shape[1], lines.shape[1], bends.shape[1], n_donors, per_column)
    if short is not None:
        return short

    explains = np.hstack([lines, bends])
    if n_donors is not None and n_donors < explains.shape[1] + 3:
        explains = lines  # too few donors for all columns: association by the lines alone
    residual = _exact_zero(_residual(y, affine), free, y)
    weight = 1.0 if donors is not None else _per_leverage(affine)
    b, s = lines.T @ y, bends.T @ y
    return _Fit(
        k=k,
        bends=_score(bends, residual, affine, donors),
        omnibus=_score(explains, free, outside, donors),
        edges=_edge_scores(own_bends, y, free, affine, donors),
        total=float(free @ free),
        explained_linear=float(b @ b),
        explained_bends=float(s @ s) if residual.any() else 0.0,
        influence_linear=(lines @ b) * residual * weight,
        influence_bends=(bends @ s) * residual * weight,
        donors=donors,
    )


def _fixed_columns(n: int, covariates: np.ndarray, donors: np.ndarray | None) -> np.ndarray:
    """Orthonormal columns of what is not asked about: the mean, the covariates, the mean of each donor."""
    fixed = [np.full((n, 1), n**-0.5), covariates]
    if donors is not None:
        fixed.append((donors[:, None] == np.unique(donors)).astype(np.float64))
    return _span(np.hstack(fixed), np.empty((n, 0)))


def _what_is_short(
    n: int, n_affine: int, n_lines: int, n_bends: int, n_donors: int | None, per_column: int
) -> str | None:
    """A status where there are too few samples or donors for the columns."""
    n_offsets = 0 if n_donors is None else n_donors - 1
    if n < per_column * (n_affine + n_bends - n_offsets) + n_offsets:
        return TOO_FEW_SAMPLES
    if n_donors is not None and n_donors < max(n_lines, n_bends) + 3:
        return TOO_FEW_REPLICATES
    return None


def _edge_scores(
    own_bends: list[np.ndarray],
    y: np.ndarray,
    free: np.ndarray,
    affine: np.ndarray,
    donors: np.ndarray | None,
) -> list[_Score]:
    """Score of each parent's bends, with all lines and the other parents' bends as nuisance."""
    scores = []
    for j, own in enumerate(own_bends):
        others = np.hstack([np.empty((len(y), 0)), *(bend for i, bend in enumerate(own_bends) if i != j)])
        nuisance = np.hstack([affine, _span(others, affine)])
        residual = _exact_zero(_residual(y, nuisance), free, y)
        scores.append(_score(_span(own, nuisance), residual, nuisance, donors))
    return scores


def _score(
    columns: np.ndarray, residual: np.ndarray, nuisance: np.ndarray, donors: np.ndarray | None
) -> _Score:
    """Robust score test of orthonormal ``columns``, which are orthogonal to ``nuisance``.

    With A = diag(u / (1 - h)) S, s = S'u = A'(1 - h), so that s'(A'A)^-1 s is the squared length of the
    projection of 1 - h onto the columns of A: no matrix is inverted.
    """
    if columns.shape[1] == 0:
        return _Score(np.nan, 0, np.nan)
    if not residual.any():
        return _Score(0.0, columns.shape[1], 1.0)
    if donors is None:
        per_leverage = _per_leverage(nuisance)
        terms = _span(_unit(columns * (residual * per_leverage)[:, None]), np.empty((len(residual), 0)))
        left = np.divide(1.0, per_leverage, out=np.zeros_like(per_leverage), where=per_leverage > 0)
        share = terms.T @ left
        statistic, df = float(share @ share), terms.shape[1]
        return _Score(statistic, df, float(stats.chi2.sf(statistic, df)))
    sums = _sum_by(columns * residual[:, None], donors)
    n_donors, df = sums.shape
    if n_donors < df + 3:
        return _Score(np.nan, 0, np.nan)
    deviations = sums - sums.mean(axis=0)
    # s'M^-1 s, by least squares, as M may be singular where donors repeat one another
    solution = linalg.lstsq(deviations.T @ deviations, sums.sum(axis=0))[0]
    statistic = float(sums.sum(axis=0) @ solution) * (n_donors - df) / (df * n_donors)
    return _Score(statistic, df, float(stats.f.sf(statistic, df, n_donors - df)))


def _combine(fits: list[_Fit], parents: np.ndarray) -> EquationTest:
    """Add the levels of one child."""
    bends, omnibus = _add([fit.bends for fit in fits], fits), _add([fit.omnibus for fit in fits], fits)
    edges = [_add([fit.edges[j] for fit in fits], fits) for j in range(parents.shape[1])]
    total = sum(fit.total for fit in fits)
    linear = sum(fit.explained_linear for fit in fits)
    bent = sum(fit.explained_bends for fit in fits)
    return EquationTest(
        status=OK,
        n=sum(len(fit.influence_linear) for fit in fits),
        k=min(fit.k for fit in fits),
        df=bends.df,
        statistic=bends.statistic,
        p_value=bends.p_value,
        association_p_value=omnibus.p_value,
        r2_linear=linear / total,
        r2_spline=(linear + bent) / total,
        nonlinear_share=bent / (linear + bent) if linear + bent > 0 else np.nan,
        nonlinear_share_upper=_share_upper(fits, linear, bent),
        edge_statistic=np.array([edge.statistic for edge in edges]),
        edge_df=np.array([edge.df for edge in edges], dtype=np.int64),
        edge_p_value=np.array([edge.p_value for edge in edges]),
        edge_status=tuple(_edge_status(edge, x) for edge, x in zip(edges, parents.T, strict=True)),
    )


def _add(scores: list[_Score], fits: list[_Fit]) -> _Score:
    """Add the statistics of levels; with donors, who occur in several levels, Bonferroni."""
    scores = [score for score in scores if score.df]
    if not scores:
        return _Score(np.nan, 0, np.nan)
    if fits[0].donors is not None:
        best = min(scores, key=lambda score: score.p_value)
        return best._replace(p_value=min(1.0, len(scores) * best.p_value))
    if len(scores) == 1:
        return scores[0]
    statistic, df = sum(score.statistic for score in scores), sum(score.df for score in scores)
    return _Score(statistic, df, float(stats.chi2.sf(statistic, df)))


def _edge_status(edge: _Score, parent: np.ndarray) -> str:
    if edge.df:
        return OK
    n_values = len(np.unique(parent))
    return CONSTANT if n_values < 2 else TOO_FEW_LEVELS if n_values < 3 else COLLINEAR


def _share_upper(fits: list[_Fit], linear: float, bent: float) -> float:
    """Upper bound of the non-linear share, from the lengths of the bent and the linear part."""
    length_bent, length_linear = np.sqrt(bent), np.sqrt(linear)
    if length_linear == 0.0:
        return 1.0
    influence_r = np.concatenate([fit.influence_bends for fit in fits]) / (length_bent or 1.0)
    influence_b = np.concatenate([fit.influence_linear for fit in fits]) / length_linear
    z, scale = float(stats.norm.ppf(CONFIDENCE)), 1.0
    if fits[0].donors is not None:
        donors = np.concatenate([fit.donors for fit in fits if fit.donors is not None])
        sums = _sum_by(np.column_stack([influence_r, influence_b]), donors)
        influence_r, influence_b = (sums - sums.mean(axis=0)).T
        n_donors = len(sums)
        z, scale = float(stats.t.ppf(CONFIDENCE, n_donors - 1)), n_donors / (n_donors - 1)
    v_bend, v_line, v_both = (
        np.array([scale * product])
        for product in (influence_r @ influence_r, influence_b @ influence_b, influence_r @ influence_b)
    )
    upper = share_upper(np.array([length_bent]), np.array([length_linear]), v_bend, v_line, v_both, z)
    return float(upper[0])


def _span(columns: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span ``columns`` beyond the orthonormal ``given``, as many as the rank."""
    columns = _unit(columns)
    for _ in range(2):  # once is not enough for columns close to the span of ``given``
        columns = columns - given @ (given.T @ columns)
    if columns.size == 0:
        return columns[:, :0]
    q, r, _ = linalg.qr(columns, mode="economic", pivoting=True)
    rank = int(np.sum(np.abs(np.diag(r)) > _RANK_TOLERANCE))
    return np.asarray(q[:, :rank])


def _unit(columns: np.ndarray) -> np.ndarray:
    """Columns scaled to length 1; those of length 0 stay."""
    length = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    return columns / np.where(length > 0, length, 1.0)


def _residual(y: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What is left of y after its projection on orthonormal columns."""
    y = y - given @ (given.T @ y)
    return np.asarray(y - given @ (given.T @ y))


def _exact_zero(residual: np.ndarray, free: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Residuals, 0 where all of them are rounding errors of an exact fit."""
    rounding = _EXACT**2 * (free @ free) + 1e-26 * (y @ y)
    return np.zeros_like(residual) if residual @ residual <= rounding else residual


def _per_leverage(given: np.ndarray) -> np.ndarray:
    """1 / (1 - h), h the leverage of orthonormal columns; 0 for a sample that is fitted exactly."""
    left = 1.0 - np.einsum("ij,ij->i", given, given)
    return np.divide(1.0, left, out=np.zeros_like(left), where=left > 1e-8)


def _sum_by(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sums of the rows of each code, shape ``(n_codes, n_columns)``."""
    distinct, code = np.unique(codes, return_inverse=True)
    sums = np.zeros((len(distinct), rows.shape[1]))
    np.add.at(sums, code, rows)
    return sums


def _not_tested(status: str, n: int, m: int) -> EquationTest:
    nan = np.full(m, np.nan)
    none = float("nan")
    return EquationTest(
        status=status,
        n=n,
        k=0,
        df=0,
        statistic=none,
        p_value=none,
        association_p_value=none,
        r2_linear=none,
        r2_spline=none,
        nonlinear_share=none,
        nonlinear_share_upper=none,
        edge_statistic=nan,
        edge_df=np.zeros(m, dtype=np.int64),
        edge_p_value=nan,
        edge_status=(status,) * m,
    )


def as_columns(values: np.ndarray) -> np.ndarray:
    """Numbers of shape ``(n, c)``; a vector becomes one column."""
    values = np.asarray(values, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def _check(
    parents: np.ndarray,
    y: np.ndarray,
    covariates: np.ndarray | None,
    levels: np.ndarray | None,
    replicate: np.ndarray | None,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Arrays of the right shape, and finite."""
    parents, y = as_columns(parents), np.asarray(y, dtype=np.float64)
    covariates = np.empty((len(y), 0)) if covariates is None else as_columns(covariates)
    levels = None if levels is None else np.asarray(levels)
    replicate = None if replicate is None else np.asarray(replicate)
    if k < 2:
        raise InputError(f"k must be at least 2 (a line and one bend); found {k}")
    if parents.ndim != 2 or parents.shape[1] == 0:
        raise InputError(f"expected parents of shape (n, m) with at least one column; found {parents.shape}")
    for name, array in (("y", y), ("covariates", covariates), ("levels", levels), ("replicate", replicate)):
        if array is not None and len(array) != len(parents):
            raise InputError(
                f"{name}: expected {len(parents)} samples, as the parents have; found {len(array)}"
            )
    for name, array in (("parents", parents), ("y", y), ("covariates", covariates)):
        if not np.isfinite(array).all():
            raise InputError(
                f"{name}: expected finite numbers; found NaN or infinite ones; leave those samples out"
            )
    return parents, y, covariates, levels, replicate

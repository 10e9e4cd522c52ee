"""Kernels of the bend share for counts: bend and line of every pair without counting noise and without bias.

Notation of :mod:`~poolproof.pairs.count_kernels`: a_j = y F_j - ybar P_j = y~ F_j + ybar D_j, j = 1 (the
line), 2 and 3 (the bends). Per level of n cells, with c = mean a_1 = b V1, g_j the mean of
psi_j = a_j - b R_j, nu the inverse of N over the degrees that are resolved, and chi = a_1 - b H_11,

    L = n (c^2 / V1 - Var(c) / V1),  B = n (g'W g - tr(W Omega)),  Var(c) and Omega the variances of the
    means of chi and psi, W nu made larger by what Omega holds of the bend itself (:mod:`kept_bends`),

in units in which the squares of the observed fractions y = Y / T, centred, sum to 1 over all levels. Cells
weigh 1 / (1 - h) in the variances, h the leverage of the line (HC2); with replicates the variances come from
their sums, a replicate with the share p of the cells weighing 1 / (1 - p). tr(W Omega) is one quadratic form
in (a_2, a_3) with coefficients of x alone, so it costs one column with y^2 and a few with y.

The influence of a cell on n g'W g is 2 d'psi - d'N_i nu g, d = W g (what W is above nu counts as known); on
n c^2 / V1 it is 2 b a_1 - b^2 H_11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .count_kernels import (
    MAX_LEVERAGE,
    OWN,
    CountDepth,
    CountTargets,
    by_stratum,
    count_terms,
)
from .count_rows import few_rows, join_rows
from .design import Level
from .kept_bends import bends_kept
from .population_kernels import LevelSums

CLEAR_LINE = 3.0
"""Standard errors by which the variance of a regulator must exceed 0."""
_R2, _R3, _H11, _N22, _N23, _N33 = range(len(OWN))


@dataclass(frozen=True, eq=False)
class CountColumns:
    """Columns of a block of R regulators in one level."""

    f: np.ndarray
    """F_1, F_2, F_3, shape ``(3, R, n)``, in the type of the products."""
    terms: np.ndarray
    """F_1 .. F_3, D_1 .. D_3, then the own terms, shape ``(12, R, n)``, float64."""
    weight: np.ndarray
    """1 / (1 - h), shape ``(R, n)``."""
    inverse: np.ndarray
    """nu_22, nu_23, nu_33, shape ``(3, R)``."""
    kept: np.ndarray
    """W_22, W_23, W_33, shape ``(3, R)``."""
    variance: np.ndarray
    """V1, shape ``(R,)``."""
    with_y2: np.ndarray
    """Columns of tr(W Omega) and of Var(c), shape ``(2 R, n)``."""
    with_mean: np.ndarray
    """The same for y~ times ybar, shape ``(2 R, n)``."""
    with_y: np.ndarray
    """The same for y~ times b, shape ``(2 R, n)``."""
    d_sum: np.ndarray
    """Sums over strata of D_1 .. D_3, shape ``(3, R, n_strata)``."""
    mean_sums: np.ndarray
    """Sums over strata for ybar^2, shape ``(2, R, n_strata)``."""
    slope_mean_sums: np.ndarray
    """Sums over strata for b ybar, shape ``(2, R, n_strata)``."""
    slope_sums: np.ndarray
    """Sums over cells for b^2, shape ``(2, R)``."""
    usable: np.ndarray
    """Whether the bend of the regulator can be sized, shape ``(R,)``: chosen by x alone."""


Quadratic = Callable[[np.ndarray, np.ndarray], np.ndarray]


def count_columns(
    x: np.ndarray, depth: CountDepth, level: Level, dtype: type, *, overdispersion: float = 0.0
) -> CountColumns:
    """Build the columns of a block of regulators in one level.

    Parameters
    ----------
    x
        Counts, shape ``(R, n)``.
    depth, level
        Of the same cells.
    dtype
        Of the products.
    overdispersion
        Squared coefficient of variation of technical noise beyond multinomial sampling.
    """
    parts = [_columns(x[rows], depth, level, dtype, overdispersion) for rows in few_rows(x)]
    joined = join_rows(parts, _AXES)
    if len(parts) > 1:  # both forms of a regulator lie apart
        return replace(
            joined,
            **{
                name: np.concatenate([_by_form(part, name) for part in parts], 1).reshape(2 * len(x), -1)
                for name in ("with_y2", "with_mean", "with_y")
            },
        )
    return joined


_AXES = {
    "f": 1,
    "terms": 1,
    "weight": 0,
    "inverse": 1,
    "kept": 1,
    "variance": 0,
    "with_y2": 0,
    "with_mean": 0,
    "with_y": 0,
    "d_sum": 1,
    "mean_sums": 1,
    "slope_mean_sums": 1,
    "slope_sums": 1,
    "usable": 0,
}


def _by_form(part: CountColumns, name: str) -> np.ndarray:
    values = getattr(part, name)
    return np.asarray(values.reshape(2, len(part.usable), -1))


def _columns(
    x: np.ndarray, depth: CountDepth, level: Level, dtype: type, overdispersion: float
) -> CountColumns:
    n_regulators, n = x.shape
    sizes = np.bincount(level.strata)
    of = count_terms(x, depth, level, overdispersion=overdispersion)
    v1 = of.own_mean[_H11]
    clear = v1 > CLEAR_LINE * of.own[_H11].std(axis=1) / np.sqrt(n)
    usable = clear & (of.degree >= 2)
    variance = np.where(usable, v1, 1.0)
    inverse = inverse_of(of.own_mean, of.degree, usable)
    leverage = 1 / n + np.maximum(of.own[_H11], 0) / (n * variance[:, None])
    weight = 1 / (1 - np.minimum(leverage, MAX_LEVERAGE))
    degree = np.where(usable, of.degree, 1)
    kept = bends_kept(x / depth.falling(1), of.own_mean[_N22:], degree, weight, level)
    terms = np.concatenate([of.f, of.f - of.p, of.own])
    f, d, own = terms[:3], terms[3:6], terms[6:]
    forms: list[tuple[Quadratic, np.ndarray, np.ndarray, np.ndarray]] = [
        (_bend_form(kept), f[1:], d[1:], own[:2]),
        (lambda a, b: a[0] * b[0] / variance[:, None], f[:1], d[:1], own[_H11 : _H11 + 1]),
    ]
    empty = np.zeros((n_regulators, 0)) if level.clusters is not None else None
    parts = [
        [
            weight * form(big_f, big_f),
            2 * weight * form(big_f, big_d),
            -2 * weight * form(big_f, mine),
            weight * form(big_d, big_d),
            -2 * weight * form(big_d, mine),
            weight * form(mine, mine),
        ]
        if empty is None
        else [empty] * 6
        for form, big_f, big_d, mine in forms
    ]
    squares, with_mean, with_y, mean2, slope_mean, slope2 = (
        np.stack(part) for part in zip(*parts, strict=True)
    )
    summed = (lambda v: by_stratum(v, sizes)) if empty is None else (lambda v: v)
    return CountColumns(
        f=np.where(usable[:, None], f, 0.0).astype(dtype),
        terms=terms,
        weight=weight,
        inverse=inverse,
        kept=kept,
        variance=variance,
        with_y2=squares.reshape(2 * n_regulators, -1).astype(dtype),
        with_mean=with_mean.reshape(2 * n_regulators, -1).astype(dtype),
        with_y=with_y.reshape(2 * n_regulators, -1).astype(dtype),
        d_sum=by_stratum(d, sizes),
        mean_sums=summed(mean2),
        slope_mean_sums=summed(slope_mean),
        slope_sums=slope2.sum(axis=2),
        usable=usable,
    )


def inverse_of(own_mean: np.ndarray, degree: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """nu_22, nu_23, nu_33 over the degrees resolved; 0 where the bend cannot be sized."""
    n22, n23, n33 = own_mean[[_N22, _N23, _N33]]
    both = usable & (degree == 3)
    determinant = np.where(both, n22 * n33 - n23 * n23, 1.0)
    second = usable & (degree == 2)
    return np.stack(
        [
            np.where(both, n33 / determinant, np.where(second, 1 / np.where(second, n22, 1.0), 0.0)),
            np.where(both, -n23 / determinant, 0.0),
            np.where(both, n22 / determinant, 0.0),
        ]
    )


def _bend_form(w: np.ndarray) -> Quadratic:
    """A'W b of two pairs of arrays ``(2, R, n)``."""
    n22, n23, n33 = w[:, :, None]

    def form(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(n22 * a[0] * b[0] + n23 * (a[0] * b[1] + a[1] * b[0]) + n33 * a[1] * b[1])

    return form


@dataclass(frozen=True, eq=False)
class UnitTargets:
    """A block of m targets in one level, in units in which their squares sum to 1 over all levels."""

    y: np.ndarray
    """Fractions less their stratum's mean, shape ``(m, n)``."""
    with_mean: np.ndarray
    """y times that mean, shape ``(m, n)``."""
    mean: np.ndarray
    """Mean of each stratum, shape ``(n_strata, m)``."""
    usable: np.ndarray
    """Seen in enough cells, shape ``(m,)``."""

    @staticmethod
    def of(targets: CountTargets, level: Level, norm: np.ndarray) -> UnitTargets:
        """From targets in their own unit and the norm over all levels, shape ``(m,)``."""
        scale = np.where(norm > 0, 1 / np.where(norm > 0, norm, 1.0), 0.0)
        y = targets.centred * scale[:, None].astype(targets.centred.dtype)
        mean = targets.mean * scale
        return UnitTargets(y, y * mean.T[:, level.strata].astype(y.dtype), mean, targets.testable)


@dataclass(frozen=True, eq=False)
class _Estimates:
    """Slope, bend and directions of one level, each ``(R, m)``, float64."""

    b: np.ndarray
    g: tuple[np.ndarray, np.ndarray]
    d: tuple[np.ndarray, np.ndarray]
    """W g."""
    e: tuple[np.ndarray, np.ndarray]
    """nu g."""
    bend: np.ndarray
    """n g'W g."""
    line: np.ndarray
    """n c^2 / V1."""


def _estimates(columns: CountColumns, of: UnitTargets, n: int) -> _Estimates:
    n_regulators, m = columns.f.shape[1], len(of.y)
    products = (columns.f.reshape(3 * n_regulators, -1) @ of.y.T).reshape(3, n_regulators, m)
    mean = (products + columns.d_sum @ of.mean) / n
    counted = columns.usable[:, None] & of.usable
    mean = np.where(counted, mean, 0.0)
    b = mean[0] / columns.variance[:, None]
    g2, g3 = mean[1], mean[2]
    d, e = (
        (n22 * g2 + n23 * g3, n23 * g2 + n33 * g3)
        for n22, n23, n33 in (columns.kept[:, :, None], columns.inverse[:, :, None])
    )
    return _Estimates(b, (g2, g3), d, e, n * (g2 * d[0] + g3 * d[1]), n * mean[0] * b)


def count_sums(columns: CountColumns, of: UnitTargets, level: Level, weights: list[np.ndarray]) -> LevelSums:
    """Bend and line of R regulators against m targets in one level, and influences on weighted sums.

    Pairs whose bend cannot be sized count 0; parameters as for
    :func:`~poolproof.pairs.population_kernels.score_sums`.
    """
    n = of.y.shape[1]
    at = _estimates(columns, of, n)
    if level.clusters is not None:
        return _cluster_sums(columns, of, level, at, weights)
    n_regulators, m = at.b.shape
    shape = (2, n_regulators, m)
    second = (columns.with_y2 @ (of.y * of.y).T).reshape(shape) + (
        columns.with_mean @ of.with_mean.T
    ).reshape(shape)
    second = second + columns.mean_sums @ of.mean**2
    slope = (columns.with_y @ of.y.T).reshape(shape) + columns.slope_mean_sums @ of.mean
    variance = (second + slope * at.b + columns.slope_sums[:, :, None] * at.b**2) / n
    variance[0] -= at.bend / n
    variance = np.where(columns.usable[:, None] & of.usable, variance, 0.0)
    own = [_influences(columns, of, level, at, variance, weight) for weight in weights]
    return LevelSums(at.bend - variance[0], at.line - variance[1], own)


def _influences(
    columns: CountColumns,
    of: UnitTargets,
    level: Level,
    at: _Estimates,
    variance: np.ndarray,
    weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Influences of cells on weighted sums over targets of B and L, each ``(R, n)``."""
    n = of.y.shape[1]
    weight = weight * (columns.usable[:, None] & of.usable)
    by_cell = _own_sums(columns, of, level, at, weight)
    sums = np.einsum("rm,krm->kr", weight, np.stack([*variance, at.bend]))
    y2, with_mean, mean2 = (
        (weight.astype(of.y.dtype) @ (of.y * of.y)).astype(np.float64),
        (weight.astype(of.y.dtype) @ of.with_mean).astype(np.float64),
        (weight @ (of.mean**2).T)[:, level.strata],
    )
    f, d, own = columns.terms[:3], columns.terms[3:6], columns.terms[6:]
    slope_y, slope_mean, slope2 = by_cell.slope
    n22, n23, n33 = columns.inverse[:, :, None]
    form = _bend_form(columns.kept)
    results = []
    for place, (quadratic, big_f, big_d, mine) in enumerate(
        (
            (form, f[1:], d[1:], own[:2]),
            (lambda a, b: a[0] * b[0] / columns.variance[:, None], f[:1], d[:1], own[_H11 : _H11 + 1]),
        )
    ):
        square = (
            quadratic(big_f, big_f) * y2
            + 2 * quadratic(big_f, big_d) * with_mean
            + quadratic(big_d, big_d) * mean2
            - 2 * quadratic(big_f, mine) * slope_y
            - 2 * quadratic(big_d, mine) * slope_mean
            + quadratic(mine, mine) * slope2
        )
        of_variance = (columns.weight * square - sums[place, :, None]) / n
        if place == 0:
            of_variance -= sums[2, :, None] / n
            size = n22 * own[_N22] + 2 * n23 * own[_N23] + n33 * own[_N33]
            through = size / (1 + (n33 > 0)) - 1
        else:
            through = own[_H11] / columns.variance[:, None] - 1
        results.append(by_cell.influence[place] - of_variance + sums[place, :, None] * through / n)
    return results[0], results[1]


@dataclass(frozen=True, eq=False)
class _OwnSums:
    influence: tuple[np.ndarray, np.ndarray]
    """On n g'W g and on n c^2 / V1, each ``(R, n)``."""
    slope: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Weighted sums over targets of b y~, b ybar (each ``(R, n)``) and b^2 (``(R, 1)``)."""


def _own_sums(
    columns: CountColumns, of: UnitTargets, level: Level, at: _Estimates, weight: np.ndarray
) -> _OwnSums:
    """Weighted sums over targets of the influences on what is explained."""
    n_regulators, m = at.b.shape
    b, (d2, d3), (e2, e3) = at.b * weight, at.d, at.e
    factors = np.stack([b, d2 * weight, d3 * weight])
    flat = factors.reshape(-1, m).astype(of.y.dtype)
    with_y = (flat @ of.y).reshape(3, n_regulators, -1).astype(np.float64)
    with_mean = (factors @ of.mean.T)[:, :, level.strata]
    f, d, own = columns.terms[:3], columns.terms[3:6], columns.terms[6:]

    def summed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.einsum("rm,rm->r", left, right)[:, None]

    a = f * with_y + d * with_mean
    slope2 = summed(b, at.b)
    line = 2 * a[0] - slope2 * own[_H11]
    bend = 2 * (a[1] + a[2]) - 2 * (summed(factors[1], at.b) * own[_R2] + summed(factors[2], at.b) * own[_R3])
    bend -= summed(factors[1], e2) * own[_N22] + summed(factors[2], e3) * own[_N33]
    bend -= (summed(factors[1], e3) + summed(factors[2], e2)) * own[_N23]
    return _OwnSums((bend, line), (with_y[0], with_mean[0], slope2))


def _cluster_sums(
    columns: CountColumns, of: UnitTargets, level: Level, at: _Estimates, weights: list[np.ndarray]
) -> LevelSums:
    """The same with replicates: variances and influences from the sums of whole replicates."""
    n_regulators, m = at.b.shape
    n = of.y.shape[1]
    slices = level.cluster_slices()
    edges = np.concatenate([[0], np.cumsum(np.bincount(level.strata))])
    n22, n23, n33 = columns.kept[:, :, None]
    variance = np.zeros((2, n_regulators, m))
    own = [(np.zeros((n_regulators, len(slices))), np.zeros((n_regulators, len(slices)))) for _ in weights]
    for code, rows in enumerate(slices):
        if rows.stop == rows.start:
            continue
        share = (rows.stop - rows.start) / n
        flat = np.ascontiguousarray(columns.f[:, :, rows]).reshape(3 * n_regulators, -1)
        inside = slice(*np.searchsorted(edges, [rows.start, rows.stop]))
        a = (flat @ of.y[:, rows].T).reshape(3, n_regulators, m)
        a = a + columns.d_sum[:, :, inside] @ of.mean[inside]
        mine = columns.terms[6:, :, rows].sum(axis=2)[:, :, None]
        (d2, d3), (e2, e3), b = at.d, at.e, at.b
        psi2, psi3 = a[1] - b * mine[_R2], a[2] - b * mine[_R3]
        influence = 2 * (d2 * psi2 + d3 * psi3)
        influence -= d2 * e2 * mine[_N22] + (d2 * e3 + d3 * e2) * mine[_N23] + d3 * e3 * mine[_N33]
        rise = 2 * b * a[0] - b * b * mine[_H11]
        left2, left3 = psi2 - share * n * at.g[0], psi3 - share * n * at.g[1]
        chi = a[0] - b * mine[_H11]
        factor = 1 / (n * (1 - min(share, 0.95)))
        squares = (
            factor * (n22 * left2 * left2 + 2 * n23 * left2 * left3 + n33 * left3 * left3),
            factor * chi * chi / columns.variance[:, None],
        )
        for place, square in enumerate(squares):
            variance[place] += square
        for weight, sums in zip(weights, own, strict=True):
            used = weight * (columns.usable[:, None] & of.usable)
            for place, explained in enumerate((influence, rise)):
                sums[place][:, code] = np.einsum("rm,rm->r", used, explained - squares[place])
    variance = np.where(columns.usable[:, None] & of.usable, variance, 0.0)
    for weight, sums in zip(weights, own, strict=True):
        shares = np.array([(rows.stop - rows.start) / n for rows in slices])
        for place in range(2):
            sums[place][:] += np.einsum("rm,rm->r", weight, variance[place])[:, None] * shares
    return LevelSums(at.bend - variance[0], at.line - variance[1], own)


def count_target_influences(
    columns: CountColumns, of: UnitTargets, level: Level, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Influences of cells on sums over *regulators*, for every target, each ``(m, n)``.

    Of what bends and line explain, before their variance is taken off and the norm of y left out.
    """
    n = of.y.shape[1]
    at = _estimates(columns, of, n)
    f, d, own = columns.terms[:3], columns.terms[3:6], columns.terms[6:]
    used = counted * (columns.usable[:, None] & of.usable)
    b, (d2, d3) = at.b * used, (at.d[0] * used, at.d[1] * used)
    mean = of.mean.T[:, level.strata]

    def over(factors: np.ndarray, terms: np.ndarray) -> np.ndarray:
        return factors.T @ terms

    line = 2 * (of.y * over(b, f[0]) + mean * over(b, d[0])) - over(b * at.b, own[_H11])
    bend = 2 * (of.y * over(d2, f[1]) + mean * over(d2, d[1]) + of.y * over(d3, f[2]) + mean * over(d3, d[2]))
    bend -= 2 * (over(d2 * at.b, own[_R2]) + over(d3 * at.b, own[_R3]))
    e2, e3 = at.e
    bend -= over(d2 * e2, own[_N22]) + over(d2 * e3 + d3 * e2, own[_N23]) + over(d3 * e3, own[_N33])
    return bend, line

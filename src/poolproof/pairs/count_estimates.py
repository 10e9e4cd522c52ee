"""Moments of blocks of counts, and what they estimate: bend, line and their spread (method 6.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._arrays import add
from .count_kernels import _OF_TEST, _PAIRS, N_TEST, OWN_PRODUCTS, CountFeatures, CountTargets
from .design import Level
from .donors import inverse_root


@dataclass(eq=False)
class CountMoments:
    """Influence moments of one level for R regulators x m targets; arrays of shape ``(R, m)``."""

    n: int
    mean: list[np.ndarray]
    """Means of a_1, a_2, a_3; the second and third are the bend g."""
    cov: dict[tuple[int, int], np.ndarray]
    """Covariances of a_j and a_m, j <= m, 0-based: those of the tests, or all."""
    with_own: list[np.ndarray]
    """Covariances of a_j with own terms of x, in the order of `OWN_PRODUCTS`: those of the tests, or all."""
    square: np.ndarray
    """Part of ``cov`` of a_2 and a_3 that is the mean of y^2 times products of F: 22, 23, 33."""

    def at(self, row: int, columns: np.ndarray) -> CountMoments:
        """Those of some targets of one regulator, shape ``(1, m)``."""
        return CountMoments(
            self.n,
            [of[row, columns][None] for of in self.mean],
            {pair: of[row, columns][None] for pair, of in self.cov.items()},
            [of[row, columns][None] for of in self.with_own],
            self.square[:, row, columns][:, None],
        )


class Products(NamedTuple):
    """Products of the columns of R regulators with m targets, summed over the cells of a level."""

    line: np.ndarray
    """F_1 .. F_3 with y~, shape ``(3, R, m)``."""
    square: np.ndarray
    """F_j F_m with y~^2, shape ``(c, R, m)``, in the order of `_PAIRS`: those of the tests, or all."""
    cross: np.ndarray
    """F_j D_m + D_j F_m with y~ times the mean of the stratum, likewise."""
    own: np.ndarray
    """Products of F_j and own terms with y~, in the order of `OWN_PRODUCTS`: those of the tests, or all."""


def count_moments(features: CountFeatures, targets: CountTargets, level: Level) -> CountMoments:
    """Multiply a block of regulators with a block of targets: what both tests need."""
    n = features.f.shape[2]
    return assembled(features, targets.mean, n, products_of(features, targets, level))


def products_of(features: CountFeatures, targets: CountTargets, level: Level) -> Products:
    """The products that both tests need."""
    mixed = slice(_OF_TEST - N_TEST, _OF_TEST)
    with_y, cross = _with_targets(features.with_y[:_OF_TEST], mixed, targets, level)
    square = _product(features.ff[:N_TEST], targets.squares.T)
    return Products(with_y[:3], square, cross, with_y[3 : 3 + N_TEST])


def bound_products(features: CountFeatures, targets: CountTargets, level: Level) -> Products:
    """Those that the bound of the share needs beside them; none with the line."""
    n_mixed = len(_PAIRS) - N_TEST
    with_y, cross = _with_targets(features.with_y[_OF_TEST:], slice(0, n_mixed), targets, level)
    square = _product(features.ff[N_TEST:], targets.squares.T)
    return Products(with_y[:0], square, cross, with_y[n_mixed:])


def with_bound(
    features: CountFeatures, targets: CountTargets, level: Level, of: CountMoments
) -> CountMoments:
    """Moments with what the bound of the share needs beside them."""
    rest = bound_products(features, targets, level)
    means = targets.mean
    return CountMoments(
        of.n,
        of.mean,
        of.cov | _covariances(features, means, of.n, of.mean, rest.square, rest.cross, N_TEST),
        of.with_own + _with_own(features, means, of.n, of.mean, rest.own, N_TEST),
        of.square,
    )


def _product(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Columns ``(c, R, n)`` times values ``(n, m)``, shape ``(c, R, m)``."""
    flat = columns.reshape(-1, columns.shape[2])
    return (flat @ values).reshape(*columns.shape[:2], values.shape[1])


def _with_targets(
    columns: np.ndarray, mixed: slice, targets: CountTargets, level: Level
) -> tuple[np.ndarray, np.ndarray]:
    """Products with y~; and those of the ``mixed`` columns times the mean of the stratum."""
    sizes = np.bincount(level.strata)
    y = targets.centred.T
    if len(sizes) == 1:
        found = _product(columns, y)
        return found, found[mixed] * targets.mean[0]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    cross = np.zeros((mixed.stop - mixed.start, columns.shape[1], y.shape[1]), dtype=columns.dtype)
    for c in range(len(sizes)):
        rows = slice(edges[c], edges[c + 1])
        cross += _product(np.ascontiguousarray(columns[mixed, :, rows]), y[rows]) * targets.mean[c]
    found = np.zeros((*columns.shape[:2], y.shape[1]), dtype=columns.dtype)
    for some in (slice(0, mixed.start), slice(mixed.stop, len(columns))):
        if some.stop > some.start:
            found[some] = _product(columns[some], y)
    return found, cross


def assembled(features: CountFeatures, means: np.ndarray, n: int, of: Products) -> CountMoments:
    """Moments from the products; ``means`` of the strata, shape ``(n_strata, m)``, and n cells."""
    mean = [(of.line[j] + features.d_sum[j] @ means) / n for j in range(3)]
    return CountMoments(
        n,
        mean,
        _covariances(features, means, n, mean, of.square, of.cross, 0),
        _with_own(features, means, n, mean, of.own, 0),
        of.square[1:N_TEST] / n,
    )


def _covariances(
    features: CountFeatures,
    means: np.ndarray,
    n: int,
    mean: list[np.ndarray],
    square: np.ndarray,
    cross: np.ndarray,
    first: int,
) -> dict[tuple[int, int], np.ndarray]:
    """Covariances of a_j and a_m, from the pair ``first`` on."""
    mean2 = means**2
    of_rest = features.dd_sum[first:]
    pairs = zip(_PAIRS[first:], square, cross, of_rest, strict=False)
    return {(j, m): (a + b + rest @ mean2) / n - mean[j] * mean[m] for (j, m), a, b, rest in pairs}


def _with_own(
    features: CountFeatures,
    means: np.ndarray,
    n: int,
    mean: list[np.ndarray],
    products: np.ndarray,
    first: int,
) -> list[np.ndarray]:
    """Covariances of a_j with own terms, from `OWN_PRODUCTS` ``first`` on."""
    result = []
    for terms, of, rest in zip(OWN_PRODUCTS[first:], products, features.d_own_sum[first:], strict=False):
        by_chance = add(factor * mean[j] * features.own_mean[o][:, None] for factor, j, o in terms)
        result.append((of + rest @ means) / n - by_chance)
    return result


def cluster_sums(
    features: CountFeatures, targets: CountTargets, level: Level
) -> list[tuple[int, list[np.ndarray], np.ndarray]]:
    """Per replicate: its code, its sums of a_1, a_2, a_3 (``(R, m)``), of the own terms (``(6, R, 1)``)."""
    n_regulators = features.f.shape[1]
    edges = np.concatenate([[0], np.cumsum(np.bincount(level.strata))])
    result = []
    for code, rows in enumerate(level.cluster_slices()):
        if rows.stop == rows.start:
            continue
        flat = np.ascontiguousarray(features.f[:, :, rows]).reshape(3 * n_regulators, -1)
        sums = (flat @ targets.centred[:, rows].T).reshape(3, n_regulators, -1)
        inside = slice(*np.searchsorted(edges, [rows.start, rows.stop]))
        totals = [sums[j] + features.d_sum[j][:, inside] @ targets.mean[inside] for j in range(3)]
        result.append((code, totals, features.own_sum[:, :, code, None]))
    return result


@dataclass(eq=False)
class CountLevel:
    """Estimates of one level, arrays of shape ``(R, m)``."""

    b: np.ndarray
    line: np.ndarray
    """b^2 V1: variance of p_y along the line."""
    bend: np.ndarray
    """g' N^-1 g: variance of p_y along degrees 2 and 3 beyond the line; along degree 2 where N cannot
    resolve degree 3; NaN where it resolves neither."""
    direction: tuple[np.ndarray, np.ndarray]
    """d = N^-1 g, over the degrees resolved."""
    wald: np.ndarray
    """n g' Omega^-1 g."""
    z2: np.ndarray
    """Squared z of b."""
    omega: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Omega_22, Omega_23, Omega_33."""
    doubt: np.ndarray

    def at(self, row: int, columns: np.ndarray) -> CountLevel:
        """Those of some targets of one regulator, shape ``(1, m)``."""

        def pick(of: Any) -> Any:
            return tuple(pick(part) for part in of) if isinstance(of, tuple) else of[row, columns][None]

        return CountLevel(**{name: pick(of) for name, of in vars(self).items()})


def level_estimates(features: CountFeatures, of: CountMoments) -> CountLevel:
    """Slope, bend and both tests of one level."""
    variance = np.where(features.testable, features.variance, np.inf)[:, None]
    b = of.mean[0] / variance
    g2, g3 = of.mean[1], of.mean[2]
    own = features.own_cov[:, :, :, None]
    r2, r3, h11 = (own[i] for i in range(3))

    def influence(j: int, m: int, own_j: int, own_m: int, mixed: np.ndarray) -> np.ndarray:
        """Covariance of a_j - b own_j and a_m - b own_m; ``mixed`` is that of a_j own_m + a_m own_j."""
        return of.cov[j, m] - b * mixed + b * b * own[own_j, own_m]

    line_own, own_22, own_23, own_33 = of.with_own[:N_TEST]
    o22, o23, o33 = (
        influence(1, 1, 0, 0, 2 * own_22),
        influence(1, 2, 0, 1, own_23),
        influence(2, 2, 1, 1, 2 * own_33),
    )
    slope_variance = influence(0, 0, 2, 2, 2 * line_own)
    determinant = o22 * o33 - o23 * o23
    sound = (determinant > 1e-6 * o22 * o33) & (o22 > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wald = of.n * (o33 * g2 * g2 - 2 * o23 * g2 * g3 + o22 * g3 * g3) / determinant
        z2 = of.n * of.mean[0] ** 2 / slope_variance
    cancelled = (o22 < 0.02 * (of.cov[1, 1] + b * b * r2[0])) | (o33 < 0.02 * (of.cov[2, 2] + b * b * r3[1]))
    cancelled |= (determinant < 0.01 * o22 * o33) | (slope_variance < 0.02 * (of.cov[0, 0] + b * b * h11[2]))
    n22, n23, n33 = (features.own_mean[i][:, None] for i in (3, 4, 5))
    det_n = n22 * n33 - n23 * n23
    degree = features.degree[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        d2 = np.where(degree == 3, (n33 * g2 - n23 * g3) / det_n, np.where(degree == 2, g2 / n22, np.nan))
        d3 = np.where(degree == 3, (n22 * g3 - n23 * g2) / det_n, 0 * d2)
    finite_variance = np.where(np.isfinite(variance), variance, 0.0)
    return CountLevel(
        b=b,
        line=b * b * finite_variance,
        bend=g2 * d2 + g3 * d3,
        direction=(d2, d3),
        wald=np.where(sound, wald, 0.0),
        z2=np.where(slope_variance > 0, z2, 0.0),
        omega=(o22, o23, o33),
        doubt=cancelled,
    )


def level_bound_pieces(
    features: CountFeatures, of: CountMoments, at: CountLevel
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per-cell variances of r * (influence of r) and B * (influence of B), and their covariance.

    With d = N^-1 g the influence of r = sqrt(g' N^-1 g) is (d'psi - d'N_i d / 2) / r, that of
    B = |b| sqrt(V1) is b (a_1 - b H_11 / 2) / B; both up to constants.
    """
    b, (d2, d3) = at.b, at.direction
    d22, d23, d33 = d2 * d2, d2 * d3, d3 * d3
    own = features.own_cov[:, :, :, None]
    line_own, _, _, _, *cubes, own_2, own_3, own_22, own_23, own_33 = of.with_own
    o22, o23, o33 = at.omega
    sizes = {3: -d22 / 2, 4: -d23, 5: -d33 / 2}
    v_bend = d22 * o22 + 2 * d23 * o23 + d33 * o33
    v_bend -= d22 * (d2 * cubes[0] + d3 * cubes[1]) + d33 * (d2 * cubes[2] + d3 * cubes[3])
    for o, w in sizes.items():
        v_bend += w * (
            add(v * own[o, p] for p, v in sizes.items()) - 2 * b * (d2 * own[0, o] + d3 * own[1, o])
        )
    v_line = b**2 * (of.cov[0, 0] - b * line_own + b * b * own[2, 2] / 4)
    v_both = d2 * of.cov[0, 1] + d3 * of.cov[0, 2]
    v_both += b * (b / 2 * (d2 * own[0, 2] + d3 * own[1, 2]) - d2 * own_2 - d3 * own_3)
    for (o, w), found in zip(sizes.items(), (own_22, own_23, own_33), strict=True):
        v_both += w * (found - b / 2 * own[2, o])
    return v_bend, v_line, b * v_both


def bound_pieces(
    parts: Iterable[tuple[CountFeatures, CountMoments, CountLevel]],
    weights: Sequence[float],
    total: Callable[[list[np.ndarray]], np.ndarray],
    line: np.ndarray,
    bend: np.ndarray,
    n: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances of r and B and their covariance over all levels, from the influences of independent cells.

    ``weights`` are the levels' shares of the n cells, and ``total`` adds up those in which a pair is tested.
    """
    found = [level_bound_pieces(*part) for part in parts]
    v_bend, v_line, v_both = (
        total([w * part[i] for w, part in zip(weights, found, strict=True)]) / n for i in range(3)
    )
    r, size = inverse_root(bend), inverse_root(line)
    return v_bend * r**2, v_line * size**2, v_both * r * size

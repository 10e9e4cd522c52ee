"""Moments of blocks of counts, and what they estimate: bend, line and their spread (method 6.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .count_kernels import _PAIRS, OWN, CountFeatures, CountTargets
from .design import Level
from .donors import inverse_root


@dataclass(eq=False)
class CountMoments:
    """Influence moments of one level for R regulators x m targets; arrays of shape ``(R, m)``."""

    n: int
    mean: list[np.ndarray]
    """Means of a_1, a_2, a_3; the second and third are the bend g."""
    cov: dict[tuple[int, int], np.ndarray]
    """Covariances of a_j and a_m, j <= m, 0-based."""
    with_own: list[list[np.ndarray]]
    """Covariance of a_j with each own term of x: ``with_own[j][own]``."""
    square: np.ndarray
    """Part of ``cov`` of a_2 and a_3 that is the mean of y^2 times products of F: 22, 23, 33."""


def count_moments(features: CountFeatures, targets: CountTargets, level: Level) -> CountMoments:
    """Multiply a block of regulators with a block of targets."""
    n_regulators, n = features.f.shape[1:]
    m = len(targets.centred)
    y = targets.centred.T

    def product(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
        flat = columns.reshape(-1, columns.shape[2])
        return (flat @ values).reshape(columns.shape[0], n_regulators, m)

    line = product(features.f, y)
    square = product(features.ff, y * y)
    own = product(features.f_own, y)
    sizes = np.bincount(level.strata)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    if len(sizes) == 1:
        cross = product(features.fd, y) * targets.mean[0]
    else:
        cross = np.zeros_like(square)
        for c in range(len(sizes)):
            rows = slice(edges[c], edges[c + 1])
            cross += product(np.ascontiguousarray(features.fd[:, :, rows]), y[rows]) * targets.mean[c]
    return assembled(features, targets.mean, n, Products(line, square, cross, own))


class Products(NamedTuple):
    """Products of the columns of R regulators with m targets, summed over the cells of a level."""

    line: np.ndarray
    """F_1 .. F_3 with y~, shape ``(3, R, m)``."""
    square: np.ndarray
    """F_j F_m with y~^2, shape ``(6, R, m)``."""
    cross: np.ndarray
    """F_j D_m + D_j F_m with y~ times the mean of the stratum, shape ``(6, R, m)``."""
    own: np.ndarray
    """F_j times own terms with y~, shape ``(18, R, m)``."""


def assembled(features: CountFeatures, means: np.ndarray, n: int, of: Products) -> CountMoments:
    """Moments from the products; ``means`` of the strata, shape ``(n_strata, m)``, and n cells."""
    mean = [(of.line[j] + features.d_sum[j] @ means) / n for j in range(3)]
    mean2 = means**2
    cov = {
        pair: (of.square[p] + of.cross[p] + features.dd_sum[p] @ mean2) / n - mean[pair[0]] * mean[pair[1]]
        for p, pair in enumerate(_PAIRS)
    }
    n_own = len(OWN)
    with_own = [
        [
            (of.own[j * n_own + o] + features.d_own_sum[j * n_own + o] @ means) / n
            - mean[j] * features.own_mean[o][:, None]
            for o in range(n_own)
        ]
        for j in range(3)
    ]
    return CountMoments(n, mean, cov, with_own, of.square[3:] / n)


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


def level_estimates(features: CountFeatures, of: CountMoments) -> CountLevel:
    """Slope, bend and both tests of one level."""
    variance = np.where(features.testable, features.variance, np.inf)[:, None]
    b = of.mean[0] / variance
    g2, g3 = of.mean[1], of.mean[2]
    own = features.own_cov[:, :, :, None]
    r2, r3, h11 = (own[i] for i in range(3))

    def influence(j: int, m: int, own_j: int, own_m: int) -> np.ndarray:
        """Covariance of a_j - b own_j and a_m - b own_m."""
        mixed = of.with_own[j][own_m] + of.with_own[m][own_j]
        return of.cov[j, m] - b * mixed + b * b * own[own_j, own_m]

    o22, o23, o33 = influence(1, 1, 0, 0), influence(1, 2, 0, 1), influence(2, 2, 1, 1)
    slope_variance = influence(0, 0, 2, 2)
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
    d2, d3 = at.direction
    weights_a = (None, d2, d3)  # on a_2, a_3
    weights_own = (-at.b * d2, -at.b * d3, None, -d2 * d2 / 2, -d2 * d3, -d3 * d3 / 2)
    bend_own = {i: w for i, w in enumerate(weights_own) if w is not None}
    bend_a = {j: w for j, w in enumerate(weights_a) if w is not None}
    own = features.own_cov[:, :, :, None]
    v_bend = np.zeros_like(at.b)
    for j, w in bend_a.items():
        for m, v in bend_a.items():
            v_bend += w * v * of.cov[min(j, m), max(j, m)]
        for o, v in bend_own.items():
            v_bend += 2 * w * v * of.with_own[j][o]
    for o, w in bend_own.items():
        for p, v in bend_own.items():
            v_bend += w * v * own[o, p]
    half = -at.b / 2
    v_line = at.b**2 * (of.cov[0, 0] + 2 * half * of.with_own[0][2] + half**2 * own[2, 2])
    v_both = np.zeros_like(at.b)
    for j, w in bend_a.items():
        v_both += w * (of.cov[0, j] + half * of.with_own[j][2])
    for o, w in bend_own.items():
        v_both += w * (of.with_own[0][o] + half * own[2, o])
    return v_bend, v_line, at.b * v_both


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

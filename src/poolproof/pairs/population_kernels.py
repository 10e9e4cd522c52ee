"""Kernels of the bend share of many pairs: bend and line of every pair without bias, summed over sets.

For an ordered pair x -> y the line of x explains L and its bends explain B of the variance of y. Squared
estimates are too large by their variance, so it is taken off, pair by pair, and the differences are summed
over every pair of a set, associated or not: what is not selected has no bias from selection. A pair's B or L
may be negative, a sum of many is not but for noise.

With Q = [q_1 .. q_k] the orthonormal basis of x (q_1 the line), y centred (its norm over all levels is 1),
s = Q'y, u = y - Q s and h_i the leverage of that fit, the constant and the covariates included,

    L = s_1^2 - V_1,  B = sum_(j >= 2) s_j^2 - V_j,  V_j = sum_i q_ij^2 u_i^2 / (1 - h_i)

(the HC2 weight of MacKinnon & White 1985: unbiased under equal variance). As u = y - Q s, V is a product of
columns of x with y^2 and of others with y, so blocks of genes meet in matrix products.

With replicates the score of a replicate d is s_jd = sum_(i in d) q_ij y_i, what the fit leaves of it
r_jd = s_jd - (G_d s)_j, G_d = sum_(i in d) q_i q_i', and V_j = sum_d r_jd^2 g_jj / (g_jj - sum_m g_jm^2).
For D equal replicates that is D / (D - 1) sum_d r_jd^2, so that s_j^2 - V_j is D / (D - 1) times the sum
over pairs of *different* replicates of their products, free of bias whatever happens inside one.

The influence of a sample on a sum of B or L is its derivative by the sample's weight. By the envelope theorem
that of what a least-squares fit explains is y_i^2 - u_i^2; V and the norm of y depend on the weight too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .design import Level
from .score_kernels import level_bases, triangle

MAX_LEVERAGE = 0.999
"""Largest leverage that a sample is taken to have."""
PER_COLUMN = 8
"""Samples that a column of a basis needs; of samples with one value as many as `PER_VALUE` count."""
PER_VALUE = 6
FLOOR = 0.05
"""Smallest share of a replicate's information that is taken to be left beside the fit."""


@dataclass(frozen=True, eq=False)
class LevelSums:
    """What one level says of R regulators x m targets."""

    bend: np.ndarray
    """B of every pair, as a share of the variance of y over all levels, shape ``(R, m)``, float64."""
    line: np.ndarray
    """L, likewise."""
    own: list[tuple[np.ndarray, np.ndarray]]
    """For every set of weights: influences of the samples (or replicates) of this level on the weighted
    sums over targets of B and of L, the term of the norm of y left out, each ``(R, n)`` (or ``(R, D)``)."""


@dataclass(frozen=True, eq=False)
class ScoreColumns:
    """Columns of a block of R regulators in one level, ready for the products."""

    basis: np.ndarray
    """Shape ``(R, k, n)``, float64; 0 where a regulator shows no bend in this level."""
    leverage_weight: np.ndarray
    """1 / (1 - h), shape ``(R, n)``."""
    with_y: np.ndarray
    """q_j, then the columns of the bends' variance, then of the line's, shape ``(3 k R, n)``."""
    with_y2: np.ndarray
    """1 / (1 - h) times the squared bends, summed, and the squared line, shape ``(2 R, n)``."""
    usable: np.ndarray
    """Whether the regulator has a bend in this level, shape ``(R,)``."""


def score_columns(x: np.ndarray, level: Level, k: int, dtype: type) -> ScoreColumns:
    """Build the columns of a block of regulators in one level.

    Parameters
    ----------
    x
        Values of the regulators, shape ``(n, R)``, finite, in the order of ``level.rows``.
    level
        Its covariates are projected out of the bases.
    k
        Columns of a basis.
    dtype
        Of the products.
    """
    basis, n_columns = _bases(x, level, k)
    basis = np.where((n_columns > 1)[:, None, None], basis, 0.0)
    n_regulators, _, n = basis.shape
    leverage = (level.covariates**2).sum(axis=1) + np.einsum("rkn,rkn->rn", basis, basis)
    weight = 1 / (1 - np.minimum(leverage, MAX_LEVERAGE))
    if level.clusters is not None:
        flat: np.ndarray = basis.transpose(1, 0, 2).reshape(-1, n).astype(dtype)
        return ScoreColumns(basis, weight, flat, flat[:0], n_columns > 1)
    squares = np.stack([weight * (basis[:, 1:] ** 2).sum(axis=1), weight * basis[:, 0] ** 2])
    with_y: np.ndarray = np.empty((3, k, n_regulators, n), dtype=dtype)
    with_y[0] = basis.transpose(1, 0, 2)
    for place, square in enumerate(squares, start=1):
        weighted = square[:, None] * basis
        gram = np.matmul(weighted, basis.transpose(0, 2, 1))
        # V = square'y^2 + sum_l s_l (gram q - 2 square q)_l'y
        with_y[place] = (np.matmul(gram, basis) - 2 * weighted).transpose(1, 0, 2)
    return ScoreColumns(
        basis, weight, with_y.reshape(-1, n), squares.reshape(-1, n).astype(dtype), n_columns > 1
    )


def _bases(x: np.ndarray, level: Level, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Bases with as many columns as the values of each regulator can carry, by x alone.

    Where 80 of 100 samples are off, five columns would rest on 20: HC2 is then too small if these are also
    the noisy ones, and bends appear.
    """
    wanted = np.array([min(k, max(2, n_telling(values) // PER_COLUMN)) for values in x.T])
    basis = np.zeros((x.shape[1], k, len(x)))
    n_columns = np.zeros(x.shape[1], dtype=np.int64)
    for size in np.unique(wanted):
        chosen = wanted == size
        part, n_columns[chosen] = level_bases(x[:, chosen], level, int(size))
        basis[chosen, :size] = part
    return basis, n_columns


def n_telling(values: np.ndarray) -> int:
    """Samples, of which at most `PER_VALUE` of one value count.

    Examples
    --------
    >>> n_telling(np.array([0.0] * 80 + [1.0, 2.0]))
    8
    """
    counts = np.unique(values, return_counts=True)[1]
    return int(np.minimum(counts, PER_VALUE).sum())


def score_sums(columns: ScoreColumns, y: np.ndarray, level: Level, weights: list[np.ndarray]) -> LevelSums:
    """Bend and line of R regulators against m targets in one level, and influences on weighted sums.

    Parameters
    ----------
    columns
        Of the regulators.
    y
        Targets, shape ``(m, n)``: centred, covariates projected out, unit norm over all levels.
    level
        Whose samples they are.
    weights
        Weights of pairs, each of shape ``(R, m)``: 1 in a set, 0 outside; may be empty.
    """
    if level.clusters is not None:
        return _cluster_sums(columns, y, level, weights)
    n_regulators, k, _ = columns.basis.shape
    m = len(y)
    y2 = y * y
    products = (columns.with_y @ y.T).reshape(3, k, n_regulators, m)
    squares = (columns.with_y2 @ y2.T).reshape(2, n_regulators, m)
    scores = products[0]
    bend, line = (
        _sum_of_products(scores[of], scores[of])
        - (squares[place] + _sum_of_products(scores, products[1 + place])).astype(np.float64)
        for place, of in enumerate((slice(1, None), slice(1)))
    )
    own = [_score_influences(columns, scores, y, y2, level, weight) for weight in weights]
    return LevelSums(bend, line, own)


def _sum_of_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum over the first axis of the products, float64."""
    return np.einsum("krm,krm->rm", left, right).astype(np.float64)


def _score_influences(
    columns: ScoreColumns,
    scores: np.ndarray,
    y: np.ndarray,
    y2: np.ndarray,
    level: Level,
    weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Influences of samples on weighted sums over targets of B and L, each ``(R, n)``.

    V depends on a sample's weight directly and through the leverages, whose derivative is minus the squared
    entries of the hat matrix.
    """
    k, n_regulators, m = scores.shape
    basis = columns.basis
    weight = weight.astype(y.dtype)
    weighted = scores * weight
    with_y = (weighted.reshape(-1, m) @ y).reshape(k, n_regulators, -1).transpose(1, 0, 2).astype(np.float64)
    among = np.matmul(weighted.transpose(1, 0, 2), scores.transpose(1, 2, 0)).astype(np.float64)
    total = (weight @ y2).astype(np.float64)
    by_line = basis[:, 0] * (2 * with_y[:, 0] - basis[:, 0] * among[:, :1, 0])
    by_curve = np.einsum("rkn,rkn->rn", basis, 2 * with_y - np.matmul(among, basis))
    # weighted sums over targets of u_i^2 / (1 - h_i)
    left = (total - by_curve) * columns.leverage_weight
    columns_of = [level.covariates.T[None].repeat(n_regulators, axis=0), basis[:, :1], basis[:, 1:]]
    through = []
    for used in range(1, 4):
        design = np.concatenate(columns_of[:used], axis=1)
        spread = np.matmul(design * left[:, None], design.transpose(0, 2, 1))
        through.append(np.einsum("rkn,rkn->rn", design, np.matmul(spread, design)))
    bend = by_curve - by_line - (basis[:, 1:] ** 2).sum(axis=1) * left + through[2] - through[1]
    line = by_line - basis[:, 0] ** 2 * left + through[1] - through[0]
    return bend, line


def _cluster_sums(columns: ScoreColumns, y: np.ndarray, level: Level, weights: list[np.ndarray]) -> LevelSums:
    """The same with replicates: variances and influences from the scores of whole replicates."""
    n_regulators, k, _ = columns.basis.shape
    m = len(y)
    scores = (columns.with_y @ y.T).reshape(k, n_regulators, m)
    variance = np.zeros((k, n_regulators, m))
    slices = level.cluster_slices()
    own = [(np.zeros((n_regulators, len(slices))), np.zeros((n_regulators, len(slices)))) for _ in weights]
    information = np.zeros((len(slices), k, n_regulators))
    for code, rows in enumerate(slices):
        if rows.stop == rows.start:
            continue
        part = columns.basis[:, :, rows]
        gram = np.matmul(part, part.transpose(0, 2, 1))  # (R, k, k)
        of_y = (np.ascontiguousarray(columns.with_y[:, rows]) @ y[:, rows].T).reshape(k, n_regulators, m)
        fitted = np.matmul(gram.astype(y.dtype), scores.transpose(1, 0, 2)).transpose(1, 0, 2)
        rest = of_y - fitted
        information[code] = np.einsum("rkk->kr", gram)
        share = cluster_weight(gram)
        square = rest * rest * share.astype(y.dtype)[:, :, None]
        variance += square
        explained = scores * (of_y + rest)
        by_line = scores[0] * (2 * of_y[0] - gram[:, 0, 0, None].astype(y.dtype) * scores[0])
        bends = explained.sum(axis=0) - by_line - square[1:].sum(axis=0)
        lines = by_line - square[0]
        for weight, (bend, line) in zip(weights, own, strict=True):
            bend[:, code] = np.einsum("rm,rm->r", weight, bends)
            line[:, code] = np.einsum("rm,rm->r", weight, lines)
    for weight, (bend, line) in zip(weights, own, strict=True):
        total = np.einsum("rm,krm->kr", weight, variance)
        bend += np.einsum("kr,dkr->rd", total[1:], information[:, 1:])
        line += np.einsum("r,dr->rd", total[0], information[:, 0])
    squares = scores.astype(np.float64) ** 2 - variance
    return LevelSums(squares[1:].sum(axis=0), squares[0], own)


def cluster_weight(gram: np.ndarray) -> np.ndarray:
    """g_jj / (g_jj - sum_m g_jm^2) of one replicate, shape ``(k, R)``; 0 where it knows nothing."""
    own = np.einsum("rkk->kr", gram)
    left = own - np.einsum("rkl,rkl->kr", gram, gram)
    return np.where(own > 1e-12, own / np.maximum(left, np.maximum(FLOOR * own, 1e-300)), 0.0)


def score_target_influences(
    columns: ScoreColumns, y: np.ndarray, level: Level, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Influences of samples on sums over *regulators*, for every target.

    Returns
    -------
    Of what bends and line explain, before their variance is taken off and the norm of y left out, each of
    shape ``(m, n)``.
    """
    n_regulators, k, n = columns.basis.shape
    m = len(y)
    flat = columns.with_y[: k * n_regulators]
    scores = (flat @ y.T).reshape(k, n_regulators, m) * counted.astype(y.dtype)
    basis = columns.basis.astype(y.dtype).transpose(1, 0, 2)

    def explained(first: int) -> np.ndarray:
        """Explained by the columns before this one: 2 y'fit - fit^2, summed over regulators."""
        fit = scores[:first].reshape(-1, m).T @ basis[:first].reshape(-1, n)
        pairs = triangle(first)
        products = np.concatenate([basis[j] * basis[other] * (1 if j == other else 2) for j, other in pairs])
        coefficients = np.concatenate([scores[j] * scores[other] for j, other in pairs])
        return np.asarray(2 * y * fit - coefficients.T @ products, dtype=np.float64)

    by_line = explained(1)
    return explained(k) - by_line, by_line

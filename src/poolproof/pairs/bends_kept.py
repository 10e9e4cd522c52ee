"""What takes the place of nu in the bend of counts, so that no bend is taken for its own noise.

The variance of the mean of psi over cells, tr(nu Omega), holds the bend itself: where psi_i = N_i d + noise,
d the slopes of the bends, its share of n d'N d is what the few cells that carry N carry of it. So with W in
the place of nu, in g'W g and in tr(W Omega) alike, W is chosen such that what is left is n d'N d, whatever d.
Noise without a bend still cancels, whatever its law, as the same W stands in both (derived here).

With q the orthonormal polynomials of degrees 2 and 3 in the observed fraction, psi_i = n C q_i q_i'C'd, C C'
= N, and W = C^-T V C^-1, this is V - K(V) = 1, K(V) = sum_i w_i q_i q_i'V q_i q_i' - V / n, w the weight of a
cell. With replicates, q_i q_i' is the sum of a replicate less its share p of the unit matrix, and w = 1 / (1
- p). K is symmetric; its eigenvalues are cut at `MOST`.
"""

from __future__ import annotations

import numpy as np

from .count_kernels import by_stratum
from .design import Level

MOST = 0.75
"""Largest share of a bend that is put back: four times as much is then made of what is seen."""
_ROOT = 2**0.5
_UNITS = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1 / _ROOT], [1 / _ROOT, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
"""Symmetric matrices of unit length: how V is written as a vector."""


def without_own_bend(
    fraction: np.ndarray, size: np.ndarray, degree: np.ndarray, weight: np.ndarray, level: Level
) -> np.ndarray:
    """W_22, W_23, W_33 of a block of regulators, shape ``(3, R)``; 0 where a degree does not count.

    Parameters
    ----------
    fraction
        Observed fractions of the regulators, shape ``(R, n)``.
    size
        N_22, N_23, N_33, shape ``(3, R)``.
    degree
        Highest degree that counts, shape ``(R,)``: 3, 2, or less (none).
    weight
        Weights of the cells in Omega, shape ``(R, n)``.
    level
        Its strata are centred apart.
    """
    counts = np.stack([degree >= 2, degree >= 3]).astype(np.float64)
    q = _polynomials(fraction, level) * counts[:, :, None]
    if level.clusters is None:
        kept = np.stack([q[0] ** 2, _ROOT * q[0] * q[1], q[1] ** 2])
        lost = np.einsum("arn,brn->rab", kept * weight, kept) - np.eye(3) / fraction.shape[1]
    else:
        lost = _lost_in_replicates(q, level)
    value, vector = np.linalg.eigh(lost)
    back = 1 / (1 - np.clip(value, 0.0, MOST))
    every = np.einsum("rak,rk,rbk->rab", vector, back, vector)
    v = np.einsum("ra,aij->ijr", every @ np.array([1.0, 0.0, 1.0]), _UNITS)
    inverse = _inverse_factor(size, counts)
    w = np.einsum("jir,jkr,klr->ilr", inverse, v, inverse)
    return np.stack([w[0, 0], w[0, 1], w[1, 1]])


def _polynomials(fraction: np.ndarray, level: Level) -> np.ndarray:
    """Degrees 2 and 3, orthonormal to what is below, shape ``(2, R, n)``; 0 where they add nothing."""
    sizes = np.bincount(level.strata)
    basis: list[np.ndarray] = []
    for _ in range(3):
        column = fraction if not basis else basis[0] * basis[-1]
        for _ in range(2):  # one pass loses orthogonality
            column = column - (by_stratum(column, sizes) / sizes)[:, level.strata]
            for before in basis:
                column = column - np.einsum("rn,rn->r", before, column)[:, None] * before
        length = np.sqrt(np.einsum("rn,rn->r", column, column))[:, None]
        basis.append(np.where(length > 0, column / np.where(length > 0, length, 1.0), 0.0))
    return np.stack(basis[1:])


def _lost_in_replicates(q: np.ndarray, level: Level) -> np.ndarray:
    """K as a matrix, shape ``(R, 3, 3)``, where variances come from sums over replicates."""
    n = q.shape[2]
    result = np.zeros((q.shape[1], 3, 3))
    for rows in level.cluster_slices():
        share = (rows.stop - rows.start) / n
        inside = np.einsum("arn,brn->rab", q[:, :, rows], q[:, :, rows]) - share * np.eye(2)
        turned = np.einsum("rab,jbc,rcd->rjad", inside, _UNITS, inside)
        result += np.einsum("rjad,iad->rij", turned, _UNITS) / (1 - min(share, 0.95))
    return result


def _inverse_factor(size: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """C^-1, C lower triangular with C C' = N, shape ``(2, 2, R)``; 0 for degrees that do not count."""
    n22, n23, n33 = size
    second = np.sqrt(np.where(counts[0] > 0, n22, 1.0))
    below = n23 / second
    third = np.sqrt(np.where(counts[1] > 0, n33 - below**2, 1.0))
    return np.stack(
        [
            np.stack([counts[0] / second, np.zeros_like(second)]),
            np.stack([-counts[1] * below / (second * third), counts[1] / third]),
        ]
    )

"""What takes the place of nu in the bend of counts, so that no bend is taken for its own noise.

The variance of the mean of psi over cells, tr(nu Omega), holds the bend itself: where psi_i = N_i d + noise,
d the slopes of the bends, it holds of n d'N d what the few cells that carry N carry of it. So with W in the
place of nu, in g'W g and in tr(W Omega) alike, W is chosen such that n d'N d is left, whatever d. Noise
without a bend still cancels, whatever its law, as the same W stands in both (derived here).

With q the orthonormal polynomials of degrees 2 and 3 in the observed fraction, S = q q' of a cell (summed
over the cells of a replicate), p its share of the cells and w its weight in Omega, psi = n C S C'd, C C' = N.
So W = C^-T V C^-1, with V - K(V) = 1, K(V) = sum w (S - p) V (S - p). K is symmetric; its eigenvalues are
cut at `MOST`. Symmetric matrices are written as their entries 11, 12, 22.
"""

from __future__ import annotations

import numpy as np

from .count_kernels import by_stratum
from .design import Level

MOST = 0.75
"""Largest share of a bend that is put back: four times as much is then made of what is seen."""
UNIT = np.array([1.0, 0.0, 1.0])
_LENGTH = np.array([1.0, 2.0**0.5, 1.0])
"""Scale of the entries in which K is a symmetric matrix."""


def bends_kept(
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
    s = np.stack([q[0] * q[0], q[0] * q[1], q[1] * q[1]])
    share = np.full(s.shape[2], 1 / s.shape[2])
    if level.clusters is not None:
        slices = level.cluster_slices()
        share = np.array([rows.stop - rows.start for rows in slices]) * share[0]
        s = np.stack([s[:, :, rows].sum(axis=2) for rows in slices], axis=2)
        weight = np.broadcast_to(1 / (1 - np.minimum(share, 0.95)), s.shape[1:])
    lost = (sandwich(s - UNIT[:, None, None] * share) * weight).sum(axis=3).transpose(2, 0, 1)
    return put_back(lost, size, counts)


def put_back(lost: np.ndarray, size: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """W_22, W_23, W_33 from K and from N_22, N_23, N_33.

    Parameters
    ----------
    lost
        K as a matrix that acts on the entries of V, shape ``(R, 3, 3)``.
    size
        Shape ``(3, R)``.
    counts
        1 for degrees 2 and 3 where they count, else 0, shape ``(2, R)``.
    """
    value, vector = np.linalg.eigh(lost * _LENGTH[:, None] / _LENGTH)
    back = np.einsum("rak,rk,rbk->rab", vector, 1 / (1 - np.clip(value, 0.0, MOST)), vector)
    return _in_units_of_bends((back @ (UNIT * _LENGTH) / _LENGTH).T, size, counts)


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


def sandwich(t: np.ndarray) -> np.ndarray:
    """T V T as a matrix that acts on the entries of V, shape ``(3, 3, ...)``; ``t``: entries, ``(3, ...)``.

    Examples
    --------
    >>> sandwich(np.array([1.0, 2.0, 0.0])) @ [1.0, 0.0, 0.0]      # [[1, 2], [2, 0]] [[1, 0], [0, 0]] ...
    array([1., 2., 4.])
    """
    a, b, c = t
    return np.array([[a * a, 2 * a * b, b * b], [a * b, a * c + b * b, b * c], [b * b, 2 * b * c, c * c]])


def _in_units_of_bends(v: np.ndarray, size: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """C^-T V C^-1 of entries of V, shape ``(3, R)``."""
    n22, n23, n33 = size
    second = np.sqrt(np.where(counts[0] > 0, n22, 1.0))
    below = np.where(counts[1] > 0, n23 / second, 0.0)
    third = np.sqrt(np.where(counts[1] > 0, n33 - below**2, 1.0))
    i, k, j = counts[0] / second, -below / (second * third), counts[1] / third  # of C^-1: 11, 21, 22
    return np.stack([i * i * v[0] + 2 * i * k * v[1] + k * k * v[2], j * (i * v[1] + k * v[2]), j * j * v[2]])

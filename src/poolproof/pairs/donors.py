"""Leave-one-replicate-out spread of sums over replicates (donors), right also where these differ in size.

Centring the sums of donors at their plain mean takes a difference in size for spread: with 8 donors of 40 to
1,200 cells no relation, however strong, could stand out. Leaving one donor out at a time does not: with h its
share, the total without it, scaled up, differs from the total s by (s_d - h s) / (1 - h).

References
----------
Bell, R. M. and McCaffrey, D. F. (2002). Bias reduction in standard errors for linear regression with
multi-stage samples. *Survey Methodology* 28:169-181 (the jackknife form, CR3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arrays import add
from .design import Level
from .score_kernels import WEAK

MAX_SHARE = 0.9
"""Largest share of a whole that one replicate is taken to hold."""
N_SPARE = 3
"""Replicates that a test needs beyond its parameters; by their effective number, 1."""


@dataclass(frozen=True, eq=False)
class Shares:
    """How much of what is known of a regulator comes from each replicate."""

    share: np.ndarray
    """From 0 to `MAX_SHARE`, shape ``(D, R, 1)``."""
    df: np.ndarray
    """Degrees of freedom of the spread, shape ``(R, 1)``; D - 1 for equal shares."""
    effective: np.ndarray
    """Effective number of replicates, 1 / sum of squared shares, shape ``(R, 1)``."""

    def left_out(self, sums: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(s_d - h s) / (1 - h) of every replicate's sums, each of shape ``(R, m)``."""
        total = add(sums)
        return [(value - h * total) / (1 - h) for value, h in zip(sums, self.share, strict=True)]


def shares_of(sizes: np.ndarray, spread: np.ndarray) -> Shares:
    """Shares of replicates: the mean of their shares of the cells and of the spread of the regulator.

    Parameters
    ----------
    sizes
        Cells of each replicate, shape ``(D,)``, positive.
    spread
        Its sum of squares of the regulators, shape ``(D, R)``; an estimate, which may be below 0.

    Notes
    -----
    The degrees of freedom lie half-way between D - 1 and those of Satterthwaite for independent cells, the
    variance of a residual being proportional to h / (1 - h). Affine truths, 6 to 20 donors that differ up to
    30-fold in size: size .02 to .08 at 5 %, up to .003 at .1 %; with D - 1 up to .12 and .009.

    Examples
    --------
    >>> equal = shares_of(np.array([50, 50, 50, 50]), np.ones((4, 1)))
    >>> equal.share.ravel(), equal.df, equal.effective
    (array([0.25, 0.25, 0.25, 0.25]), array([[3.]]), array([[4.]]))
    """
    n = len(sizes)
    of_cells = (sizes / sizes.sum())[:, None]
    whole = spread.sum(axis=0)
    of_spread = np.clip(spread / np.where(whole > 0, whole, np.inf), 0, MAX_SHARE)
    share = np.where(whole > 0, (of_cells + of_spread) / 2, np.minimum(of_cells, MAX_SHARE))
    weight = share / (1 - share)
    satterthwaite = weight.sum(axis=0) ** 2 / (weight**2).sum(axis=0) - 1
    df = np.minimum((satterthwaite + n - 1) / 2, n - 1)
    effective = share.sum(axis=0) ** 2 / (share**2).sum(axis=0)
    return Shares(share[:, :, None], df[:, None], effective[:, None])


def enough_replicates(sizes: np.ndarray, n_parameters: int) -> bool:
    """Whether replicates of these sizes are enough to test so many parameters.

    Examples
    --------
    >>> enough_replicates(np.array([100, 100, 100, 100, 100]), 2)
    True
    >>> enough_replicates(np.array([4000, 50, 50, 50, 50]), 2)
    False
    """
    if len(sizes) < n_parameters + N_SPARE:
        return False
    return bool(sizes.sum() ** 2 >= (n_parameters + 1) * (sizes.astype(np.float64) ** 2).sum())


def replicate_sizes(level: Level) -> np.ndarray:
    """Cells of each replicate that has any, shape ``(D,)``."""
    return np.array([n for rows in level.cluster_slices() if (n := rows.stop - rows.start)])


def bends_left_out(
    sums: list[tuple[int, list[np.ndarray], np.ndarray]], shares: Shares, b: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """By how much leaving out each replicate changes n times g_2 and g_3; and the two totals.

    Without a replicate the slope is b - e / V, V = n V1, e = (A - b H) / (1 - H / V) with its sums A of a_1
    and H of H_11, and the k_j change with it: together by R_j e / V beyond the replicate's own psi_j.
    """
    spread = add(own[2] for _, _, own in sums)
    changes = []
    for _, a, own in sums:
        left = 1 - np.clip(ratio(own[2], spread), 0, MAX_SHARE)
        slope = ratio(a[0] - b * own[2], spread) / left
        changes.append([a[j + 1] + (slope - b) * own[j] for j in range(2)])
    totals = [add(a[j + 1] - b * own[j] for _, a, own in sums) for j in range(2)]
    first, second = (
        [(change[j] - h * totals[j]) / (1 - h) for change, h in zip(changes, shares.share, strict=True)]
        for j in range(2)
    )
    return first, second, totals


def jackknife(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    """Covariance of two totals by the jackknife: what leaving out each of D replicates changes."""
    return add(v * w for v, w in zip(first, second, strict=True)) * ((len(first) - 1) / len(first))


def hotelling(
    first: list[np.ndarray], second: list[np.ndarray], totals: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """T2 = s'M^-1 s, M the jackknife spread of two totals s; and where M is nearly singular."""
    s1, s2 = totals
    d = len(first)
    m11, m12, m22 = jackknife(first, first), jackknife(first, second), jackknife(second, second)
    determinant = m11 * m22 - m12 * m12
    weak = (determinant < WEAK * m11 * m22) | (m11 * d < WEAK * s1 * s1) | (m22 * d < WEAK * s2 * s2)
    return ratio(m22 * s1 * s1 - 2 * m12 * s1 * s2 + m11 * s2 * s2, determinant), weak


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The first over the second; 0 where that is not above 0."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)


def inverse_root(value: np.ndarray) -> np.ndarray:
    """1 over the square root; 0 where that is not above 0."""
    nothing = np.finfo(value.dtype).tiny ** 0.5  # what is smaller is 0, and the square of its inverse inf
    safe = np.where(value > nothing, value, 1)
    return np.where(value > nothing, 1 / np.sqrt(safe), 0)


def bound_from_replicates(
    tilts: list[np.ndarray], rises: list[np.ndarray], inverse_r: np.ndarray, inverse_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances of the sizes r and B of bend and line and their covariance, from the changes of both."""
    if len(tilts) < 2:
        return np.zeros_like(inverse_r), np.zeros_like(inverse_r), np.zeros_like(inverse_r)
    return (
        jackknife(tilts, tilts) * inverse_r**2,
        jackknife(rises, rises) * inverse_b**2,
        jackknife(tilts, rises) * inverse_r * inverse_b,
    )

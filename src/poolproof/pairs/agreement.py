"""A second bound for count pairs called affine: the robust one, which sees what degrees 1 to 3 cannot.

The corrected test looks along degrees 1 to 3: a switch between two levels can have a share beyond the margin
of which they see a third. Splines of the observed fraction see it, flattened by the counting noise of x. So a
pair is affine only where both bounds say so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._arrays import add
from ..basis import N_COLUMNS
from .calls import Z_UPPER, share_upper
from .count_kernels import CountDepth, CountFeatures, CountTargets, by_stratum
from .design import Level
from .score_kernels import Moments, bound_pieces, level_features, level_moments

LEAST_RELIABLE = 0.05
FLATTENED = 4
"""Degrees beyond the line from which on the corrected test is blind to a switch: 5 against 1."""


def reliability(x: np.ndarray, features: CountFeatures, depth: CountDepth, level: Level) -> np.ndarray:
    """Share of the variance of observed fractions that is not counting noise, shape ``(R,)``."""
    sizes = np.bincount(level.strata)
    share = x / depth.falling(1)
    unit = share.mean(axis=1, keepdims=True)
    share = share / np.where(unit > 0, unit, 1)
    mean = (by_stratum(share, sizes) / sizes)[:, level.strata]
    observed = ((share - mean) ** 2).sum(axis=1) / max(len(level.rows) - len(sizes), 1)
    found = features.variance / np.where(observed > 0, observed, np.inf)
    return np.clip(found, LEAST_RELIABLE, 1.0)


def with_strata(level: Level) -> Level:
    """The level with the means of its strata to be projected out, and cells that count as independent."""
    sizes = np.bincount(level.strata)
    if len(sizes) == 1:
        return replace(level, clusters=None)
    dummies = (np.eye(len(sizes)) / np.sqrt(sizes))[level.strata]
    constant = np.full((len(level.rows), 1), len(level.rows) ** -0.5)
    rest = np.linalg.svd(dummies - constant @ (constant.T @ dummies), full_matrices=False)[0]
    return replace(level, covariates=np.hstack([constant, rest[:, :-1]]), clusters=None)


def smooth_upper(
    x: list[np.ndarray],
    targets: list[CountTargets],
    levels: list[Level],
    reliable: list[float],
    usable: np.ndarray,
) -> np.ndarray:
    """Robust upper bound of the non-linear share of one regulator, the noise of x allowed for.

    Parameters
    ----------
    x
        Observed fractions of the regulator in each level, shape ``(n,)``.
    targets
        m targets in each level, float64.
    levels
        As :func:`with_strata` gives them.
    reliable
        Of each level, see :func:`reliability`.
    usable
        Which level counts for which target, shape ``(n_levels, m)``.

    Returns
    -------
    Shape ``(m,)``.

    Notes
    -----
    Counting noise flattens the variance along degree j by about the j-th power of the reliability rho of x.
    The corrected test sees degrees 1 to 3, and what it misses of a switch, which is odd about its middle,
    begins at degree 5: so its size against the line is at least rho^-4 times what is seen.
    """
    parts = []
    for values, of, level, rho, use in zip(x, targets, levels, reliable, usable, strict=True):
        if not use.any():
            continue
        features = level_features(values[:, None], level, test="robust", k=N_COLUMNS)
        moments = level_moments(features, of.centred, level, test="robust", k=N_COLUMNS)
        parts.append(weighted(moments, use[None] * 1.0, rho))
    return upper_of(parts)[0]


def upper_of(parts: list[Moments]) -> np.ndarray:
    """The bound from the moments of all levels, as :func:`weighted` gives them, shape ``(R, m)``."""
    line = add(of.b**2 for of in parts)
    gain = add(s * s for of in parts for s in of.s)
    pieces = bound_pieces(parts, gain, line, 0)
    return share_upper(np.sqrt(gain), np.sqrt(line), *pieces, Z_UPPER)


def weighted(of: Moments, use: np.ndarray, reliable: float) -> Moments:
    """Moments of a level where it counts, the bends enlarged by what noise has flattened."""
    bend = reliable ** (-FLATTENED / 2)
    size = [1.0] + [bend] * len(of.s)
    return Moments(
        of.b * use,
        [s * use * bend for s in of.s],
        {(i, j): value * use * (size[i] * size[j]) for (i, j), value in of.variance.items()},
    )

"""Bounds of the non-linear share of count pairs from independent cells, where they are wanted (method 7.2).

Both tests need half of the columns of a regulator, the bound all. Of most pairs no bound is asked for: so
what it needs beside the tests is multiplied for the pairs that want one, or for whole blocks where many do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from .._arrays import add, as_slice
from .calls import share_upper
from .count_estimates import CountLevel, CountMoments, bound_pieces, with_bound
from .count_kernels import CountFeatures, CountTargets
from .design import Level
from .outcome import Outcome

Z_COUNTS = 1.959963984540054
"""Quantile of the bound of the share for counts (method 7.2)."""
MANY = 0.03
"""Share of the pairs of a block from which on bounds are taken of all."""
TARGETS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Counted:
    """What the tests of R regulators x m targets leave for their bounds, each list by level."""

    features: list[CountFeatures]
    targets: list[CountTargets]
    moments: list[CountMoments]
    estimates: list[CountLevel]
    usable: np.ndarray
    """Shape ``(n_levels, R, m)``."""

    def at(self, row: int, columns: np.ndarray) -> Counted:
        """That of one regulator and some targets."""
        return Counted(
            [of.take(np.array([row])) for of in self.features],
            [of.take(as_slice(columns)) for of in self.targets],
            [of.at(row, columns) for of in self.moments],
            [of.at(row, columns) for of in self.estimates],
            self.usable[:, row, columns][:, None],
        )


def put_bounds(
    result: Outcome, wanted: np.ndarray, levels: tuple[Level, ...], weights: list[float], of: Counted
) -> None:
    """Put bounds into an outcome where they are wanted, ``(R, m)``; elsewhere they stay as they are."""
    if wanted.mean() > MANY:
        every = uppers(levels, weights, of)
        result.share_upper = np.where(wanted, every, result.share_upper)
        return
    for r in np.flatnonzero(wanted.any(axis=1)).tolist():
        mine = np.flatnonzero(wanted[r])
        for low in range(0, len(mine), TARGETS_AT_ONCE):
            at = mine[low : low + TARGETS_AT_ONCE]
            result.share_upper[r, at] = uppers(levels, weights, of.at(r, at))[0]


def uppers(levels: tuple[Level, ...], weights: list[float], of: Counted) -> np.ndarray:
    """Bounds of pairs, shape ``(R, m)``."""
    parts = zip(of.features, of.targets, levels, of.moments, strict=True)
    moments = [with_bound(*part) for part in parts]
    return uppers_of(levels, weights, of.features, moments, of.estimates, of.usable)


def uppers_of(
    levels: tuple[Level, ...],
    weights: list[float],
    features: list[CountFeatures],
    moments: list[CountMoments],
    estimates: list[CountLevel],
    usable: np.ndarray,
) -> np.ndarray:
    """Bounds of pairs from all their moments, shape ``(R, m)``."""
    total = partial(in_levels, usable)
    weighted = list(zip(weights, estimates, strict=True))
    line = total([w * e.line for w, e in weighted])
    bend = total([w * e.bend for w, e in weighted])
    n = sum(len(level.rows) for level in levels)
    parts = zip(features, moments, estimates, strict=True)
    pieces = bound_pieces(parts, weights, total, line, bend, n)
    return where_resolved(features, usable, bend, size_upper(bend, line, pieces, Z_COUNTS))


def size_upper(
    bend: np.ndarray,
    line: np.ndarray,
    pieces: tuple[np.ndarray, np.ndarray, np.ndarray],
    z: float | np.ndarray,
) -> np.ndarray:
    """The bound from the variances of p_y along bend and line; estimates below 0 count as 0."""
    return share_upper(np.sqrt(np.maximum(bend, 0)), np.sqrt(line), *pieces, z)


def where_resolved(
    features: list[CountFeatures], usable: np.ndarray, bend: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Bounds, or 1 where the counts of a level do not resolve degree 3."""
    degrees = [np.broadcast_to(f.degree[:, None] == 3, bend.shape) * 1.0 for f in features]
    resolved = in_levels(usable, degrees) == usable.sum(axis=0)
    return np.where(resolved & np.isfinite(bend), upper, np.ones((), dtype=upper.dtype))


def in_levels(usable: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    """Sum over the levels in which a pair can be tested, shape ``(R, m)``.

    ``usable`` has shape ``(n_levels, R, m)``.
    """
    return add(np.where(use, part, 0) for use, part in zip(usable, parts, strict=True))

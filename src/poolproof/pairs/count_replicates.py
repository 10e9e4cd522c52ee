"""Tests and bound of count pairs by leaving out whole replicates (method 6.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._arrays import add
from .calls import minus_log_sf
from .count_estimates import CountLevel
from .design import Level
from .donors import (
    bends_left_out,
    bound_from_replicates,
    enough_replicates,
    hotelling,
    inverse_root,
    jackknife,
    ratio,
    replicate_sizes,
    shares_of,
)
from .outcome import NullLaw

N_BENDS = 2
LOOKED_AT = -np.log(0.05)
"""The same of -ln p, with replicates."""

Guard = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""Guards the statistics of a level where a mask says so."""

ReplicateSums = list[tuple[int, list[np.ndarray], np.ndarray]]
"""As :func:`~poolproof.pairs.count_estimates.cluster_sums` gives them."""

SumsOf = Callable[[int], ReplicateSums]
"""Those of a level."""

Pieces = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Variance of the size of the bend, of the line, and their covariance."""


@dataclass(frozen=True, eq=False)
class Replicates:
    """Replicates of every level."""

    levels: tuple[Level, ...]
    weights: list[float]
    """Shares of the levels in all cells."""
    donors: list[np.ndarray]
    """Cells of each replicate."""
    enough: list[bool]
    """Whether there are enough for the tests."""

    @staticmethod
    def of(levels: tuple[Level, ...], weights: list[float]) -> Replicates:
        """Count them."""
        donors = [replicate_sizes(level) for level in levels]
        return Replicates(levels, weights, donors, [enough_replicates(sizes, N_BENDS) for sizes in donors])


def replicate_laws(
    replicates: Replicates,
    estimates: list[CountLevel],
    usable: np.ndarray,
    line: np.ndarray,
    bend: np.ndarray,
    guard: Guard,
    sums_of: SumsOf,
) -> tuple[tuple[NullLaw, NullLaw], np.ndarray, Pieces, np.ndarray, np.ndarray, np.ndarray]:
    """Tests and bound by leaving out whole replicates; Bonferroni joins levels, which share them.

    Last, where their spread is nearly singular, so that float32 is not enough; and the degrees of
    freedom of the bound.
    """
    shape = line.shape
    lam = [np.zeros(shape), np.zeros(shape)]
    n_tests = np.zeros(shape)
    statistic = np.zeros(shape)
    weak = np.zeros(shape, dtype=bool)
    df_bound = np.full(shape, np.inf)
    bends: dict[int, np.ndarray] = {}
    lines: dict[int, np.ndarray] = {}
    for i, (use, w, e, level, sizes, enough) in enumerate(
        zip(
            usable,
            replicates.weights,
            estimates,
            replicates.levels,
            replicates.donors,
            replicates.enough,
            strict=True,
        )
    ):
        if not enough:
            continue
        sums = sums_of(i)
        shares = shares_of(sizes, np.stack([own[2, :, 0] for _, _, own in sums]))
        use = use & (shares.effective >= N_BENDS + 1)
        slopes = shares.left_out([a[0] for _, a, _ in sums])
        t2, nearly = hotelling(*bends_left_out(sums, shares, e.b))
        weak |= use & nearly
        statistic_level = t2 * (shares.df + 1 - N_BENDS) / (N_BENDS * shares.df)
        lam_bend = minus_log_sf(statistic_level * N_BENDS, N_BENDS, shares.df + 1 - N_BENDS)
        modelled = guard(i, np.full(shape, np.inf), use & (lam_bend > LOOKED_AT))
        lam_bend = np.where(
            np.isinf(modelled), lam_bend, np.minimum(lam_bend, minus_log_sf(modelled, N_BENDS))
        )
        whole = add(a[0] for _, a, _ in sums)
        lam_line = minus_log_sf(ratio(whole**2, jackknife(slopes, slopes)), 1, shares.df)
        statistic = np.where(use & (lam_bend > lam[0]), statistic_level, statistic)
        lam = [
            np.where(use, np.maximum(old, new), old)
            for old, new in zip(lam, (lam_bend, lam_line), strict=True)
        ]
        n_tests += use
        df_bound = np.where(use, np.minimum(df_bound, shares.df), df_bound)
        d2, d3 = e.direction
        tilts = [
            d2 * (a[1] - e.b * own[0])
            + d3 * (a[2] - e.b * own[1])
            - (d2 * d2 * own[3] + 2 * d2 * d3 * own[4] + d3 * d3 * own[5]) / 2
            for _, a, own in sums
        ]
        rises = [e.b * (a[0] - e.b * own[2] / 2) for _, a, own in sums]
        share = w / len(level.rows)
        for of, parts in ((bends, tilts), (lines, rises)):
            for (code, _, _), part in zip(sums, shares.left_out(parts), strict=True):
                of[code] = of.get(code, 0) + np.where(use, share * part, 0)
    laws = [NullLaw(np.maximum(value - np.log(np.maximum(n_tests, 1)), 0), None) for value in lam]
    pieces = bound_from_replicates(
        list(bends.values()), list(lines.values()), inverse_root(bend), inverse_root(line)
    )
    return (laws[0], laws[1]), statistic, pieces, n_tests > 0, weak, df_bound

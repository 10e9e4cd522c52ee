"""What is said of typical pairs, at even steps of their names or of their strength."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from .collection import Columns
from .outcome import Engine
from .quick_scores import QuickScores
from .screening import INCONCLUSIVE, Screen
from .table import detectable_gain

POWER = 0.8
TYPICAL_PAIRS = 128
"""Pairs that the statement of power looks at."""


def spread_pairs(result: Screen, genes: np.ndarray) -> np.ndarray:
    """Choose associated pairs at even steps of their names; a mask of shape ``(R, m)``.

    For what is said of typical pairs where not all rows are kept.
    """
    associated = result.calls >= INCONCLUSIVE
    rows = np.argsort(genes[result.regulators].astype(str), kind="stable")
    columns = np.argsort(genes[result.targets].astype(str), kind="stable")
    ends = np.cumsum(associated.sum(axis=1)[rows])
    chosen = np.zeros(associated.shape, dtype=bool)
    for position in np.unique(np.linspace(0, ends[-1] - 1, TYPICAL_PAIRS).astype(int)):
        at = int(np.searchsorted(ends, position, side="right"))
        mine = columns[associated[rows[at], columns]]
        chosen[rows[at], mine[position - (ends[at] - len(mine))]] = True
    return chosen


def detectable_share(
    columns: Columns, engine: Engine, p_cut: float, quick: QuickScores | None = None
) -> float | None:
    """The non-linear share that a typical associated pair would show with power .8 (method 7.4).

    The median over rows at even steps of strength, so that neither draws nor gene order matter. With
    replicates nothing is said: a few of them do not estimate the variance of the scores well enough.
    """
    associated = np.flatnonzero(columns["call"] >= INCONCLUSIVE)
    if len(associated) == 0:
        return None
    at = associated[np.unique(np.linspace(0, len(associated) - 1, TYPICAL_PAIRS).astype(int))]
    level = stats.chi2.isf(min(max(p_cut, 1e-300), 0.5), engine.bend_df)
    gain = detectable_gain(engine, columns, at, quick) * special.chndtrinc(level, engine.bend_df, 1 - POWER)
    return median(gain / (gain + columns["r2_linear"][at]))


def median(values: np.ndarray) -> float | None:
    """The median of the finite values; None where there is none."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None

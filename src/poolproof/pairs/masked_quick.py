"""Blocks of pairs with missing values for compiled loops, where these are to be had; see `masked_compiled`.

A row of the block is a regulator. What the loops say is not sure is left to the kernels of numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from ..basis import spline_bases
from .design import Level
from .growing_noise import BURSTY, OFFSETS, least, lowered
from .score_kernels import Moments, columns_for, triangle

COMPILED_FROM = 5e7
"""Pairs of genes times samples from which on it is worth while to compile loops, once."""
DESIGNS_BYTES = 1e8
"""What designs of regulators that may be asked for again may take."""
_PADDED = 8
"""Samples are filled up, with missing ones, to a multiple of this: whole vectors of the processor."""


@cache
def compiled() -> Any:
    """The compiled loops, or None where numba is not installed."""
    if find_spec("numba") is None:
        return None
    return import_module(".masked_compiled", __package__)


class DesignOf(NamedTuple):
    """One regulator in one level of n samples, filled up."""

    known: np.ndarray
    """1 where it is known, else 0, shape ``(n,)``."""
    x: np.ndarray
    """Its values, 0 where missing, shape ``(n,)``."""
    rows: np.ndarray
    """Covariates and basis, 0 where missing, shape ``(q, n)``."""
    products: np.ndarray
    """Products of two of them, those of `triangle`, shape ``(q (q + 1) / 2, n)``."""
    n_columns: int
    """Columns of the basis."""


class Designs:
    """Designs of regulators, kept as they are asked for tile by tile of targets; as many as memory allows."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[tuple[int, int], DesignOf] = {}

    def of(self, regulators: np.ndarray, index: int, x: np.ndarray, level: Level, k: int) -> list[DesignOf]:
        """Those of some regulators with values ``(R, n)`` in a level, the one of this index."""
        found = []
        for gene, row in zip(regulators.tolist(), x, strict=True):
            kept = self._kept.get((gene, index))
            if kept is None:
                kept = design_of(row, level, k)
                if len(self._kept) >= self._most:
                    self._kept.clear()
                self._kept[gene, index] = kept
            found.append(kept)
        return found


@dataclass(frozen=True, eq=False)
class QuickLevel:
    """R regulators and m targets in one level."""

    moments: Moments
    norm: np.ndarray
    """Centred norm of the target on the samples of the pair, shape ``(R, m)``."""
    n: np.ndarray
    """These samples, shape ``(R, m)``."""
    n_columns: np.ndarray
    """Columns of the basis of each regulator, shape ``(R,)``."""
    used: np.ndarray
    """Those left on the samples of the pair, shape ``(R, m)``."""
    bursty: np.ndarray
    """Whether the second test of bends may be asked, shape ``(R, m)``."""
    sure: np.ndarray
    """Whether products are enough, shape ``(R, m)``."""
    designs: list[DesignOf]
    """Of the regulators."""
    values: np.ndarray
    """Targets, any value where missing, shape ``(m, n)``."""
    present: np.ndarray
    """Where they are known, shape ``(m, n)``."""
    n_nuisance: int

    def lower(self, value: np.ndarray, wanted: np.ndarray) -> None:
        """Lower robust scores ``(R, m)`` of pairs that are wanted, in place; see `lowered`."""
        bounds = least(np.arange(int(self.used.max(initial=0)) + 1), replicates=False)
        high = wanted & self.bursty & (self.used > 1) & (value > bounds[self.used])
        for r in np.flatnonzero(high.any(axis=1)).tolist():
            at = np.flatnonzero(high[r])
            of = self.designs[r]
            found, sure = np.empty((2, len(at))), np.empty(len(at), dtype=bool)
            pairs = of.known, self.present @ of.products.T, self.values, self.present, at
            answers = found[0], found[1], sure
            compiled().second_tests(of.x, of.rows, self.n_nuisance, *pairs, OFFSETS, *answers)
            self.sure[r, at[~sure]] = False
            at, (second, doubt) = at[sure], found[:, sure]
            value[r, at] = lowered(value[r, at], second, doubt, self.used[r, at])


def quick_level(
    designs: list[DesignOf],
    values: np.ndarray,
    present: np.ndarray,
    wanted: np.ndarray,
    n_nuisance: int,
    k: int,
) -> QuickLevel:
    """Robust scores of regulators and targets with missing values, every pair on its complete samples.

    Parameters
    ----------
    designs
        Of the regulators.
    values, present
        Targets, any value where missing, and where they are known, shape ``(m, n)``.
    wanted
        Pairs to look at, shape ``(R, m)``; of the others there are scores of 0.
    """
    n_regulators, m = wanted.shape
    n_pairs = k * (k + 1) // 2
    values, present = filled_up(values), filled_up(present)
    score, more = np.zeros((n_regulators, k, m)), np.zeros((n_regulators, 5, m))
    variance, null = np.zeros((2, n_regulators, n_pairs, m))
    sure = np.zeros(wanted.shape, dtype=bool)
    for r, of in enumerate(designs):
        at = np.flatnonzero(wanted[r])
        found = [np.empty((of.shape[1], len(at))) for of in (score, variance, null, more)]
        sure_of_row = np.empty(len(at), dtype=bool)
        pairs = of.known, present @ of.products.T, values, present, at
        compiled().robust_moments(of.rows, n_nuisance, *pairs, *found, sure_of_row)
        for whole, part in zip((score, variance, null, more), found, strict=True):
            whole[r][:, at] = part
        sure[r, at] = sure_of_row
    moments = Moments(
        score[:, 0],
        [score[:, j] for j in range(1, k)],
        {pair: variance[:, place] for place, pair in enumerate(triangle(k))},
        {pair: null[:, place] for place, pair in enumerate(triangle(k))},
        fourth=more[:, 0],
    )
    n = more[:, 2].astype(np.int64)
    used = more[:, 3].astype(np.int64)
    bursty = more[:, 4] > BURSTY
    n_columns = np.array([of.n_columns for of in designs])
    return QuickLevel(
        moments, more[:, 1], n, n_columns, used, bursty, sure, designs, values, present, n_nuisance
    )


def design_of(x: np.ndarray, level: Level, k: int) -> DesignOf:
    """Make a regulator with values ``(n,)``, NaN where missing, ready."""
    there = ~np.isnan(x)
    n, p = int(there.sum()), level.covariates.shape[1]
    basis, n_columns = spline_bases(x[there][:, None], columns_for(n, k))
    rows = np.zeros((p + k, len(x)))
    rows[:p, there] = level.covariates[there].T
    rows[p : p + basis.shape[1], there] = basis[0]
    rows = filled_up(rows)
    products = np.stack([rows[i] * rows[j] for i, j in triangle(len(rows))])
    known, values = filled_up(np.stack([there, np.where(there, x, 0.0)]))
    return DesignOf(known, values, rows, products, int(n_columns[0]))


def filled_up(values: np.ndarray) -> np.ndarray:
    """Rows filled up with samples of zeros.

    Examples
    --------
    >>> filled_up(np.ones((2, 10))).shape
    (2, 16)
    """
    return np.pad(np.asarray(values, dtype=np.float64), ((0, 0), (0, -values.shape[1] % _PADDED)))

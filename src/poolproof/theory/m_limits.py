"""Many cells: the covariances of pools, and the partial correlations that they leave (science 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._random import stream
from ..aggregation import Aggregation
from ..models.laws import Law
from ..models.scm import SCM
from .witness import axis_functions

N_REPEATS = 16
N_CELLS = 2**17
"""Cells of one repeat, where moments have no closed form."""
SMALLEST_REST = 1e-6
"""Product of standard deviations given others, relative to that without: below, rounding correlates."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of one cell, or what pooling makes of them."""

    covariances: np.ndarray
    """Shape (n_repeats, n_genes, n_genes); one repeat where they are exact."""
    exact: bool

    def partial_correlation(self, x: int, y: int, given: Sequence[int]) -> tuple[float, float]:
        """Partial correlation of genes x and y given others, and its standard error (0 if exact).

        Examples
        --------
        >>> Moments(np.array([[[1.0, 0.5], [0.5, 1.0]]]), True).partial_correlation(0, 1, [])
        (0.5, 0.0)
        """
        chosen = [x, y, *given]
        values = np.array([_partial(c[np.ix_(chosen, chosen)]) for c in self.covariances])
        if self.exact or len(values) == 1:
            return float(values[0]), 0.0
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _partial(covariance: np.ndarray) -> float:
    """Partial correlation of the first two of several variables given the others."""
    a, b, c = covariance[:2, :2], covariance[:2, 2:], covariance[2:, 2:]
    if len(c):
        a = a - b @ np.linalg.lstsq(c, b.T, rcond=1e-12)[0]
    size = np.sqrt(max(a[0, 0], 0.0) * max(a[1, 1], 0.0))
    scale = np.sqrt(covariance[0, 0] * covariance[1, 1])
    return float(np.clip(a[0, 1] / size, -1, 1)) if size > SMALLEST_REST * scale else np.nan


def pool_moments(scm: SCM, aggregation: Aggregation, cells: int | Law, seed: int) -> Moments | None:
    """Covariances of pools up to a factor, as the number of cells grows; None where there is no algebra.

    Sums and means of alike, independent cells have the covariances of one cell. A random number nu adds
    Var(nu)/E(nu) m m' to sums; shares of a total are linearised at their means.

    Parameters
    ----------
    scm
        The model of one cell.
    aggregation
        How cells are pooled. A monotone map changes no independence and is left out.
    cells
        Cells in a pool, or their law.
    seed
        Of the cells that are drawn where moments have no closed form.
    """
    linear = aggregation.inner or aggregation
    if linear.kind == "other":
        return None
    on_axis = linear.kind == "quasi-arithmetic"
    if scm.is_affine and not scm.cell_types and not on_axis:
        mean, covariance = scm.affine_moments()
        means, covariances, exact = mean[None], covariance[None], True
    else:
        draws = [_drawn(scm, linear, seed, i) for i in range(N_REPEATS)]
        means, covariances = (np.array([d[i] for d in draws]) for i in (0, 1))
        exact = False
    if linear.kind == "composition":
        return Moments(np.array([_closed(m, c) for m, c in zip(means, covariances, strict=True)]), exact)
    if isinstance(cells, Law) and not linear.divides_by_cells and linear.kind == "linear":
        factor = cells.variance / cells.mean
        covariances = covariances + factor * means[:, :, None] * means[:, None, :]
    return Moments(covariances, exact)


def _drawn(scm: SCM, aggregation: Aggregation, seed: int, repeat: int) -> tuple[np.ndarray, np.ndarray]:
    values = scm.sample(N_CELLS, stream(seed, "cell moments", repeat))
    values = axis_functions(aggregation)[0](values)
    return values.mean(axis=0), np.cov(values, rowvar=False).reshape(values.shape[1], -1)


def _closed(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Covariance of shares S / total for many cells, by linearisation at the means, up to a factor."""
    share = mean / mean.sum()
    change = (np.eye(len(mean)) - share[:, None]) / mean.sum()
    return change @ covariance @ change.T

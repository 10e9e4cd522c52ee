"""The matched affine floor for counts: genes made affine, molecule by molecule.

The factors of :mod:`~poolproof.pairs.floor_kernels` come from fractions, counts over totals, less the mean of
each stratum. Their counting noise is no bias there, as the two halves of the genes do not share it. A bend c
of the fraction of a gene is taken off its counts: where c > 0 each molecule stays with probability 1 - c / m,
m being what the line expects, where c < 0 molecules are added at the rate -c; so counts remain counts, with
their own depth and counting noise.
"""

from __future__ import annotations

import numpy as np

from .count_engine import CountTest
from .count_kernels import CountDepth, factorial_moment
from .floor_kernels import FactorCurves

LEAST_RATE = 0.05
"""Smallest fraction that a line may expect, as a share of the gene's mean."""


def straight_counts(
    counts: np.ndarray,
    depth: CountDepth,
    expected: np.ndarray,
    bends: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Take bends off counts.

    Parameters
    ----------
    counts
        Molecules, shape ``(n, n_genes)``.
    depth
        Of the cells.
    expected
        Fractions that the lines expect, above 0, shape ``(n, n_genes)``.
    bends
        What to take off, in fractions, same shape.

    Returns
    -------
    Counts, same shape.
    """
    stays = np.clip(1 - np.maximum(bends, 0) / expected, 0.0, 1.0)
    kept = generator.binomial(counts.astype(np.int64), stays)
    return kept + _molecules(np.maximum(-bends, 0.0), depth, generator)


def _molecules(rate: np.ndarray, depth: CountDepth, generator: np.random.Generator) -> np.ndarray:
    """Draw counts of these fractions, shape ``(n, n_genes)``: of the cells' totals, or Poisson."""
    if depth.known:
        return generator.poisson(rate * depth.total[:, None]).astype(np.float64)
    cells = np.broadcast_to(np.round(depth.total).astype(np.int64)[:, None], rate.shape)
    return generator.binomial(cells, np.minimum(rate, 1.0)).astype(np.float64)


def affine_counts(
    expected: np.ndarray, spread: np.ndarray, depth: CountDepth, generator: np.random.Generator
) -> np.ndarray:
    """Draw counts with affine equations: gamma noise about the lines, then molecules of the same totals.

    Parameters
    ----------
    expected
        Fractions that the lines expect, above 0, shape ``(n, n_genes)``.
    spread
        Squared coefficient of variation of each gene's own noise, shape ``(n_genes,)``.
    depth
        Of the cells.
    """
    shape = 1 / np.maximum(spread, 1e-6)
    rate = expected * generator.gamma(shape, 1 / shape, size=expected.shape)
    return _molecules(rate, depth, generator)


def own_spread(counts: np.ndarray, depth: CountDepth, expected: np.ndarray) -> np.ndarray:
    """Squared coefficient of variation of each gene's noise about its line, counting noise left out.

    Parameters
    ----------
    counts, depth, expected
        As above.

    Notes
    -----
    E[p^2] = E[X (X - 1) / (T (T - 1))] = E[m^2] (1 + spread), m the fraction that the line expects.
    """
    square = (factorial_moment(counts, 2) / depth.falling(2)[:, None]).mean(axis=0)
    return np.maximum(square / (expected**2).mean(axis=0) - 1, 0.0)


class CountTable:
    """Counts of some genes, level by level, and how to test what is made of them."""

    def __init__(self, engine: CountTest, genes: np.ndarray) -> None:
        self.source, self.genes = engine, genes
        self.values = [engine.counts_of(genes, level).T for level in engine.levels]
        self._total = [depth.falling(1) for depth in engine.depth]

    def residuals(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Fractions of every level less the mean of their stratum."""
        parts = zip(values, self._means(values), self._total, strict=True)
        return [of / total[:, None] - mean for of, mean, total in parts]

    def _means(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Mean fraction of the stratum of every cell, shape ``(n, n_genes)`` each."""
        means = []
        for of, level, total in zip(values, self.source.levels, self._total, strict=True):
            sizes = np.bincount(level.strata)
            member = (level.strata[:, None] == np.arange(len(sizes))).astype(np.float64)
            means.append((member.T @ (of / total[:, None]) / sizes[:, None])[level.strata])
        return means

    def _expected(self, values: list[np.ndarray], curves: list[FactorCurves]) -> list[np.ndarray]:
        parts = zip(self._means(values), curves, strict=True)
        return [np.maximum(mean + of.lines, LEAST_RATE * mean + 1e-12) for mean, of in parts]

    def straight(
        self, values: list[np.ndarray], curves: list[FactorCurves], generator: np.random.Generator
    ) -> list[np.ndarray]:
        """Counts without the bends."""
        parts = zip(values, self.source.depth, self._expected(values, curves), curves, strict=True)
        return [straight_counts(of, depth, at, curve.bends, generator) for of, depth, at, curve in parts]

    def copy(
        self, straight: list[np.ndarray], curves: list[FactorCurves], generator: np.random.Generator
    ) -> list[np.ndarray]:
        """Counts with affine equations, noise, depth and molecules drawn anew."""
        parts = zip(straight, self.source.depth, self._expected(straight, curves), strict=True)
        return [affine_counts(at, own_spread(of, depth, at), depth, generator) for of, depth, at in parts]

    def engine(self, values: list[np.ndarray]) -> CountTest:
        """The same test of other counts."""
        source = self.source
        n_rows = max(level.rows.max() for level in source.levels) + 1
        counts, totals = np.zeros((n_rows, len(self.genes))), np.ones(n_rows)
        for of, level, total in zip(values, source.levels, self._total, strict=True):
            counts[level.rows] = of
            totals[level.rows] = total
        return CountTest(
            counts,
            totals,
            source.depth[0].known,
            source.design,
            overdispersion=source.overdispersion,
            dtype=np.float64,
        )

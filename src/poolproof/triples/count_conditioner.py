"""Residuals given the molecules of the middle gene: partial correlations without sampling noise (method 8.3).

Noise in the middle gene destroys every conditional independence, so the ends are conditioned on its
fraction p of the cell's molecules, along degrees 1 and 2, by the factorial moments of `_counts`. Covariances
are those of fractions too: E X Z / (T (T - 1)) = E p_x p_z. Every estimate has its influence per cell:
with residuals e of the observed fractions and b, g the slopes of an end along P_1 and P_2,
``e_x e_z + b_x b_z O_1 + (b_x g_z + g_x b_z) O_2 + g_x g_z O_3``, O_1 = H_11 - P_1^2, O_2 = R_2 - P_1 P_2,
O_3 = Q_22 - P_2^2. Its mean square is one matrix product with 3 n + 3 columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pairs.count_engine import CountTest
from ..pairs.count_kernels import CountDepth, CountTargets, CountTerms, by_stratum, count_terms
from ..pairs.design import Level
from .partial import WORKING_BYTES, Downdate, Given, Replicates, Spread, Squares

CLEAR = 2.0
"""Standard errors of its variance that an end must have left beside the middle gene."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One level: the ends beside the middle gene."""

    level: Level
    ends: CountTargets
    depth: CountDepth
    terms: CountTerms
    share: float
    """Share of the cells used that this level has."""
    slopes: tuple[np.ndarray, np.ndarray]
    """b and g of every end, shape ``(m,)``."""
    sizes: tuple[float, float]
    """V_1 and N_22."""

    def downdate(self, degree: int) -> np.ndarray:
        """Coefficients whose products are taken from the covariances, shape ``(m, degree)``."""
        columns = [b * np.sqrt(v * self.share) for b, v in zip(self.slopes, self.sizes, strict=True)]
        return np.stack(columns[:degree], axis=1)

    def residuals(self, degree: int) -> np.ndarray:
        """Residuals of the observed fractions, shape ``(m, n)``."""
        e = self.ends.centred.copy()
        for j in range(degree):
            e -= self.slopes[j][:, None] * self.terms.p[j, 0].astype(e.dtype)
        return e

    def own(self) -> np.ndarray:
        """O_1, O_2, O_3 of every cell, shape ``(3, n)``."""
        p1, p2 = self.terms.p[0, 0], self.terms.p[1, 0]
        r2, _, h11, q22 = self.terms.own[:4, 0]
        return np.stack([h11 - p1 * p1, r2 - p1 * p2, q22 - p2 * p2])


class CountConditioner:
    """Conditions on the fraction of any gene, as the count-noise-corrected test sees it."""

    def __init__(self, test: CountTest) -> None:
        self._test = test
        self.n_genes = test.n_genes
        self.most_ends = max(64, int(WORKING_BYTES / (8 * test.n_samples * 14)))
        self.end_status = test.target_status
        self.status = test.regulator_status  # which asks for more replicates than is needed here

    def bases_of(self, middle: np.ndarray) -> dict[int, Any]:
        """Nothing: factorial moments are quickly made."""
        return {}

    def ready_of(self, middle: np.ndarray, ends: list[np.ndarray], dtype: type) -> dict[int, Any]:
        """Nothing."""
        return {}

    def given(
        self, middle: int, ends: np.ndarray, dtype: type, *, listed: bool = False, ready: Any = None
    ) -> Given | None:
        """Condition ends on a middle gene; None where it has too few counts in every level."""
        parts = self._parts(middle, ends, dtype)
        if not parts:
            return None
        variance = sum(part.share * part.ends.variance.astype(np.float64) for part in parts)
        error = np.sqrt(sum((part.share * part.ends.error.astype(np.float64)) ** 2 for part in parts))
        testable = np.any([part.ends.testable for part in parts], axis=0)
        n = sum(len(part.level.rows) for part in parts)
        downdates = []
        for degree in (1, 2):
            a = np.concatenate([part.downdate(degree) for part in parts], axis=1)
            left = variance - (a.astype(np.float64) ** 2).sum(axis=1)
            inverse: np.ndarray = (np.where(testable & (left > CLEAR * error), left, np.nan) ** -0.5).astype(
                dtype
            )
            downdates.append(Downdate(inverse, a * inverse[:, None], self._spread(parts, degree, inverse, n)))
        spread: np.ndarray = (np.where(variance > 0, variance, np.nan) ** -0.5).astype(dtype)
        columns = [fraction_columns(part.ends, part.depth, part.level) for part in parts]
        left, right = (np.concatenate(of, axis=1) for of in zip(*columns, strict=True))
        return Given(ends, (left / dtype(n), right), spread, downdates[0], downdates[1], n)

    def _parts(self, middle: int, ends: np.ndarray, dtype: type) -> list[_Part]:
        test = self._test
        found = []
        for i, (level, depth) in enumerate(zip(test.levels, test.depth, strict=True)):
            counts = test.counts_of(np.array([middle]), level)
            terms = count_terms(counts, depth, level, overdispersion=test.overdispersion)
            if terms.degree[0] >= 2:
                found.append((i, level, depth, terms))
        n = sum(len(level.rows) for _, level, _, _ in found)
        blocks = test.target_blocks(ends, dtype) if found else []
        parts = []
        for i, level, depth, terms in found:
            block = blocks[i]
            v1, n22 = float(terms.own_mean[2, 0]), float(terms.own_mean[3, 0])
            sums = by_stratum(terms.f[:2, 0] - terms.p[:2, 0], np.bincount(level.strata))
            moments = block.centred @ terms.f[:2, 0].T.astype(dtype) + block.mean.T @ sums.T.astype(dtype)
            b, g = (moments[:, j] / (len(level.rows) * v) for j, v in enumerate((v1, n22)))
            share = len(level.rows) / n
            parts.append(
                _Part(level, block, depth, terms, share, (b.astype(dtype), g.astype(dtype)), (v1, n22))
            )
        return parts

    def _spread(self, parts: list[_Part], degree: int, inverse: np.ndarray, n: int) -> Spread:
        if self._test.design.n_clusters:
            return _replicates(parts, degree, inverse, n)
        pairs = [_square_columns(part, degree, inverse, n) for part in parts]
        left, right = (np.concatenate([pair[i] for pair in pairs], axis=1) for i in range(2))
        return Squares(left, right, n)


def fraction_columns(of: CountTargets, depth: CountDepth, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Columns whose products are sums over cells of the covariances of fractions, sampling noise removed.

    X Z / (T (T - 1)), or X Z / s^2 with known s, less the product of the stratum's means as a U-statistic.
    """
    x, mean = of.centred, of.mean.T
    sizes = np.bincount(level.strata)
    tau = np.ones_like(depth.total) if depth.known else depth.total / (depth.total - 1)
    less_one = np.maximum(sizes - 1.0, 1.0)[level.strata]
    tied = by_stratum(x * tau.astype(x.dtype), sizes)
    excess = (by_stratum(tau, sizes) - sizes).astype(x.dtype)
    left = np.concatenate([x * (tau + 1 / less_one).astype(x.dtype), mean, tied + mean * excess], axis=1)
    return left, np.concatenate([x, tied, mean], axis=1)


def _square_columns(part: _Part, degree: int, inverse: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns whose products are a level's share of the mean square of the influence."""
    dtype = inverse.dtype
    o = part.own()
    gram = o @ o.T
    o = o.astype(dtype)
    e = part.residuals(degree) * inverse[:, None]
    b, g = (slope * inverse for slope in part.slopes)
    bb = b[:, None] * b[:, None]
    eb = e * b[:, None]
    if degree == 1:
        left = np.concatenate([e * e, 2 * eb * o[0], bb * dtype.type(gram[0, 0])], axis=1)
        return left / dtype.type(n), np.concatenate([e * e, eb, bb], axis=1)
    eg = e * g[:, None]
    f = np.stack([b * b, b * g, g * g], axis=1)
    fold = np.array(
        [
            [gram[0, 0], 2 * gram[0, 1], gram[1, 1]],
            [2 * gram[0, 1], 2 * gram[1, 1] + 2 * gram[0, 2], 2 * gram[1, 2]],
            [gram[1, 1], 2 * gram[1, 2], gram[2, 2]],
        ]
    ).astype(dtype)
    left = np.concatenate([e * e, 2 * (eb * o[0] + eg * o[1]), 2 * (eb * o[1] + eg * o[2]), f @ fold], axis=1)
    return left / dtype.type(n), np.concatenate([e * e, eb, eg, f], axis=1)


def _replicates(parts: list[_Part], degree: int, inverse: np.ndarray, n: int) -> Replicates:
    """Sums of the influence over each replicate, over all levels."""
    dtype = inverse.dtype
    columns: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    sizes: dict[int, int] = {}
    for part in parts:
        e = part.residuals(degree) * inverse[:, None]
        o = part.own()
        slopes = np.stack([slope * inverse for slope in part.slopes[:degree]], axis=1)
        for code, rows in enumerate(part.level.cluster_slices()):
            if rows.stop == rows.start:
                continue
            o1, o2, o3 = o[:, rows].sum(axis=1)
            fold = np.array([[o1, o2], [o2, o3]], dtype=dtype)[:degree, :degree]
            left = np.concatenate([e[:, rows], slopes @ fold], axis=1) / dtype.type(n)
            columns.setdefault(code, []).append((left, np.concatenate([e[:, rows], slopes], axis=1)))
            sizes[code] = sizes.get(code, 0) + rows.stop - rows.start
    return Replicates(
        tuple(
            (np.concatenate([v[0] for v in of], axis=1), np.concatenate([v[1] for v in of], axis=1))
            for _, of in sorted(columns.items())
        ),
        tuple(size for _, size in sorted(sizes.items())),
    )

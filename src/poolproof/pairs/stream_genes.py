"""Genes of cells that are read block by block: what a test of their pairs needs of each alone."""

from __future__ import annotations

import numpy as np

from .. import _names as names
from .count_engine import CountTest
from .count_kernels import MIN_HIGH, MIN_SEEN, CountFeatures, CountTargets, _enough
from .count_replicates import Replicates
from .design import Design
from .stream_kernels import (
    HIGH,
    MOMENTS,
    OWN_PAIRS,
    OWN_PLAIN,
    OWN_TERMS,
    OWN_WEIGHTED,
    PLAIN_SQUARE,
    PLAIN_TERM,
    PRODUCTS,
    REST,
    REST_OWN,
    REST_SQUARES,
    SEEN,
    SQUARES,
    SUM,
)
from .stream_sums import CellStream, fractions_of, gene_sums, total_of
from .workers import Runner


class StreamedGenes(CountTest):
    """The corrected test without its pairs; parameters as for its only kind, ``StreamedCountTest``."""

    def __init__(self, stream: CellStream, design: Design, overdispersion: float, run: Runner) -> None:
        self.design = design
        self.has_replicates = design.n_clusters > 0
        self.levels = design.levels
        self.overdispersion = overdispersion
        self.n_genes = stream.blocks.n_genes
        self.n = self.n_samples = sum(len(level.rows) for level in self.levels)
        self.weight = [len(level.rows) / self.n for level in self.levels]
        self._replicates = Replicates.of(self.levels, self.weight)
        self.stream = stream
        self.sums = gene_sums(stream, overdispersion, run)
        self.fractions = fractions_of(stream, self.sums)
        self.regulator_status, self.target_status = self._statuses()

    def _statuses(self) -> tuple[np.ndarray, np.ndarray]:
        regulator = np.full(self.n_genes, names.OK, dtype=object)
        target = regulator.copy()
        seen, varies, testable = (np.zeros(self.n_genes, dtype=bool) for _ in range(3))
        for i in range(len(self.levels)):
            strata = self.stream.strata(i)
            n = float(self.stream.sizes[strata].sum())
            of = self.sums.first[strata].sum(axis=0)
            varies |= of[SQUARES] / n - (of[SUM] / n) ** 2 > 1e-12 * of[SQUARES] / n
            seen |= of[SEEN] >= MIN_SEEN
            plain, square = (
                sum(total_of(self.sums, s, column, self.stream.sizes[s]) for s in strata) / n
                for column in (PLAIN_TERM, PLAIN_SQUARE)
            )
            error = np.sqrt(np.maximum(square - plain * plain, 0) / n)
            testable |= (of[HIGH] >= MIN_HIGH) & (plain > 2 * error)
        regulator[~testable] = names.TOO_FEW_COUNTS
        target[~seen] = names.TOO_FEW_COUNTS
        for status in (regulator, target):
            status[~varies] = names.CONSTANT
        if self.design.n_clusters and not any(self._replicates.enough):
            regulator[regulator == names.OK] = names.TOO_FEW_REPLICATES
        return regulator, target

    def level_features(self, level: int, genes: np.ndarray) -> CountFeatures:
        """Features of regulators in a level, without the columns of single cells."""
        strata, sums, sizes = self.stream.strata(level), self.sums, self.stream.sizes
        n = len(self.levels[level].rows)

        def of(columns: slice) -> np.ndarray:
            """Sums over each stratum, shape ``(c, R, n_strata)``."""
            return np.stack([total_of(sums, s, columns, sizes[s])[:, genes] for s in strata], axis=2)

        own = of(OWN_TERMS)
        mean = own.sum(axis=2) / n
        cov, weighted = (
            _symmetric(of(columns).sum(axis=2) / n) - mean[:, None] * mean[None]
            for columns in (OWN_PLAIN, OWN_WEIGHTED)
        )
        n_high = sums.first[strata, HIGH][:, genes].sum(axis=0).astype(np.int64)
        testable, degree = _enough(n_high, mean, cov, n)
        own_sum = np.zeros((*mean.shape, 0))
        if self.has_replicates:
            own_sum = np.zeros((*mean.shape, self.levels[level].n_clusters))
            for place, stratum in enumerate(strata):
                own_sum[:, :, self.stream.cluster_of[stratum]] += own[:, :, place]
        none = np.zeros((0, len(genes), 0))
        return CountFeatures(
            with_y=none,
            ff=none,
            d_sum=of(REST),
            dd_sum=of(REST_SQUARES),
            d_own_sum=of(REST_OWN),
            own_mean=mean,
            own_cov=weighted,
            own_sum=own_sum,
            variance=mean[2],
            n_high=n_high,
            testable=testable,
            degree=degree,
        )

    def level_targets(self, level: int) -> CountTargets:
        """All genes as targets in a level, without their values in single cells."""
        strata, sizes = self.stream.strata(level), self.stream.sizes
        n = len(self.levels[level].rows)
        term, square = (
            sum(total_of(self.sums, s, column, sizes[s]) for s in strata) / n
            for column in (OWN_TERMS.start + 2, OWN_PLAIN.start + OWN_PAIRS.index((2, 2)))
        )
        scale = (self.sums.unit[level] / self.fractions.unit) ** 2
        error = np.sqrt(np.maximum(square - term * term, 0) / n) * scale
        n_seen = self.sums.first[strata, SEEN].sum(axis=0).astype(np.int64)
        return CountTargets(
            centred=np.zeros((self.n_genes, 0)),
            mean=np.stack([self.fractions.moments[s][0] for s in strata]),
            variance=np.maximum(term * scale, 2 * error),
            error=error,
            n_seen=n_seen,
            testable=n_seen >= MIN_SEEN,
        )

    def gene_facts(self, factors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, variance and share of zeros of every gene, over size factors that go with the totals."""
        of = self.sums.first.sum(axis=0)
        total, square, unit = of[SUM], of[SQUARES], 1.0
        if factors is not None:
            total, square = of[MOMENTS.start], of[PRODUCTS.start]
            used = (factors > 0) & (self.stream.stratum >= 0)
            unit = float(np.median(self.stream.total[used] / factors[used]))
        mean = total / self.n
        variance = np.maximum(square - self.n * mean**2, 0) / max(self.n - 1, 1)
        return mean * unit, variance * unit**2, 1 - of[SEEN] / self.n


def _symmetric(values: np.ndarray) -> np.ndarray:
    """Upper triangles ``(21, R)`` as symmetric matrices ``(6, 6, R)``."""
    result = np.empty((6, 6, values.shape[1]))
    for place, (a, b) in enumerate(OWN_PAIRS):
        result[a, b] = result[b, a] = values[place]
    return result

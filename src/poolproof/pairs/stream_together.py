"""A few regulators against all targets: from products over the cells of a file to the numbers of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .bursts import Residuals, wald_from_sums
from .count_bounds import uppers_of
from .count_estimates import Products, assembled, level_estimates
from .count_kernels import CountBlock, CountTargets, seen_together
from .count_replicates import ReplicateSums
from .stream_found import row_by_row
from .stream_genes import StreamedGenes
from .stream_kernels import (
    CUBE,
    GUARD,
    LINE,
    MIXED,
    POWERS,
    SQUARE,
    UPPER_LINE,
    WITH_OWN,
    WITH_Y,
    WITH_Y2,
)
from .stream_products import LevelProducts
from .stream_sums import total_of


class Together:
    """A few regulators against all targets: from products to the numbers of their pairs."""

    def __init__(
        self,
        engine: StreamedGenes,
        genes: np.ndarray,
        targets: list[CountTargets],
        products: list[LevelProducts],
    ) -> None:
        self.engine, self.genes, self.targets, self.products = engine, genes, targets, products
        n_levels = len(engine.levels)
        self.features = [engine.level_features(i, genes) for i in range(n_levels)]
        self.whole = [self._whole(i) for i in range(n_levels)]
        self.moments = [
            assembled(f, t.mean, len(level.rows), of.products)
            for f, t, level, of in zip(self.features, targets, engine.levels, self.whole, strict=True)
        ]
        self.estimates = [level_estimates(f, m) for f, m in zip(self.features, self.moments, strict=True)]

    def numbers(self) -> np.ndarray:
        """`NUMBERS` and whether pairs are tested, shape ``(8, R, m)``."""
        engine = self.engine
        parts = zip(self.features, self.targets, engine.levels, strict=True)
        usable = np.stack([seen_together(f, t, len(level.rows)) for f, t, level in parts])
        usable &= (self.genes[:, None] != np.arange(engine.n_genes))[None]
        block = CountBlock(self.genes, self.features)
        of = engine._combine(block, self.targets, self.estimates, usable, self._guard, self._cluster_sums)
        if not engine.has_replicates:
            of.share_upper = uppers_of(
                engine.levels, engine.weight, self.features, self.moments, self.estimates, usable
            )
        values = (
            of.r2_linear,
            of.gain,
            of.share_upper,
            of.statistic,
            row_by_row(of.bend),
            row_by_row(of.association),
            engine._detectable(block, self.targets, self.estimates, usable),
            of.tested,
        )
        return np.stack([np.broadcast_to(value, of.gain.shape).astype(np.float64) for value in values])

    def _of_strata(self, level: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Of every stratum: its number, sums and empty columns of the regulators, moments of all."""
        sums = self.engine.sums
        for s in self.engine.stream.strata(level):
            yield (
                s,
                sums.second[s][:, self.genes],
                sums.empty[s][:, self.genes],
                self.engine.fractions.moments[s],
            )

    def _whole(self, level: int) -> _Whole:
        """Products over all cells of a level, from those with both genes and what is known of the others."""
        with_y, with_y2, with_y3 = (np.moveaxis(of, 2, 0).copy() for of in self.products[level][:3])
        y3 = with_y3[0]
        for _, of, empty, moment in self._of_strata(level):
            mean = moment[0]
            first = of[WITH_Y][:, :, None] * -mean
            first[MIXED] *= mean
            with_y += first
            with_y2 += of[WITH_Y2][:, :, None] * mean**2 + empty[WITH_Y2][:, :, None] * moment[1]
            y3 += of[0][:, None] * -(mean**3) + empty[0][:, None] * moment[2]
        n_square = SQUARE.stop - SQUARE.start
        products = Products(with_y[LINE], with_y2[:n_square], with_y[MIXED], with_y[WITH_OWN])
        return _Whole(
            products, with_y[CUBE], with_y[UPPER_LINE], with_y2[n_square], with_y2[n_square + 1], y3
        )

    def _cluster_sums(self, level: int) -> ReplicateSums:
        """See :func:`~poolproof.pairs.count_estimates.cluster_sums`."""
        features, result = self.features[level], []
        strata = self.engine.stream.strata(level)
        place = {int(s): i for i, s in enumerate(strata)}
        for code, found in self.products[level].by_cluster.items():
            totals = list(np.moveaxis(found, 2, 0).copy())
            for s, of, _, moment in self._of_strata(level):
                if self.engine.stream.cluster_of[s] != code:
                    continue
                for j in range(3):
                    totals[j] += (features.d_sum[j][:, place[int(s)]] - of[j])[:, None] * moment[0]
            result.append((code, totals, features.own_sum[:, :, code, None]))
        return result

    def _guard(self, level: int, wald: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Statistics of a level, guarded where bends look significant, in place; see ``bursts``."""
        engine, whole = self.engine, self.whole[level]
        n = len(engine.levels[level].rows)
        sizes = engine.stream.sizes
        strata = engine.stream.strata(level)
        guard = sum(total_of(engine.sums, s, GUARD, sizes[s])[:, self.genes] for s in strata)
        moments = np.asarray(guard).reshape(6, POWERS, -1) / n
        central = sum(engine.fractions.moments[s] for s in strata)
        mean = sum(sizes[s] * engine.fractions.moments[s][0] for s in strata) / n
        of, e = self.moments[level], self.estimates[level]
        line, cubes = whole.products.line[0], whole.cube
        for r in np.flatnonzero(wanted.any(axis=1)):
            at = np.flatnonzero(wanted[r])
            by_power = moments[:, :, r] * n
            x2, x4, high_x2 = by_power[0, 2], by_power[0, 4], by_power[1, 2]
            slope = line[r, at] / x2
            y2, y4 = central[1][at], central[3][at]
            upper = whole.upper[r, at]
            residuals = Residuals(
                y2 - 2 * slope * line[r, at] + slope**2 * x2,
                upper - 2 * slope * whole.upper_line[r, at] + slope**2 * high_x2,
                y4
                - 4 * slope * whole.y3[r, at]
                + 6 * slope**2 * whole.line_square[r, at]
                - 4 * slope**3 * cubes[r, at]
                + slope**4 * x4,
            )
            wald[r, at] = wald_from_sums(
                n,
                int(engine.sums.n_upper[level, self.genes[r]]),
                moments[:, :, r],
                slope,
                np.asarray(mean)[at],
                residuals,
                (of.mean[1][r, at], of.mean[2][r, at]),
                (e.omega[0][r, at], e.omega[1][r, at], e.omega[2][r, at]),
                (of.square[0, r, at], of.square[1, r, at], of.square[2, r, at]),
                wald[r, at],
            )
        return wald


class _Whole(NamedTuple):
    """Products over all cells of a level, shape ``(.., R, m)``."""

    products: Products
    cube: np.ndarray
    """F_1^3 with y~."""
    upper_line: np.ndarray
    """F_1 in the upper bin with y~."""
    line_square: np.ndarray
    """F_1^2 with y~^2."""
    upper: np.ndarray
    """The upper bin with y~^2."""
    y3: np.ndarray
    """F_1 with y~^3."""

"""The engine of the count-noise-corrected test (method 6.3): levels combined, replicates, statuses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import scipy.sparse as sp
from scipy import stats

from .. import _names as names
from .._arrays import as_slice, dense_columns
from ..data.expression import Expression
from .agreement import reliability, smooth_upper, with_strata
from .bursts import guard_block
from .count_bounds import Counted, in_levels, put_bounds, size_upper, where_resolved
from .count_estimates import (
    CountLevel,
    CountMoments,
    cluster_sums,
    count_moments,
    level_estimates,
)
from .count_kernels import (
    BENDS,
    COLUMNS,
    MIN_SEEN,
    CountBlock,
    CountDepth,
    CountTargets,
    count_features,
    count_targets,
    enough_counts,
    enough_together,
    factorial_moment,
)
from .count_replicates import N_BENDS, Guard, Replicates, ReplicateSums, SumsOf, replicate_laws
from .design import Design, Level
from .outcome import Either, NullLaw, Outcome
from .quick_counts import COMPILED_FROM, QuickBlock, loops, quick_features
from .settings import EngineSettings

CLOSE = 2e-3
"""Relative distance from the margin within which screening leaves a bound to float64."""
TARGETS_AT_ONCE = 256
AT_ONCE, QUICK_AT_ONCE = 28, 64
"""Regulators of a block, whose columns of the tests are multiplied together, where there are few cells."""
FEWEST, BLOCK_BYTES = 8, 1e8
"""Those where there are many; bytes of the columns of a block."""
SIGNIFICANT = 5.991464547107979
"""Statistic of a bend at 5 %: below it, it need not be guarded."""


class CountTest:
    """The count-noise-corrected test of all pairs.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_obs, n_genes)``, CSC or dense.
    total
        Total of each cell over all measured genes, or a known size factor, shape ``(n_obs,)``.
    known
        Whether ``total`` is a size factor known from elsewhere.
    design
        Levels, strata and replicates; only cells that may be used.
    overdispersion
        Squared coefficient of variation of technical noise beyond multinomial sampling.
    agree_below
        Where the upper bound of the share lies below this margin, it is the larger of this and the robust
        test's; see :mod:`poolproof.pairs.agreement`. 0: never.
    bound_p
        Where a screen wants bounds of strong pairs alone, it wants none above this p-value of association.
    """

    columns = COLUMNS
    quick = False
    """Whether compiled loops do the work."""
    at_once = FEWEST
    bend_df = float(N_BENDS)
    cuts_r2 = True
    untested_status = names.TOO_FEW_COUNTS

    @classmethod
    def of(
        cls, expression: Expression, design: Design, settings: EngineSettings, genes: np.ndarray | None = None
    ) -> CountTest:
        """The test of all genes of an expression, or of some."""
        total, known = expression.count_depth()
        return cls(
            expression.columns(genes),
            total,
            known,
            design,
            overdispersion=settings.overdispersion,
            agree_below=settings.agree_below,
            bound_p=settings.bound_p,
            dtype=settings.dtype,
            memory=settings.engine_memory,
        )

    def __init__(
        self,
        counts: np.ndarray | sp.csc_matrix,
        total: np.ndarray,
        known: bool,
        design: Design,
        *,
        overdispersion: float = 0.0,
        agree_below: float = 0.0,
        bound_p: float = 1.0,
        dtype: type = np.float32,
        memory: float = 1e9,
        chunk: int = 512,
    ) -> None:
        self._counts = counts
        self.agree_below = agree_below
        self.bound_p = bound_p
        self.design = design
        self.has_replicates = design.n_clusters > 0
        self.levels = design.levels
        self.overdispersion = overdispersion
        self.n_genes = counts.shape[1]
        self.depth = [
            CountDepth(np.asarray(total, dtype=np.float64)[level.rows], known) for level in self.levels
        ]
        self.n = self.n_samples = sum(len(level.rows) for level in self.levels)
        self.weight = [len(level.rows) / self.n for level in self.levels]
        self._kept: dict[np.dtype, list[CountTargets]] = {}
        self._projected = [with_strata(level) for level in self.levels] if agree_below else []
        self._replicates = Replicates.of(self.levels, self.weight)
        chunks = [np.arange(i, min(i + chunk, self.n_genes)) for i in range(0, self.n_genes, chunk)]
        self.unit = np.concatenate([self._unit(genes) for genes in chunks])
        for kept in {np.dtype(dtype), np.dtype(np.float64)}:
            if self.n * self.n_genes * kept.itemsize <= memory:
                parts = [self._targets(genes, kept.type) for genes in chunks]
                self._kept[kept] = [
                    CountTargets.join([part[i] for part in parts]) for i in range(len(self.levels))
                ]
                if kept == dtype and 2 * self.n * self.n_genes * kept.itemsize <= memory:
                    self._kept[kept] = [level.with_squares() for level in self._kept[kept]]
        self.regulator_status, self.target_status = self._status(chunks)

    def expect(self, n_pairs: int) -> None:
        """Have compiled loops do the work, where there are some and so many pairs repay it."""
        self.quick = loops() is not None and n_pairs * float(self.n) >= COMPILED_FROM
        most = QUICK_AT_ONCE if self.quick else AT_ONCE
        per_regulator = (8 + 4) * sum(COLUMNS.values()) * self.n
        self.at_once = max(FEWEST, min(most, int(BLOCK_BYTES / per_regulator)))

    def counts_of(self, genes: np.ndarray, level: Level) -> np.ndarray:
        """Counts of genes in a level, shape ``(len(genes), n)``, float64."""
        return np.ascontiguousarray(dense_columns(self._counts, genes)[level.rows].T)

    def counts_in_order(self, gene: int, rows: np.ndarray) -> np.ndarray:
        """Counts of one gene in these samples, shape ``(len(rows),)``."""
        return dense_columns(self._counts, np.array([gene]))[rows, 0]

    def _unit(self, genes: np.ndarray) -> np.ndarray:
        shares = [
            self.counts_of(genes, level) / depth.falling(1)
            for level, depth in zip(self.levels, self.depth, strict=True)
        ]
        spread = np.concatenate(shares, axis=1).std(axis=1)
        return np.where(spread > 0, spread, 1.0)

    def _targets(self, genes: np.ndarray, dtype: type) -> list[CountTargets]:
        return [
            count_targets(
                self.counts_of(genes, level), depth, level, self.unit[genes], dtype, self.overdispersion
            )
            for level, depth in zip(self.levels, self.depth, strict=True)
        ]

    def _status(self, chunks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        regulator = np.full(self.n_genes, names.OK, dtype=object)
        target = regulator.copy()
        for genes in chunks:
            seen = np.zeros(len(genes), dtype=bool)
            testable = np.zeros(len(genes), dtype=bool)
            varies = np.zeros(len(genes), dtype=bool)
            for level, depth in zip(self.levels, self.depth, strict=True):
                x = self.counts_of(genes, level)
                varies |= np.ptp(x, axis=1) > 0
                seen |= (x >= 1).sum(axis=1) >= MIN_SEEN
                testable |= enough_counts(x, depth, level)
            regulator[genes[~testable]] = names.TOO_FEW_COUNTS
            target[genes[~seen]] = names.TOO_FEW_COUNTS
            for status in (regulator, target):
                status[genes[~varies]] = names.CONSTANT
        if self.design.n_clusters and not any(self._replicates.enough):
            regulator[regulator == names.OK] = names.TOO_FEW_REPLICATES
        return regulator, target

    def curves(self, n_points: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """Line and curve of gene 1 on gene 0 in every testable level: name, fractions, line, curve.

        The best predictor of p_y along 1, p, p^2, p^3: ``ybar + b (p - mu_1) + d_2 P_2(p) + d_3 P_3(p)``.
        """
        features = self.features(np.array([0]))
        targets = self._targets(np.array([1]), np.float64)
        for f, t, level, depth in zip(features.levels, targets, self.levels, self.depth, strict=True):
            if not enough_together(f, t)[0, 0]:
                continue
            estimate = level_estimates(f, count_moments(f, t, level))
            x = self.counts_of(np.array([0]), level)[0]
            unit = float((x / depth.falling(1)).mean())
            moment = [1.0, *((factorial_moment(x, j) / unit**j / depth.falling(j)).mean() for j in (1, 2, 3))]
            h = [moment[1 + j] - moment[1] * moment[j] for j in (1, 2)]
            fourth = (factorial_moment(x, 4) / unit**4 / depth.falling(4)).mean()
            slope = (h[1] / h[0], (fourth - moment[1] * moment[3]) / h[0])
            p = np.linspace(
                np.quantile(x / depth.falling(1), 0.01), np.quantile(x / depth.falling(1), 0.99), n_points
            )
            z = p / unit
            scale = self.unit[1]
            line = float(t.mean.mean()) + float(estimate.b[0, 0]) * (z - moment[1])
            curve = line.copy()
            for d, j, k in zip(estimate.direction, BENDS, slope, strict=True):
                if np.isfinite(d[0, 0]):
                    curve = curve + float(d[0, 0]) * ((z**j - moment[j]) - k * (z - moment[1]))
            yield level.name, p, line * scale, curve * scale

    # --- the test -----------------------------------------------------------------------------------

    def features(self, regulators: np.ndarray) -> CountBlock:
        """Build the columns of a block of regulators, in every level, float64."""
        regulators = np.asarray(regulators)
        make = quick_features if self.quick else count_features
        built = [
            make(self.counts_of(regulators, level), depth, level, overdispersion=self.overdispersion)
            for level, depth in zip(self.levels, self.depth, strict=True)
        ]
        return CountBlock(regulators, built)

    def outcome(
        self,
        features: CountBlock,
        targets: np.ndarray | slice,
        dtype: type,
        *,
        exact: bool,
        bound_from: float = 0.0,
        again: np.ndarray | None = None,
    ) -> Outcome:
        """Test a block of regulators against targets."""
        blocks = self.target_blocks(targets, dtype)
        if self.quick and not exact and dtype == np.float32 and not self.has_replicates:
            return self._quick_outcome(features, blocks, np.arange(self.n_genes)[targets], bound_from)
        moments = [
            count_moments(f, t, level)
            for f, t, level in zip(features.levels, blocks, self.levels, strict=True)
        ]
        estimates = [level_estimates(f, m) for f, m in zip(features.levels, moments, strict=True)]
        usable = np.stack([enough_together(f, t) for f, t in zip(features.levels, blocks, strict=True)])
        genes = np.arange(self.n_genes)[targets]
        guard = partial(self._guard, features, moments, estimates, genes, again, exact)

        def sums_of(level: int) -> ReplicateSums:
            return cluster_sums(features.levels[level], blocks[level], self.levels[level])

        result = self._combine(features, blocks, estimates, usable, guard, sums_of)
        if not self.has_replicates:
            wanted = self._wanted(result, features, genes, bound_from)
            of_counts = Counted(features.levels, blocks, moments, estimates, usable)
            put_bounds(result, wanted, self.levels, self.weight, of_counts)
        self._agree(result, features, genes, usable, bound_from)
        return result

    def _quick_outcome(
        self, features: CountBlock, blocks: list[CountTargets], genes: np.ndarray, bound_from: float
    ) -> Outcome:
        """The same by compiled loops."""
        usable = np.stack([enough_together(f, t) for f, t in zip(features.levels, blocks, strict=True)])
        own = features.regulators[:, None] == genes
        itself = np.where(own.any(axis=1), own.argmax(axis=1), -1)
        of = QuickBlock(features.levels, blocks, self.levels, self.weight, usable, itself, SIGNIFICANT)
        n_levels = usable.sum(axis=0)
        df = n_levels if len(self.levels) > 1 else np.array([[1]])
        laws = NullLaw(of.sums.statistic, N_BENDS * df), NullLaw(of.sums.z2, df)
        result = self._outcome_of(of.sums.line, of.sums.bend, self._spread(blocks, usable), laws)
        result.statistic, result.tested, result.doubt = of.sums.statistic, n_levels > 0, of.sums.doubt
        result.share_upper = of.uppers(self._wanted(result, features, genes, bound_from))
        self._agree(result, features, genes, usable, bound_from)
        return result

    def _guard(
        self,
        features: CountBlock,
        moments: list[CountMoments],
        estimates: list[CountLevel],
        genes: np.ndarray,
        again: np.ndarray | None,
        exact: bool,
        level: int,
        wald: np.ndarray,
        wanted: np.ndarray,
    ) -> np.ndarray:
        """Statistics of a level, guarded where bends look significant (``wanted``); see `bursts`.

        Unless ``exact``, those that float64 must decide are left to it. ``wald`` is changed in place.
        """
        f, of, e = features.levels[level], moments[level], estimates[level]
        wanted = wanted & (features.regulators[:, None] != genes)
        if again is not None:
            wanted &= again
        if not exact:
            wanted &= ~e.doubt
        guard_block(
            wald,
            wanted,
            f.f,
            (e.omega, of.mean, of.square),
            np.bincount(self.levels[level].strata),
            lambda at: self.target_blocks(genes[at], np.float64)[level],
        )
        return wald

    def _wanted(
        self, result: Outcome, features: CountBlock, genes: np.ndarray, bound_from: float
    ) -> np.ndarray:
        """Pairs whose bound may matter to a call, shape ``(R, m)``."""
        wanted = np.broadcast_to(result.tested, result.gain.shape).copy()
        if bound_from <= 0:
            return wanted
        wanted &= (result.r2_spline >= bound_from) & (features.regulators[:, None] != genes)
        if self.bound_p < 1 and isinstance(result.association, Either):
            wanted &= result.association.may_reach(self.bound_p)
        return wanted

    def _agree(
        self,
        result: Outcome,
        features: CountBlock,
        genes: np.ndarray,
        usable: np.ndarray,
        bound_from: float,
    ) -> None:
        """Raise bounds below the margin to those of the robust test, where these are larger."""
        if not self.agree_below:
            return
        wanted = (result.share_upper < (1 + CLOSE) * self.agree_below) & (result.r2_spline >= bound_from)
        wanted &= result.tested & (features.regulators[:, None] != genes)
        for r in np.flatnonzero(wanted.any(axis=1)):
            regulator = features.regulators[r : r + 1]
            x = [self.counts_of(regulator, level) for level in self.levels]
            parts = zip(x, features.levels, self.depth, self.levels, strict=True)
            reliable = [float(reliability(v, f.take(np.array([r])), d, of)[0]) for v, f, d, of in parts]
            fractions = [v[0] / depth.falling(1) for v, depth in zip(x, self.depth, strict=True)]
            at = np.flatnonzero(wanted[r])
            for low in range(0, len(at), TARGETS_AT_ONCE):
                some = at[low : low + TARGETS_AT_ONCE]
                blocks = self.target_blocks(genes[some], np.float64)
                upper = smooth_upper(fractions, blocks, self._projected, reliable, usable[:, r, some])
                result.share_upper[r, some] = np.maximum(result.share_upper[r, some], upper)

    def target_blocks(self, targets: np.ndarray | slice, dtype: type) -> list[CountTargets]:
        """Targets in every level, kept or made."""
        kept = self._kept.get(np.dtype(dtype))
        if kept is not None:
            return [level.take(as_slice(targets)) for level in kept]
        return self._targets(np.arange(self.n_genes)[targets], dtype)

    def _combine(
        self,
        features: CountBlock,
        blocks: list[CountTargets],
        estimates: list[CountLevel],
        usable: np.ndarray,
        guard: Guard,
        sums_of: SumsOf,
    ) -> Outcome:
        """Add up the levels in which the pair can be tested; each has its own line and bends.

        The bound of the share is that from replicates; without any it stays at 1, see `count_bounds`.
        """
        total = partial(in_levels, usable)
        weighted = list(zip(self.weight, estimates, strict=True))
        line = total([w * e.line for w, e in weighted])
        bend = total([w * e.bend for w, e in weighted])
        n_levels = usable.sum(axis=0)
        doubt = total([e.doubt for e in estimates]) > 0
        if self.design.n_clusters:
            laws, statistic, pieces, tested, weak, df_bound = replicate_laws(
                self._replicates, estimates, usable, line, bend, guard, sums_of
            )
            doubt |= weak
            z = stats.t.ppf(0.975, np.maximum(df_bound, 1))
            upper = where_resolved(features.levels, usable, bend, size_upper(bend, line, pieces, z))
        else:
            tested = n_levels > 0
            df = n_levels if len(estimates) > 1 else np.array([[1]])
            walds = [
                guard(i, e.wald, use & (e.wald > SIGNIFICANT))
                for i, (e, use) in enumerate(zip(estimates, usable, strict=True))
            ]
            statistic = total(walds)
            laws = NullLaw(statistic, N_BENDS * df), NullLaw(total([e.z2 for e in estimates]), df)
            upper = np.ones_like(line)
        result = self._outcome_of(line, bend, self._spread(blocks, usable), laws)
        result.share_upper, result.statistic, result.tested, result.doubt = upper, statistic, tested, doubt
        return result

    def _spread(self, blocks: list[CountTargets], usable: np.ndarray) -> np.ndarray:
        """Variance of p_y over the levels in which the pair can be tested, shape ``(R, m)``."""
        parts = zip(self.weight, blocks, strict=True)
        return in_levels(usable, [np.broadcast_to(w * t.variance, usable.shape[1:]) for w, t in parts])

    def _outcome_of(
        self, line: np.ndarray, bend: np.ndarray, spread: np.ndarray, laws: tuple[NullLaw, NullLaw]
    ) -> Outcome:
        """Line and bend as shares of the variance of the target; bounds at 1, nothing tested, no doubt."""
        scale = np.where(spread > 0, spread, np.inf)
        scale = np.maximum(scale, line + np.where(np.isnan(bend), 0, bend))  # noise can put R2 above 1
        nothing = np.zeros(line.shape, dtype=bool)
        return Outcome(
            r2_linear=line / scale,
            gain=bend / scale,
            share_upper=np.ones_like(line),
            bend=laws[0],
            association=Either(laws),
            statistic=laws[0].value,
            n=np.array([[self.n]]),
            tested=nothing,
            doubt=nothing,
        )

    def detectable(self, features: CountBlock, targets: np.ndarray) -> np.ndarray:
        """Gain of unit non-centrality along an average direction: 2 / (n trace of Omega^-1 N)."""
        blocks = self.target_blocks(targets, np.float64)
        parts = zip(features.levels, blocks, self.levels, strict=True)
        estimates = [level_estimates(f, count_moments(f, t, level)) for f, t, level in parts]
        usable = np.stack([enough_together(f, t) for f, t in zip(features.levels, blocks, strict=True)])
        return self._detectable(features, blocks, estimates, usable)

    def _detectable(
        self,
        features: CountBlock,
        blocks: list[CountTargets],
        estimates: list[CountLevel],
        usable: np.ndarray,
    ) -> np.ndarray:
        information, spread = np.zeros(usable.shape[1:]), np.zeros(usable.shape[1:])
        for f, t, e, level, weight, enough in zip(
            features.levels, blocks, estimates, self.levels, self.weight, usable, strict=True
        ):
            use = (f.degree[:, None] >= 2) & enough
            n22, n23, n33 = (f.own_mean[i][:, None] for i in (3, 4, 5))
            o22, o23, o33 = e.omega
            with np.errstate(divide="ignore", invalid="ignore"):
                trace = (o33 * n22 - 2 * o23 * n23 + o22 * n33) / (o22 * o33 - o23 * o23)
            information += np.where(use & (trace > 0), len(level.rows) * trace / N_BENDS, 0)
            spread += np.where(enough, weight * t.variance, 0)
        possible = (information > 0) & (spread > 0)
        return np.where(possible, 1 / np.where(possible, information * spread, 1), np.nan)

"""The engine of the classical and the robust test (method 6.2): levels, missing values, statuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from scipy import stats

from .. import _names as names
from .._arrays import add
from ..basis import N_COLUMNS
from ..data.expression import Expression
from .calls import Z_UPPER, minus_log_sf, share_upper
from .design import Design, Level, n_effective, n_present
from .growing_noise import BURSTY, Regulators, concentration, least, lower_block
from .incomplete import Incomplete
from .line_law import common_line
from .outcome import Either, NullLaw, Outcome
from .replicate_kernels import spread_of
from .score_kernels import (
    STEEP,
    WEAK,
    LevelFeatures,
    Moments,
    Targets,
    bound_pieces,
    columns_for,
    level_features,
    level_moments,
    quadratic_form,
)
from .settings import EngineSettings

HIGH_LEVERAGE = 0.9
"""One sample that carries more of a regulator than this makes float32 products unsafe."""

MIN_EFFECTIVE = 3.0
"""Effective number of replicates below which few large ones decide, and the level is lost."""
SHARED = 1e-3
"""Variance of a coefficient over its square by replicates, below which float32 is not enough."""

_FLOOR = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-11}
"""Smallest pivot of a robust variance, relative to its diagonal entry."""


Ask = Callable[[int, np.ndarray, np.ndarray | None], None]
"""Looks again at the robust scores of a level, with replicates at their -ln p, and lowers them in place; what
is to be left to float64, if anything."""


@dataclass(frozen=True, eq=False)
class ScoreBlock:
    """Features of a block of regulators in every level."""

    regulators: np.ndarray
    levels: list[LevelFeatures]
    unsafe: np.ndarray
    """Regulators whose pairs float32 cannot decide, shape ``(R,)``."""
    exact: list[Regulators]
    """For the second test of bends, in every level; empty where none is made."""

    def take(self, chosen: np.ndarray) -> ScoreBlock:
        """The same for some regulators of the block."""
        levels = [level.take(chosen) for level in self.levels]
        exact = [level.take(chosen) for level in self.exact]
        return ScoreBlock(self.regulators[chosen], levels, self.unsafe[chosen], exact)

    def astype(self, dtype: type) -> ScoreBlock:
        """The same in another floating-point type, but for what the second test needs."""
        levels = [level.astype(dtype) for level in self.levels]
        return ScoreBlock(self.regulators, levels, self.unsafe, self.exact)


class ScoreTest:
    """Classical and robust tests of all pairs.

    Parameters
    ----------
    matrix
        Values on the tested scale, shape ``(n_obs, n_genes)``, dense or CSC; NaN where missing.
    factors
        Size factors by which samples are divided, shape ``(n_obs,)``, or None.
    design
        Levels, covariates and replicates.
    test
        ``classical`` or ``robust``.
    k
        Columns of a basis. With replicates at most a third of their effective number, and at least 2.
    memory
        Bytes that the scaled values of all genes may take, once in ``dtype`` and once in float64.
    """

    @classmethod
    def of(
        cls,
        expression: Expression,
        design: Design,
        settings: EngineSettings,
        genes: np.ndarray | None = None,
    ) -> ScoreTest:
        """The test of all genes of an expression, or of some."""
        return cls(
            expression.columns(genes),
            expression.size_factors,
            design,
            test=settings.test,
            k=settings.k,
            dtype=settings.dtype,
            memory=settings.engine_memory,
        )

    def __init__(
        self,
        matrix: np.ndarray | sp.csc_matrix,
        factors: np.ndarray | None,
        design: Design,
        *,
        test: str = "robust",
        k: int = N_COLUMNS,
        dtype: type = np.float32,
        memory: float = 1e9,
        chunk: int = 128,
    ) -> None:
        self.test = test
        self.design = design
        self.levels = design.levels
        if design.n_clusters:
            k = min(k, max(2, round(max(n_effective(level) for level in self.levels)) // 3))
        self.k = k
        self.n_genes = matrix.shape[1]
        self.targets = Targets(matrix, factors, design.levels)
        self.n_samples = len(self.targets.rows)
        genes = np.arange(self.n_genes)
        self.targets.prepare(dtype, memory, (genes[i : i + chunk] for i in range(0, self.n_genes, chunk)))
        self.cuts_r2 = False
        self.at_once = 0
        self.untested_status = names.TOO_FEW_SAMPLES
        self.has_replicates = design.n_clusters > 0
        self.asks_twice = test == "robust" or self.has_replicates
        self._incomplete = Incomplete(self.targets, design, test, k, self._combine)
        self.bend_df = float(sum(columns_for(len(level.rows), k) - 1 for level in self.levels))
        n_triangle = k * (k + 1) // 2
        simple = test == "classical" or design.n_clusters > 0
        self.columns = {"y": k} if simple else {"y": k + n_triangle, "y^2": n_triangle}
        self.target_status = self._target_status()
        self.regulator_status = self._regulator_status(chunk)

    def _target_status(self) -> np.ndarray:
        status = np.full(self.n_genes, names.OK, dtype=object)
        status[~self.targets.varies.any(axis=0)] = names.CONSTANT
        return status

    def _regulator_status(self, chunk: int) -> np.ndarray:
        """Levels of a gene decide whether it has a bend; replicates whether the bend can be tested."""
        status = self.target_status.copy()
        if self.design.n_clusters and not any(self._enough_replicates(level) for level in self.levels):
            status[status == names.OK] = names.TOO_FEW_REPLICATES
            return status
        if self.test == "classical" and self._residual_df(np.array([self.k]))[0] < 1:
            status[status == names.OK] = names.TOO_FEW_SAMPLES
        for start in range(0, self.n_genes, chunk):
            genes = np.arange(start, min(start + chunk, self.n_genes))
            values = self.targets.raw(genes)
            three = np.zeros(len(genes), dtype=bool)
            for rows in self.targets.slices:
                three |= _three_values(values[rows])
            status[genes[~three & (status[genes] == names.OK)]] = names.TOO_FEW_LEVELS
        return status

    def _enough_replicates(self, level: Level) -> bool:
        return n_present(level) >= self.k + 3 and n_effective(level) >= MIN_EFFECTIVE

    def _residual_df(self, n_columns: np.ndarray) -> np.ndarray:
        nuisance = sum(level.covariates.shape[1] for level in self.levels)
        return len(self.targets.rows) - nuisance - n_columns

    # --- features -----------------------------------------------------------------------------------

    def features(self, regulators: np.ndarray) -> ScoreBlock:
        """Build the columns of a block of regulators, in every level, float64."""
        values = self.targets.raw(regulators)
        unsafe = np.isnan(values).any(axis=0)
        values = np.where(np.isnan(values), 0.0, values)
        built: list[LevelFeatures] = []
        exact: list[Regulators] = []
        for level, rows in zip(self.levels, self.targets.slices, strict=True):
            x = values[rows]
            built.append(level_features(x, level, test=self.test, k=self.k))
            if self.asks_twice:
                columns = built[-1].columns()
                exact.append(Regulators(np.ascontiguousarray(x.T), columns, concentration(columns)))
            centred = x - x.mean(axis=0)
            scale = (centred**2).sum(axis=0)
            unsafe |= (centred**2).max(axis=0) > HIGH_LEVERAGE * np.where(scale > 0, scale, np.inf)
        return ScoreBlock(np.asarray(regulators), built, unsafe, exact)

    # --- the test -----------------------------------------------------------------------------------

    def outcome(
        self,
        features: ScoreBlock,
        targets: np.ndarray | slice,
        dtype: type,
        *,
        exact: bool,
        bound_from: float = 0.0,
        again: np.ndarray | None = None,
    ) -> Outcome:
        """Test a block of regulators against targets."""
        genes = np.arange(self.n_genes)[targets]
        missing = self.targets.missing
        incomplete = missing[genes][None] | missing[features.regulators][:, None]
        if exact and again is not None and not (again & ~incomplete).any():
            return self._incomplete.alone(features.regulators, genes, again)
        y = self.targets.block(targets, dtype)
        levels = [
            level_moments(of, y[:, rows], level, test=self.test, k=self.k)
            for of, level, rows in zip(features.levels, self.levels, self.targets.slices, strict=True)
        ]
        columns = np.stack([of.n_columns for of in features.levels])[:, :, None]
        varies = self.targets.varies[:, genes][:, None]
        n = np.array([[len(self.targets.rows)]])
        asked_for = again if again is not None else np.True_
        if incomplete.any():  # such pairs are asked on their own samples
            again = ~incomplete if again is None else again & ~incomplete
        ask = partial(self._ask_twice, features, genes, again) if self.asks_twice else None
        result = self._combine(levels, columns, varies, n, exact, bound_from, ask)
        if exact and incomplete.any():
            self._incomplete.fill(result, features.regulators, genes, incomplete & asked_for)
        result.doubt = result.doubt | incomplete | features.unsafe[:, None] | (result.r2_linear > STEEP)
        return result

    def _combine(
        self,
        levels: list[Moments],
        columns: np.ndarray,
        varies: np.ndarray,
        n: np.ndarray,
        exact: bool,
        bound_from: float = 0.0,
        ask: Ask | None = None,
    ) -> Outcome:
        """Add up levels: each has its own line and its own bends, so statistics and df add.

        ``columns`` has shape ``(n_levels, R, 1)``, ``varies`` ``(n_levels, 1, m)``; ``ask`` looks again
        at the robust scores of a level.
        """
        line = add(of.b**2 for of in levels)
        gain = add(s * s for of in levels for s in of.s)
        usable = varies & (columns > 1)
        bend_df = (usable * (columns - 1)).sum(axis=0)
        all_df = ((columns > 0) & varies).astype(int)
        all_df = (all_df * columns).sum(axis=0)
        if len(levels) == 1:  # one law for a whole row: codes come from one table
            bend_df, all_df = columns[0] - 1, columns[0]
        tested = np.asarray(usable.any(axis=0))
        n_rest = n - (len(self.targets.rows) - self._residual_df(all_df))
        doubt = np.zeros(line.shape, dtype=bool)
        weak = None if exact else doubt
        bend: NullLaw
        association: NullLaw | Either
        if self.design.n_clusters:
            bend, statistic = self._cluster_law(levels, columns - 1, varies, weak, range(1, self.k), ask)
            line_law, _ = self._cluster_law(levels, np.minimum(columns, 1), varies, weak, range(1))
            association = Either((line_law, bend))
        elif self.test == "classical":
            doubt |= line + gain > 1 - WEAK
            rest = np.maximum(1 - line - gain, 1e-30 if exact else 1e-12) / np.maximum(n_rest, 1)
            bend = NullLaw(gain / rest, bend_df, n_rest * 1.0)
            association = NullLaw((line + gain) / rest, all_df, n_rest * 1.0)
            statistic = bend.value / np.maximum(bend_df, 1)
            tested = tested & (n_rest >= 1)
        else:
            most = n - (len(self.targets.rows) - self._residual_df(np.array([len(levels)])))
            bend, association = self._robust_laws(levels, bend_df, all_df, most, weak, ask)
            statistic = bend.value
        if exact:  # a target that is the regulator up to rounding has no bend to test
            same = np.broadcast_to(gain < 1e-20, gain.shape)
            bend.value = np.where(same, 0.0, bend.value)
            statistic = np.where(same, 0.0, statistic)
        strong = line + gain >= bound_from
        if np.count_nonzero(strong) < 0.3 * strong.size:
            upper = np.ones_like(gain)
            chosen = [of.at(np.flatnonzero(strong)) for of in levels]
            n_strong = np.broadcast_to(n_rest, gain.shape)[strong]
            upper[strong] = self._bound(chosen, gain[strong], line[strong], n_strong)
        else:
            upper = self._bound(levels, gain, line, n_rest)
        return Outcome(line, gain, upper, bend, association, statistic, n, tested, doubt)

    def _robust_laws(
        self,
        levels: list[Moments],
        bend_df: np.ndarray,
        all_df: np.ndarray,
        most: np.ndarray,
        weak: np.ndarray | None,
        ask: Ask | None,
    ) -> tuple[NullLaw, Either]:
        """Robust scores of bends and of all columns, added over levels.

        Association may also show in the line, shared by levels (Bonferroni joins both): the score of all
        columns takes y itself for noise, so that few samples cannot show even an exact line. ``most`` degrees
        of freedom are left for the line. ``weak`` is set where a variance is nearly singular, or is the
        little that the line of one level leaves.
        """
        if weak is not None:
            for of in levels:
                weak |= of.variance[0, 0] < WEAK * of.variance_null[0, 0]
        floor = _FLOOR[levels[0].b.dtype]
        bends = list(range(1, self.k))
        found = [quadratic_form(of.variance, of.s, bends, floor, weak, of.variance_null) for of in levels]
        if ask is not None:
            for level, statistic in enumerate(found):
                ask(level, statistic, weak)
        bend = NullLaw(add(found), bend_df)
        omnibus = NullLaw(
            add(quadratic_form(of.variance_null, [of.b, *of.s], [0, *bends], floor, weak) for of in levels),
            all_df,
        )
        return bend, Either((common_line(levels, most), omnibus))

    def _ask_twice(
        self,
        features: ScoreBlock,
        genes: np.ndarray,
        again: np.ndarray | None,
        level: int,
        value: np.ndarray,
        weak: np.ndarray | None,
    ) -> None:
        """Lower robust scores of one level, in place, where they are in doubt and the second test says less.

        Pairs that float64 must decide (``weak``) are left to it, and those that need no bend (``again``).
        """
        of, rows = features.exact[level], self.targets.slices[level]
        n_columns = features.levels[level].n_columns
        wanted = value > least(n_columns, replicates=self.has_replicates)[:, None]
        wanted &= of.concentration[:, None] * self.targets.kurtosis[level, genes] > BURSTY
        wanted &= features.regulators[:, None] != genes
        wanted[n_columns < 2] = False
        if again is not None:
            wanted &= again
        if weak is not None:
            wanted &= ~weak
            wanted[features.unsafe] = False
        lower_block(
            value,
            wanted,
            of,
            n_columns,
            self.levels[level].covariates,
            lambda at: self.targets.block(genes[at], np.float64)[:, rows],
            replicates=self.has_replicates,
        )

    def _bound(
        self, levels: list[Moments], gain: np.ndarray, line: np.ndarray, n_rest: np.ndarray
    ) -> np.ndarray:
        """Upper bound of the non-linear share, arrays of any one shape."""
        if self.test == "classical" and not self.design.n_clusters:
            variance = np.maximum(1 - line - gain, 0) / np.maximum(n_rest, 1)
            none = np.zeros_like(gain)
            return share_upper(np.sqrt(gain), np.sqrt(line), variance, variance, none, Z_UPPER)
        z = stats.t.ppf(0.95, self.design.n_clusters - 1) if self.design.n_clusters > 1 else Z_UPPER
        pieces = bound_pieces(levels, gain, line, self.design.n_clusters)
        return share_upper(np.sqrt(gain), np.sqrt(line), *pieces, z)

    def detectable(self, features: ScoreBlock, targets: np.ndarray) -> np.ndarray:
        """Gain of unit non-centrality along an average direction, (k - 1) / trace of M^-1, ``(R, m)``."""
        y = self.targets.block(targets, np.float64)
        levels = [
            level_moments(of, y[:, rows], level, test=self.test, k=self.k)
            for of, level, rows in zip(features.levels, self.levels, self.targets.slices, strict=True)
        ]
        if self.test == "classical":
            rest = 1 - add(of.b**2 + add(s * s for s in of.s) for of in levels)
            return np.maximum(rest, 0) / self._residual_df(np.array([self.k]))[0]
        return self._average_gain(levels)

    def _cluster_law(
        self,
        levels: list[Moments],
        n_columns: np.ndarray,
        varies: np.ndarray,
        weak: np.ndarray | None,
        of: range,
        ask: Ask | None = None,
    ) -> tuple[NullLaw, np.ndarray]:
        """Wald's test of some coefficients, per level (method 6.9); Bonferroni joins the levels.

        ``ask`` looks again at -ln p of a level.

        ``T2 (D - p) / (p (D - 1)) ~ F(p, D - p)``, Hotelling's law, for D replicates and p columns.
        """
        shape = levels[0].b.shape
        best = np.zeros(shape)
        statistic = np.zeros(shape)
        n_tests = np.zeros(shape)
        columns = list(range(len(of)))
        for index, (level, moments) in enumerate(zip(self.levels, levels, strict=True)):
            n_clusters = len(moments.clusters)
            p = np.broadcast_to(n_columns[index], shape)
            possible = (p >= 1) & (n_clusters >= p + 3) & varies[index]
            if not possible.any() or n_effective(level) < MIN_EFFECTIVE:
                continue
            theta = [[moments.b, *moments.s][j] for j in of]
            spread = spread_of([z.change for z in moments.clusters], of)
            floor = _FLOOR[moments.b.dtype]
            if weak is not None:  # what the replicates share leaves little of their spread
                for i in columns:
                    weak |= spread[i, i] * n_clusters < SHARED * theta[i] * theta[i]
            t2 = quadratic_form(spread, theta, columns, floor, weak)
            p_used = np.where(possible, p, 1)
            f = t2 * (n_clusters - p_used) / (p_used * (n_clusters - 1))
            minus_log_p = np.where(possible, minus_log_sf(f * p_used, p_used, n_clusters - p_used), 0.0)
            if ask is not None:
                ask(index, minus_log_p, weak)
            statistic = np.where(minus_log_p > best, f, statistic)
            best = np.maximum(best, minus_log_p)
            n_tests += possible
        joined = np.maximum(best - np.log(np.maximum(n_tests, 1)), 0.0)
        return NullLaw(joined, None), statistic

    def _average_gain(self, levels: list[Moments]) -> np.ndarray:
        bends = list(range(1, self.k))
        trace = np.zeros(levels[0].b.shape)
        for of in levels:
            variance = of.variance
            if of.clusters:
                spread = spread_of([z.change for z in of.clusters], bends)
                variance = {(bends[a], bends[c]): value for (a, c), value in spread.items()}
            for j in bends:
                present = variance[j, j] > 0
                unit = [np.where(present, float(i == j), 0.0) for i in bends]
                trace += quadratic_form(variance, unit, bends, _FLOOR[np.dtype(np.float64)])
        return np.where(trace > 0, self.bend_df / np.where(trace > 0, trace, 1), np.nan)


def _three_values(values: np.ndarray) -> np.ndarray:
    """Which columns have at least three different values; NaN counts as none."""
    first = np.fmin.reduce(values, axis=0)
    second = np.fmax.reduce(values, axis=0)
    return np.asarray(((values > first) & (values < second)).any(axis=0))

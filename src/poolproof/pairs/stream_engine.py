"""The corrected test of cells that do not fit into memory: every pair from sums over blocks of cells.

The statistics are those of :class:`~poolproof.pairs.count_engine.CountTest`, in float64 throughout. All pairs
are tested when the engine is made; what a screen asks for later is looked up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _names as names
from .bursts import Residuals, wald_from_sums
from .count_engine import CLOSE, N_BENDS, CountBlock, CountTest, ReplicateSums
from .count_estimates import Products, assembled, level_estimates
from .count_kernels import MIN_SEEN, CountFeatures, CountTargets, _enough, seen_together
from .design import Design
from .donors import enough_replicates, replicate_sizes
from .outcome import NullLaw, Outcome
from .stream_agreement import SmoothBounds
from .stream_kernels import (
    CUBES,
    FOURTHS,
    GUARD,
    HIGH,
    LINE,
    MIXED,
    MOMENTS,
    OWN_PAIRS,
    OWN_PLAIN,
    OWN_TERMS,
    OWN_WEIGHTED,
    PLAIN_SQUARE,
    PLAIN_TERM,
    POWERS,
    PRODUCTS,
    REST,
    REST_OWN,
    REST_SQUARES,
    SEEN,
    SQUARE,
    SQUARES,
    SUM,
    WITH_OWN,
    WITH_Y,
    WITH_Y2,
    Cells,
    gene_runs,
    moments_of,
    second_columns,
)
from .stream_sums import CellStream, GeneSums, Runner, Threads, gene_sums, total_of

AT_ONCE = 16
"""Regulators whose pairs are put together at a time."""
NUMBERS = ("r2_linear", "gain", "share_upper", "statistic", "bend", "association", "detectable")
"""What is kept of every pair, beside whether it is tested; both tests as -ln p."""


@dataclass(frozen=True, eq=False)
class StreamBlock:
    """Regulators of a block; their pairs are known already."""

    regulators: np.ndarray

    def take(self, chosen: np.ndarray) -> StreamBlock:
        """Some of them."""
        return StreamBlock(self.regulators[chosen])

    def astype(self, dtype: type) -> StreamBlock:
        """The same: numbers stay in float64."""
        return self


class StreamedCountTest(CountTest):
    """The count-noise-corrected test of all pairs, cells read block by block.

    Parameters
    ----------
    stream
        Cells by block, level and stratum.
    design
        Levels, strata and replicates of all cells.
    regulators
        Genes that are wanted as regulators.
    overdispersion, agree_below
        As for :class:`~poolproof.pairs.count_engine.CountTest`.
    bound_from
        Smallest r2 of pairs whose bound below ``agree_below`` is held against the robust one.
    memory
        Bytes that products may take before cells are read again for further regulators.
    run
        Does tasks side by side; None: one after the other.
    progress
        Told the number of regulators done.
    """

    def __init__(
        self,
        stream: CellStream,
        design: Design,
        regulators: np.ndarray,
        *,
        overdispersion: float = 0.0,
        agree_below: float = 0.0,
        bound_from: float = 0.0,
        memory: float = 1e9,
        run: Runner | None = None,
        progress: Callable[[int], object] = lambda n: None,
    ) -> None:
        run = Threads() if run is None else run
        self.design = design
        self.has_replicates = design.n_clusters > 0
        self.levels = design.levels
        self.overdispersion = overdispersion
        self.agree_below = agree_below
        self.bound_from = bound_from
        self.n_genes = stream.blocks.n_genes
        self.n = self.n_samples = sum(len(level.rows) for level in self.levels)
        self.weight = [len(level.rows) / self.n for level in self.levels]
        self._donors = [replicate_sizes(level) for level in self.levels]
        self._enough_replicates = [enough_replicates(sizes, N_BENDS) for sizes in self._donors]
        self.stream = stream
        self.memory = memory / run.n_workers
        self.sums = gene_sums(stream, overdispersion, run)
        self.unit = self._units()
        self.regulator_status, self.target_status = self._statuses()
        self.means = self._moments_of_fractions()
        tested = regulators[self.regulator_status[regulators] == names.OK]
        self.found = _Found(self.n_genes, tested, memory)
        task = _Work(self, tested)
        groups = self._groups(len(tested), memory, run.n_workers)
        for low in range(0, len(groups), run.n_workers):
            some = groups[low : low + run.n_workers]
            for group, part in zip(some, run(task, some), strict=True):
                self.found.put(group, part)
                progress(group.stop - group.start)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("found",)}

    def _groups(self, n_regulators: int, memory: float, n_workers: int) -> list[slice]:
        """Runs of regulators whose products fit into memory side by side."""
        per_pair = 8 * sum(WITH_Y2.stop + 1 + 3 * level.n_clusters for level in self.levels)
        most = int(max(AT_ONCE, memory / n_workers / (per_pair * self.n_genes)))
        n_groups = -(-n_regulators // most)
        n_groups = -(-n_groups // n_workers) * n_workers
        size = max(1, -(-n_regulators // max(1, n_groups)))
        return [slice(low, min(low + size, n_regulators)) for low in range(0, n_regulators, size)]

    # --- genes ------------------------------------------------------------------------------------------

    def _units(self) -> np.ndarray:
        """Standard deviation of every gene's fraction over all cells used."""
        mean = self.sums.first[:, MOMENTS.start].sum(axis=0) / self.n
        square = self.sums.first[:, PRODUCTS.start].sum(axis=0) / self.n
        spread = np.sqrt(np.maximum(square - mean * mean, 0))
        return np.where(spread > 1e-9 * mean, spread, 1.0)

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
            testable |= (of[HIGH] >= 10) & (plain > 2 * error)
        regulator[~testable] = names.TOO_FEW_COUNTS
        target[~seen] = names.TOO_FEW_COUNTS
        for status in (regulator, target):
            status[~varies] = names.CONSTANT
        if self.design.n_clusters and not any(self._enough_replicates):
            regulator[regulator == names.OK] = names.TOO_FEW_REPLICATES
        return regulator, target

    def _moments_of_fractions(self) -> list[np.ndarray]:
        """Mean of every gene's fraction in each stratum, in its unit, and sums of central powers 2 to 4."""
        result = []
        for stratum, n in enumerate(self.stream.sizes):
            of = self.sums.first[stratum]
            power = [
                of[column] / self.unit ** (j + 1)
                for j, column in enumerate((MOMENTS.start, PRODUCTS.start, CUBES, FOURTHS))
            ]
            mean = power[0] / n
            result.append(
                np.stack(
                    [
                        mean,
                        power[1] - n * mean**2,
                        power[2] - 3 * mean * power[1] + 2 * n * mean**3,
                        power[3] - 4 * mean * power[2] + 6 * mean**2 * power[1] - 3 * n * mean**4,
                    ]
                )
            )
        return result

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
            f=none,
            fd=none,
            f_own=none,
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
        scale = (self.sums.unit[level] / self.unit) ** 2
        error = np.sqrt(np.maximum(square - term * term, 0) / n) * scale
        n_seen = self.sums.first[strata, SEEN].sum(axis=0).astype(np.int64)
        return CountTargets(
            centred=np.zeros((self.n_genes, 0)),
            mean=np.stack([self.means[s][0] for s in strata]),
            variance=np.maximum(term * scale, 2 * error),
            error=error,
            n_seen=n_seen,
            testable=n_seen >= MIN_SEEN,
        )

    # --- what screens ask for ---------------------------------------------------------------------------

    def features(self, regulators: np.ndarray) -> Any:
        """A block of regulators."""
        return StreamBlock(np.asarray(regulators))

    def outcome(
        self,
        features: Any,
        targets: np.ndarray | slice,
        dtype: type,
        *,
        exact: bool,
        bound_from: float = 0.0,
        again: np.ndarray | None = None,
    ) -> Outcome:
        """Look up pairs."""
        genes = np.arange(self.n_genes)[targets]
        of = {name: self.found.get(name, features.regulators, genes) for name in (*NUMBERS, "tested")}
        return Outcome(
            r2_linear=of["r2_linear"],
            gain=of["gain"],
            share_upper=of["share_upper"],
            bend=NullLaw(of["bend"], None),
            association=NullLaw(of["association"], None),
            statistic=of["statistic"],
            n=np.array([[self.n]]),
            tested=of["tested"] > 0,
            doubt=np.zeros(of["gain"].shape, dtype=bool),
        )

    def detectable(self, features: Any, targets: np.ndarray) -> np.ndarray:
        """See :class:`~poolproof.pairs.outcome.Engine`."""
        return self.found.get("detectable", features.regulators, np.arange(self.n_genes)[targets])


def _symmetric(values: np.ndarray) -> np.ndarray:
    """Upper triangles ``(21, R)`` as symmetric matrices ``(6, 6, R)``."""
    result = np.empty((6, 6, values.shape[1]))
    for place, (a, b) in enumerate(OWN_PAIRS):
        result[a, b] = result[b, a] = values[place]
    return result


class _Found:
    """Numbers of all pairs of the regulators tested, in memory or in a temporary file."""

    def __init__(self, n_genes: int, regulators: np.ndarray, memory: float) -> None:
        self._place = np.full(n_genes, -1)
        self._place[regulators] = np.arange(len(regulators))
        shape = (len(NUMBERS) + 1, len(regulators), n_genes)
        if 8 * np.prod(shape, dtype=float) <= memory:
            self._values = np.zeros(shape)
        else:
            with tempfile.TemporaryFile(prefix="poolproof-") as file:  # the mapping keeps it alive
                self._values = np.memmap(file, dtype=np.float64, mode="w+", shape=shape)

    def put(self, rows: slice, values: np.ndarray) -> None:
        self._values[:, rows] = values

    def get(self, name: str, regulators: np.ndarray, targets: np.ndarray) -> np.ndarray:
        which = (*NUMBERS, "tested").index(name)
        return np.asarray(self._values[which][np.ix_(self._place[regulators], targets)])


class LevelProducts(NamedTuple):
    """Sums over the cells of a level with both genes of a pair; targets before columns, shape ``(R, m, c)``."""

    with_y: np.ndarray
    with_y2: np.ndarray
    with_y3: np.ndarray
    by_cluster: dict[int, np.ndarray]


@dataclass(frozen=True, eq=False)
class _Work:
    """All pairs of some regulators: a task that reads all cells."""

    engine: StreamedCountTest
    tested: np.ndarray

    def __call__(self, group: slice) -> np.ndarray:
        engine, genes = self.engine, self.tested[group]
        products = multiply(engine, genes)
        targets = [engine.level_targets(i) for i in range(len(engine.levels))]
        result = np.zeros((len(NUMBERS) + 1, len(genes), engine.n_genes))
        for low in range(0, len(genes), AT_ONCE):
            rows = slice(low, min(low + AT_ONCE, len(genes)))
            result[:, rows] = Together(engine, genes[rows], targets, _rows_of(products, rows)).numbers()
        del products
        if engine.agree_below:
            self._raise_bounds(genes, result, targets)
        return result

    def _raise_bounds(self, genes: np.ndarray, result: np.ndarray, targets: list[CountTargets]) -> None:
        """Raise bounds below the margin to those of the robust test, where these are larger."""
        engine = self.engine
        r2_linear, gain, upper = result[:3]
        r2 = r2_linear + np.where(np.isnan(gain), 0, gain)
        wanted = (upper < (1 + CLOSE) * engine.agree_below) & (r2 >= engine.bound_from) & (result[-1] > 0)
        mine = np.flatnonzero(wanted.any(axis=1))
        if len(mine) == 0:
            return
        of = [engine.level_features(i, genes[mine]) for i in range(len(engine.levels))]
        parts = zip(of, targets, engine.levels, strict=True)
        usable = np.stack([seen_together(f, t, len(level.rows)) for f, t, level in parts])
        variance = np.stack([f.variance for f in of])
        smooth = SmoothBounds(engine.stream, engine.levels, engine.sums, engine.means, engine.unit)
        bounds = smooth(genes[mine], variance, usable, wanted[mine], engine.memory)
        upper[mine] = np.where(wanted[mine], np.maximum(upper[mine], bounds), upper[mine])


def _rows_of(products: list[LevelProducts], rows: slice) -> list[LevelProducts]:
    return [
        LevelProducts(
            of.with_y[rows],
            of.with_y2[rows],
            of.with_y3[rows],
            {c: sums[rows] for c, sums in of.by_cluster.items()},
        )
        for of in products
    ]


def multiply(engine: StreamedCountTest, genes: np.ndarray) -> list[LevelProducts]:
    """One pass over all cells: products of some regulators with all targets, of every level."""
    stream, sums, m = engine.stream, engine.sums, engine.n_genes
    result = []
    for level in engine.levels:
        present = [] if level.clusters is None else np.unique(level.clusters).tolist()
        result.append(
            LevelProducts(
                np.zeros((len(genes), m, WITH_Y.stop)),
                np.zeros((len(genes), m, WITH_Y2.stop - WITH_Y2.start)),
                np.zeros((len(genes), m, 1)),
                {code: np.zeros((len(genes), m, 3)) for code in present},
            )
        )
    for block in range(len(stream.blocks)):
        for piece in stream.pieces(block):
            s = piece.stratum
            to, cluster = result[int(stream.level_of[s])], int(stream.cluster_of[s])
            mean = engine.means[s][0]
            cells = Cells.of(piece.counts, piece.total, stream.known, engine.unit, mean)
            for i, rows, columns in _columns(piece, genes, sums, stream.known):
                first, second, third = cells.products(
                    rows, [columns[:, WITH_Y], columns[:, WITH_Y2], columns[:, :1]]
                )
                first[:, MIXED] *= mean[:, None]
                to.with_y[i] += first
                to.with_y2[i] += second
                to.with_y3[i] += third
                if cluster in to.by_cluster:
                    to.by_cluster[cluster][i] += first[:, LINE]
    return result


def _columns(
    piece: Any, genes: np.ndarray, sums: GeneSums, known: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For every regulator: its place, the cells with a count, its columns there less those without one."""
    counts = piece.counts[:, genes].tocsc()
    of, empty = sums.constants[piece.stratum].take(genes), sums.empty[piece.stratum][: WITH_Y2.stop, genes]
    for low, high in gene_runs(counts.indptr):
        entries = slice(int(counts.indptr[low]), int(counts.indptr[high]))
        place = np.repeat(np.arange(low, high), np.diff(counts.indptr[low : high + 1]))
        cells = counts.indices[entries]
        at = moments_of(counts.data[entries], piece.total[cells], known)
        columns = second_columns(at, of.take(place), products_only=True) - empty[:, place]
        columns = np.ascontiguousarray(columns.T)
        for i in range(low, high):
            mine = slice(int(counts.indptr[i]) - entries.start, int(counts.indptr[i + 1]) - entries.start)
            if mine.stop > mine.start:
                yield i, cells[mine], columns[mine]


class Together:
    """A few regulators against all targets: from products to the numbers of their pairs."""

    def __init__(
        self,
        engine: StreamedCountTest,
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
        of = engine._combine(
            block, self.targets, self.moments, self.estimates, usable, self._guard, self._cluster_sums
        )
        values = (
            of.r2_linear,
            of.gain,
            of.share_upper,
            of.statistic,
            of.bend.minus_log_p(),
            of.association.minus_log_p(),
            engine._detectable(block, self.targets, self.estimates, usable),
            of.tested,
        )
        return np.stack([np.broadcast_to(value, of.gain.shape).astype(np.float64) for value in values])

    def _of_strata(self, level: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Of every stratum: its number, its sums and empty columns of the regulators, its fractions' moments."""
        sums = self.engine.sums
        for s in self.engine.stream.strata(level):
            yield s, sums.second[s][:, self.genes], sums.empty[s][:, self.genes], self.engine.means[s]

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
        return _Whole(products, with_y[27], with_y[28], with_y2[n_square], with_y2[n_square + 1], y3)

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
        central = sum(engine.means[s] for s in strata)
        mean = sum(sizes[s] * engine.means[s][0] for s in strata) / n
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

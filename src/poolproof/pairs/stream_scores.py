"""The classical and the robust test of cells that do not fit into memory: every pair from sums over blocks.

The statistics are those of :class:`~poolproof.pairs.score_engine.ScoreTest`, in float64 throughout. All pairs
are tested when the engine is made; what a screen asks for later is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .. import _names as names
from ..basis import N_COLUMNS
from .design import Design
from .growing_noise import BURSTY, least
from .score_engine import _FLOOR, ScoreTest
from .score_kernels import Moments, columns_for, quadratic_form, triangle
from .stream_found import NUMBERS, Found, LooksUp, groups_of, row_by_row
from .stream_score_sums import (
    RegulatorColumns,
    ScoreCells,
    columns_of,
    inside,
    products_of,
    regulator_columns,
    target_sums,
)
from .stream_second import SecondTestWithHeap, concentration_with_heap, lower_with_heap
from .stream_splines import LEAST_HEAP, HeapColumns
from .stream_sums import CellStream
from .workers import Runner, Threads

ONE_BY_ONE = Threads(1)
AT_ONCE = 16
"""Regulators whose pairs are put together at a time."""


def can_stream(design: Design) -> bool:
    """Whether a design has no replicates, and beside the constant at most one covariate."""
    return design.n_clusters == 0 and all(level.covariates.shape[1] <= 2 for level in design.levels)


@dataclass(frozen=True, eq=False)
class _Cells:
    """What the statistics need of the cells."""

    rows: np.ndarray


class StreamedScoreTest(LooksUp, ScoreTest):
    """The classical or robust test of all pairs, cells read block by block.

    Parameters
    ----------
    stream
        Cells by block and level; its totals are what values are divided by.
    design
        Levels of all cells, see :func:`can_stream`.
    regulators
        Genes that are wanted as regulators.
    test, k
        As for :class:`~poolproof.pairs.score_engine.ScoreTest`.
    memory
        Bytes that columns and products may take before cells are read again for further regulators.
    run
        Does tasks side by side.
    progress
        Told the number of regulators done.
    """

    def __init__(
        self,
        stream: CellStream,
        design: Design,
        regulators: np.ndarray,
        *,
        test: str = "robust",
        k: int = N_COLUMNS,
        memory: float = 1e9,
        run: Runner = ONE_BY_ONE,
        progress: Callable[[int], object] = lambda n: None,
    ) -> None:
        self.test, self.k, self.design, self.levels = test, k, design, design.levels
        self.memory = memory / run.n_sharing
        self.n_genes = stream.blocks.n_genes
        self.n = self.n_samples = sum(len(level.rows) for level in self.levels)
        self.targets = _Cells(np.concatenate([level.rows for level in self.levels]))  # type: ignore[assignment]
        self.cuts_r2 = False
        self.at_once = 0
        self.untested_status = names.TOO_FEW_SAMPLES
        self.has_replicates = False
        self.asks_twice = test == "robust"
        self.bend_df = float(sum(columns_for(len(level.rows), k) - 1 for level in self.levels))
        self.columns = {"y": k}
        self.cells = ScoreCells.of(stream, self.levels)
        self.of_targets = target_sums(self.cells, run)
        self.target_status, self.regulator_status = self._statuses()
        tested = regulators[self.regulator_status[regulators] == names.OK]
        self.found = Found(self.n_genes, tested, memory)
        work = _Work(self, tested)
        groups = self._groups(tested, run.n_workers)
        for low in range(0, len(groups), run.n_workers):
            some = groups[low : low + run.n_workers]
            for group, part in zip(some, run(work, some), strict=True):
                self.found.put(group, part)
                progress(group.stop - group.start)

    def _statuses(self) -> tuple[np.ndarray, np.ndarray]:
        target = np.full(self.n_genes, names.OK, dtype=object)
        target[~self.of_targets.varies.any(axis=0)] = names.CONSTANT
        regulator = target.copy()
        few = ~self.of_targets.enough_levels.any(axis=0)
        regulator[few & (regulator == names.OK)] = names.TOO_FEW_LEVELS
        return target, regulator

    def _groups(self, tested: np.ndarray, n_workers: int) -> list[slice]:
        """Runs of regulators whose columns and products fit into memory side by side."""
        products = 8 * len(self.levels) * (self.k + 2 * len(triangle(self.k))) * self.n_genes
        entries = self.of_targets.first[:, 0].sum(axis=0)[tested]
        taken = np.where(entries > (1 - LEAST_HEAP) * self.n / len(self.levels), self.n, entries)
        return groups_of(products + 8.0 * (self.k + 3) * taken, self.memory, n_workers)

    def gene_facts(self, factors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, variance and share of zeros of every gene, on the tested scale."""
        of = self.of_targets.first.sum(axis=0)
        mean = of[1] / self.n
        variance = np.maximum(of[5] - self.n * mean**2, 0) / max(self.n - 1, 1)
        return mean, variance, 1 - of[0] / self.n


@dataclass(frozen=True, eq=False)
class _Work:
    """All pairs of some regulators: a task that reads all cells."""

    engine: StreamedScoreTest
    tested: np.ndarray

    def __call__(self, group: slice) -> np.ndarray:
        engine, genes = self.engine, self.tested[group]
        columns = columns_of(engine.cells, genes, engine.k)
        products = products_of(engine.cells, engine.of_targets, columns)
        of = [
            [regulator_columns(c, cov) for c, cov in zip(per, engine.cells.covariates, strict=True)]
            for per in columns
        ]
        lowered = self._second(genes, of, products) if engine.asks_twice else {}
        result = np.zeros((len(NUMBERS) + 1, len(genes), engine.n_genes))
        for low in range(0, len(genes), AT_ONCE):
            rows = range(low, min(low + AT_ONCE, len(genes)))
            result[:, rows.start : rows.stop] = self._numbers(genes, rows, of, products, lowered)
        return result

    def _moments(
        self, rows: range, of: list[list[RegulatorColumns]], products: list[list[np.ndarray]]
    ) -> list[Moments]:
        """Moments of some regulators with all targets in every level."""
        engine = self.engine
        return [
            moments_of(
                [of[r][i] for r in rows],
                np.stack([products[r][i] for r in rows], axis=1),
                engine,
                i,
            )
            for i in range(len(engine.levels))
        ]

    def _numbers(
        self,
        genes: np.ndarray,
        rows: range,
        of: list[list[RegulatorColumns]],
        products: list[list[np.ndarray]],
        lowered: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]],
    ) -> np.ndarray:
        """`NUMBERS` of some regulators with all targets and whether they are tested, shape ``(8, R, m)``."""
        engine = self.engine
        levels = self._moments(rows, of, products)
        columns = np.array([[[of[r][i].of.n_columns] for r in rows] for i in range(len(levels))])

        def ask(level: int, value: np.ndarray, _: np.ndarray | None) -> None:
            for place, r in enumerate(rows):
                if (r, level) in lowered:
                    at, found = lowered[r, level]
                    value[place, at] = found

        with np.errstate(all="ignore"):
            found = engine._combine(
                levels,
                columns,
                engine.of_targets.varies[:, None],
                np.array([[engine.n]]),
                True,
                0.0,
                ask if engine.asks_twice else None,
            )
        if engine.test == "classical":
            rest = np.maximum(1 - found.r2_linear - found.gain, 0)
            detectable = rest / engine._residual_df(np.array([engine.k]))[0]
        else:
            detectable = engine._average_gain(levels)
        values = (
            found.r2_linear,
            found.gain,
            found.share_upper,
            found.statistic,
            row_by_row(found.bend),
            row_by_row(found.association),
            detectable,
            found.tested & (genes[rows.start : rows.stop, None] != np.arange(engine.n_genes)),
        )
        shape = found.gain.shape
        return np.stack([np.broadcast_to(value, shape).astype(np.float64) for value in values])

    def _second(
        self, genes: np.ndarray, of: list[list[RegulatorColumns]], products: list[list[np.ndarray]]
    ) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
        """Scores of bends that are looked at a second time: targets and scores by regulator and level."""
        engine = self.engine
        bends = list(range(1, engine.k))
        wanted: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        for r in range(len(genes)):
            for i, moments in enumerate(self._moments(range(r, r + 1), of, products)):
                regulator = of[r][i]
                if regulator.of.n_columns < 2:
                    continue
                floor = _FLOOR[np.dtype(np.float64)]
                value = quadratic_form(moments.variance, moments.s, bends, floor)[0]
                narrow = concentration_with_heap(
                    regulator.of, engine.cells.covariates[i], regulator.heap_powers
                )
                asked = value > least(regulator.of.n_columns)
                asked &= narrow * engine.of_targets.kurtosis[i] > BURSTY
                asked[genes[r]] = False
                at = np.flatnonzero(asked)
                if len(at):
                    wanted[r, i] = at, value[at]
        for some in self._by_size(of, wanted):
            self._lower(of, wanted, some)
        return wanted

    def _by_size(
        self, of: list[list[RegulatorColumns]], wanted: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]
    ) -> list[list[tuple[int, int]]]:
        """Regulators and levels in runs whose targets' values fit into memory."""
        runs: list[list[tuple[int, int]]] = []
        held = np.inf
        for (r, i), (at, _) in wanted.items():
            size = 16.0 * self.engine.of_targets.first[i, 0, at].sum()
            if held + size > self.engine.memory:
                runs.append([])
                held = 0.0
            runs[-1].append((r, i))
            held += size
        return runs

    def _lower(
        self,
        of: list[list[RegulatorColumns]],
        wanted: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]],
        some: list[tuple[int, int]],
    ) -> None:
        """Look at some regulators again: one pass over all cells."""
        engine = self.engine
        values = _entries(engine, {key: (of[key[0]][key[1]].of, wanted[key][0]) for key in some})
        for r, i in some:
            at, value = wanted[r, i]
            regulator, sums = of[r][i].of, engine.of_targets
            test = SecondTestWithHeap(regulator, engine.cells.covariates[i])
            norm = sums.norm[at]
            mean, slope = sums.mean[i, at] / norm, sums.slope[i, at] / norm
            lower_with_heap(value, test, values[r, i], sums.scaled(i, at), mean, slope)


def _entries(
    engine: StreamedScoreTest, wanted: dict[tuple[int, int], tuple[HeapColumns, np.ndarray]]
) -> dict[tuple[int, int], sp.csr_matrix]:
    """Targets, each in units of its norm, in the cells that have a regulator, ``(m, n_cells)``."""
    parts: dict[tuple[int, int], list[sp.csc_matrix]] = {key: [] for key in wanted}
    for block in range(len(engine.cells.stream.blocks)):
        for piece in engine.cells.stream.pieces(block):
            y = engine.cells.values(piece)
            for key, (of, at) in wanted.items():
                if key[1] == piece.stratum:
                    parts[key].append(y[inside(of, piece)[1]][:, at].T)
    result = {}
    for key, part in parts.items():
        norm = engine.of_targets.norm[wanted[key][1]]
        result[key] = sp.diags_array(1 / norm, format="csr") @ sp.hstack(part, format="csr")
    return result


def moments_of(
    regulators: list[RegulatorColumns], products: np.ndarray, engine: StreamedScoreTest, level: int
) -> Moments:
    """Moments of some regulators with all targets in one level, over all cells (method 6.2).

    ``products`` as :func:`~poolproof.pairs.stream_score_sums.products_of` gives them, shape ``(c, R, m)``.
    """
    targets, k = engine.of_targets, engine.k
    pairs = triangle(k)
    first, second = targets.waves[level]
    mean, slope = targets.mean[level], targets.slope[level]
    norm = np.where(targets.varies[level], targets.norm, np.inf)
    total = targets.first[level]
    flat, tilt = (np.stack([getattr(r.of, name) for r in regulators]) for name in ("flat", "slope"))
    scores = [
        (products[j] + flat[:, j, None] * total[1] + tilt[:, j, None] * total[2]) / norm for j in range(k)
    ]
    moments = Moments(scores[0], scores[1:], fourth=np.array([[r.fourth] for r in regulators]))
    if engine.test == "classical":
        return moments
    sums = np.stack([r.sums for r in regulators], axis=2)[:, :, :, None]
    # regulator by regulator: a product of another shape would round otherwise
    with_waves = [
        np.stack([r.expansion[i] @ waves for r in regulators], axis=1)
        for i, waves in enumerate((first, second))
    ]
    b2 = scores[0] ** 2
    for p, pair in enumerate(pairs):
        with_y = products[k + p] + with_waves[0][p] - mean * sums[3, p] - slope * sums[4, p]
        square = products[k + len(pairs) + p] + with_waves[1][p]
        square += mean**2 * sums[0, p] + 2 * mean * slope * sums[1, p] + slope**2 * sums[2, p]
        square /= norm**2
        moments.variance_null[pair] = square
        moments.variance[pair] = square - 2 * scores[0] * with_y / norm + sums[5, p] * b2
    return moments

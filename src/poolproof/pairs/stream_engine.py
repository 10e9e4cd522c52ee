"""The tests of cells that do not fit into memory: every pair from sums over blocks of cells.

The statistics are those of :class:`~poolproof.pairs.count_engine.CountTest`, in float64 throughout. All pairs
are tested when the engine is made; what a screen asks for later is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import _names as names
from ..data.blocks import Blocks
from ..data.expression import Expression
from .count_engine import CLOSE
from .count_kernels import CountTargets, seen_together
from .design import Design
from .outcome import Engine
from .settings import EngineSettings
from .stream_agreement import SmoothBounds
from .stream_found import NUMBERS, Found, LooksUp, groups_of
from .stream_genes import StreamedGenes
from .stream_kernels import WITH_Y2
from .stream_products import multiply, rows_of
from .stream_scores import StreamedScoreTest
from .stream_share import StreamedShare
from .stream_sums import CellStream
from .stream_together import Together
from .workers import Runner, Threads, runner_of

ONE_BY_ONE = Threads(1)
AT_ONCE = 16
"""Regulators whose pairs are put together at a time."""


class StreamedCountTest(LooksUp, StreamedGenes):
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
        overdispersion: float = 0.0,
        agree_below: float = 0.0,
        bound_from: float = 0.0,
        memory: float = 1e9,
        run: Runner = ONE_BY_ONE,
        progress: Callable[[int], object] = lambda n: None,
    ) -> None:
        super().__init__(stream, design, overdispersion, run)
        self.agree_below = agree_below
        self.bound_from = bound_from
        self.memory = memory / run.n_sharing
        tested = regulators[self.regulator_status[regulators] == names.OK]
        self.found = Found(self.n_genes, tested, memory)
        task = _Work(self, tested)
        groups = self._groups(len(tested), run.n_workers)
        for low in range(0, len(groups), run.n_workers):
            some = groups[low : low + run.n_workers]
            for group, part in zip(some, run(task, some), strict=True):
                self.found.put(group, part)
                progress(group.stop - group.start)

    def _groups(self, n_regulators: int, n_workers: int) -> list[slice]:
        """Runs of regulators whose products fit into memory side by side."""
        per_pair = 8 * sum(WITH_Y2.stop + 1 + 3 * level.n_clusters for level in self.levels)
        most = int(max(AT_ONCE, self.memory / (per_pair * self.n_genes)))
        return groups_of(np.full(n_regulators, 1.0), most, n_workers)


@dataclass(frozen=True, eq=False)
class _Work:
    """All pairs of some regulators: a task that reads all cells."""

    engine: StreamedCountTest
    tested: np.ndarray

    def __call__(self, group: slice) -> np.ndarray:
        engine, genes = self.engine, self.tested[group]
        products = multiply(engine.stream, engine.sums, engine.fractions, engine.levels, genes)
        targets = [engine.level_targets(i) for i in range(len(engine.levels))]
        result = np.zeros((len(NUMBERS) + 1, len(genes), engine.n_genes))
        for low in range(0, len(genes), AT_ONCE):
            rows = slice(low, min(low + AT_ONCE, len(genes)))
            result[:, rows] = Together(engine, genes[rows], targets, rows_of(products, rows)).numbers()
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
        smooth = SmoothBounds(engine.stream, engine.levels, engine.sums, engine.fractions)
        bounds = smooth(genes[mine], variance, usable, wanted[mine], engine.memory)
        upper[mine] = np.where(wanted[mine], np.maximum(upper[mine], bounds), upper[mine])


def share_engine(
    blocks: Blocks,
    expression: Expression,
    design: Design,
    settings: EngineSettings,
    *,
    regulators: np.ndarray | None = None,
    genes: np.ndarray | None = None,
    tested: Engine | None = None,
) -> StreamedShare:
    """What the bend share of counts needs of all cells of a file.

    ``regulators``: these alone; ``genes``: these alone, rising; ``tested``: the test of the same cells, if it
    was made.
    """
    run = runner_of(settings.client, settings.threads)
    if settings.client is not None:
        blocks.limit(settings.memory / 4 / run.n_sharing)
    engine = tested
    if not isinstance(engine, StreamedGenes):
        total, known = expression.count_depth()
        some = blocks if genes is None else blocks.of_genes(genes)
        engine = StreamedGenes(
            CellStream.of(some, total, known, design), design, settings.overdispersion, run
        )
    mine = np.arange(engine.n_genes) if regulators is None else regulators
    return StreamedShare(engine, mine, run, settings.memory / 4)


def streamed_engine(
    blocks: Blocks,
    expression: Expression,
    design: Design,
    regulators: np.ndarray,
    settings: EngineSettings,
    *,
    bound_from: float,
    progress: Callable[[int], object],
) -> Engine:
    """The test that the settings ask for, of all cells of a file.

    ``expression`` describes them all, without their values; further parameters as for
    :class:`StreamedCountTest`.
    """
    run = runner_of(settings.client, settings.threads)
    if settings.client is not None:  # whose workers each keep blocks of their own
        blocks.limit(settings.memory / 4 / run.n_sharing)
    memory = settings.memory / 4
    if settings.test == "corrected":
        total, known = expression.count_depth()
        return StreamedCountTest(
            CellStream.of(blocks, total, known, design),
            design,
            regulators,
            overdispersion=settings.overdispersion,
            agree_below=settings.agree_below,
            bound_from=bound_from,
            memory=memory,
            run=run,
            progress=progress,
        )
    factors = expression.size_factors
    divisor = np.ones(blocks.n_cells) if factors is None else factors
    return StreamedScoreTest(
        CellStream.of(blocks, divisor, True, design),
        design,
        regulators,
        test=settings.test,
        k=settings.k,
        memory=memory,
        run=run,
        progress=progress,
    )

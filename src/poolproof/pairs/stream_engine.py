"""The corrected test of cells that do not fit into memory: every pair from sums over blocks of cells.

The statistics are those of :class:`~poolproof.pairs.count_engine.CountTest`, in float64 throughout. All pairs
are tested when the engine is made; what a screen asks for later is looked up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _names as names
from .count_engine import CLOSE
from .count_kernels import CountTargets, seen_together
from .design import Design
from .outcome import NullLaw, Outcome
from .stream_agreement import SmoothBounds
from .stream_genes import StreamedGenes
from .stream_kernels import WITH_Y2
from .stream_products import multiply, rows_of
from .stream_sums import CellStream
from .stream_together import Together
from .workers import Runner, Threads

ONE_BY_ONE = Threads(1)
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


class StreamedCountTest(StreamedGenes):
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
        self.found = _Found(self.n_genes, tested, memory)
        task = _Work(self, tested)
        groups = self._groups(len(tested), run.n_workers)
        for low in range(0, len(groups), run.n_workers):
            some = groups[low : low + run.n_workers]
            for group, part in zip(some, run(task, some), strict=True):
                self.found.put(group, part)
                progress(group.stop - group.start)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("found",)}

    def _groups(self, n_regulators: int, n_workers: int) -> list[slice]:
        """Runs of regulators whose products fit into memory side by side."""
        per_pair = 8 * sum(WITH_Y2.stop + 1 + 3 * level.n_clusters for level in self.levels)
        most = int(max(AT_ONCE, self.memory / (per_pair * self.n_genes)))
        n_groups = -(-n_regulators // most)
        n_groups = -(-n_groups // n_workers) * n_workers
        size = max(1, -(-n_regulators // max(1, n_groups)))
        return [slice(low, min(low + size, n_regulators)) for low in range(0, n_regulators, size)]

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

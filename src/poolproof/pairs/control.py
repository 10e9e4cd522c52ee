"""The split-count control (method 6.4): an affine truth with the user's own genes, depths and levels.

Each count of a gene is split at random, every molecule going to either half with probability 1/2. The
two halves are counts of one and the same fraction, so the expectation of the one given the other's true
fraction is a line, whatever the law of the counts. A test that calls it bent more often than its level is
misled by counting noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from .._arrays import add, in_threads
from .._names import OK
from .._random import stream
from .count_engine import CountTest
from .count_rows import few_rows
from .design import Design, n_independent
from .intervals import Share, number_or_none, pair_variance, share_of, variances
from .outcome import Engine
from .population_measures import CountMeasure
from .score_engine import ScoreTest

LEVEL = 0.05
LARGEST_SIZE = 0.09
"""Size of the corrected test that its calibration allows (method 6.3: .03 to .10, mean .06)."""
MAX_GENES = 1000
"""Most genes that are split."""
MIN_PAIRS = 500
MAX_SPLITS = 10
BATCH = 16
"""Genes whose halves are tested together, where there are few cells: see `count_rows`."""


@dataclass(frozen=True)
class SplitControl:
    """Outcome of the control."""

    n_pairs: int
    """Genes times splits that could be tested."""
    rejected: float
    """Share rejected at ``level`` by the corrected test."""
    rejected_naive: float
    """Share rejected by the robust test of counts divided by depth."""
    level: float
    n_genes: int
    bend_share: Share = field(compare=False)
    """Bend share of either half in the other, over all pairs of halves: 0 but for noise."""

    @property
    def passed(self) -> bool:
        """Whether the rejections stay inside the 97.5 % binomial band of the size allowed, by gene."""
        return self.rejected * self.n_genes <= stats.binom.ppf(0.975, self.n_genes, LARGEST_SIZE)

    def as_dict(self) -> dict[str, Any]:
        """The entry ``linearity.control`` of verdict.json."""
        return {
            "n_pairs": self.n_pairs,
            "rejected": self.rejected,
            "rejected_naive": self.rejected_naive,
            "level": self.level,
            "bend_share": {
                "estimate": number_or_none(self.bend_share.bend_share),
                "low": number_or_none(self.bend_share.low),
                "high": number_or_none(self.bend_share.high),
            },
        }


def split_control(
    engine: CountTest,
    total: np.ndarray,
    names: np.ndarray,
    design: Design,
    seed: int,
    *,
    max_genes: int = MAX_GENES,
    threads: int = 1,
) -> SplitControl | None:
    """Run the control on the genes that the engine can test.

    Parameters
    ----------
    engine
        The corrected test of the data.
    total
        Totals or size factors of all samples, shape ``(n_obs,)``.
    names
        Gene names, shape ``(n_genes,)``; each seeds its own split, so gene order changes nothing.
    design
        That of the engine.
    max_genes
        At most so many genes, drawn at random by name.

    Returns
    -------
    None if no gene has counts enough after the split. With few genes the split is repeated.
    """
    genes = np.flatnonzero((engine.regulator_status == OK) & (engine.target_status == OK))
    genes = genes[np.argsort(names[genes].astype(str))]
    if len(genes) > max_genes:
        genes = np.sort(stream(seed, "split-count genes").choice(genes, max_genes, replace=False))
    if len(genes) == 0:
        return None
    size = min(BATCH, few_rows(np.empty((BATCH, engine.n)))[0].stop)
    n_splits = int(min(MAX_SPLITS, -(-MIN_PAIRS // len(genes))))

    def work(task: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, _Bends | None]:
        split, low = task
        batch = genes[low : low + size]
        p_corrected, p_naive, tested, bends = _split_batch(engine, total, names, design, seed, split, batch)
        return p_corrected[tested], p_naive[tested], batch[tested], bends

    tasks = [(split, low) for split in range(n_splits) for low in range(0, len(genes), size)]
    parts = in_threads(work, tasks, threads)
    p, p_naive, tested_genes = (np.concatenate([part[:3][i] for part in parts]) for i in range(3))
    if len(p) == 0:
        return None
    return SplitControl(
        len(p),
        float((p < LEVEL).mean()),
        float((p_naive < LEVEL).mean()),
        LEVEL,
        len(np.unique(tested_genes)),
        _bend_share([part[3] for part in parts if part[3] is not None], design),
    )


@dataclass(frozen=True, eq=False)
class _Bends:
    """Bends and lines of the halves of some genes."""

    sums: np.ndarray
    """Bend and line of every pair of halves, shape ``(2, n_pairs)``."""
    influence: np.ndarray
    """Influence of samples or replicates on their sums, shape ``(2, axis)``."""


def _bend_share(parts: list[_Bends], design: Design) -> Share:
    sums = np.concatenate([part.sums for part in parts], axis=1)
    squares = np.stack([(sums[0] ** 2).sum(), (sums[1] ** 2).sum(), (sums[0] * sums[1]).sum()])
    total = sums.sum(axis=1)
    spread = variances(*add(part.influence for part in parts))
    return share_of(sums.shape[1], total, spread, n_independent(design), pair_variance(total, squares))


def _bends(test: CountTest, n_genes: int) -> _Bends:
    """Bends of each half read as regulator of the other."""
    measure = CountMeasure(test, np.float64)
    every = np.arange(2 * n_genes)
    columns, targets = measure.columns(every), measure.targets(every)
    other = (every + n_genes) % (2 * n_genes)
    weight = np.zeros((len(every), len(every)))
    weight[every, other] = measure.counted(columns, targets)[every, other]
    levels = measure.sums(columns, targets, [weight])
    found = np.stack([add(level.bend for level in levels), add(level.line for level in levels)])
    own = measure.axis.place([np.stack(level.own[0]).sum(axis=1) for level in levels])
    influence = own - (weight * found).sum(axis=1) @ measure.squares(targets)
    chosen = weight[every, other] > 0
    return _Bends(found[:, every[chosen], other[chosen]], influence)


def _split_batch(
    engine: CountTest,
    total: np.ndarray,
    names: np.ndarray,
    design: Design,
    seed: int,
    split: int,
    batch: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, _Bends | None]:
    """p-values of the corrected and the naive test, first half -> second half, which genes; and bends."""
    halves = np.zeros((len(total), 2 * len(batch)))
    for i, gene in enumerate(batch):
        random = stream(seed, "split-count", split, str(names[gene]))
        for level in design.levels:
            rows = np.sort(level.rows)
            counts = engine.counts_in_order(gene, rows)
            half = random.binomial(counts.astype(np.int64), 0.5)
            halves[rows, i] = half
            halves[rows, len(batch) + i] = counts - half
    known = engine.depth[0].known
    corrected = CountTest(halves, total, known, design, dtype=np.float64)
    every = np.zeros(len(batch), dtype=bool)
    usable = np.flatnonzero(_usable(corrected, len(batch)))
    if len(usable) == 0:
        return np.ones(len(batch)), np.ones(len(batch)), every, None
    if len(usable) < len(batch):  # columns of the others cost as much, and are not used
        halves = halves[:, np.concatenate([usable, len(batch) + usable])]
        corrected = CountTest(halves, total, known, design, dtype=np.float64)
    own = np.arange(len(usable))
    tests: list[Engine] = [corrected, ScoreTest(halves, total, design, dtype=np.float64)]
    p_values = []
    tested = np.ones(len(own), dtype=bool)
    for test in tests:
        outcome = test.outcome(test.features(own), own + len(own), np.float64, exact=True)
        p_values.append(np.exp(-np.diagonal(outcome.bend.minus_log_p())))
        tested &= np.diagonal(np.broadcast_to(outcome.tested, outcome.gain.shape))
        tested &= (test.regulator_status[own] == OK) & (test.target_status[own + len(own)] == OK)
    every[usable] = tested
    p_corrected, p_naive = np.ones((2, len(batch)))
    p_corrected[usable], p_naive[usable] = p_values
    return p_corrected, p_naive, every, _bends(corrected, len(own))


def _usable(test: CountTest, n_genes: int) -> np.ndarray:
    """Genes of which either half can be a regulator of the other, shape ``(n_genes,)``."""
    of = np.stack([test.regulator_status == OK, test.target_status == OK]).reshape(2, 2, n_genes)
    return np.asarray((of[0, 0] & of[1, 1]) | (of[0, 1] & of[1, 0]))

"""Screen all pairs with an engine, then settle the calls: tiles, codes, cuts, rows of the table.

Float32 products screen; whatever lies near a threshold, or where float32 is not enough, is recomputed in
float64 before it is called. So no call depends on the size of the blocks, the number of threads or the
order of genes. Per pair, 7 bytes are kept: codes of both p-values and of r2_spline, and what is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import in_threads, keep_freed_memory
from .calls import (
    N_CODES,
    CodeTable,
    Cut,
    bh_cut,
    code_of,
    coded_q_values,
    doubtful_codes,
    exact_q_values,
    lies_below,
    reaches,
)
from .collection import STRONG, TESTED, Collected, Collection
from .keeping import KeptFeatures, PairCodes, PairStore
from .outcome import Engine, Outcome, ranked_by
from .quick_scores import QuickScores, fitting_loops

# What one byte says of a pair,
# beside TESTED and STRONG (`collection`): share below the margin
FLAT = 4
UNTESTED, NOT_ASSOCIATED, INCONCLUSIVE, AFFINE, NONLINEAR = range(5)

NEAR = 1e-3
"""Relative distance from a threshold within which a pair is recomputed in float64."""

BYTES_PER_ROW = 74
"""Bytes of a candidate for the table, collected on the way."""
SMALL = 250_000
"""Up to so many pairs, all are decided in float64 at once, and adjusted p-values are exact."""
CALL_COST = 512
"""What one more call of an engine costs, in pairs."""

Settled = tuple[Cut, dict[int, tuple[np.ndarray, np.ndarray]]]
"""A cut; and per block the flat positions of pairs near it, and which of them are rejected."""
_R2_OFFSET = (127 - 16) << 12  # r2_spline from 2^-16 to 1, 12 bits of mantissa
TILE = 2048


@dataclass(frozen=True)
class Rule:
    """The thresholds of the three-way call."""

    fdr: float
    margin: float
    min_r2: float


@dataclass(eq=False)
class Screen:
    """All pairs of R regulators x m targets, called."""

    engine: Engine
    rule: Rule
    regulators: np.ndarray
    """Genes tested as regulators, shape ``(R,)``."""
    targets: np.ndarray
    """Genes tested as targets, shape ``(m,)``."""
    calls: np.ndarray
    """``UNTESTED`` .. ``NONLINEAR``, uint8, shape ``(R, m)``."""
    strength: np.ndarray
    """Codes of r2_spline, uint16, shape ``(R, m)``."""
    q_values: Callable[[np.ndarray], np.ndarray]
    """Map from p-values of the test of non-linearity to adjusted ones."""
    bend_cut: Cut
    association_cut: Cut
    quick: QuickScores | None
    """Compiled loops that did it, if any."""
    associated: Collected
    """Numbers of associated pairs (rows of the table) as screened, in any order."""


def screen(
    engine: Engine,
    regulators: np.ndarray,
    targets: np.ndarray,
    rule: Rule,
    *,
    dtype: type = np.float32,
    limit: int = 0,
    threads: int = 1,
    memory: float = 4e9,
    progress: Callable[[int], None] = lambda n: None,
) -> Screen:
    """Test every regulator against every target and call every pair.

    Parameters
    ----------
    engine
        The test.
    regulators, targets
        Genes, in any order; a gene is never tested against itself.
    rule
        Thresholds.
    dtype
        Of the screening products; decisions are made in float64.
    limit
        Rows of the table: numbers of about so many of the strongest pairs are kept on the way.
    threads
        Blocks of regulators worked on at once; each uses one thread of linear algebra.
    memory
        Bytes that pair arrays may take before they go to a temporary file.
    progress
        Told the number of regulators done.
    """
    keep_freed_memory()
    shape = (len(regulators), len(targets))
    pairs = PairCodes.of(PairStore(shape, memory))
    small = len(regulators) * len(targets) <= SMALL
    bound_from = 0.0 if small else (1 - NEAR) * rule.min_r2
    quick = fitting_loops(engine, targets, shape[0] * shape[1], (rule.min_r2, rule.margin, bound_from), dtype)
    size = block_size(engine, len(regulators), threads, quick.AT_ONCE if quick else 0)
    minus_log_p = np.zeros(shape if small else (0, 0))
    kept = KeptFeatures(quick or engine, engine, regulators, size, 0.1 * memory)
    collected = Collection(rule.fdr, limit, 0.1 * memory / BYTES_PER_ROW)
    tables: dict[tuple[float, float], CodeTable] = {}

    def tile(start: int, fast: Any, at: slice) -> np.ndarray:
        """Test a block against some targets; where float32 cannot say."""
        rows = slice(start, start + size)
        outcome = engine.outcome(
            fast, targets[at], np.float64 if small else dtype, exact=small, bound_from=bound_from
        )
        pairs.state[rows, at], near = _state(outcome, rule)
        if small:
            minus_log_p[rows, at] = outcome.bend.minus_log_p()
            pairs.bend[rows, at] = code_of(minus_log_p[rows, at])
            pairs.association[rows, at] = code_of(outcome.association.minus_log_p())
            near[:] = False
        else:
            pairs.bend[rows, at] = outcome.bend.codes(tables)
            pairs.association[rows, at] = outcome.association.codes(tables)
        pairs.strength[rows, at] = strength_of(ranked_by(outcome.r2_spline, engine.cuts_r2))
        near |= targets[None, at] == regulators[rows, None]
        codes = pairs.association[rows, at], pairs.strength[rows, at]
        row, column = np.nonzero(collected.wants(pairs.state[rows, at], *codes) & ~near)
        places = {"row": start + row, "column": at.start + column, "strength": codes[1][row, column]}
        collected.add(places | outcome.numbers(row, column))
        return near

    def work(start: int) -> None:
        rows = slice(start, min(start + size, len(regulators)))
        block = kept.features(start)
        own = targets[None] == regulators[rows, None]
        doubt = np.zeros((rows.stop - rows.start, len(targets)), dtype=bool)
        fast = block if small or quick else block.astype(dtype)
        for low in range(0, len(targets), TILE):
            at = slice(low, min(low + TILE, len(targets)))
            if quick:
                doubt[:, at] = quick.screen(block, at, start, pairs, collected)
            else:
                doubt[:, at] = tile(start, fast, at)
        doubt &= ~own
        for row, column, outcome, inside in exact_pairs(engine, quick, block, doubt, targets, bound_from):
            where = start + row, column
            pairs.bend[where] = outcome.bend.codes(tables)[inside]
            pairs.association[where] = outcome.association.codes(tables)[inside]
            pairs.state[where] = _state(outcome, rule)[0][inside]
            ranked = ranked_by(outcome.r2_spline, engine.cuts_r2)[inside]
            pairs.strength[where] = strength = strength_of(ranked)
            wanted = np.flatnonzero(collected.wants(pairs.state[where], pairs.association[where], strength))
            places = {"row": where[0][wanted], "column": column[wanted], "strength": strength[wanted]}
            collected.add(places | outcome.numbers(inside[0][wanted], inside[1][wanted]))
        pairs.state[rows][own] = 0
        progress(rows.stop - rows.start)

    in_threads(work, range(0, len(regulators), size), threads)
    histograms = [_histogram(codes, pairs.state, size) for codes in (pairs.bend, pairs.association)]
    cuts = _settle(engine, quick, kept, regulators, targets, pairs, histograms, rule, threads, size)
    if small:
        q_values = exact_q_values(np.exp(-minus_log_p[(pairs.state & TESTED) > 0]))
    else:
        q_values = coded_q_values(histograms[0])
    calls = _call(pairs, cuts[0], cuts[1], size)
    return Screen(
        engine=engine,
        rule=rule,
        regulators=regulators,
        targets=targets,
        calls=calls,
        strength=pairs.strength,
        q_values=q_values,
        bend_cut=cuts[0][0],
        association_cut=cuts[1][0],
        quick=quick,
        associated=collected.associated(regulators, targets, calls),
    )


@dataclass(frozen=True, eq=False)
class Associations:
    """Which genes each regulator is associated with, in one bit a pair."""

    regulators: np.ndarray
    """Genes tested as regulators, shape ``(R,)``."""
    targets: np.ndarray
    """Genes tested as targets, shape ``(m,)``."""
    bits: np.ndarray
    """Shape ``(R, ceil(m / 8))``, uint8."""

    @staticmethod
    def of(result: Screen) -> Associations:
        """Collect those of a screen."""
        rows = range(0, len(result.calls), 1024)
        bits = [np.packbits(result.calls[low : low + 1024] >= INCONCLUSIVE, axis=1) for low in rows]
        return Associations(result.regulators, result.targets, np.concatenate(bits))

    def rank(self, place: np.ndarray) -> dict[int, np.ndarray]:
        """For each regulator's place, the places of its targets, rising; ``place`` is that of each gene."""
        found = {}
        for row, gene in enumerate(self.regulators.tolist()):
            mine = np.unpackbits(self.bits[row], count=len(self.targets)).view(bool)
            found[int(place[gene])] = np.sort(place[self.targets[mine]]).astype(np.int32)
        return found


def block_size(engine: Engine, n_regulators: int, threads: int, wide: int = 0) -> int:
    """Regulators per block: enough columns for an efficient product, and work for every thread."""
    wide = wide or engine.at_once or max(8, 320 // max(engine.columns.values()))
    return int(max(1, min(wide, -(-n_regulators // (2 * threads)))))


def _state(outcome: Outcome, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Settle what does not depend on other pairs; also say where float32 cannot."""
    r2, upper = outcome.r2_spline, outcome.share_upper
    strong = reaches(r2, rule.min_r2)
    flat = lies_below(upper, rule.margin)
    tested = np.broadcast_to(outcome.tested, r2.shape)
    near = np.abs(r2 - rule.min_r2) < NEAR * rule.min_r2
    near |= strong & (np.abs(upper - rule.margin) < NEAR * rule.margin)
    near |= outcome.doubt
    return (TESTED * tested + STRONG * strong + FLAT * flat).astype(np.uint8), near


def strength_of(r2: np.ndarray) -> np.ndarray:
    """16-bit codes of r2_spline, rising with it."""
    bits = np.clip(r2, 2.0**-16, 1.0).astype(np.float32).view(np.int32) >> 11
    return np.minimum(bits - _R2_OFFSET, N_CODES - 1).astype(np.uint16)


def exact_groups(
    engine: Engine, block: Any, wanted: np.ndarray, targets: np.ndarray, bound_from: float = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray, Outcome]]:
    """Recompute wanted pairs of a block in float64.

    Yields regulators of the block, columns of ``targets`` and the outcome: regulators together with the
    columns that any of them wants, as long as that wastes less than one more call. For
    ``bound_from`` see :class:`~poolproof.pairs.outcome.Engine`; inf: no bound is wanted.
    """
    for chosen, at in _groups(np.flatnonzero(wanted.any(axis=1)), wanted):
        features = block.take(chosen)
        for low in range(0, len(at), TILE):
            part = at[low : low + TILE]
            again = wanted[np.ix_(chosen, part)]
            outcome = engine.outcome(
                features, targets[part], np.float64, exact=True, bound_from=bound_from, again=again
            )
            yield chosen, part, outcome


def _groups(rows: np.ndarray, wanted: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Regulators and the columns that any of them wants, halved for as long as that costs less.

    Examples
    --------
    >>> [(len(rows), len(columns)) for rows, columns in _groups(np.arange(2), np.eye(2, dtype=bool))]
    [(2, 2)]
    >>> apart = np.kron(np.eye(2), np.ones((1, 1000))) > 0
    >>> [(len(rows), len(columns)) for rows, columns in _groups(np.arange(2), apart)]
    [(1, 1000), (1, 1000)]
    """
    if len(rows) == 0:
        return []
    whole = [(rows, np.flatnonzero(wanted[rows].any(axis=0)))]
    if len(rows) == 1 or len(rows) * len(whole[0][1]) <= CALL_COST:
        return whole
    middle = len(rows) // 2
    halves = _groups(rows[:middle], wanted) + _groups(rows[middle:], wanted)
    return halves if _cost(halves) < _cost(whole) else whole


def _cost(groups: list[tuple[np.ndarray, np.ndarray]]) -> int:
    return sum(CALL_COST + len(rows) * len(columns) for rows, columns in groups)


def exact_pairs(
    engine: Engine,
    quick: QuickScores | None,
    block: Any,
    wanted: np.ndarray,
    targets: np.ndarray,
    bound_from: float = 0.0,
) -> Iterator[tuple[np.ndarray, np.ndarray, Outcome, tuple[np.ndarray, np.ndarray]]]:
    """The same, flat: regulators, columns, an outcome, and where in it these pairs are."""
    if quick:
        yield from quick.exact(block, wanted, targets, bound_from)
        wanted = wanted & quick.incomplete(block, targets)
        if not wanted.any():
            return
        block = engine.features(block.regulators)
    for chosen, at, outcome in exact_groups(engine, block, wanted, targets, bound_from):
        row, column = np.nonzero(wanted[np.ix_(chosen, at)])
        yield chosen[row], at[column], outcome, (row, column)


def _histogram(codes: np.ndarray, state: np.ndarray, size: int) -> np.ndarray:
    total = np.zeros(N_CODES, dtype=np.int64)
    for low in range(0, len(codes), size):
        rows = slice(low, low + size)
        tested = (state[rows] & TESTED) > 0
        values = codes[rows].ravel() if tested.all() else codes[rows][tested]
        total += np.bincount(values, minlength=N_CODES)
    return total


def _settle(
    engine: Engine,
    quick: QuickScores | None,
    kept: KeptFeatures,
    regulators: np.ndarray,
    targets: np.ndarray,
    pairs: PairCodes,
    histograms: list[np.ndarray],
    rule: Rule,
    threads: int,
    size: int,
) -> list[Settled]:
    """Find both Benjamini-Hochberg cuts, deciding what is near them by exact p-values.

    Returns, for the bend and for association, the cut and, per block, which doubtful pairs (flat positions)
    are rejected.
    """
    both = pairs.bend, pairs.association
    bounds = [doubtful_codes(histogram, rule.fdr) for histogram in histograms]
    found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{}, {}]

    def work(start: int) -> None:
        rows = slice(start, min(start + size, len(regulators)))
        near = [
            (codes[rows] >= low) & (codes[rows] <= high) & ((pairs.state[rows] & TESTED) > 0)
            for codes, (low, high) in zip(both, bounds, strict=True)
        ]
        mine = np.flatnonzero(near[0].any(axis=1) | near[1].any(axis=1))
        if len(mine) == 0:
            return
        block = kept.some(start, mine)
        wanted = near[0][mine] | near[1][mine]
        p_values = [np.full(wanted.shape, np.nan), np.full(wanted.shape, np.nan)]
        for row, column, outcome, inside in exact_pairs(engine, quick, block, wanted, targets, np.inf):
            for p, law in zip(p_values, (outcome.bend, outcome.association), strict=True):
                p[row, column] = np.exp(-law.minus_log_p()[inside])
        for of, close, p in zip(found, near, p_values, strict=True):
            if close.any():
                of[start] = np.flatnonzero(close), p[close[mine]]

    in_threads(work, range(0, len(regulators), size), threads)
    cuts: list[Settled] = []
    for histogram, (low, high), of in zip(histograms, bounds, found, strict=True):
        doubtful = np.concatenate([p for _, p in of.values()]) if of else np.zeros(0)
        n_sure = int(histogram[high + 1 :].sum())
        cut = bh_cut(int(histogram.sum()), n_sure, doubtful, rule.fdr, (low, high))
        cuts.append((cut, {start: (at, p <= cut.p_value) for start, (at, p) in of.items()}))
    return cuts


def _call(pairs: PairCodes, bend_cut: Settled, association_cut: Settled, size: int) -> np.ndarray:
    """Turn codes, cuts and settled bits into calls, in place of the state."""
    for start in range(0, len(pairs.state), size):
        rows = slice(start, start + size)
        bits = pairs.state[rows]
        rejected = []
        for codes, (cut, settled) in ((pairs.bend, bend_cut), (pairs.association, association_cut)):
            reject = codes[rows] > cut.sure
            if start in settled:
                at, decided = settled[start]
                reject.ravel()[at] = decided
            rejected.append(reject)
        pairs.state[rows] = call_of(
            (bits & TESTED) > 0, (bits & STRONG) > 0, (bits & FLAT) > 0, rejected[0], rejected[1]
        )
    return pairs.state


def call_of(
    tested: np.ndarray, strong: np.ndarray, flat: np.ndarray, bent: np.ndarray, associated: np.ndarray
) -> np.ndarray:
    """The three-way call (method 7.2): affine wins where both hold, the bend being real and small.

    Examples
    --------
    >>> yes, no = np.array([True]), np.array([False])
    >>> int(call_of(yes, yes, no, yes, yes)[0]) == NONLINEAR
    True
    """
    call = np.full(tested.shape, INCONCLUSIVE, dtype=np.uint8)
    call[bent] = NONLINEAR
    call[flat] = AFFINE
    call[~(associated & strong)] = NOT_ASSOCIATED
    call[~tested] = UNTESTED
    return call

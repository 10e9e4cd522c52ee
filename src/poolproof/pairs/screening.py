"""Screen all pairs with an engine, then settle the calls: tiles, codes, cuts, rows of the table.

Float32 products screen; whatever lies near a threshold, or where float32 is not enough, is recomputed in
float64 before it is called. So no call depends on the size of the blocks, the number of threads or the
order of genes. Per pair, 7 bytes are kept: codes of both p-values and of r2_spline, and what is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
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
from .keeping import KeptFeatures, PairStore
from .outcome import Engine, Outcome, ranked_by

# What one byte says of a pair.
TESTED, STRONG, FLAT = 1, 2, 4  # both tests exist; r2_spline >= min_r2; share below the margin
UNTESTED, NOT_ASSOCIATED, INCONCLUSIVE, AFFINE, NONLINEAR = range(5)

NEAR = 1e-3
"""Relative distance from a threshold within which a pair is recomputed in float64."""

BYTES_PER_ROW = 74
"""Bytes of a candidate for the table, collected on the way."""
SMALL = 250_000
"""Up to so many pairs, all are decided in float64 at once, and adjusted p-values are exact."""
CALL_COST = 512
"""What one more call of an engine costs, in pairs."""

Columns = dict[str, np.ndarray]
Settled = tuple[Cut, dict[int, tuple[np.ndarray, np.ndarray]]]
"""A cut; and per block the flat positions of pairs near it, and which of them are rejected."""
_R2_OFFSET = (127 - 16) << 12  # r2_spline from 2^-16 to 1, 12 bits of mantissa
TILE = 2048
SPARE = 1.25
"""Candidates that are kept, over the rows of the table; and room for them, over those kept."""


@dataclass(frozen=True)
class Rule:
    """The thresholds of the three-way call."""

    fdr: float
    margin: float
    min_r2: float


@dataclass(frozen=True, eq=False)
class Collected:
    """Numbers of associated pairs, and from which strength on all of them are there."""

    columns: Columns
    """Those of the table; place in the screen (``row``, ``column``); code of ``strength``. Empty: no pair."""
    border: int
    """Code of the strength from which on no pair is missing; 0: all are there."""


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
    store = PairStore(shape, memory)
    bend = store.array(np.uint16)
    association = store.array(np.uint16)
    strength = store.array(np.uint16)
    state = store.array(np.uint8)
    tables: dict[tuple[float, float], CodeTable] = {}
    size = block_size(engine, len(regulators), threads)
    small = len(regulators) * len(targets) <= SMALL
    minus_log_p = np.zeros(shape if small else (0, 0))
    bound_from = 0.0 if small else (1 - NEAR) * rule.min_r2
    kept = KeptFeatures(engine, regulators, size, 0.1 * memory)
    collected = _Collection(rule, limit, 0.1 * memory / BYTES_PER_ROW)

    def work(start: int) -> None:
        rows = slice(start, min(start + size, len(regulators)))
        block = kept.features(start)
        fast = block if small else block.astype(dtype)
        doubt = np.zeros((rows.stop - rows.start, len(targets)), dtype=bool)
        for low in range(0, len(targets), TILE):
            at = slice(low, low + TILE)
            outcome = engine.outcome(
                fast, targets[at], np.float64 if small else dtype, exact=small, bound_from=bound_from
            )
            state[rows, at], near = _state(outcome, rule)
            if small:
                minus_log_p[rows, at] = outcome.bend.minus_log_p()
                bend[rows, at] = code_of(minus_log_p[rows, at])
                association[rows, at] = code_of(outcome.association.minus_log_p())
                near[:] = False
            else:
                bend[rows, at] = outcome.bend.codes(tables)
                association[rows, at] = outcome.association.codes(tables)
            strength[rows, at] = strength_of(ranked_by(outcome.r2_spline, engine.cuts_r2))
            near |= targets[None, at] == regulators[rows, None]
            doubt[:, at] = near
            places = start + np.arange(len(near)), low + np.arange(near.shape[1])
            codes = association[rows, at], strength[rows, at]
            collected.add(outcome, state[rows, at], codes, ~near, places)
        doubt &= targets[None] != regulators[rows, None]
        for chosen, columns, outcome in exact_groups(engine, block, doubt, targets, bound_from):
            where = np.ix_(np.arange(rows.start, rows.stop)[chosen], columns)
            inside = doubt[np.ix_(chosen, columns)]
            new = (
                (bend, outcome.bend.codes(tables)),
                (association, outcome.association.codes(tables)),
                (state, _state(outcome, rule)[0]),
                (strength, strength_of(ranked_by(outcome.r2_spline, engine.cuts_r2))),
            )
            for array, value in new:
                array[where] = np.where(inside, value, array[where])
            places = start + chosen, columns
            codes = association[where], strength[where]
            collected.add(outcome, state[where], codes, inside, places)
        state[rows][targets[None] == regulators[rows, None]] = 0
        progress(rows.stop - rows.start)

    in_threads(work, range(0, len(regulators), size), threads)
    histograms = [_histogram(codes, state, size) for codes in (bend, association)]
    cuts = _settle(
        engine, kept, regulators, targets, (bend, association), state, histograms, rule, threads, size
    )
    if small:
        q_values = exact_q_values(np.exp(-minus_log_p[(state & TESTED) > 0]))
    else:
        q_values = coded_q_values(histograms[0])
    calls = _call(bend, association, state, cuts[0], cuts[1], size)
    return Screen(
        engine=engine,
        rule=rule,
        regulators=regulators,
        targets=targets,
        calls=calls,
        strength=strength,
        q_values=q_values,
        bend_cut=cuts[0][0],
        association_cut=cuts[1][0],
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


class _Collection:
    """Numbers of candidates for the table, gathered while blocks are at hand: the strongest that fit."""

    def __init__(self, rule: Rule, limit: int, most: float) -> None:
        self._floor = code_of(np.array(-np.log(rule.fdr)))
        self._wanted = int(SPARE * limit)
        self._most = most
        self._given_up = limit == 0
        self._parts: list[Columns] = []
        self._n = 0
        self._border = 0
        self._lock = Lock()

    def add(
        self,
        outcome: Outcome,
        state: np.ndarray,
        codes: tuple[np.ndarray, np.ndarray],
        settled: np.ndarray,
        places: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Add the settled pairs of an outcome that may turn out to be associated, and be in the table.

        ``codes`` are those of the test of association and of strength.
        """
        if self._given_up:
            return
        association, strength = codes
        wanted = settled & (state & (TESTED | STRONG) == (TESTED | STRONG)) & (association >= self._floor)
        if self._border:
            wanted &= strength >= self._border
        rows, columns = np.nonzero(wanted)
        if len(rows) == 0:
            return
        part = {"row": places[0][rows], "column": places[1][columns], "strength": strength[rows, columns]}
        part |= outcome.numbers(rows, columns)
        with self._lock:
            self._parts.append(part)
            self._n += len(rows)
            if self._n > self._most >= SPARE * self._wanted:
                self._prune()
            if self._n > self._most:  # too little memory, or too many of one strength
                self._given_up, self._parts, self._border = True, [], N_CODES

    def _prune(self) -> None:
        """Leave out the weakest, but for more than the table may have.

        In the end that depends on all candidates, not on which came first: see `associated`.
        """
        counts = np.zeros(N_CODES, dtype=np.int64)
        for part in self._parts:
            counts += np.bincount(part["strength"], minlength=N_CODES)
        at_least = np.cumsum(counts[::-1])[::-1]
        self._border = max(int(np.flatnonzero(at_least >= self._wanted)[-1]), self._border)
        for i, part in enumerate(self._parts):
            strong = part["strength"] >= self._border
            self._parts[i] = {name: values[strong] for name, values in part.items()}
        self._n = sum(len(part["row"]) for part in self._parts)

    def associated(self, regulators: np.ndarray, targets: np.ndarray, calls: np.ndarray) -> Collected:
        """Keep what was called associated."""
        if self._border and not self._given_up:
            self._prune()
        parts = []
        for part in self._parts:
            call = calls[part["row"], part["column"]]
            kept = np.flatnonzero(call >= INCONCLUSIVE)
            chosen = {name: values[kept] for name, values in part.items()}
            parts.append(chosen | {"call": call[kept]})
        self._parts = []
        if not parts:
            return Collected({}, self._border)
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        row, column = columns["row"], columns["column"]
        return Collected(columns | {"regulator": regulators[row], "target": targets[column]}, self._border)


def block_size(engine: Engine, n_regulators: int, threads: int) -> int:
    """Regulators per block: enough columns for an efficient product, and work for every thread."""
    wide = engine.at_once or max(8, 320 // max(engine.columns.values()))
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

    Yields regulators of the block, columns of ``targets`` and the outcome: all regulators together with
    the columns that any of them wants, if that wastes little, else one regulator at a time. For
    ``bound_from`` see :class:`~poolproof.pairs.outcome.Engine`; inf: no bound is wanted.
    """
    columns = np.flatnonzero(wanted.any(axis=0))
    rows = np.flatnonzero(wanted.any(axis=1))
    if len(columns) == 0:
        return
    if len(columns) * len(rows) <= CALL_COST * len(rows) + 4 * int(wanted.sum()):
        groups = [(rows, columns)]
    else:
        groups = [(rows[i : i + 1], np.flatnonzero(wanted[rows[i]])) for i in range(len(rows))]
    for chosen, at in groups:
        features = block.take(chosen)
        for low in range(0, len(at), TILE):
            part = at[low : low + TILE]
            again = wanted[np.ix_(chosen, part)]
            outcome = engine.outcome(
                features, targets[part], np.float64, exact=True, bound_from=bound_from, again=again
            )
            yield chosen, part, outcome


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
    kept: KeptFeatures,
    regulators: np.ndarray,
    targets: np.ndarray,
    both: tuple[np.ndarray, np.ndarray],
    state: np.ndarray,
    histograms: list[np.ndarray],
    rule: Rule,
    threads: int,
    size: int,
) -> list[Settled]:
    """Find both Benjamini-Hochberg cuts, deciding what is near them by exact p-values.

    ``both`` are the codes of the bend and of association. Returns, for each, the cut and, per block, which
    doubtful pairs (flat positions) are rejected.
    """
    bounds = [doubtful_codes(histogram, rule.fdr) for histogram in histograms]
    found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{}, {}]

    def work(start: int) -> None:
        rows = slice(start, min(start + size, len(regulators)))
        near = [
            (codes[rows] >= low) & (codes[rows] <= high) & ((state[rows] & TESTED) > 0)
            for codes, (low, high) in zip(both, bounds, strict=True)
        ]
        mine = np.flatnonzero(near[0].any(axis=1) | near[1].any(axis=1))
        if len(mine) == 0:
            return
        block = kept.some(start, mine)
        wanted = near[0][mine] | near[1][mine]
        p_values = [np.full(wanted.shape, np.nan), np.full(wanted.shape, np.nan)]
        for chosen, columns, outcome in exact_groups(engine, block, wanted, targets, np.inf):
            at = np.ix_(chosen, columns)
            for p, close, law in zip(p_values, near, (outcome.bend, outcome.association), strict=True):
                if close[np.ix_(mine[chosen], columns)].any():
                    p[at] = np.exp(-law.minus_log_p())
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


def _call(
    bend: np.ndarray,
    association: np.ndarray,
    state: np.ndarray,
    bend_cut: Settled,
    association_cut: Settled,
    size: int,
) -> np.ndarray:
    """Turn codes, cuts and settled bits into calls, in place of ``state``."""
    for start in range(0, len(state), size):
        rows = slice(start, start + size)
        bits = state[rows]
        rejected = []
        for codes, (cut, settled) in ((bend, bend_cut), (association, association_cut)):
            reject = codes[rows] > cut.sure
            if start in settled:
                at, decided = settled[start]
                reject.ravel()[at] = decided
            rejected.append(reject)
        state[rows] = call_of(
            (bits & TESTED) > 0, (bits & STRONG) > 0, (bits & FLAT) > 0, rejected[0], rejected[1]
        )
    return state


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

"""Screen all triples: tiles of ends for every middle gene, streamed into counts, histograms and lists.

Nothing of the size of all triples is kept. Tiles have a fixed size and genes come sorted by name, so that
neither gene order nor the number of threads changes a single bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from threading import Lock

import numpy as np
from scipy import special

from .. import _names as names
from .._arrays import add, in_threads, keep_freed_memory
from .partial import Conditioner, Estimates, Given, Tile
from .quick_screen import QuickTiles, screen_tile

SIZE = 256
"""Ends of a tile: its arrays stay in the processor's cache."""
AT_ONCE, MANY_PARTS = 16, 64
"""Middle genes taken together, at most, and parts wanted; whatever the threads, as rounding depends on it."""
N_BINS = 40
"""Bins of a partial correlation, from -1 to 1, in the histogram."""
LEVEL = 0.05
"""Level of the one-sided tests behind a call."""

KEPT, DISTORTED, HIDDEN, DEPENDENT, UNDETERMINED = range(5)  # kept + 1: linear large; + 2: dependent
CODES = (names.KEPT, names.DISTORTED, names.HIDDEN, names.DEPENDENT, names.UNDETERMINED)

_SHIFT = 13  # bits of float32 that a histogram of z^2 drops: 10 bits of mantissa stay
_FIRST = int(np.float32(2.0**-2).view(np.int32)) >> _SHIFT
_LAST = int(np.float32(2.0**21).view(np.int32)) >> _SHIFT


@dataclass(frozen=True, eq=False)
class Listing:
    """Triples worth showing, by position; arrays of one length."""

    middle: np.ndarray
    left: np.ndarray
    right: np.ndarray
    code: np.ndarray
    strength: np.ndarray

    @staticmethod
    def join(parts: list[Listing]) -> Listing:
        """All of them."""
        return Listing(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("middle", "left", "right", "code", "strength")
            )
        )

    def strongest(self, n: int) -> Listing:
        """The n strongest of each call, ties by position."""
        order = np.lexsort((self.right, self.left, self.middle, -self.strength, self.code))
        rank = np.arange(len(order)) - np.searchsorted(self.code[order], self.code[order])
        kept = order[rank < n]
        return Listing(
            self.middle[kept], self.left[kept], self.right[kept], self.code[kept], self.strength[kept]
        )


@dataclass(frozen=True, eq=False)
class TripleScreen:
    """What a screen of triples found."""

    middle: np.ndarray
    """Middle genes screened, shape ``(M,)``."""
    n_ends: np.ndarray
    """Ends of each of them that could be used, shape ``(M,)``."""
    counts: np.ndarray
    """Triples of each call (in the order of `CODES`), shape ``(M, 5)``."""
    histogram: np.ndarray
    """Triples by call, bin of the linear and bin of the spline partial correlation, ``(5, 40, 40)``."""
    evidence: dict[float, np.ndarray]
    """Triples by bin of the squared statistic of their call, for each degrees of freedom; what is not told
    lies in the bins below its quantile."""
    listed: Listing


def screen_triples_of(
    conditioner: Conditioner,
    ends_of: Callable[[int], np.ndarray],
    middle: np.ndarray,
    *,
    margin: float,
    n_listed: int,
    dtype: type,
    threads: int,
    compiled: bool = False,
    progress: Callable[[int], object] = lambda n: None,
) -> TripleScreen:
    """Screen the triples of some middle genes.

    Parameters
    ----------
    conditioner
        The data; genes sorted by name.
    ends_of
        The ends of a middle gene: rising positions.
    middle
        Middle genes, shape ``(M,)``.
    margin
        Partial correlations below it count as none.
    n_listed
        Triples of each call that are listed.
    compiled
        Whether to use compiled loops where there are some and they fit.
    """
    size = max(1, min(AT_ONCE, len(middle) // MANY_PARTS))
    lists = _Lists(n_listed)
    keep_freed_memory()

    def work(start: int) -> _Sums:
        sums = _Sums(lists, screen_tile() if compiled else None)
        some = middle[start : start + size]
        of_each = [ends_of(y) for y in some.tolist()]
        ready = conditioner.ready_of(some, of_each, dtype)
        for y, all_ends in zip(some.tolist(), of_each, strict=True):
            n_ends = 0
            for ends, n_left in blocks_of(all_ends, conditioner.most_ends):
                given = conditioner.given(y, ends, dtype, ready=ready.get(y))
                if given is None:
                    break
                usable = given.usable
                given = given if usable.all() else given.take(np.flatnonzero(usable))
                n_ends += len(given.ends) if n_left == 0 else 0
                sums.start(given)
                for tile in tiles(len(given.ends), int(usable[:n_left].sum()) if n_left else None):
                    sums.add(given, tile, y, margin)
            sums.close(n_ends)
            progress(1)
        return sums

    parts = in_threads(work, range(0, len(middle), size), threads)
    evidence: dict[float, np.ndarray] = {}
    for part in parts:
        for df, counts in part.evidence.items():
            evidence[df] = evidence.get(df, 0) + counts
    return TripleScreen(
        middle=middle,
        n_ends=np.array([n for part in parts for n in part.n_ends], dtype=np.int64),
        counts=np.array([row for part in parts for row in part.counts], dtype=np.int64).reshape(-1, 5),
        histogram=add([_no_triples(), *(part.histogram for part in parts)]).reshape(5, N_BINS, N_BINS),
        evidence=evidence,
        listed=lists.done(),
    )


def blocks_of(ends: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, int]]:
    """Ends that fit into memory together, so that all their pairs are seen once.

    Yields some ends and 0: their own pairs; or those of two blocks, and how many belong to the first: the
    pairs between the two.

    Examples
    --------
    >>> [(block.tolist(), n_left) for block, n_left in blocks_of(np.arange(3), 4)]
    [([0, 1, 2], 0)]
    >>> [(block.tolist(), n_left) for block, n_left in blocks_of(np.arange(3), 2)]
    [([0], 0), ([0, 1], 1), ([0, 2], 1), ([1], 0), ([1, 2], 1), ([2], 0)]
    """
    if len(ends) <= most:
        yield ends, 0
        return
    size = most // 2
    blocks = [ends[low : low + size] for low in range(0, len(ends), size)]
    for i, block in enumerate(blocks):
        yield block, 0
        for other in blocks[i + 1 :]:
            yield np.concatenate([block, other]), len(block)


def tiles(n_ends: int, n_left: int | None = None) -> Iterator[Tile]:
    """Tiles that hold every unordered pair of ends; those on the diagonal hold more.

    With ``n_left``: only the pairs of the first so many with the others.
    """
    for low in range(0, n_ends if n_left is None else n_left, SIZE):
        left = slice(low, min(low + SIZE, n_ends if n_left is None else n_left))
        for start in range(low if n_left is None else n_left, n_ends, SIZE):
            yield Tile(left, slice(start, min(start + SIZE, n_ends)))


def judge(of: Estimates, margin: float, df: float) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the calls (method 8.2), and the squared statistic behind each: the smaller of its two.

    A triple is separated, or dependent, where the partial correlation given the spline lies significantly
    below, or above, the margin; the same for the line. Both must be told, else it is undetermined.
    """
    size, size_linear = np.abs(of.spline), np.abs(of.linear)
    code = (size_linear > margin).view(np.uint8)
    code += 2 * (size > margin).view(np.uint8)
    for of_one, variance in ((size, of.spline_variance), (size_linear, of.linear_variance)):
        of_one -= margin
        of_one *= of_one
        of_one /= variance
    evidence = np.minimum(size, size_linear, out=size)
    told = evidence > quantile(df) ** 2
    code += 4 * (~told).view(np.uint8)  # masks and minima are far quicker than assignment by a mask
    return np.minimum(code, np.uint8(UNDETERMINED), out=code), evidence


@cache
def quantile(df: float) -> float:
    """Quantile of the one-sided tests."""
    return float(special.stdtrit(df, 1 - LEVEL)) if np.isfinite(df) else float(-special.ndtri(LEVEL))


def p_values(evidence: np.ndarray, df: float) -> np.ndarray:
    """One-sided p-values of squared statistics.

    Examples
    --------
    >>> p_values(np.array([1.959964**2]), np.inf).round(6)
    array([0.025])
    """
    z = np.sqrt(np.asarray(evidence, dtype=np.float64))
    return special.ndtr(-z) if not np.isfinite(df) else special.stdtr(df, -z)


def q_values(found: TripleScreen, p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values among all screened triples, at most 2 % too large above 1e-6.

    From the histogram of the statistics, so that an answer is never too small. The p-values of calls are
    below 5 %, and what lies beyond is not looked at; below 1e-6 the bins are wider, as a share of p.
    """
    edges = (np.arange(_FIRST, _LAST + 1) << _SHIFT).astype(np.int32).view(np.float32)
    at = [(p_values(edges, df), counts) for df, counts in found.evidence.items()]
    if not at:
        return np.full(len(p), np.nan)
    level, counts = (np.concatenate(columns) for columns in zip(*at, strict=True))
    near = level <= 1.01 * LEVEL  # with the bin in which 5 % lies
    level, counts = level[near], counts[near]
    order = np.argsort(level, kind="stable")
    level, rank = level[order], np.cumsum(counts[order])
    with np.errstate(divide="ignore", invalid="ignore"):
        adjusted = np.where(rank > 0, level * found.counts.sum() / rank, 1.0)
    adjusted = np.minimum(np.minimum.accumulate(adjusted[::-1])[::-1], 1.0)
    place = np.minimum(np.searchsorted(level, p, side="left"), len(level) - 1)
    return np.where(np.isnan(p), np.nan, np.maximum(adjusted[place], p))


class _Sums:
    """What is kept of the triples of some middle genes."""

    def __init__(self, lists: _Lists, compiled: Callable[..., int] | None) -> None:
        self._tiles = None if compiled is None else QuickTiles(compiled, SIZE * SIZE)
        self._quick = False
        self.n_ends: list[int] = []
        self.counts: list[np.ndarray] = []
        self.histogram = _no_triples()
        self.evidence: dict[float, np.ndarray] = {}
        self._lists = lists
        self._counts = _no_triples()  # of one middle gene

    def start(self, given: Given) -> None:
        """Take some ends of a middle gene."""
        self._quick = self._tiles is not None and self._tiles.fits(given)
        if self._quick and self._tiles is not None:
            self._tiles.start(given)

    def _add_quickly(self, tiles: QuickTiles, given: Given, tile: Tile, middle: int, margin: float) -> None:
        found = tiles.add(
            tile,
            margin=margin,
            told=quantile(given.df) ** 2,
            n_bins=N_BINS,
            lowest=_FIRST,
            least=self._lists.least(),
            histogram=self._counts,
            evidence=self._evidence_of(given.df),
        )
        for code in range(UNDETERMINED) if len(found.code) else ():
            mine = np.flatnonzero(found.code == code)
            ends = given.ends[found.left[mine]], given.ends[found.right[mine]]
            self._lists.put(code, middle, *ends, found.strength[mine])

    def _evidence_of(self, df: float) -> np.ndarray:
        if df not in self.evidence:
            self.evidence[df] = np.zeros(_LAST - _FIRST + 1, dtype=np.int64)
        return self.evidence[df]

    def add(self, given: Given, tile: Tile, middle: int, margin: float) -> None:
        """Judge a tile and count it."""
        if self._quick and self._tiles is not None:
            self._add_quickly(self._tiles, given, tile, middle, margin)
            return
        of = given.estimates(tile)
        df = given.df
        code, evidence = judge(of, margin, df)
        if tile.left == tile.right:  # every pair stands twice, and every gene beside itself
            none, once = _diagonal(len(code))
            np.maximum(code, none, out=code)
            evidence *= once
        places = code * np.int32(N_BINS**2)
        places += _bins(of.linear) * N_BINS
        places += _bins(of.spline)
        found = np.bincount(places.ravel(), minlength=6 * N_BINS**2)[: 5 * N_BINS**2]
        self._counts += found
        by_call = found.reshape(5, -1).sum(axis=1)
        bins = evidence.astype(np.float32, copy=False).view(np.int32) >> _SHIFT
        bins -= _FIRST
        np.clip(bins, 0, _LAST - _FIRST, out=bins)
        self._evidence_of(df)[:] += np.bincount(bins.ravel(), minlength=_LAST - _FIRST + 1)
        self._lists.add(given, tile, middle, of, code, by_call)

    def close(self, n_ends: int) -> None:
        """One middle gene is done."""
        self.n_ends.append(n_ends)
        self.counts.append(self._counts.reshape(5, -1).sum(axis=1))
        self.histogram += self._counts
        self._counts[:] = 0


@cache
def _diagonal(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of a diagonal tile: a code beyond all calls where it has no triple of its own; else 1."""
    lower = np.tri(n, dtype=np.uint8)
    return lower * np.uint8(UNDETERMINED + 1), (1 - lower).astype(np.float32)


def _no_triples() -> np.ndarray:
    return np.zeros(5 * N_BINS**2, dtype=np.int64)


def _bins(rho: np.ndarray) -> np.ndarray:
    place = rho * (N_BINS / 2)
    place += N_BINS / 2
    return np.clip(place, 0, N_BINS - 1, out=place).astype(np.int32)


def _size(code: int, of: Estimates) -> np.ndarray:
    """What triples of a call are at most ranked by."""
    if code == KEPT:  # what conditioning explains away
        return np.abs(of.correlation)
    if code == DISTORTED:
        return np.abs(of.linear)
    if code == HIDDEN:
        return np.abs(of.spline)
    return np.abs(of.spline)  # at least the smaller of the two


def _strength(code: int, of: Estimates, at: np.ndarray, df: float) -> np.ndarray:
    """What triples are ranked by: the lower limit of their partial correlation, so that noise does not lead.

    ``at`` are flat positions; for separations kept, the correlation that conditioning explains. Estimates
    beyond 1, which few counts can give, say little and come last.
    """

    def lower(rho: np.ndarray, variance: np.ndarray) -> np.ndarray:
        size = np.abs(rho.ravel()[at])
        return np.where(size > 1, 0.0, size - quantile(df) * np.sqrt(variance.ravel()[at]))

    if code == KEPT:
        size = np.abs(of.correlation.ravel()[at])
        return np.where(size > 1, 0.0, size)
    if code == DISTORTED:
        return lower(of.linear, of.linear_variance)
    if code == HIDDEN:
        return lower(of.spline, of.spline_variance)
    return np.minimum(lower(of.linear, of.linear_variance), lower(of.spline, of.spline_variance))


class _Lists:
    """The strongest triples of each call so far, over all threads.

    What is weaker than the n strongest seen by any thread cannot be among them in the end: so the answer
    does not depend on who came first.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._lock = Lock()
        self._parts: list[list[Listing]] = [[] for _ in range(UNDETERMINED)]
        self._held = [0] * UNDETERMINED
        self._least = [-np.inf] * UNDETERMINED

    def add(
        self, given: Given, tile: Tile, middle: int, of: Estimates, codes: np.ndarray, by_call: np.ndarray
    ) -> None:
        """Add what may be among the strongest."""
        for code in range(UNDETERMINED):
            if not by_call[code]:
                continue
            least = self._least[code]  # read once: another thread may raise it in between
            wanted = _size(code, of) >= least
            if not wanted.any():
                continue
            wanted &= codes == code
            at = np.flatnonzero(wanted)
            strength = _strength(code, of, at, given.df)
            rows, columns = np.divmod(at, wanted.shape[1])
            left, right = given.ends[tile.left][rows], given.ends[tile.right][columns]
            self.put(code, middle, left, right, strength)

    def least(self) -> np.ndarray:
        """What a triple of each call must reach."""
        return np.array(self._least, dtype=np.float32)

    def put(self, code: int, middle: int, left: np.ndarray, right: np.ndarray, strength: np.ndarray) -> None:
        """Put triples of one call on the list that are strong enough."""
        strong = np.flatnonzero(strength >= self._least[code])
        if len(strong) == 0:
            return
        n = len(strong)
        new = Listing(np.full(n, middle), left[strong], right[strong], np.full(n, code), strength[strong])
        with self._lock:
            self._parts[code].append(new)
            self._held[code] += n
            if self._held[code] > 4 * self._n:
                self._prune(code)

    def _prune(self, code: int) -> None:
        best = Listing.join(self._parts[code]).strongest(self._n)
        self._parts[code], self._held[code] = [best], len(best.code)
        if len(best.code) == self._n:
            self._least[code] = float(best.strength.min())

    def done(self) -> Listing:
        """The list."""
        nothing = np.zeros(0, dtype=np.int64)
        empty = Listing(nothing, nothing, nothing, nothing, np.zeros(0))
        return Listing.join([empty, *(part for of in self._parts for part in of)]).strongest(self._n)

"""The screen of a tile of triples as compiled loops: to be imported where numba is installed, and only there.

For float32 they do what :mod:`poolproof.triples.screening` does with numpy, one row of the tile at a time, so
that nothing between the columns of the ends and the counts leaves the processor's first cache. Sums of a few
products are rounded in another order than by BLAS, so a call within rounding of its threshold may differ.

Each loop takes whole vectors of numbers, which the compiler sees only where each array is one of its own and
not a view, where there are few of them, where no index may be below 0 (hence unsigned ones), and where every
number takes 4 bytes (hence the casts: numba adds two int32 to an int64).
"""

from __future__ import annotations

import numpy as np

from ..pairs.compiled import loop
from .quick_screen import FEW

WIDTH = 256
"""Right ends of a tile, at most."""
BITS_OF_PLACE, BITS_OF_EVIDENCE = 13, 15
"""What a call with two bins, and a bin of evidence, take of the number that holds both."""


@loop(sums=True, known=True)
def _take(into: np.ndarray, cross: np.ndarray, row: int, columns: np.ndarray) -> None:
    m, of = len(columns), np.uint64(row)
    first = np.uint64(columns[0])
    if columns[m - 1] - columns[0] == m - 1:  # rising, so that none is left out
        for j in range(m):
            into[j] = cross[of, first + np.uint64(j)]
    else:
        for j in range(m):
            into[j] = cross[of, np.uint64(columns[j])]


@loop(sums=True, known=True)
def _rest_of_one(
    into: np.ndarray, values: np.ndarray, by: np.ndarray, factor: float, right: np.ndarray, a: float
) -> None:
    """Scaled values less the products of one column."""
    for j in range(len(by)):
        into[j] = values[j] * by[j] * factor - a * right[j]


@loop(sums=True, known=True)
def _rest(
    into: np.ndarray,
    values: np.ndarray,
    by: np.ndarray,
    factor: float,
    right: np.ndarray,
    place: int,
    left: np.ndarray,
    row: int,
) -> None:
    """Scaled values less the products of a few columns."""
    a, b, c = left[row, place], left[row, place + 1], left[row, place + 2]
    d, e, f = left[row, place + 3], left[row, place + 4], left[row, place + 5]
    start = np.uint64(place * WIDTH)
    for j in range(len(by)):
        at = start + np.uint64(j)
        products = (
            a * right[at]
            + b * right[at + np.uint64(WIDTH)]
            + c * right[at + np.uint64(2 * WIDTH)]
            + d * right[at + np.uint64(3 * WIDTH)]
            + e * right[at + np.uint64(4 * WIDTH)]
            + f * right[at + np.uint64(5 * WIDTH)]
        )
        into[j] = values[j] * by[j] * factor - products


@loop(sums=True, known=True)
def _add(
    into: np.ndarray,
    keep: float,
    sign: float,
    right: np.ndarray,
    place: int,
    left: np.ndarray,
    row: int,
    m: int,
) -> None:
    """``keep`` times what is there, and the products of a few columns times ``sign``."""
    a, b, c = sign * left[row, place], sign * left[row, place + 1], sign * left[row, place + 2]
    d, e, f = sign * left[row, place + 3], sign * left[row, place + 4], sign * left[row, place + 5]
    start = np.uint64(place * WIDTH)
    for j in range(m):
        at = start + np.uint64(j)
        into[j] = keep * into[j] + (
            a * right[at]
            + b * right[at + np.uint64(WIDTH)]
            + c * right[at + np.uint64(2 * WIDTH)]
            + d * right[at + np.uint64(3 * WIDTH)]
            + e * right[at + np.uint64(4 * WIDTH)]
            + f * right[at + np.uint64(5 * WIDTH)]
        )


@loop(sums=True, known=True)
def _judge(
    found: np.ndarray,
    known: np.ndarray,
    linear: np.ndarray,
    spline: np.ndarray,
    v_linear: np.ndarray,
    v_spline: np.ndarray,
    one: float,
    floor: float,
    margin: float,
    told: float,
    half: float,
    top: float,
    n_bins: int,
    lowest: int,
    last: int,
    least_kept: float,
    least_distorted: float,
    least_hidden: float,
    least_dependent: float,
    m: int,
) -> int:
    """Calls, bins and whether a triple may be among the strongest, all in one number; how many may be."""
    never, zero = np.float32(np.inf), np.int32(0)
    n_strong = zero
    for j in range(m):
        x, y = linear[j], spline[j]
        size_x, size_y = abs(x), abs(y)
        of_x, of_y = max(v_linear[j] - x * x * one, floor), max(v_spline[j], floor)
        beyond_x, beyond_y = size_x - margin, size_y - margin
        beyond_x *= beyond_x
        beyond_y *= beyond_y
        smaller = beyond_x * of_y < beyond_y * of_x  # one division instead of two
        evidence = (beyond_x if smaller else beyond_y) / (of_x if smaller else of_y)
        large = np.int32(np.int32(size_x > margin) + np.int32(np.int32(2) * np.int32(size_y > margin)))
        code = large if evidence > told else np.int32(4)
        bin_x = np.int32(min(max(x * half + half, np.float32(0.0)), top))
        bin_y = np.int32(min(max(y * half + half, np.float32(0.0)), top))
        above = np.int32(np.int32(np.float32(evidence).view(np.int32) >> np.int32(13)) - lowest)
        at_least = above if above > zero else zero
        bits = np.int32(at_least if at_least < last else last)
        # what a strength is at most, and what it must be at least
        kept, distorted = code == np.int32(0), code == np.int32(1)
        hidden, dependent = code == np.int32(2), code == np.int32(3)
        both = min(size_x, size_y)
        size = abs(known[j]) if kept else size_x if distorted else size_y if hidden else both
        of_two = least_hidden if hidden else least_dependent if dependent else never
        least = least_kept if kept else least_distorted if distorted else of_two
        strong = np.int32(size >= least)
        n_strong = np.int32(n_strong + strong)
        place = np.int32(np.int32(np.int32(np.int32(code * n_bins) + bin_x) * n_bins) + bin_y)
        more = np.int32(np.int32(strong << np.int32(BITS_OF_EVIDENCE)) | bits)
        found[j] = np.int32(place | np.int32(more << np.int32(BITS_OF_PLACE)))
    return int(n_strong)


@loop(sums=True, known=True)
def _count(histogram: np.ndarray, evidence: np.ndarray, found: np.ndarray, start: int, m: int) -> None:
    for j in range(start, m):
        of = np.uint32(found[j])
        histogram[of & np.uint32((1 << BITS_OF_PLACE) - 1)] += 1
        evidence[(of >> np.uint32(BITS_OF_PLACE)) & np.uint32((1 << BITS_OF_EVIDENCE) - 1)] += 1


@loop(sums=True, known=True)
def _places(strong: np.ndarray, found: np.ndarray, start: int, m: int) -> int:
    """Where triples may be among the strongest, filled in; how many they are."""
    n = np.uint64(0)
    for j in range(start, m):
        strong[n] = j
        n += np.uint64(found[j] >> np.int32(BITS_OF_PLACE + BITS_OF_EVIDENCE))
    return int(n)


@loop(sums=True, known=True)
def _lower(rho: float, variance: float, told: float) -> float:
    size = abs(rho)
    return 0.0 if size > 1 else size - np.sqrt(told * variance)


@loop(sums=True, known=True)
def screen_tile(
    cross: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    inverse: np.ndarray,
    thin: np.ndarray,
    edges: np.ndarray,
    left: int,
    right: int,
    n: int,
    floor: float,
    margin: float,
    told: float,
    n_bins: int,
    lowest: int,
    least: np.ndarray,
    histogram: np.ndarray,
    evidence: np.ndarray,
    listed: np.ndarray,
    strength: np.ndarray,
) -> int:
    """Count the triples of a tile, and list those that are strong enough.

    Parameters
    ----------
    cross
        Covariances, of which ``rows`` and ``columns`` (rising) are those of the left and right ends.
    inverse
        1 / size of the residuals of all ends, given the line and given the spline, shape ``(2, m)``.
    thin
        Columns of all ends: coefficients of the line, of the spline; squares of residuals, smoothed, given
        the line, given the spline; shape ``(m, c)``. Of the line one, else each a multiple of `FEW`.
    edges
        Where each of these four begins, and where the last one ends, shape ``(5,)``.
    left, right
        First left and first right end; where they are the same, every pair counts once.
    n, floor
        Samples, and the least variance.
    margin, told
        Of a call: partial correlations below it count as none; the squared quantile.
    n_bins, lowest
        Bins of a partial correlation; bits of the first edge of squared statistics, shifted.
    least
        What the strength of a triple of each call must be, shape ``(4,)``.
    histogram, evidence
        Counts, added to: by call and bins, flat; by bin of the squared statistic.
    listed, strength
        Filled: call, left and right end, ``(3, most)``; strength, ``(most,)``.

    Returns
    -------
    How many are listed.
    """
    m = len(columns)
    half, top = np.float32(n_bins / 2), np.float32(n_bins - 1)
    last, one = np.int32(len(evidence) - 1), np.float32(1.0 / n)
    known, linear = np.empty(WIDTH, dtype=np.float32), np.empty(WIDTH, dtype=np.float32)
    spline, v_linear = np.empty(WIDTH, dtype=np.float32), np.zeros(WIDTH, dtype=np.float32)
    v_spline, found = np.zeros(WIDTH, dtype=np.float32), np.empty(WIDTH, dtype=np.int32)
    strong = np.empty(WIDTH, dtype=np.int32)
    of_linear, of_spline = inverse[0, right : right + m].copy(), inverse[1, right : right + m].copy()
    of_right = np.zeros(thin.shape[1] * WIDTH, dtype=np.float32)
    for j in range(m):
        for c in range(thin.shape[1]):
            of_right[c * WIDTH + j] = thin[right + j, c]
    none, plus, minus = np.float32(0.0), np.float32(1.0), np.float32(-1.0)
    n_listed = 0
    for i in range(len(rows)):
        at = left + i
        _take(known, cross, rows[i], columns)
        if edges[1] == 1:
            _rest_of_one(linear, known, of_linear, inverse[0, at], of_right, thin[at, 0])
        else:
            _rest(linear, known, of_linear, inverse[0, at], of_right, 0, thin, at)
        _rest(spline, known, of_spline, inverse[1, at], of_right, edges[1], thin, at)
        _add(v_linear, none, plus, of_right, edges[2], thin, at, m)
        _add(v_spline, none, plus, of_right, edges[3], thin, at, m)
        for c in range(FEW, edges[1], FEW):
            _add(linear, plus, minus, of_right, c, thin, at, m)
        for c in range(edges[1] + FEW, edges[2], FEW):
            _add(spline, plus, minus, of_right, c, thin, at, m)
        for c in range(edges[2] + FEW, edges[3], FEW):
            _add(v_linear, plus, plus, of_right, c, thin, at, m)
        for c in range(edges[3] + FEW, edges[4], FEW):
            _add(v_spline, plus, plus, of_right, c, thin, at, m)
        n_strong = _judge(
            found,
            known,
            linear,
            spline,
            v_linear,
            v_spline,
            one,
            floor,
            margin,
            told,
            half,
            top,
            np.int32(n_bins),
            np.int32(lowest),
            last,
            least[0],
            least[1],
            least[2],
            least[3],
            m,
        )
        start = i + 1 if left == right else 0
        _count(histogram, evidence, found, start, m)
        if n_strong == 0:
            continue
        for s in range(_places(strong, found, start, m)):
            j = strong[s]
            code = (found[j] & ((1 << BITS_OF_PLACE) - 1)) // (n_bins * n_bins)
            of_x = _lower(linear[j], max(v_linear[j] - linear[j] * linear[j] * one, floor), told)
            of_y = _lower(spline[j], max(v_spline[j], floor), told)
            if code == 0:
                value = 0.0 if abs(known[j]) > 1 else abs(known[j])
            else:
                value = of_x if code == 1 else of_y if code == 2 else min(of_x, of_y)
            if value >= least[code]:
                listed[0, n_listed], listed[1, n_listed], listed[2, n_listed] = code, at, right + j
                strength[n_listed] = value
                n_listed += 1
    return n_listed

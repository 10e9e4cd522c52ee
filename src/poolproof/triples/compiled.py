"""The screen of a tile of triples as compiled loops: to be imported where numba is installed, and only there.

For float32 they do what :mod:`poolproof.triples.screening` does with numpy, one row of the tile at a time, so
that nothing between the columns of the ends and the counts leaves the processor's first cache. Sums of a few
products are rounded in another order than by BLAS, so a call within rounding of its threshold may differ.

Loops are kept apart, each with few arrays, and each array is one of its own: of views, or of many arrays, the
compiler does not see that they do not overlap, and takes numbers one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once and kept on disk, where there is a place for it; nothing is NaN, 0 has no sign."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"nnan", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep it in
        return numba.njit(**options)(function)


@_compiled
def _scale(into: np.ndarray, values: np.ndarray, by: np.ndarray, factor: float) -> None:
    for j in range(len(into)):
        into[j] = values[j] * by[j] * factor


@_compiled
def _add_products(
    into: np.ndarray, left: np.ndarray, at: int, right: np.ndarray, first: int, last: int, sign: float
) -> None:
    for c in range(first, last):
        factor = sign * left[c, at]
        for j in range(len(into)):
            into[j] += factor * right[c, j]


@_compiled
def _hold_above(values: np.ndarray, floor: float) -> None:
    for j in range(len(values)):
        values[j] = max(values[j], floor)


@_compiled
def _take_squares(values: np.ndarray, rho: np.ndarray, n: float) -> None:
    for j in range(len(values)):
        values[j] -= rho[j] * rho[j] / n


@_compiled
def _evidence(into: np.ndarray, rho: np.ndarray, variance: np.ndarray, margin: float) -> None:
    for j in range(len(into)):
        beyond = abs(rho[j]) - margin
        into[j] = beyond * beyond / variance[j]


@_compiled
def _smaller(into: np.ndarray, other: np.ndarray) -> None:
    for j in range(len(into)):
        into[j] = min(into[j], other[j])


@_compiled
def _call(
    code: np.ndarray,
    linear: np.ndarray,
    spline: np.ndarray,
    evidence: np.ndarray,
    margin: float,
    told: float,
) -> None:
    for j in range(len(code)):
        large = np.int32(abs(linear[j]) > margin) + np.int32(2) * np.int32(abs(spline[j]) > margin)
        code[j] = large if evidence[j] > told else np.int32(4)


@_compiled
def _add_bin(place: np.ndarray, rho: np.ndarray, half: float, top: float, n_bins: int) -> None:
    for j in range(len(place)):
        at = np.int32(min(max(rho[j] * half + half, np.float32(0.0)), top))
        place[j] = place[j] * n_bins + at


@_compiled
def _evidence_bin(place: np.ndarray, bits: np.ndarray, lowest: int, last: int) -> None:
    for j in range(len(place)):
        place[j] = min(max((bits[j] >> np.int32(13)) - lowest, np.int32(0)), last)


@_compiled
def _strong(into: np.ndarray, code: np.ndarray, rho: np.ndarray, wanted: int, least: float) -> int:
    n_strong = np.int32(0)
    for j in range(len(into)):
        found = np.int32(code[j] == wanted) & np.int32(abs(rho[j]) >= least)
        into[j] = found
        n_strong += found
    return int(n_strong)


@_compiled
def screen_tile(
    cross: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    inverse: np.ndarray,
    coefficients: np.ndarray,
    n_linear: int,
    smooth: np.ndarray,
    n_smooth: int,
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
    values: np.ndarray,
) -> int:
    """Count the triples of a tile, and list those that may be among the strongest.

    Parameters
    ----------
    cross
        Covariances, of which ``rows`` and ``columns`` are those of the left and right ends.
    inverse
        1 / size of the residuals of all ends, given the line and given the spline, shape ``(2, m)``.
    coefficients, smooth
        Columns of the line, ``n_linear`` and ``n_smooth`` of them, then those of the spline, ``(c, m)``.
    left, right
        First left and first right end; where they are the same, every pair counts once.
    n, floor
        Samples, and the least variance.
    margin, told
        Of a call: partial correlations below it count as none; the squared quantile.
    n_bins, lowest
        Bins of a partial correlation; bits of the first edge of squared statistics, shifted.
    least
        What a triple of each call must reach to be listed, shape ``(4,)``.
    histogram, evidence
        Counts, added to: by call and bins, flat; by bin of the squared statistic.
    listed, values
        Filled: call, left and right end, ``(3, most)``; correlation, linear partial correlation and its
        variance, the same given the spline, ``(5, most)``.

    Returns
    -------
    How many are listed.
    """
    m = len(columns)
    half, top = np.float32(n_bins / 2), np.float32(n_bins - 1)
    last, size = np.int32(len(evidence) - 1), np.float32(n)
    known, linear = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
    spline, v_linear = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
    v_spline, weakest = np.empty(m, dtype=np.float32), np.empty(m, dtype=np.float32)
    other = np.empty(m, dtype=np.float32)
    bits = weakest.view(np.int32)
    code, place = np.empty(m, dtype=np.int32), np.empty(m, dtype=np.int32)
    of_evidence, strong = np.empty(m, dtype=np.int32), np.empty(m, dtype=np.int32)
    of_linear, of_spline = inverse[0, right : right + m].copy(), inverse[1, right : right + m].copy()
    slopes, squares = coefficients[:, right : right + m].copy(), smooth[:, right : right + m].copy()
    n_listed = 0
    for i in range(len(rows)):
        start = i + 1 if left == right else 0
        of_row = cross[rows[i]]
        for j in range(m):
            known[j] = of_row[columns[j]]
        _scale(linear, known, of_linear, inverse[0, left + i])
        _scale(spline, known, of_spline, inverse[1, left + i])
        n_both = len(coefficients)
        _add_products(linear, coefficients, left + i, slopes, 0, n_linear, np.float32(-1.0))
        _add_products(spline, coefficients, left + i, slopes, n_linear, n_both, np.float32(-1.0))
        v_linear[:] = np.float32(0.0)
        v_spline[:] = np.float32(0.0)
        n_both = len(smooth)
        _add_products(v_linear, smooth, left + i, squares, 0, n_smooth, np.float32(1.0))
        _add_products(v_spline, smooth, left + i, squares, n_smooth, n_both, np.float32(1.0))
        _take_squares(v_linear, linear, size)
        _hold_above(v_linear, floor)
        _hold_above(v_spline, floor)
        _evidence(weakest, spline, v_spline, margin)
        _evidence(other, linear, v_linear, margin)
        _smaller(weakest, other)
        _call(code, linear, spline, weakest, margin, told)
        place[:] = code
        _add_bin(place, linear, half, top, np.int32(n_bins))
        _add_bin(place, spline, half, top, np.int32(n_bins))
        _evidence_bin(of_evidence, bits, np.int32(lowest), last)
        for j in range(start, m):
            histogram[place[j]] += 1
            evidence[of_evidence[j]] += 1
        for wanted in range(4):
            rho = known if wanted == 0 else linear if wanted == 1 else spline
            if _strong(strong, code, rho, np.int32(wanted), least[wanted]) == 0:
                continue
            for j in range(start, m):
                if strong[j]:
                    listed[0, n_listed], listed[1, n_listed], listed[2, n_listed] = (
                        wanted,
                        left + i,
                        right + j,
                    )
                    values[0, n_listed] = known[j]
                    values[1, n_listed], values[2, n_listed] = linear[j], v_linear[j]
                    values[3, n_listed], values[4, n_listed] = spline[j], v_spline[j]
                    n_listed += 1
    return n_listed

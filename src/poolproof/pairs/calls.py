"""From test statistics to calls: p-value codes, false-discovery control, the equivalence bound (method 7).

Screening every pair of 20,000 genes leaves 4e8 p-values twice over. They are kept as 16-bit codes of
-ln p, fine enough (2 in 10^4 of -ln p) to find the Benjamini-Hochberg cut; pairs near the cut are
recomputed exactly before they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

# --- p-values as 16-bit codes: the code rises as p falls --------------------------------------------

N_CODES = 1 << 16
_SHIFT = 0.05
_LARGEST = 700.0  # -ln p beyond this is one code
_STEP = (N_CODES - 2) / np.log1p(_LARGEST / _SHIFT)

EVEN = (2, 4, 6, 8, 10)
"""Degrees of freedom of a numerator whose tails are summed term by term."""

_STAT_LOWEST = 2.0**-4  # statistics are read off a table at 12 bits of mantissa, 2^-4 to 2^12
_STAT_OFFSET = (127 - 4) << 12


def code_of(minus_log_p: np.ndarray) -> np.ndarray:
    """Code of -ln p, uint16.

    Examples
    --------
    >>> code_of(np.array([0.0, 3.0, 1e9]))
    array([    0, 28218, 65534], dtype=uint16)
    """
    capped = np.minimum(minus_log_p, _LARGEST)
    return (np.log1p(np.maximum(capped, 0.0) / _SHIFT) * _STEP).astype(np.uint16)


def largest_p(codes: np.ndarray) -> np.ndarray:
    """Largest p-value that has each code."""
    return np.exp(-_SHIFT * np.expm1(np.asarray(codes, dtype=np.float64) / _STEP))


def minus_log_sf(
    statistic: np.ndarray, df: float | np.ndarray, df_residual: float | np.ndarray = np.inf
) -> np.ndarray:
    """-ln of the upper tail of chi-square(df), or of df times F(df, df_residual), without underflow."""
    x = np.asarray(statistic, dtype=np.float64)
    largest = np.max(df, initial=0)
    if np.min(df, initial=largest) == largest:
        if largest in EVEN:
            return _closed_minus_log_sf(x, int(largest), df_residual)
        return _minus_log_sf(x, df, df_residual)
    x, df, df_residual = np.broadcast_arrays(x, df, df_residual)
    result = _minus_log_sf(x, df, df_residual)
    for even in EVEN:  # the same law in the same words, whatever stands beside it
        at = np.nonzero(df == even)
        if len(at[0]):
            result[at] = _closed_minus_log_sf(x[at], even, df_residual[at])
    return result


def _minus_log_sf(x: np.ndarray, df: float | np.ndarray, df_residual: float | np.ndarray) -> np.ndarray:
    """The same by the tails of SciPy."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if np.all(np.isfinite(df_residual)):
            tail = special.fdtrc(df, df_residual, x / df)
            # the tail of F is a power: (1 + x / df_residual)^(-df_residual / 2) up to a factor
            half = np.log1p(x / df_residual) * (np.asarray(df_residual) / 2)
            return np.where(tail > 1e-290, -np.log(np.maximum(tail, 1e-300)), np.maximum(half, 667.0))
        tail = special.chdtrc(df, x)
        half = np.maximum(x, 1.0) / 2
        asymptote = half - (df / 2 - 1) * np.log(half) + special.gammaln(df / 2)
        return np.where(tail > 1e-290, -np.log(np.maximum(tail, 1e-300)), asymptote)


def _closed_minus_log_sf(x: np.ndarray, df: int, df_residual: float | np.ndarray) -> np.ndarray:
    """The same for even df, by the finite sums of Johnson, Kotz & Balakrishnan (1994, 1995).

    Chi-square: exp(-x/2) sum_(i < df/2) (x/2)^i / i!. F, with b half of df_residual and
    z = x / (x + df_residual): (1 - z)^b sum_(i < df/2) b (b + 1) .. (b + i - 1) z^i / i!.
    """
    with np.errstate(invalid="ignore"):
        x = np.minimum(x, 1e30)  # whose tail is nothing; powers of it are finite
        if np.all(np.isfinite(df_residual)):
            b = np.asarray(df_residual) / 2
            z, exponent = x / (x + df_residual), b * np.log1p(x / df_residual)
            ratios = [
                (b + i) / (i + 1) for i in range(df // 2 - 1)
            ]  # of every term to the one before, over z
        else:
            z = exponent = x / 2
            ratios = [np.asarray(1 / (i + 1)) for i in range(df // 2 - 1)]
        total = np.ones_like(x)
        for ratio in reversed(ratios):
            total *= z * ratio
            total += 1
        return np.asarray(exponent - np.log(total))


class CodeTable:
    """Codes of statistics by table look-up, for one law of the statistic under the null."""

    codes: np.ndarray
    """By the first bits of a statistic, shape ``(65536,)``, uint16."""

    def __init__(self, df: float, df_residual: float = np.inf) -> None:
        position = np.arange(N_CODES, dtype=np.int32) + _STAT_OFFSET
        level = (position << 11).view(np.float32).astype(np.float64)
        level[0] = 0.0
        self.codes = code_of(minus_log_sf(level, df, df_residual))

    def __call__(self, statistic: np.ndarray) -> np.ndarray:
        """Codes of float32 statistics, any shape."""
        bits = np.fmax(statistic, np.float32(_STAT_LOWEST)).view(np.int32) >> 11
        return self.codes.take(np.minimum(bits - _STAT_OFFSET, N_CODES - 1))


class StudentTable(CodeTable):
    """Codes for the square of Student's t, read off its deviance: few degrees of freedom need huge values."""

    def __init__(self, df: float) -> None:
        position = np.arange(N_CODES, dtype=np.int32) + _STAT_OFFSET
        level = (position << 11).view(np.float32).astype(np.float64)
        level[0] = 0.0
        few = np.append(level[::8], level[-1])  # between them -ln p is all but a line
        with np.errstate(over="ignore"):
            square = df * np.expm1(few / (df + 1))
        self.codes = code_of(np.interp(level, few, minus_log_sf(np.minimum(square, 1e300), 1.0, df)))
        self._df = np.float32(df)

    def __call__(self, statistic: np.ndarray) -> np.ndarray:
        """Codes of float32 squares of t, any shape."""
        return super().__call__(np.log1p(statistic / self._df) * (self._df + np.float32(1)))


# --- Benjamini & Hochberg (1995) over codes ----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Cut:
    """A Benjamini-Hochberg cut: which p-values are rejected."""

    p_value: float
    """Largest rejected p-value; 0 if none is."""
    sure: int
    """Codes above this one are rejected."""
    doubtful: int
    """Codes below this one are not; those between must be decided by their p-value."""


def doubtful_codes(histogram: np.ndarray, fdr: float, margin: int = 20) -> tuple[int, int]:
    """Find the codes among which the Benjamini-Hochberg cut must lie.

    Parameters
    ----------
    histogram
        Number of tests with each code, shape ``(65536,)``.
    fdr
        Level.
    margin
        Codes added on either side for rounding of the statistics: 20 are 3 in 10^3 of -ln p.

    Returns
    -------
    The lowest and the highest doubtful code.
    """
    n_tests = histogram.sum()
    at_least = np.cumsum(histogram[::-1])[::-1]  # tests with this code or a smaller p
    codes = np.arange(N_CODES)
    upper = largest_p(codes)
    lower = np.append(upper[1:], 0.0)
    possible = np.flatnonzero((n_tests * lower <= fdr * at_least) & (at_least > 0))
    if len(possible) == 0:
        return N_CODES - 1, N_CODES - 1
    certain = np.flatnonzero((n_tests * upper <= fdr * at_least) & (at_least > 0))
    low = possible[0]
    high = certain[0] if len(certain) else possible[-1]
    return max(int(low) - margin, 0), min(int(high) + margin, N_CODES - 1)


def bh_cut(n_tests: int, n_sure: int, p_doubtful: np.ndarray, fdr: float, bounds: tuple[int, int]) -> Cut:
    """The Benjamini-Hochberg cut, exact, given the p-values of the doubtful tests.

    ``n_sure`` tests have smaller p-values than the doubtful ones; all others are not rejected.
    """
    ordered = np.sort(p_doubtful)
    rank = n_sure + np.arange(1, len(ordered) + 1)
    passed = np.flatnonzero(n_tests * ordered <= fdr * rank)
    low, high = bounds
    if len(passed):
        return Cut(float(ordered[passed[-1]]), high, low)
    return Cut(float(largest_p(np.array(high + 1))) if n_sure else 0.0, high, low)


def bh_adjust(p_values: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values; NaN stays NaN and is not counted.

    Examples
    --------
    >>> bh_adjust(np.array([0.01, np.nan, 0.04, 0.03]))
    array([0.03,  nan, 0.04, 0.04])
    """
    adjusted = np.full(p_values.shape, np.nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(p_values[tested])
    return adjusted


def exact_q_values(p_values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the map from p-values to Benjamini-Hochberg adjusted ones, from all p-values.

    Examples
    --------
    >>> exact_q_values(np.array([0.01, 0.03, 0.04]))(np.array([0.03, 0.01]))
    array([0.04, 0.03])
    """
    ordered = np.sort(p_values)
    n = len(ordered)
    ratio = n * ordered / np.arange(1, n + 1)
    adjusted = np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1.0)

    def q_values(p: np.ndarray) -> np.ndarray:
        rank = np.searchsorted(ordered, np.asarray(p) * (1 + 1e-9), side="right")
        return adjusted[np.clip(rank - 1, 0, n - 1)]

    return q_values


def coded_q_values(histogram: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the map from p-values to Benjamini-Hochberg adjusted ones, from codes of all tests.

    Ranks within one code are interpolated, so the result is right to about 2 in 10^3.
    """
    n_tests = histogram.sum()
    at_least = np.cumsum(histogram[::-1])[::-1].astype(np.float64)
    upper = largest_p(np.arange(N_CODES))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(at_least > 0, n_tests * upper / at_least, np.inf)
    used = histogram > 0
    best = np.minimum.accumulate(np.where(used, ratio, np.inf))  # smallest ratio at this or a larger p
    log_upper = np.log(upper)

    def q_values(p: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log_p = np.log(np.asarray(p, dtype=np.float64))
        code = code_of(-log_p).astype(np.int64)
        above = at_least[np.minimum(code + 1, N_CODES - 1)] * (code < N_CODES - 1)
        width = log_upper[code] - log_upper[np.minimum(code + 1, N_CODES - 1)]
        inside = np.clip(1 - (log_upper[code] - log_p) / np.where(width > 0, width, 1.0), 0.0, 1.0)
        rank = above + 1 + inside * (np.maximum(histogram[code], 1) - 1)
        return np.minimum(np.minimum(n_tests * np.exp(log_p) / rank, best[code]), 1.0)

    return q_values


# --- Thresholds ---------------------------------------------------------------------------------------

TIE = 1e-9
"""Relative distance from a threshold that counts as none. The last digits of a sum of products depend on the
shape of the blocks it was taken over and on the processor: a value may not fall on either side with them."""


def reaches(r2: np.ndarray, least: float) -> np.ndarray:
    """Tell whether an explained share is at least ``least``, up to rounding.

    Examples
    --------
    >>> reaches(np.array([0.3, 0.3 - 1e-16, 0.2999]), 0.3)
    array([ True,  True, False])
    """
    return r2 >= (1 - TIE) * least


def lies_below(upper: np.ndarray, margin: float) -> np.ndarray:
    """Tell whether an upper bound lies below the margin by more than rounding.

    Examples
    --------
    >>> lies_below(np.array([0.1, 0.1 - 1e-16, 0.0999]), 0.1)
    array([False, False,  True])
    """
    return upper < (1 - TIE) * margin


# --- Equivalence: an upper bound of the non-linear share ---------------------------------------------

Z_UPPER = 1.6448536269514722


def share_upper(
    bend: np.ndarray,
    line: np.ndarray,
    v_bend: np.ndarray,
    v_line: np.ndarray,
    v_both: np.ndarray,
    z: float | np.ndarray = Z_UPPER,
) -> np.ndarray:
    """Upper bound of the non-linear share (method 7.2).

    Parameters
    ----------
    bend, line
        Estimated size r of the bend and B of the line, never negative, same shape.
    v_bend, v_line, v_both
        Variances of both and their covariance.
    z
        Normal (or t) quantile: 1.645 bounds the share from above at 95 %.

    Returns
    -------
    ``c^2 / (1 + c^2)`` at the larger root c of ``r - c B + z sqrt(v(c)) = 0``, where
    ``v(c) = v_bend + c^2 v_line - 2 c v_both``; 1 where the line is not significant at that level.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> share_upper(0.1 * one, one, 1e-4 * one, 1e-4 * one, 0 * one).round(4)
    array([0.0134])
    """
    z2 = np.asarray(z, dtype=bend.dtype) ** 2
    square = line * line - z2 * v_line
    middle = bend * line - z2 * v_both
    free = bend * bend - z2 * v_bend
    with np.errstate(divide="ignore", invalid="ignore"):
        c = (middle + np.sqrt(np.maximum(middle * middle - square * free, 0))) / square
        share = 1 - 1 / (1 + c * c)
    return np.where(square > 0, share, 1.0).astype(bend.dtype)

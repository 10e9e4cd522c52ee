"""Loops that the compiled screens of pairs share, to be imported where numba is installed, and only there.

Each takes one regulator against many targets, float32, and does what numpy does in
:mod:`poolproof.pairs.calls`, :mod:`poolproof.pairs.outcome` and :mod:`poolproof.pairs.screening`: codes of
p-values from tables, codes of strength, what one byte says of a pair, which pairs may come into the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from .calls import _STAT_LOWEST as STAT_LOWEST
from .calls import _STAT_OFFSET as STAT_OFFSET
from .calls import N_CODES
from .collection import STRONG, TESTED
from .screening import _R2_OFFSET as R2_OFFSET
from .screening import FLAT

_LOWEST = np.float32(STAT_LOWEST)
_OFFSET = np.int32(STAT_OFFSET)
_LAST = np.int32(N_CODES - 1)
_R2_LOWEST = np.float32(2.0**-16)
_R2_FIRST = np.int32(R2_OFFSET)
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LN2 = np.float32(np.log(2.0))
_ROOT_HALF = np.int32(np.float32(np.sqrt(0.5)).view(np.int32))
_MANTISSA = np.int32(0x007FFFFF)
_TESTED, _STRONG, _FLAT = np.uint8(TESTED), np.uint8(STRONG), np.uint8(FLAT)
_BOTH = np.uint8(TESTED | STRONG)


def loop(*, sums: bool = False, known: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function once and keep it on disk, where there is a place for it.

    Products and sums are fused; ``sums`` are taken in another order as well, so that they run side by side.
    NaN and infinity stay what they are, unless all values are ``known``: then none is NaN.
    """

    def of(function: Callable[..., Any]) -> Callable[..., Any]:
        fast = {"nsz", "contract", *({"reassoc"} if sums else ()), *({"nnan"} if known else ())}
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fast}
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder to keep it in
            return numba.njit(**options)(function)

    return of


@loop()
def put_codes(codes: np.ndarray, statistic: np.ndarray, bits: np.ndarray, table: np.ndarray) -> None:
    """Codes of p-values, uint16, by the table of one law (`CodeTable`); ``bits`` is ``statistic`` as int32.

    Statistics are changed: held above the first one of the table.
    """
    for j in range(len(codes)):
        value = statistic[j]
        statistic[j] = value if value > _LOWEST else _LOWEST
    for j in range(len(codes)):
        codes[j] = table[min((bits[j] >> np.int32(11)) - _OFFSET, _LAST)]


@loop()
def take_deviance(square: np.ndarray, scratch: np.ndarray, bits: np.ndarray, df: float) -> None:
    """Squares of t become their deviance ``(df + 1) ln(1 + t^2 / df)``, which `StudentTable` is read off.

    ``bits`` is ``scratch`` as int32. The logarithm of 1 + z by the rational series of atanh around 1, times
    z / ((1 + z) - 1), which mends the rounding of the sum; right to 3 in 10^7.
    """
    factor = np.float32(df + 1.0)
    over = np.float32(df)
    for j in range(len(square)):
        scratch[j] = _ONE + square[j] / over
    for j in range(len(square)):
        whole = scratch[j]
        small = square[j] / over
        shifted = bits[j] - _ROOT_HALF
        exponent = shifted >> np.int32(23)
        square[j] = np.float32(exponent) * _LN2
        bits[j] = (shifted & _MANTISSA) + _ROOT_HALF
        x = scratch[j]
        s = (x - _ONE) / (x + _ONE)
        s2 = s * s
        series = np.float32(1 / 9) * s2 + np.float32(1 / 7)
        series = series * s2 + np.float32(1 / 5)
        series = series * s2 + np.float32(1 / 3)
        series = series * s2 + _ONE
        logarithm = square[j] + np.float32(2) * s * series
        rounded = whole - _ONE
        square[j] = factor * (small if rounded <= _ZERO else logarithm * (small / rounded))


@loop()
def join_codes(codes: np.ndarray, other: np.ndarray, twice: np.ndarray) -> None:
    """Of two tests of one hypothesis the smaller p-value, doubled by the table ``twice``; into ``codes``."""
    for j in range(len(codes)):
        codes[j] = twice[max(codes[j], other[j])]


@loop()
def put_strength(codes: np.ndarray, r2: np.ndarray, scratch: np.ndarray, bits: np.ndarray) -> None:
    """16-bit codes of r2_spline; ``bits`` is ``scratch`` as int32."""
    for j in range(len(codes)):
        value = r2[j]
        value = value if value > _R2_LOWEST else _R2_LOWEST
        scratch[j] = value if value < _ONE else _ONE
    for j in range(len(codes)):
        codes[j] = np.uint16(min((bits[j] >> np.int32(11)) - _R2_FIRST, _LAST))


@loop()
def put_state(
    state: np.ndarray,
    doubt: np.ndarray,
    r2: np.ndarray,
    upper: np.ndarray,
    tested: bool,
    least: float,
    near_r2: tuple[float, float],
    margin: float,
    near_margin: float,
) -> None:
    """What one byte says of a pair, and where float32 cannot say it; ``doubt`` is added to.

    ``least`` and ``margin`` are the thresholds less their ties; ``near_r2`` the threshold of r2_spline and
    how far from it is near; ``near_margin`` the same distance for the share, from ``margin``.
    """
    of_test = _TESTED if tested else np.uint8(0)
    at, within = near_r2
    for j in range(len(state)):
        strong = r2[j] >= least
        flat = upper[j] < margin
        state[j] = of_test | (_STRONG if strong else np.uint8(0)) | (_FLAT if flat else np.uint8(0))
        doubt[j] |= (abs(r2[j] - at) < within) | (strong & (abs(upper[j] - margin) < near_margin))


@loop()
def list_candidates(
    places: np.ndarray,
    state: np.ndarray,
    doubt: np.ndarray,
    association: np.ndarray,
    strength: np.ndarray,
    floor: int,
    border: int,
) -> int:
    """Places in a row of settled pairs that may be in the table; how many there are."""
    n = 0
    for j in range(len(state)):
        if (state[j] & _BOTH) == _BOTH and not doubt[j] and association[j] >= floor and strength[j] >= border:
            places[n] = j
            n += 1
    return n


@loop()
def count_codes(histogram: np.ndarray, codes: np.ndarray, state: np.ndarray) -> None:
    """Add the codes of tested pairs to their histogram, ``(65536,)``; all arrays flat."""
    for j in range(len(codes)):
        histogram[codes[j]] += np.int64(state[j] & _TESTED)


@loop()
def finish_row(
    codes: np.ndarray,
    statistic: np.ndarray,
    scratch: np.ndarray,
    bits: np.ndarray,
    table: np.ndarray,
) -> None:
    """Codes as :func:`put_codes` gives them; statistics are kept, ``bits`` is ``scratch`` as int32."""
    for j in range(len(codes)):
        scratch[j] = statistic[j]
    put_codes(codes, scratch, bits, table)

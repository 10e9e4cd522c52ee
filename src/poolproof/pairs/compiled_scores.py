"""What follows the products of the classical and the robust screen, as compiled loops; needs numba.

They do for float32, bases of five columns and one level without replicates what
:mod:`poolproof.pairs.score_engine` does with numpy: a row of pairs at a time, a strip of it in the
processor's first cache. In a strip every moment is a row of one flat array, at a distance that the compiler
knows, so that it sees that rows do not overlap, and takes pairs side by side.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .compiled import (
    finish_row,
    join_codes,
    list_candidates,
    loop,
    put_codes,
    put_state,
    put_strength,
    take_deviance,
)
from .score_kernels import STEEP, WEAK

K = 5
"""Columns of a basis."""
WITH_Y = 16
"""Columns multiplied with y: q_j, w q_1^3, then w q_j q_m q_1 of the bends, the upper triangle row by row."""
WITH_Y2 = 15
"""Columns multiplied with y^2: w q_j q_m, the upper triangle row by row."""
BOUND = 4
"""Columns that only the bound of the share needs: w q_1^2 q_j of the bends."""

_W = 128
"""Pairs in a strip."""
_IN = WITH_Y + WITH_Y2
_OUT = 7
STRIP = (_IN + _OUT) * _W
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_LITTLE, _MOST = np.float32(1e-30), np.float32(1e30)
_FLOOR = np.float32(1e-5)
_WEAK, _STEEP, _FULL = np.float32(WEAK), np.float32(STEEP), np.float32(1 - WEAK)
_NOTHING = np.float32(np.finfo(np.float32).tiny ** 0.25)
_NO_NOISE = np.float32(np.finfo(np.float32).eps ** 2)
_NO_REST = np.float32(1e-12)


class Law(NamedTuple):
    """Tables of p-values, and which one each regulator of a block has."""

    tables: np.ndarray
    """Codes, uint16, shape ``(n_tables, 65536)``."""
    of: np.ndarray
    """Place of the table, -1 where there is no test, shape ``(R,)``."""


class Thresholds(NamedTuple):
    """Those of the call, float32; see :func:`~poolproof.pairs.compiled.put_state`."""

    least: np.float32
    near_r2: tuple[np.float32, np.float32]
    margin: np.float32
    near_margin: np.float32
    bound_from: np.float32
    z2: np.float32
    """Squared quantile of the bound."""


class Tile(NamedTuple):
    """Where the numbers of a tile go."""

    row: int
    """First row and first column of the tile in ``association``, ``strength`` and ``state``."""
    column: int
    association: np.ndarray
    strength: np.ndarray
    state: np.ndarray
    doubt: np.ndarray
    """Shape ``(R, m)`` like those below, of the tile alone; regulators are its rows."""
    r2_linear: np.ndarray
    gain: np.ndarray
    upper: np.ndarray
    bend: np.ndarray
    """Statistics of the bends."""


@loop()
def _pivot_root(diagonal: Any, pivot: Any) -> Any:
    """1 / root of a pivot, held above a share of its diagonal entry."""
    least = abs(diagonal) * _FLOOR + _LITTLE
    return _ONE / math.sqrt(pivot if pivot > least else least)


@loop()
def _robust_strip(p: np.ndarray, c: np.ndarray) -> None:
    """Statistics of a strip: r2 of the line, gain, bend, association, squared t of the line, doubt.

    ``p`` holds `_IN` rows of moments, then `_OUT` rows for the result (r2_spline is the first of them);
    ``c`` sums w q_j q_m q_1^2 of the regulator, the upper triangle row by row.
    """
    c00, c11, c12, c13, c14 = c[0], c[5], c[6], c[7], c[8]
    c22, c23, c24, c33, c34, c44 = c[9], c[10], c[11], c[12], c[13], c[14]
    for j in range(_W):
        b = p[j]
        s1, s2, s3, s4 = p[_W + j], p[2 * _W + j], p[3 * _W + j], p[4 * _W + j]
        n00, n01, n02 = p[16 * _W + j], p[17 * _W + j], p[18 * _W + j]
        n03, n04, n11 = p[19 * _W + j], p[20 * _W + j], p[21 * _W + j]
        n12, n13, n14 = p[22 * _W + j], p[23 * _W + j], p[24 * _W + j]
        n22, n23, n24 = p[25 * _W + j], p[26 * _W + j], p[27 * _W + j]
        n33, n34, n44 = p[28 * _W + j], p[29 * _W + j], p[30 * _W + j]
        b2, t = b * b, -_TWO * b
        v00 = n00 + t * p[5 * _W + j] + c00 * b2
        v11 = n11 + t * p[6 * _W + j] + c11 * b2
        v12 = n12 + t * p[7 * _W + j] + c12 * b2
        v13 = n13 + t * p[8 * _W + j] + c13 * b2
        v14 = n14 + t * p[9 * _W + j] + c14 * b2
        v22 = n22 + t * p[10 * _W + j] + c22 * b2
        v23 = n23 + t * p[11 * _W + j] + c23 * b2
        v24 = n24 + t * p[12 * _W + j] + c24 * b2
        v33 = n33 + t * p[13 * _W + j] + c33 * b2
        v34 = n34 + t * p[14 * _W + j] + c34 * b2
        v44 = n44 + t * p[15 * _W + j] + c44 * b2
        gain = s1 * s1 + s2 * s2 + s3 * s3 + s4 * s4
        weak = (v00 < _WEAK * n00) | (b2 > _STEEP)
        # the bends, y less its line for noise
        weak |= v11 < _WEAK * n11
        root = _pivot_root(v11, v11)
        r1 = s1 * root
        l12, l13, l14 = v12 * root, v13 * root, v14 * root
        pivot = v22 - l12 * l12
        weak |= pivot < _WEAK * n22
        root = _pivot_root(v22, pivot)
        r2 = (s2 - l12 * r1) * root
        l23, l24 = (v23 - l12 * l13) * root, (v24 - l12 * l14) * root
        pivot = v33 - l13 * l13 - l23 * l23
        weak |= pivot < _WEAK * n33
        root = _pivot_root(v33, pivot)
        r3 = (s3 - l13 * r1 - l23 * r2) * root
        l34 = (v34 - l13 * l14 - l23 * l24) * root
        pivot = v44 - l14 * l14 - l24 * l24 - l34 * l34
        weak |= pivot < _WEAK * n44
        root = _pivot_root(v44, pivot)
        r4 = (s4 - l14 * r1 - l24 * r2 - l34 * r3) * root
        bend = r1 * r1 + r2 * r2 + r3 * r3 + r4 * r4
        # all columns, y itself for noise
        root = _pivot_root(n00, n00)
        weak |= n00 < _WEAK * n00
        r0 = b * root
        l01, l02, l03, l04 = n01 * root, n02 * root, n03 * root, n04 * root
        pivot = n11 - l01 * l01
        weak |= pivot < _WEAK * n11
        root = _pivot_root(n11, pivot)
        r1 = (s1 - l01 * r0) * root
        l12, l13, l14 = (n12 - l01 * l02) * root, (n13 - l01 * l03) * root, (n14 - l01 * l04) * root
        pivot = n22 - l02 * l02 - l12 * l12
        weak |= pivot < _WEAK * n22
        root = _pivot_root(n22, pivot)
        r2 = (s2 - l02 * r0 - l12 * r1) * root
        l23, l24 = (n23 - l02 * l03 - l12 * l13) * root, (n24 - l02 * l04 - l12 * l14) * root
        pivot = n33 - l03 * l03 - l13 * l13 - l23 * l23
        weak |= pivot < _WEAK * n33
        root = _pivot_root(n33, pivot)
        r3 = (s3 - l03 * r0 - l13 * r1 - l23 * r2) * root
        l34 = (n34 - l03 * l04 - l13 * l14 - l23 * l24) * root
        pivot = n44 - l04 * l04 - l14 * l14 - l24 * l24 - l34 * l34
        weak |= pivot < _WEAK * n44
        root = _pivot_root(n44, pivot)
        r4 = (s4 - l04 * r0 - l14 * r1 - l24 * r2 - l34 * r3) * root
        whole = r0 * r0 + r1 * r1 + r2 * r2 + r3 * r3 + r4 * r4
        squared_t = b2 / (v00 if v00 > _NO_NOISE else _NO_NOISE)
        p[_IN * _W + j] = b2 + gain
        p[(_IN + 1) * _W + j] = b2
        p[(_IN + 2) * _W + j] = gain
        p[(_IN + 3) * _W + j] = bend if bend < _MOST else _MOST
        p[(_IN + 4) * _W + j] = whole if whole < _MOST else _MOST
        p[(_IN + 5) * _W + j] = squared_t if squared_t < _MOST else _MOST
        p[(_IN + 6) * _W + j] = _ONE if weak else _ZERO


@loop()
def _copy(into: np.ndarray, values: np.ndarray) -> None:
    for j in range(len(values)):
        into[j] = values[j]


@loop()
def _mark(into: np.ndarray, values: np.ndarray) -> None:
    for j in range(len(into)):
        into[j] = values[j] > _ZERO


@loop(sums=True)
def _four_sums(columns: np.ndarray, row: int, y: np.ndarray) -> tuple[Any, Any, Any, Any]:
    """Products of y with the four columns that the bound needs."""
    one, two, three, four = columns[0, row], columns[1, row], columns[2, row], columns[3, row]
    a, b, c, d = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(len(y)):
        a += one[i] * y[i]
        b += two[i] * y[i]
        c += three[i] * y[i]
        d += four[i] * y[i]
    return a, b, c, d


@loop()
def _upper(line: float, gain: float, v_bend: float, v_line: float, v_both: float, z2: float) -> Any:
    """Upper bound of the non-linear share; see :func:`~poolproof.pairs.calls.share_upper`."""
    size, r = math.sqrt(line), math.sqrt(gain)
    square = line - z2 * v_line
    middle = r * size - z2 * v_both
    free = gain - z2 * v_bend
    root = middle * middle - square * free
    c = (middle + math.sqrt(root if root > _ZERO else _ZERO)) / square
    return _ONE - _ONE / (_ONE + c * c) if square > _ZERO else _ONE


@loop()
def _robust_upper(
    first: np.ndarray,
    second: np.ndarray,
    constant: np.ndarray,
    row: int,
    j: int,
    of_line: tuple[float, float, float, float],
    z2: float,
) -> Any:
    """The bound of one pair of a tile; ``of_line`` are its products with the columns of the bound."""
    b = first[0, row, j]
    b2, t = b * b, -_TWO * b
    gain, v_bend, v_both = _ZERO, _ZERO, _ZERO
    at_bend, entry = 6, 5
    for i in range(1, K):
        s = first[i, row, j]
        gain += s * s
        v_both += s * (second[i, row, j] + t * of_line[i - 1] + constant[i, row] * b2)
        for m in range(i, K):
            v = second[entry, row, j] + t * first[at_bend, row, j] + constant[entry, row] * b2
            v_bend += v * s * first[m, row, j] * (_ONE if i == m else _TWO)
            at_bend += 1
            entry += 1
    v_line = b2 * (second[0, row, j] + t * first[5, row, j] + constant[0, row] * b2)
    r, size = math.sqrt(gain), abs(b)
    over_r = _ONE / r if r > _NOTHING else _ZERO
    over_b = _ONE / size if size > _NOTHING else _ZERO
    return _upper(
        b2, gain, v_bend * over_r * over_r, v_line * over_b * over_b, b * v_both * over_r * over_b, z2
    )


@loop()
def screen_robust(
    first: np.ndarray,
    second: np.ndarray,
    third: np.ndarray,
    constant: np.ndarray,
    bound: np.ndarray,
    y: np.ndarray,
    low: int,
    testable: np.ndarray,
    line_df: np.ndarray,
    association: Law,
    line: Law,
    twice: np.ndarray,
    rule: Thresholds,
    tile: Tile,
) -> None:
    """All but the codes of the bends, of a part of a tile.

    Parameters
    ----------
    first, second, third
        Products of `WITH_Y`, `WITH_Y2` and `BOUND` columns, ``(c, R, m)``; ``third`` may be empty, then the
        bound's are made here, pair by pair.
    constant
        Sums w q_j q_m q_1^2, shape ``(15, R)``.
    bound, y
        Columns of the bound, ``(4, R, n)``, and the targets, ``(m, n)``.
    low
        First column of this part in the tile.
    testable
        Regulators that have bends, ``(R,)``.
    line_df
        Degrees of freedom of the line's t, ``(R,)``.
    association, line, twice
        Tables of the score of all columns and of the line; codes of twice a p-value.
    rule, tile
        Thresholds, and where the result goes.
    """
    n_rows, m = first.shape[1], first.shape[2]
    p = np.zeros(STRIP, dtype=np.float32)
    c = np.empty(WITH_Y2, dtype=np.float32)
    r2, whole, squared_t = (
        np.empty(m, dtype=np.float32),
        np.empty(m, dtype=np.float32),
        np.empty(m, dtype=np.float32),
    )
    scratch = np.empty(m, dtype=np.float32)
    bits, whole_bits, t_bits = scratch.view(np.int32), whole.view(np.int32), squared_t.view(np.int32)
    other = np.zeros(m, dtype=np.uint16)
    for r in range(n_rows):
        for i in range(WITH_Y2):
            c[i] = constant[i, r]
        doubt = tile.doubt[r, low : low + m]
        upper = tile.upper[r, low : low + m]
        for start in range(0, m, _W):
            stop = min(start + _W, m)
            width = stop - start
            for i in range(WITH_Y):
                _copy(p[i * _W : i * _W + width], first[i, r, start:stop])
            for i in range(WITH_Y2):
                at = (WITH_Y + i) * _W
                _copy(p[at : at + width], second[i, r, start:stop])
            _robust_strip(p, c)
            at = _IN * _W
            _copy(r2[start:stop], p[at : at + width])
            _copy(tile.r2_linear[r, low + start : low + stop], p[at + _W : at + _W + width])
            _copy(tile.gain[r, low + start : low + stop], p[at + 2 * _W : at + 2 * _W + width])
            _copy(tile.bend[r, low + start : low + stop], p[at + 3 * _W : at + 3 * _W + width])
            _copy(whole[start:stop], p[at + 4 * _W : at + 4 * _W + width])
            _copy(squared_t[start:stop], p[at + 5 * _W : at + 5 * _W + width])
            _mark(doubt[start:stop], p[at + 6 * _W : at + 6 * _W + width])
        for j in range(m):
            if r2[j] >= rule.bound_from:
                if third.shape[2]:
                    of_line = third[0, r, j], third[1, r, j], third[2, r, j], third[3, r, j]
                else:
                    of_line = _four_sums(bound, r, y[j])
                upper[j] = _robust_upper(first, second, constant, r, j, of_line, rule.z2)
            else:
                upper[j] = _ONE
        codes = tile.association[tile.row + r, tile.column + low : tile.column + low + m]
        if association.of[r] < 0:
            codes[:] = np.uint16(0)
        else:
            put_codes(codes, whole, whole_bits, association.tables[association.of[r]])
        take_deviance(squared_t, scratch, bits, line_df[r])
        put_codes(other, squared_t, t_bits, line.tables[line.of[r]])
        join_codes(codes, other, twice)
        _finish_row(tile, r, low, r2, upper, doubt, testable[r], rule, scratch, bits)


@loop()
def _finish_row(
    tile: Tile,
    r: int,
    low: int,
    r2: np.ndarray,
    upper: np.ndarray,
    doubt: np.ndarray,
    tested: bool,
    rule: Thresholds,
    scratch: np.ndarray,
    bits: np.ndarray,
) -> None:
    start, stop = tile.column + low, tile.column + low + len(r2)
    put_strength(tile.strength[tile.row + r, start:stop], r2, scratch, bits)
    put_state(
        tile.state[tile.row + r, start:stop],
        doubt,
        r2,
        upper,
        tested,
        rule.least,
        rule.near_r2,
        rule.margin,
        rule.near_margin,
    )


@loop()
def _classical_row(
    b: np.ndarray,
    one: np.ndarray,
    two: np.ndarray,
    three: np.ndarray,
    four: np.ndarray,
    r2: np.ndarray,
    line: np.ndarray,
    gain: np.ndarray,
    df_residual: float,
) -> None:
    for j in range(len(r2)):
        line[j] = b[j] * b[j]
        gain[j] = one[j] * one[j] + two[j] * two[j] + three[j] * three[j] + four[j] * four[j]
    for j in range(len(r2)):
        r2[j] = line[j] + gain[j]


@loop()
def _over_rest(into: np.ndarray, part: np.ndarray, r2: np.ndarray, df_residual: float) -> None:
    for j in range(len(into)):
        rest = _ONE - r2[j]
        into[j] = part[j] * df_residual / (rest if rest > _NO_REST else _NO_REST)


@loop()
def screen_classical(
    first: np.ndarray,
    low: int,
    testable: np.ndarray,
    df_residual: np.ndarray,
    association: Law,
    rule: Thresholds,
    tile: Tile,
) -> None:
    """The same for the classical test: ``first`` are the products of the five columns of the basis."""
    n_rows, m = first.shape[1], first.shape[2]
    r2, whole, scratch = (
        np.empty(m, dtype=np.float32),
        np.empty(m, dtype=np.float32),
        np.empty(m, dtype=np.float32),
    )
    bits, whole_bits = scratch.view(np.int32), whole.view(np.int32)
    for r in range(n_rows):
        doubt = tile.doubt[r, low : low + m]
        upper = tile.upper[r, low : low + m]
        line, gain = tile.r2_linear[r, low : low + m], tile.gain[r, low : low + m]
        rest = df_residual[r]
        _classical_row(first[0, r], first[1, r], first[2, r], first[3, r], first[4, r], r2, line, gain, rest)
        _over_rest(tile.bend[r, low : low + m], gain, r2, rest)
        _over_rest(whole, r2, r2, rest)
        for j in range(m):
            doubt[j] = (r2[j] > _FULL) | (line[j] > _STEEP)
            if r2[j] >= rule.bound_from:
                left = _ONE - r2[j]
                variance = (left if left > _ZERO else _ZERO) / rest
                upper[j] = _upper(line[j], gain[j], variance, variance, _ZERO, rule.z2)
            else:
                upper[j] = _ONE
        codes = tile.association[tile.row + r, tile.column + low : tile.column + low + m]
        if association.of[r] < 0:
            codes[:] = np.uint16(0)
        else:
            put_codes(codes, whole, whole_bits, association.tables[association.of[r]])
        _finish_row(tile, r, low, r2, upper, doubt, testable[r], rule, scratch, bits)


@loop()
def count_strong(first: np.ndarray, least: float) -> Any:
    """How many pairs of a part reach this r2_spline; ``first`` as for :func:`screen_robust`."""
    found: Any = 0
    for r in range(first.shape[1]):
        for j in range(first.shape[2]):
            r2 = _ZERO
            for i in range(K):
                r2 += first[i, r, j] * first[i, r, j]
            found += r2 >= least
    return found


@loop()
def finish_tile(
    bends: np.ndarray, law: Law, tile: Tile, floor: int, border: int, places: np.ndarray, numbers: np.ndarray
) -> int:
    """Codes of the bends, ``bends`` being those of all pairs; and the pairs that may come into the table.

    ``places`` is filled with their row and column in the tile and the code of strength, ``(3, R m)``;
    ``numbers`` with r2 of the line, gain, bound and statistic of the bends, ``(R m, 4)``; how many there are.
    """
    n_rows, m = tile.bend.shape
    scratch = np.empty(m, dtype=np.float32)
    bits = scratch.view(np.int32)
    listed = np.empty(m, dtype=np.int64)
    n = 0
    start, stop = tile.column, tile.column + m
    for r in range(n_rows):
        row = tile.row + r
        if law.of[r] < 0:
            bends[row, start:stop] = np.uint16(0)
        else:
            finish_row(bends[row, start:stop], tile.bend[r], scratch, bits, law.tables[law.of[r]])
        strength = tile.strength[row, start:stop]
        found = list_candidates(
            listed,
            tile.state[row, start:stop],
            tile.doubt[r],
            tile.association[row, start:stop],
            strength,
            floor,
            border,
        )
        for i in range(found):
            j = listed[i]
            places[0, n], places[1, n], places[2, n] = r, j, strength[j]
            numbers[n, 0], numbers[n, 1] = tile.r2_linear[r, j], tile.gain[r, j]
            numbers[n, 2], numbers[n, 3] = tile.upper[r, j], tile.bend[r, j]
            n += 1
    return n

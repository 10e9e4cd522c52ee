"""The second test of bends as compiled loops: see :mod:`poolproof.pairs.growing_noise`; needs numba."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .compiled import loop
from .compiled_bases import _put, product
from .growing_noise import AT_ONCE, DOUBT, LINES, N_SHAPES, OFFSETS, SQUARES

_N_OFFSETS = len(OFFSETS)
_N_SQUARES = len(SQUARES)
_N_LINES = len(LINES)
_LOW, _HIGH = DOUBT
SURE = 1e-4
"""Relative difference of the sums of two shapes that float32 tells for sure."""


class Grown(NamedTuple):
    """What all targets of one regulator share, kept from one call to the next; see `growing_noise.Growth`."""

    ready: np.ndarray
    """Whether the rest is filled, shape ``(R,)``."""
    logs: np.ndarray
    """``(R, n_shapes)``"""
    back: np.ndarray
    """``(R, n_shapes, d, d)``"""
    share: np.ndarray
    """``(R, n_shapes)``"""


@loop()
def _grow(
    into: np.ndarray, x: np.ndarray, end: float, sign: float, scale: float, c: float, power: int
) -> None:
    for i in range(len(into)):
        t = sign * (x[i] - end) * scale + c
        into[i] = t * t if power == 2 else t


@loop()
def _invert(into: np.ndarray, values: np.ndarray) -> None:
    for i in range(len(into)):
        into[i] = 1.0 / values[i]


@loop(sums=True)
def _sum_of_logs(values: np.ndarray) -> float:
    """By products of eight: a logarithm takes longer than all else."""
    total = 0.0
    whole = len(values) - len(values) % 8
    for low in range(0, whole, 8):
        part = 1.0
        for i in range(8):
            part *= values[low + i]
        total += math.log(part)
    for i in range(whole, len(values)):
        total += math.log(values[i])
    return total


@loop()
def _fill_shapes(x: np.ndarray, variance: np.ndarray, weight: np.ndarray) -> None:
    mean = 0.0
    low, high = x[0], x[0]
    for i in range(len(x)):
        mean += x[i]
        low, high = min(low, x[i]), max(high, x[i])
    mean /= len(x)
    square = 0.0
    for i in range(len(x)):
        square += (x[i] - mean) ** 2
    scale = 1.0 / math.sqrt(square / len(x))
    for side in range(2):
        end, sign = (low, 1.0) if side == 0 else (high, -1.0)
        for shape in range(_N_OFFSETS):
            at = 1 + side * _N_OFFSETS + shape
            power = 2 if shape < _N_SQUARES else 1
            _grow(variance[at], x, end, sign, scale, OFFSETS[shape], power)
            _invert(weight[at], variance[at])


@loop()
def _inverse_root(gram: np.ndarray, into: np.ndarray) -> None:
    """The inverse of the Cholesky factor of a small matrix, lower triangle; ``gram`` becomes the factor."""
    d = len(gram)
    for j in range(d):
        for c in range(j):
            for i in range(j, d):
                gram[i, j] -= gram[i, c] * gram[j, c]
        root = math.sqrt(gram[j, j])
        for i in range(j, d):
            gram[i, j] /= root
    for j in range(d):
        for i in range(j):
            into[i, j] = 0.0
        into[j, j] = 1.0 / gram[j, j]
        for i in range(j + 1, d):
            total = 0.0
            for c in range(j, i):
                total += gram[i, c] * into[c, j]
            into[i, j] = -total / gram[i, i]


@loop()
def _multiply_rows(into: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    for i in range(len(into)):
        into[i] = left[i] * right[i]


@loop()
def _fill_growth(
    design: np.ndarray,
    k: int,
    variance: np.ndarray,
    weight: np.ndarray,
    logs: np.ndarray,
    back: np.ndarray,
    share: np.ndarray,
) -> None:
    """What `SecondTest._growth` does; ``back`` is filled up to the rows of the design, ``(d, n)``."""
    d, n = design.shape
    products = np.empty((d * (d + 1) // 2, n))
    entry = 0
    for i in range(d):
        for j in range(i, d):
            _multiply_rows(products[entry], design[i], design[j])
            entry += 1
    grams = np.dot(weight, products.T)
    bends = products[len(products) - k * (k - 1) // 2 :]
    wholes = np.dot(variance, bends.T)
    gram, root = np.empty((d, d)), np.empty((d, d))
    whole, inverse = np.empty((k - 1, k - 1)), np.empty((k - 1, k - 1))
    taken = np.empty((N_SHAPES, len(bends)))
    for shape in range(N_SHAPES):
        logs[shape] = _sum_of_logs(variance[shape])
        entry = 0
        for i in range(d):
            for j in range(i, d):
                gram[j, i] = grams[shape, entry]
                entry += 1
        _inverse_root(gram, root)
        back[shape, :d, :d] = root
        entry = 0
        for i in range(k - 1):
            for j in range(i, k - 1):
                whole[j, i] = wholes[shape, entry]
                entry += 1
        _inverse_root(whole, inverse)
        entry = 0
        for i in range(k - 1):
            for j in range(i, k - 1):
                total = 0.0
                for c in range(j, k - 1):
                    total += inverse[c, i] * inverse[c, j]
                taken[shape, entry] = total if i == j else 2.0 * total
                entry += 1
    shares = np.dot(taken, bends)
    for shape in range(N_SHAPES):
        _multiply_rows(shares[shape], shares[shape], variance[shape])
        share[shape] = product(shares[shape], shares[shape]) / (k - 1)


@loop()
def _residuals(u: np.ndarray, square: np.ndarray, y: np.ndarray, line: np.ndarray, slope: float) -> None:
    """What the line leaves, float64, and its squares, float32: they only choose a shape."""
    for i in range(len(u)):
        rest = y[i] - slope * line[i]
        u[i] = rest
        square[i] = np.float32(rest * rest)


@loop(sums=True)
def _six_scores(design: np.ndarray, weight: np.ndarray, u: np.ndarray, score: np.ndarray) -> tuple[Any, Any]:
    """Scores of a design of six columns; the sum of w u^2 and that of its squares."""
    zero, one, two = design[0], design[1], design[2]
    three, four, five = design[3], design[4], design[5]
    a, b, c, d, e, f, whole, fourth = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(len(u)):
        of = weight[i] * u[i]
        a += of * zero[i]
        b += of * one[i]
        c += of * two[i]
        d += of * three[i]
        e += of * four[i]
        f += of * five[i]
        square = of * u[i]
        whole += square
        fourth += square * square
    score[0], score[1], score[2], score[3], score[4], score[5] = a, b, c, d, e, f
    return whole, fourth


@loop(sums=True)
def _sums(weight: np.ndarray, u: np.ndarray) -> tuple[Any, Any]:
    """The sum of w u^2 and that of its squares."""
    whole, fourth = 0.0, 0.0
    for i in range(len(u)):
        square = weight[i] * u[i] * u[i]
        whole += square
        fourth += square * square
    return whole, fourth


@loop(sums=True)
def _score(row: np.ndarray, weight: np.ndarray, u: np.ndarray) -> Any:
    total = 0.0
    for i in range(len(u)):
        total += weight[i] * u[i] * row[i]
    return total


@loop()
def _best_shape(sums: np.ndarray, logs: np.ndarray, weight: np.ndarray, u: np.ndarray) -> Any:
    """The likeliest shape; ``sums`` are of float32: where they do not tell, they are taken anew."""
    n = len(u)
    best, smallest, next_one = 0, np.inf, np.inf
    for shape in range(N_SHAPES):
        of_shape = n * math.log(sums[shape]) + logs[shape]
        if of_shape < smallest:
            best, smallest, next_one = shape, of_shape, smallest
        elif of_shape < next_one:
            next_one = of_shape
    if next_one - smallest > SURE * n:
        return best
    best, smallest = 0, np.inf
    for shape in range(N_SHAPES):
        of_shape = n * math.log(_sums(weight[shape], u)[0]) + logs[shape]
        if of_shape < smallest:
            best, smallest = shape, of_shape
    return best


@loop()
def _second_look(
    design: np.ndarray,
    k: int,
    weight: np.ndarray,
    u: np.ndarray,
    back: np.ndarray,
    share: float,
    score: np.ndarray,
) -> tuple[Any, Any]:
    """Statistic and doubt of one target, its best shape known; see `SecondTest.statistics`."""
    d, n = design.shape
    n_null = d - k + 1
    if d == 6:
        whole, fourth = _six_scores(design, weight, u, score)
    else:
        whole, fourth = _sums(weight, u)
        for i in range(d):
            score[i] = _score(design[i], weight, u)
    rest, found = whole, 0.0
    for i in range(d):
        total = 0.0
        for j in range(i + 1):
            total += back[i, j] * score[j]
        if i < n_null:
            rest -= total * total
        else:
            found += total * total
    second = (n - n_null) * found / rest if rest > 0 else np.inf
    doubt = n * fourth / (whole * whole) * share
    return second, doubt if np.isfinite(doubt) else 0.0


@loop()
def lower_pairs(
    value: np.ndarray,
    row: np.ndarray,
    gene: np.ndarray,
    x: np.ndarray,
    basis: np.ndarray,
    n_columns: np.ndarray,
    nuisance: np.ndarray,
    y: np.ndarray,
    least: np.ndarray,
    known: Grown,
) -> None:
    """Lower robust scores of pairs, in place, as far as they are in doubt; see `growing_noise.lowered`.

    Parameters
    ----------
    value
        Scores, shape ``(P,)``.
    row, gene
        Regulator (rising) and row of ``y`` of each pair, shape ``(P,)``.
    x, basis, n_columns
        Values ``(R, n)``, columns ``(R, k, n)`` and number of columns of the regulators.
    nuisance
        Columns of covariates, the constant first, shape ``(p, n)``.
    y
        Targets, covariates projected out, shape ``(m, n)``.
    least
        No score is lowered below this one, by number of columns.
    known
        Of the regulators, filled where it is not ready.
    """
    n, p = y.shape[1], len(nuisance)
    variance, weight = np.ones((N_SHAPES, n)), np.ones((N_SHAPES, n))
    single = np.ones((N_SHAPES, n), dtype=np.float32)
    u, square = np.empty((AT_ONCE, n)), np.empty((AT_ONCE, n), dtype=np.float32)
    score = np.empty(p + basis.shape[1])
    whole_design = np.empty((p + basis.shape[1], n))
    whole_design[:p] = nuisance
    last = -1
    start = 0
    while start < len(row):
        r = row[start]
        stop = start + 1
        while stop < len(row) and stop - start < AT_ONCE and row[stop] == r:
            stop += 1
        k = n_columns[r]
        design = whole_design[: p + k]
        if r != last:
            design[p:] = basis[r, :k]
            _fill_shapes(x[r], variance, weight)
            for shape in range(1, N_SHAPES):
                _put(single[shape], weight[shape])
            if not known.ready[r]:
                _fill_growth(design, k, variance, weight, known.logs[r], known.back[r], known.share[r])
                known.ready[r] = True
            last = r
        line = design[p]
        for t in range(stop - start):
            of = y[gene[start + t]]
            _residuals(u[t], square[t], of, line, product(of, line))
        sums = np.dot(square[: stop - start], single.T)
        for t in range(stop - start):
            best = _best_shape(sums[t], known.logs[r], weight, u[t])
            of_shape = known.back[r, best]
            second, doubt = _second_look(design, k, weight[best], u[t], of_shape, known.share[r, best], score)
            say = min(max((doubt - _LOW) / (_HIGH - _LOW), 0.0), 1.0)
            old = value[start + t]
            if second < old and say > 0:
                value[start + t] = max(old - say * (old - second), least[k])
        start = stop

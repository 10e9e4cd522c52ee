"""Pairs with missing values as compiled loops, one after the other: to be imported where numba is installed.

They do for one regulator and its targets in one level what :mod:`poolproof.pairs.masked_kernels` and
:mod:`poolproof.pairs.masked_growth` do in matrix products: all that a pair needs stays in the processor's
first cache. Sums are rounded in another order.
"""

from __future__ import annotations

import numpy as np

from .compiled import loop
from .growing_noise import LINES, SQUARES
from .masked_kernels import DROPPED, SURE

_N_SQUARES, _N_OFFSETS = len(SQUARES), len(SQUARES) + len(LINES)
_TOGETHER = 64
"""Values whose product is taken before the logarithm: 0.05 to the 64th is 1e-83, the root of 1e8 samples to
the 64th 1e256."""


@loop(sums=True)
def _dot(left: np.ndarray, right: np.ndarray) -> float:
    total = 0.0
    for s in range(len(left)):
        total += left[s] * right[s]
    return total


@loop(sums=True)
def _weighted(weight: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    total = 0.0
    for s in range(len(left)):
        total += weight[s] * left[s] * right[s]
    return total


@loop(sums=True)
def _weighted_twice(
    weight: np.ndarray, other: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[float, float]:
    total, of_other = 0.0, 0.0
    for s in range(len(left)):
        product = left[s] * right[s]
        total += weight[s] * product
        of_other += other[s] * product
    return total, of_other


@loop(sums=True)
def _add(into: np.ndarray, factor: float, values: np.ndarray) -> None:
    for s in range(len(into)):
        into[s] += factor * values[s]


@loop(sums=True)
def _multiply(into: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    for s in range(len(into)):
        into[s] = left[s] * right[s]


@loop(sums=True)
def _gram(rows: np.ndarray, weight: np.ndarray, into: np.ndarray) -> None:
    for i in range(len(rows)):
        for j in range(i + 1):
            into[i, j] = into[j, i] = _weighted(weight, rows[i], rows[j])


@loop(sums=True)
def _orthonormal(gram: np.ndarray, turn: np.ndarray) -> bool:
    """See `masked_kernels.orthonormal_rows`: fill the rows, and say whether products are enough."""
    turn[:] = 0.0
    sure = True
    for j in range(len(gram)):
        turn[j, j] = 1.0
        for i in range(j):
            along = 0.0
            for a in range(i + 1):
                along += turn[i, a] * gram[j, a]
            for a in range(i + 1):
                turn[j, a] -= along * turn[i, a]
        left = 0.0
        for a in range(j + 1):
            left += turn[j, a] * gram[j, a]
        whole = gram[j, j]
        if left < SURE * whole and whole > 0:
            sure = False
        scale = 1 / np.sqrt(left) if left > DROPPED**2 * whole else 0.0
        for a in range(j + 1):
            turn[j, a] *= scale
    return sure


@loop(sums=True)
def _turned(turn: np.ndarray, design: np.ndarray, mask: np.ndarray, into: np.ndarray) -> None:
    """Orthonormal columns on the samples of the pair."""
    for i in range(len(turn)):
        row = into[i]
        row[:] = 0.0
        for a in range(len(design)):
            if turn[i, a] != 0.0:
                _add(row, turn[i, a], design[a])
        _multiply(row, row, mask)


@loop(sums=True)
def _unfold(triangle: np.ndarray, into: np.ndarray) -> None:
    place = 0
    for i in range(len(into)):
        for j in range(i, len(into)):
            into[i, j] = into[j, i] = triangle[place]
            place += 1


@loop(sums=True)
def _pair(
    design: np.ndarray,
    n_nuisance: int,
    gram: np.ndarray,
    mask: np.ndarray,
    turn: np.ndarray,
    own: np.ndarray,
    values: np.ndarray,
) -> tuple[bool, float]:
    """Fill the columns of a pair and standardise its values; whether products are enough, and the norm."""
    sure = _orthonormal(gram, turn)
    _turned(turn, design, mask, own)
    for i in range(n_nuisance):
        _add(values, -_dot(own[i], values), own[i])
    norm = np.sqrt(_dot(values, values))
    scale = 1.0 / norm if norm > 0 else 1.0
    for s in range(len(values)):
        values[s] *= scale
    return sure, norm


@loop(sums=True)
def _leverage(rows: np.ndarray, first: int, last: int, into: np.ndarray) -> None:
    into[:] = 0.0
    for i in range(first, last):
        row = rows[i]
        for s in range(len(into)):
            into[s] += row[s] * row[s]


@loop(sums=True)
def _weights(
    with_rest: np.ndarray,
    with_values: np.ndarray,
    leverage: np.ndarray,
    mask: np.ndarray,
    values: np.ndarray,
    line: np.ndarray,
    slope: float,
) -> None:
    for s in range(len(mask)):
        left = max(1.0 - leverage[s], 1e-3)
        weight = mask[s] / (left * left)
        rest = values[s] - slope * line[s]
        with_rest[s] = weight * rest * rest
        with_values[s] = weight * values[s] * values[s]


@loop(sums=True)
def _fourth(values: np.ndarray) -> float:
    total = 0.0
    for s in range(len(values)):
        square = values[s] * values[s]
        total += square * square
    return total


@loop(sums=True)
def robust_moments(
    design: np.ndarray,
    n_nuisance: int,
    known: np.ndarray,
    grams: np.ndarray,
    targets: np.ndarray,
    present: np.ndarray,
    rows: np.ndarray,
    score: np.ndarray,
    variance: np.ndarray,
    variance_null: np.ndarray,
    more: np.ndarray,
    sure: np.ndarray,
) -> None:
    """Scores of one regulator against targets with missing values, and their variances.

    Parameters
    ----------
    design
        Covariates, then the basis of the regulator, 0 on samples that do not know it, shape ``(q, n)``.
    n_nuisance
        Covariates among them.
    known
        1 on samples that know the regulator, else 0, shape ``(n,)``.
    grams
        Products of two rows of the design (see `triangle`) on the samples of the pair, for all targets.
    targets, present
        Values, any where missing, and 1 where they are known, else 0; all targets, with n columns.
    rows
        Targets to look at, m of them.
    score, variance, variance_null
        Filled: shape ``(k, m)``, and of every two columns, `triangle`, ``(k (k + 1) / 2, m)``.
    more
        Filled: fourth moment of the line; centred norm of the target; samples; columns of the basis that are
        left; concentration of the bends times kurtosis of the target; ``(5, m)``.
    sure
        Filled: whether products are enough, ``(m,)``.
    """
    q, n = design.shape
    gram, turn, own = np.empty((q, q)), np.empty((q, q)), np.empty((q, n))
    values, leverage = np.empty(n), np.empty(n)
    with_rest, with_values = np.empty(n), np.empty(n)
    mask = np.empty(n)
    for t in range(len(rows)):
        _multiply(mask, present[rows[t]], known)
        _multiply(values, targets[rows[t]], mask)
        _unfold(grams[rows[t]], gram)
        sure[t], norm = _pair(design, n_nuisance, gram, mask, turn, own, values)
        for j in range(n_nuisance, q):
            score[j - n_nuisance, t] = _dot(own[j], values)
        _leverage(own, 0, n_nuisance + 1, leverage)
        line = own[n_nuisance]
        _weights(with_rest, with_values, leverage, mask, values, line, score[0, t])
        place = 0
        for i in range(n_nuisance, q):
            for j in range(i, q):
                both = _weighted_twice(with_rest, with_values, own[i], own[j])
                variance[place, t], variance_null[place, t] = both
                place += 1
        _leverage(own, n_nuisance + 1, q, leverage)
        whole, n_samples, n_used = leverage.sum(), mask.sum(), 0
        for i in range(n_nuisance, q):
            n_used += turn[i, i] != 0.0
        narrow = _dot(leverage, leverage) / (whole if whole > 0 else 1.0)
        more[0, t], more[1, t], more[2, t] = _fourth(line), norm, n_samples
        more[3, t], more[4, t] = n_used, narrow * n_samples * _fourth(values)


@loop(sums=True)
def _distances(x: np.ndarray, mask: np.ndarray, n: float, low: np.ndarray, high: np.ndarray) -> None:
    """Distances to the smallest and to the largest x, in standard deviations; 1 where missing."""
    mean = _dot(x, mask) / n
    square, least, most = 0.0, np.inf, -np.inf
    for s in range(len(x)):
        square += mask[s] * (x[s] - mean) * (x[s] - mean)
        if mask[s] > 0:
            least, most = min(least, x[s]), max(most, x[s])
    scale = 1.0 / np.sqrt(square / n)
    for s in range(len(x)):
        there = mask[s] > 0
        low[s] = (x[s] - least) * scale if there else 1.0
        high[s] = (most - x[s]) * scale if there else 1.0


@loop(sums=True)
def _try_offset(
    distance: np.ndarray, mask: np.ndarray, square: np.ndarray, offset: float
) -> tuple[float, float, float]:
    """Sum of logarithms of the distance and the offset, and of squares over them, and over their squares."""
    logs, once, twice = 0.0, 0.0, 0.0
    for start in range(0, len(distance), _TOGETHER):
        product = 1.0
        for s in range(start, min(start + _TOGETHER, len(distance))):
            base = distance[s] + offset
            inverse = 1.0 / base
            product *= base if mask[s] > 0 else 1.0
            once += square[s] * inverse
            twice += square[s] * inverse * inverse
        logs += np.log(product)
    return logs, once, twice


@loop(sums=True)
def _likeliest(
    low: np.ndarray,
    high: np.ndarray,
    mask: np.ndarray,
    n: float,
    square: np.ndarray,
    offsets: np.ndarray,
    variance: np.ndarray,
) -> float:
    """Fill the likeliest variance; the sum of squares over it."""
    whole = square.sum()
    best, chosen = n * np.log(whole), -1
    for end in range(2):
        distance = low if end == 0 else high
        for c in range(_N_OFFSETS):
            logs, once, twice = _try_offset(distance, mask, square, offsets[c])
            squared = c < _N_SQUARES
            total = twice if squared else once
            value = n * np.log(total) + (2.0 if squared else 1.0) * logs
            if value < best:
                best, whole, chosen = value, total, end * _N_OFFSETS + c
    if chosen < 0:
        variance[:] = 1.0
        return whole
    distance = low if chosen < _N_OFFSETS else high
    c = chosen % _N_OFFSETS
    for s in range(len(variance)):
        base = distance[s] + offsets[c]
        variance[s] = base * base if c < _N_SQUARES else base
    return whole


@loop(sums=True)
def second_tests(
    x: np.ndarray,
    design: np.ndarray,
    n_nuisance: int,
    known: np.ndarray,
    grams: np.ndarray,
    targets: np.ndarray,
    present: np.ndarray,
    rows: np.ndarray,
    offsets: np.ndarray,
    statistic: np.ndarray,
    doubt: np.ndarray,
    sure: np.ndarray,
) -> None:
    """Test the bends of pairs by weighted least squares; see `masked_growth.second_test`.

    Parameters
    ----------
    x
        Values of the regulator, any finite one where missing, shape ``(n,)``.
    design, n_nuisance, known, grams, targets, present, rows
        As for `robust_moments`.
    offsets
        Of the shapes of the variance.
    statistic, doubt, sure
        Filled, shape ``(m,)``.
    """
    q, n = design.shape
    p = n_nuisance
    gram, turn, own = np.empty((q, q)), np.empty((q, q)), np.empty((q, n))
    values, square, variance, weight = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    low, high, share = np.empty(n), np.empty(n), np.empty(n)
    bends = q - p - 1
    inner, outer, turned = np.empty((bends, bends)), np.empty((bends, bends)), np.empty(n)
    mask = np.empty(n)
    for t in range(len(rows)):
        _multiply(mask, present[rows[t]], known)
        _multiply(values, targets[rows[t]], mask)
        _unfold(grams[rows[t]], gram)
        enough, _ = _pair(design, p, gram, mask, turn, own, values)
        used = np.empty(q, dtype=np.bool_)
        for i in range(q):
            used[i] = turn[i, i] != 0.0
        n_samples = mask.sum()
        _add(values, -_dot(values, own[p]), own[p])  # u
        _multiply(square, values, values)
        _distances(x, mask, n_samples, low, high)
        whole = _likeliest(low, high, mask, n_samples, square, offsets, variance)
        for s in range(n):
            weight[s] = mask[s] / variance[s]
            values[s] *= weight[s]
            square[s] *= weight[s]
            variance[s] *= mask[s]
        _gram(own[p + 1 :], variance, inner)
        enough &= _orthonormal(inner, outer)
        share[:] = 0.0
        for i in range(bends):
            turned[:] = 0.0
            for a in range(i + 1):
                _add(turned, outer[i, a], own[p + 1 + a])
            for s in range(n):
                share[s] += turned[s] * turned[s]
        for s in range(n):
            share[s] *= variance[s]
        _gram(design, weight, gram)
        for i in range(q):
            for j in range(q):
                if not (used[i] and used[j]):
                    gram[i, j] = 0.0
        enough &= _orthonormal(gram, turn)
        null, found, n_null, n_bends = 0.0, 0.0, 0, 0
        for i in range(q):
            along = 0.0
            for a in range(i + 1):
                along += turn[i, a] * _dot(values, design[a])
            if i <= p:
                null += along * along
                n_null += used[i]
            else:
                found += along * along
                n_bends += used[i]
        rest = whole - null
        statistic[t] = (n_samples - n_null) * found / rest if rest > 0 else np.inf
        kurtosis = n_samples * _dot(square, square) / (whole * whole)
        of_pair = kurtosis * _dot(share, share) / max(n_bends, 1)
        doubt[t] = of_pair if np.isfinite(of_pair) else 0.0
        sure[t] = enough and used[p]

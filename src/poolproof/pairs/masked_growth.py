"""The second test of bends where values are missing: every pair on its own samples, many pairs at once.

The test is that of :mod:`poolproof.pairs.growing_noise`. Each pair has its own mean, spread and ends of x, so
its shapes are its own; they are gone through one by one, for a few pairs whose arrays stay in the processor's
cache, and only the likeliest one meets the columns, whose products belong to the regulator alone.
"""

from __future__ import annotations

import numpy as np

from .growing_noise import BURSTY, LINES, SQUARES, least, lowered, weighted_statistics
from .masked_kernels import Masked, folded, orthonormal_rows, unfolded

AT_ONCE = 1 << 14
"""Values of pairs looked at together."""
LOGS = 8
"""Values whose product is taken before the logarithm."""


def lower_incomplete(value: np.ndarray, x: np.ndarray, masked: Masked, *, replicates: bool) -> None:
    """Lower scores (see :func:`lowered`) of one regulator and targets with holes, in place, ``(m,)``."""
    n_columns = masked.used[:, masked.n_nuisance :].sum(axis=1)
    high = np.flatnonzero((value > least(n_columns, replicates=replicates)) & (n_columns > 1))
    if len(high) == 0:
        return
    known = x[masked.known]
    size = max(1, AT_ONCE // max(len(known), 1))
    for low in range(0, len(high), size):
        some = high[low : low + size]
        part = masked.take(some)
        chosen = np.flatnonzero(_bursty(part))
        if len(chosen) == 0:
            continue
        second, doubt, sure = second_test(known, part.take(chosen))
        for place in np.flatnonzero(~sure).tolist():
            second[place], doubt[place] = _alone(known, masked, some[chosen[place]])
        at = some[chosen]
        value[at] = lowered(value[at], second, doubt, n_columns[at], replicates=replicates)


def _bursty(masked: Masked) -> np.ndarray:
    """Whether concentration of the bends times kurtosis of y is above `BURSTY`, shape ``(m,)``."""
    bends = np.zeros(masked.used.shape)
    bends[:, masked.n_nuisance + 1 :] = 1.0
    leverage = masked.quadratic(bends)
    whole = leverage.sum(axis=1)
    narrow = np.einsum("mn,mn->m", leverage, leverage) / np.where(whole > 0, whole, 1.0)
    square = masked.values * masked.values
    fourth = np.einsum("mn,mn->m", square, square)
    return np.asarray(narrow * masked.mask.sum(axis=1) * fourth > BURSTY)


def _alone(x: np.ndarray, masked: Masked, pair: int) -> tuple[float, float]:
    """Statistic and doubt of one pair from its columns."""
    at = masked.mask[pair] > 0
    columns = masked.columns(np.array([pair]))[0][masked.used[pair]][:, at]
    p = int(masked.used[pair, : masked.n_nuisance].sum())
    y = masked.values[pair : pair + 1, at]
    statistic, doubt = weighted_statistics(x[at], columns[p:], columns[:p].T, y)
    return float(statistic[0]), float(doubt[0])


def second_test(x: np.ndarray, masked: Masked) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Test the bends of many pairs by weighted least squares; see `SecondTest.statistics`.

    Parameters
    ----------
    x
        Values of the regulator where it is known, shape ``(n,)``.
    masked
        m pairs.

    Returns
    -------
    Statistic and doubt of every pair, and whether products could decide them, each of shape ``(m,)``.
    """
    p = masked.n_nuisance
    used = masked.used
    n = masked.mask.sum(axis=1)
    line = np.zeros(used.shape)
    line[:, p] = 1.0
    own = masked.combined(line)
    u = masked.values - np.einsum("mn,mn->m", masked.values, own)[:, None] * own
    square = u * u
    variance, whole = _likeliest(x, masked.mask, n, square)
    weight = masked.mask / variance
    within = used[:, :, None] & used[:, None]
    turn, unsure = orthonormal_rows(unfolded(weight @ masked.products.T) * within)
    u *= weight
    score = np.matmul(turn, (u @ masked.design.T)[:, :, None])[:, :, 0]
    score *= score
    square *= weight
    null = score[:, : p + 1].sum(axis=1)
    rest = whole - null
    n_null = used[:, : p + 1].sum(axis=1)
    n_bends = used[:, p + 1 :].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(rest > 0, (n - n_null) * score[:, p + 1 :].sum(axis=1) / rest, np.inf)
        kurtosis = n * np.einsum("mn,mn->m", square, square) / whole**2
    share, also = _shares(masked, variance)
    doubt = kurtosis * np.einsum("mn,mn->m", share, share) / np.maximum(n_bends, 1)
    sure = ~(unsure | also | ~used[:, p])
    sure[masked.apart] = False
    return found, np.where(np.isfinite(doubt), doubt, 0.0), sure


def _shares(masked: Masked, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of each sample of the variance of the bends' scores, ``(m, n)``; where products are not sure."""
    bends = masked.turn[:, masked.n_nuisance + 1 :]
    of_design = unfolded((variance * masked.mask) @ masked.products.T)
    whole = np.matmul(np.matmul(bends, of_design), bends.transpose(0, 2, 1))
    turn, unsure = orthonormal_rows(whole)
    turned = np.matmul(turn, bends)
    share = folded(np.matmul(turned.transpose(0, 2, 1), turned)) @ masked.products
    share *= variance
    share *= masked.mask
    return share, unsure


def _likeliest(
    x: np.ndarray, mask: np.ndarray, n: np.ndarray, square: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest variance of each pair, ``(m, n)``, and the sum of ``square`` over it, ``(m,)``.

    Where x or y is missing, x stands at the mean of the pair: its logarithm is taken off again.
    """
    mean = (mask @ x) / n
    there = mask > 0
    full = np.where(there, x, mean[:, None])
    centred = full - mean[:, None]
    sd = np.sqrt(np.einsum("mn,mn->m", centred, centred) / n)[:, None]
    low, high = full.min(axis=1)[:, None], full.max(axis=1)[:, None]
    ends = ((full - low) / sd, (mean[:, None] - low) / sd), ((high - full) / sd, (high - mean[:, None]) / sd)
    whole = square.sum(axis=1)
    n_gone = mask.shape[1] - n
    with np.errstate(divide="ignore"):  # nothing left: the first shape is as good as any
        best = n * np.log(whole)
    variance = np.ones_like(square)
    base, over = np.empty_like(square), np.empty_like(square)
    for distance, middle in ends:
        for offset, power in ((c, power) for cs, power in ((SQUARES, 2), (LINES, 1)) for c in cs):
            np.add(distance, offset, out=base)
            logs = power * (_log_sums(base) - n_gone * np.log(offset + middle[:, 0]))
            if power == 2:
                np.multiply(base, base, out=base)
            np.divide(square, base, out=over)
            sums = over.sum(axis=1)
            with np.errstate(divide="ignore"):
                value = n * np.log(sums) + logs
            better = value < best
            best[better], whole[better] = value[better], sums[better]
            np.copyto(variance, base, where=better[:, None])
    return variance, whole


def _log_sums(values: np.ndarray) -> np.ndarray:
    """Sums of the logarithms of each row; products of a few values take fewer logarithms."""
    result = np.zeros(len(values))
    n_parts = LOGS
    while n_parts > 1:
        half = values.shape[1] // 2
        if values.shape[1] % 2:
            result += np.log(values[:, -1])
        values = values[:, :half] * values[:, half : 2 * half]
        n_parts //= 2
    return np.asarray(result + np.log(values).sum(axis=1))

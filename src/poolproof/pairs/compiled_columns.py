"""Columns of regulators of the corrected test as compiled loops: to be imported where numba is installed.

They do what :func:`poolproof.pairs.count_kernels.count_features` does, one regulator at a time: all its cells
stay in the processor's cache. Loops have few arrays each, so that the compiler sees that they do not overlap.
"""

from __future__ import annotations

import numpy as np

from .compiled import loop
from .count_kernels import MAX_LEVERAGE

N_COLUMNS, N_SQUARES, N_SUMS = 22, 6, 22


@loop()
def _moments(
    e: np.ndarray, f: np.ndarray, x: np.ndarray, inverse: np.ndarray, less: np.ndarray, scale: np.ndarray
) -> None:
    """Scaled e_1 .. e_6 and f_1 .. f_3 of all cells."""
    falling = x.copy()
    for j in range(6):
        if j:
            _fall(falling, x, float(j))
        _scaled(e[j], falling, inverse[j], scale[j])
        if j < 3:
            _scaled(f[j], falling, less[j], scale[j])


@loop()
def _fall(falling: np.ndarray, x: np.ndarray, order: float) -> None:
    for i in range(len(x)):
        falling[i] *= max(x[i] - order, 0.0)


@loop()
def _scaled(into: np.ndarray, of: np.ndarray, by: np.ndarray, factor: float) -> None:
    for i in range(len(into)):
        into[i] = of[i] * by[i] * factor


@loop()
def _term(
    into: np.ndarray, both: np.ndarray, e: np.ndarray, other: np.ndarray, means: tuple[float, float, float]
) -> None:
    """e_(j+m) less what the means of e_j and e_m make of it: the influence of a cell on H_jm."""
    first, second, over = means
    for i in range(len(into)):
        left, right = e[i] - first, other[i] - second
        into[i] = both[i] - first * other[i] - second * e[i] + first * second + left * right * over


@loop()
def _less(into: np.ndarray, of: np.ndarray, factor: float) -> None:
    for i in range(len(into)):
        into[i] -= of[i] * factor


@loop()
def _shifted(into: np.ndarray, of: np.ndarray, mean: float, factor: float) -> None:
    for i in range(len(into)):
        into[i] = factor * (of[i] - mean)


@loop()
def _weigh(weight: np.ndarray, h11: np.ndarray, n: float, variance: float) -> None:
    for i in range(len(weight)):
        leverage = min(1 / n + max(h11[i] / (n * variance), 0.0), MAX_LEVERAGE)
        rest = 1 - leverage
        weight[i] = 1 / (rest * rest)


@loop()
def _product(into: np.ndarray, first: np.ndarray, second: np.ndarray, factor: float) -> None:
    for i in range(len(into)):
        into[i] = factor * first[i] * second[i]


@loop()
def _products(
    into: np.ndarray, first: np.ndarray, second: np.ndarray, third: np.ndarray, fourth: np.ndarray
) -> None:
    for i in range(len(into)):
        into[i] = first[i] * second[i] + third[i] * fourth[i]


@loop()
def _with_more(into: np.ndarray, first: np.ndarray, second: np.ndarray, factor: float) -> None:
    for i in range(len(into)):
        into[i] += factor * first[i] * second[i]


@loop(sums=True)
def _sum(values: np.ndarray) -> float:
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total


@loop(sums=True)
def _dot(first: np.ndarray, second: np.ndarray) -> float:
    total = 0.0
    for i in range(len(first)):
        total += first[i] * second[i]
    return total


@loop()
def _own_products(into: np.ndarray, rest: np.ndarray, w: np.ndarray, own: np.ndarray) -> None:
    """The products of `OWN_PRODUCTS`, of all cells: those of the tests, and the others."""
    _product(into[0], w[0], own[2], 1.0)
    _product(into[1], w[1], own[0], 1.0)
    _products(into[2], w[1], own[1], w[2], own[0])
    _product(into[3], w[2], own[1], 1.0)
    _product(rest[0], w[1], own[3], 1.0)
    _product(rest[1], w[2], own[3], 1.0)
    _with_more(rest[1], w[1], own[4], 2.0)
    _product(rest[2], w[1], own[5], 1.0)
    _with_more(rest[2], w[2], own[4], 2.0)
    _product(rest[3], w[2], own[5], 1.0)
    _product(rest[4], w[0], own[0], 1.0)
    _with_more(rest[4], w[1], own[2], 0.5)
    _product(rest[5], w[0], own[1], 1.0)
    _with_more(rest[5], w[2], own[2], 0.5)
    for c in range(3):
        _product(rest[6 + c], w[0], own[3 + c], 1.0)


@loop()
def _squares(into: np.ndarray, w: np.ndarray, f: np.ndarray) -> None:
    """Products of degrees in the order of `_PAIRS`, of all cells; ``w`` are f times the weight."""
    _product(into[0], w[0], f[0], 1.0)
    _product(into[1], w[1], f[1], 1.0)
    _product(into[2], w[1], f[2], 1.0)
    _product(into[3], w[2], f[2], 1.0)
    _product(into[4], w[0], f[1], 1.0)
    _product(into[5], w[0], f[2], 1.0)


@loop()
def _mixed(into: np.ndarray, w: np.ndarray, d: np.ndarray) -> None:
    """The same of F_j D_m + D_j F_m."""
    _product(into[0], w[0], d[0], 2.0)
    _product(into[1], w[1], d[1], 2.0)
    _products(into[2], w[1], d[2], w[2], d[1])
    _product(into[3], w[2], d[2], 2.0)
    _products(into[4], w[0], d[1], w[1], d[0])
    _products(into[5], w[0], d[2], w[2], d[0])


@loop()
def _stratum(
    e: np.ndarray,
    h: np.ndarray,
    mean: np.ndarray,
    rows: tuple[int, int],
) -> None:
    """Terms H_11, H_12, H_13, H_22, H_23, H_33 of the cells of a stratum; fills means of e_1 .. e_3."""
    low, high = rows
    size = high - low
    over = 1 / max(size - 1.0, 1.0)
    for j in range(3):
        mean[j] = _sum(e[j, low:high]) / size
    at = 0
    for j in range(3):
        for m in range(j, 3):
            _term(
                h[at, low:high],
                e[j + m + 1, low:high],
                e[j, low:high],
                e[m, low:high],
                (mean[j], mean[m], over),
            )
            at += 1


@loop()
def fill_columns(
    x: np.ndarray,
    inverse: np.ndarray,
    inverse_less: np.ndarray,
    scale: np.ndarray,
    edges: np.ndarray,
    clusters: np.ndarray,
    with_y: np.ndarray,
    ff: np.ndarray,
    sums: np.ndarray,
    own_mean: np.ndarray,
    own_cov: np.ndarray,
    plain: np.ndarray,
    own_sum: np.ndarray,
) -> None:
    """Fill the columns of R regulators and what is known of them, float64.

    Parameters
    ----------
    x
        Counts, shape ``(R, n)``.
    inverse, inverse_less
        1 / ff(T, j), shape ``(6, n)``, and 1 / ff(T - 1, j), ``(3, n)``.
    scale
        1 over the unit to the j-th power and over overdispersion, shape ``(R, 6)``.
    edges
        Where strata begin and end, shape ``(n_strata + 1,)``.
    clusters
        Where replicates do, likewise.
    with_y, ff, own_mean, own_cov, own_sum
        As in `CountFeatures`.
    sums
        ``d_sum``, ``dd_sum`` and ``d_own_sum``, shape ``(22, R, n_strata)``.
    plain
        Covariances of own terms without weights, shape ``(6, 6, R)``.
    """
    n = x.shape[1]
    n_strata = len(edges) - 1
    e, f, h = np.empty((6, n)), np.empty((3, n)), np.empty((6, n))
    d, w, v = np.empty((3, n)), np.empty((3, n)), np.empty((3, n))
    own, weight, scratch = np.empty((6, n)), np.empty(n), np.empty((13, n))
    mean = np.empty((n_strata, 3))
    for r in range(len(x)):
        _moments(e, f, x[r], inverse, inverse_less, scale[r])
        for s in range(n_strata):
            _stratum(e, h, mean[s], (edges[s], edges[s + 1]))
        h11 = _sum(h[0]) / n
        variance = h11 if h11 > 0 else np.inf
        k2, k3 = _sum(h[1]) / n / variance, _sum(h[2]) / n / variance
        own[0], own[1], own[2] = h[1], h[2], h[0]
        _less(own[0], h[0], k2)
        _less(own[1], h[0], k3)
        own[3], own[4], own[5] = h[3], h[4], h[5]
        _less(own[3], h[1], 2 * k2)
        _less(own[3], h[0], -k2 * k2)
        _less(own[4], h[2], k2)
        _less(own[4], h[1], k3)
        _less(own[4], h[0], -k2 * k3)
        _less(own[5], h[2], 2 * k3)
        _less(own[5], h[0], -k3 * k3)
        big = with_y[:3, r]
        for s in range(n_strata):
            low, high = edges[s], edges[s + 1]
            kappa = (high - low) / max(high - low - 1.0, 1.0)
            for j in range(3):
                _shifted(big[j, low:high], f[j, low:high], mean[s, j], kappa)
                _shifted(d[j, low:high], e[j, low:high], mean[s, j], kappa)
        for j in range(3):
            if j:
                _less(big[j], big[0], k2 if j == 1 else k3)
                _less(d[j], d[0], k2 if j == 1 else k3)
        for j in range(3):
            _reversed(d[j], big[j])
        _weigh(weight, h[0], n, variance)
        for j in range(3):
            _product(w[j], weight, big[j], 1.0)
            _product(v[j], weight, d[j], 1.0)
        _own_products(with_y[3:7, r], with_y[13:, r], w, own)
        _mixed(with_y[7:13, r], w, d)
        _squares(ff[:, r], w, big)
        _add_sums(sums[:3, r], d, edges)
        _squares(scratch, v, d)
        _add_sums(sums[3:9, r], scratch, edges)
        _own_products(scratch[:4], scratch[4:], v, own)
        _add_sums(sums[9:, r], scratch, edges)
        _add_sums(own_sum[:, r], own, clusters)
        for a in range(6):
            own_mean[a, r] = _sum(own[a]) / n
        for a in range(6):
            _product(scratch[0], own[a], weight, 1.0)
            for b in range(a, 6):
                product = own_mean[a, r] * own_mean[b, r]
                plain[a, b, r] = plain[b, a, r] = _dot(own[a], own[b]) / n - product
                own_cov[a, b, r] = own_cov[b, a, r] = _dot(scratch[0], own[b]) / n - product


@loop()
def _reversed(into: np.ndarray, of: np.ndarray) -> None:
    for i in range(len(into)):
        into[i] = of[i] - into[i]


@loop()
def _add_sums(into: np.ndarray, columns: np.ndarray, edges: np.ndarray) -> None:
    """Sums of columns between edges, shape ``(c, len(edges) - 1)``."""
    for c in range(len(into)):
        for s in range(len(edges) - 1):
            into[c, s] = _sum(columns[c, edges[s] : edges[s + 1]])

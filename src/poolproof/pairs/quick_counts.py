"""The corrected test handed to compiled loops, where these are to be had and fit; see `compiled_counts`.

They fit products in float32 without replicates. What lies near a threshold float64 decides afterwards, as it
does after numpy: calls are the same.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from .bursts import _moments, upper_bin
from .count_bounds import Z_COUNTS, size_upper
from .count_estimates import bound_products, products_of
from .count_kernels import N_TEST, CountDepth, CountFeatures, CountTargets, _enough
from .design import Level
from .donors import inverse_root

COMPILED_FROM = 5e9
"""Pairs times samples from which on it is worth while: loops are compiled once, in half a minute."""
MANY = 0.3
"""Share of the pairs of a block from which on the columns of the bound are multiplied with all of them."""


@cache
def loops() -> Any:
    """The compiled loops, or None where numba is not installed."""
    if find_spec("numba") is None:
        return None
    return [import_module(f".compiled_{name}", __package__) for name in ("counts", "count_bounds", "columns")]


def quick_features(
    x: np.ndarray, depth: CountDepth, level: Level, *, overdispersion: float = 0.0
) -> CountFeatures:
    """As :func:`~poolproof.pairs.count_kernels.count_features`, by a compiled loop."""
    n_regulators, n = x.shape
    sizes = np.bincount(level.strata)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    unit = (x / depth.falling(1)).mean(axis=1)
    unit = np.where(unit > 0, unit, 1.0)[:, None]
    spread = np.array([np.prod([1 + i * overdispersion for i in range(j)]) for j in range(1, 7)])
    scale = 1 / (unit ** np.arange(1, 7) * spread)
    inverse = np.stack([1 / depth.falling(j) for j in range(1, 7)])
    less = np.stack([1 / depth.falling(j, less=1) for j in range(1, 4)])
    clusters = np.zeros(1, dtype=np.int64)
    if level.clusters is not None:
        clusters = np.array([0, *(rows.stop for rows in level.cluster_slices())])
    with_y, ff = np.empty((22, n_regulators, n)), np.empty((6, n_regulators, n))
    sums, own_mean = np.zeros((22, n_regulators, len(sizes))), np.zeros((6, n_regulators))
    own_cov, plain = np.zeros((2, 6, 6, n_regulators))
    own_sum = np.zeros((6, n_regulators, len(clusters) - 1))
    loops()[2].fill_columns(
        x,
        inverse,
        less,
        scale,
        edges,
        clusters,
        with_y,
        ff,
        sums,
        own_mean,
        own_cov,
        plain,
        own_sum,
    )
    n_high = (x >= 3).sum(axis=1)
    testable, degree = _enough(n_high, own_mean, plain, n)
    return CountFeatures(
        with_y=with_y,
        ff=ff,
        d_sum=sums[:3],
        dd_sum=sums[3:9],
        d_own_sum=sums[9:],
        own_mean=own_mean,
        own_cov=own_cov,
        own_sum=own_sum,
        variance=own_mean[2],
        n_high=n_high,
        testable=testable,
        degree=degree,
    )


class Sums(NamedTuple):
    """Both tests of R regulators x m targets, added up over levels, each of shape ``(R, m)``."""

    line: np.ndarray
    bend: np.ndarray
    statistic: np.ndarray
    z2: np.ndarray
    doubt: np.ndarray


class QuickBlock:
    """A block of regulators against a block of targets, level by level."""

    def __init__(
        self,
        features: list[CountFeatures],
        targets: list[CountTargets],
        levels: tuple[Level, ...],
        weights: list[float],
        usable: np.ndarray,
        itself: np.ndarray,
        wald_from: float,
    ) -> None:
        self._loops, self._bounds, _ = loops()
        self._features, self._targets, self._levels, self._weights = features, targets, levels, weights
        self.usable = usable
        self._n = sum(len(level.rows) for level in levels)
        self._products, self._regulators = [], []
        shape = usable.shape[1:]
        line, bend, statistic, z2 = np.zeros((4, *shape), dtype=np.float32)
        self.sums = Sums(line, bend, statistic, z2, np.zeros(shape, dtype=bool))
        for i, (f, t, level) in enumerate(zip(features, targets, levels, strict=True)):
            products = self._loops.LevelProducts(*products_of(f, t, level))
            regulators = _of_regulators(self._loops, f)
            guard = _guarded(self._loops, f, t, level, itself, wald_from)
            self._loops.test_level(
                products,
                regulators,
                np.ascontiguousarray(t.mean),
                guard,
                usable[i],
                np.float32(weights[i]),
                *self.sums,
            )
            self._products.append(products)
            self._regulators.append(regulators)

    def uppers(self, wanted: np.ndarray) -> np.ndarray:
        """Bounds of the share where they are wanted, shape ``(R, m)``; elsewhere 1."""
        result = np.ones(wanted.shape, dtype=np.float32)
        pairs = np.stack(np.nonzero(wanted))
        if pairs.shape[1] == 0:
            return result
        rows, columns = pairs
        pieces = np.zeros((3, pairs.shape[1]))
        resolved = np.ones(pairs.shape[1], dtype=bool)
        for i, (f, t, level) in enumerate(zip(self._features, self._targets, self._levels, strict=True)):
            usable = self.usable[i, rows, columns]
            rest = self._rest(f, t, level, pairs, wanted)
            bound = _of_bound(self._bounds, f)
            self._bounds.bound_level(
                pieces,
                pairs,
                usable,
                self._products[i],
                self._regulators[i],
                bound,
                rest,
                np.ascontiguousarray(t.mean),
                len(level.rows),
                self._weights[i],
            )
            resolved &= ~usable | (f.degree[rows] == 3)
        line, bend = (of[rows, columns].astype(np.float64) for of in self.sums[:2])
        size, length = inverse_root(bend), inverse_root(line)
        v_bend, v_line, v_both = pieces / self._n
        of_pairs = v_bend * size**2, v_line * length**2, v_both * size * length
        upper = size_upper(bend, line, of_pairs, Z_COUNTS)
        result[rows, columns] = np.where(resolved & np.isfinite(bend), upper, 1.0)
        return result

    def _rest(
        self, f: CountFeatures, t: CountTargets, level: Level, pairs: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """Products of the columns of the bound of single pairs: of each alone, or of all pairs at once."""
        if pairs.shape[1] > MANY * wanted.size:
            of = bound_products(f, t, level)
            return np.concatenate([part[:, pairs[0], pairs[1]] for part in (of.cross, of.own, of.square)])
        edges = np.concatenate([[0], np.cumsum(np.bincount(level.strata))])
        rest = np.empty((13, pairs.shape[1]), dtype=np.float32)
        self._bounds.multiply_pairs(
            rest,
            pairs,
            f.with_y[3 + 2 * N_TEST :],
            f.ff[N_TEST:],
            t.centred,
            np.ascontiguousarray(t.mean),
            edges,
        )
        return rest


def _of_regulators(of: Any, f: CountFeatures) -> Any:
    """See `compiled_counts.OfRegulators`."""
    single = np.float32
    variance = np.where(f.testable, f.variance, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        n22, n23, n33 = _inverse_n(f)
        size = np.stack([n22, 2 * n23, n33])
    return of.OfRegulators(
        *(np.ascontiguousarray(part) for part in (f.d_sum, f.dd_sum[:N_TEST], f.d_own_sum[:N_TEST])),
        np.ascontiguousarray(f.own_mean),
        np.ascontiguousarray(f.own_cov),
        (1 / variance).astype(single),
        size.astype(single),
    )


def _of_bound(of: Any, f: CountFeatures) -> Any:
    """See `compiled_counts.OfBound`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.stack(_inverse_n(f))
    rest = (np.ascontiguousarray(part) for part in (f.dd_sum[N_TEST:], f.d_own_sum[N_TEST:]))
    return of.OfBound(*rest, inverse)


def _inverse_n(f: CountFeatures) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse of N over the degrees that the counts resolve; NaN where they resolve none."""
    n22, n23, n33 = (f.own_mean[i].astype(np.float64) for i in (3, 4, 5))
    determinant = n22 * n33 - n23 * n23
    three, two = f.degree == 3, f.degree == 2
    return (
        np.where(three, n33 / determinant, np.where(two, 1 / n22, np.nan)),
        np.where(three, -n23 / determinant, np.where(two, 0.0, np.nan)),
        np.where(three, n22 / determinant, np.where(two, 0.0, np.nan)),
    )


def _guarded(
    of: Any, f: CountFeatures, t: CountTargets, level: Level, itself: np.ndarray, wald_from: float
) -> Any:
    """See `compiled_counts.Guarded`."""
    columns = f.f.astype(np.float64)
    upper = np.stack([upper_bin(x) for x in columns[0]])
    one = np.ones(columns.shape[2])
    moments = []
    for r in range(len(upper)):
        x, second, third = columns[:, r]
        products = second * second, second * third, third * third
        moments.append(_moments(np.stack([one, upper[r], products[0] ** 2, *products]), x))
    sizes = np.bincount(level.strata)
    return of.Guarded(
        wald_from,
        itself,
        f.f[0],
        upper.astype(np.float32),
        upper.sum(axis=1),
        np.stack(moments),
        t.centred,
        sizes @ t.mean.astype(np.float64) / sizes.sum(),
    )

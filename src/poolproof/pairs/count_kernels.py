"""Kernels of the count-noise-corrected test of linearity, by factorial moments (method 6.3).

A cell's counts are a multinomial sample of its molecules. Given its total T, with the falling
factorial ff(X, j) = X (X - 1) .. (X - j + 1), the moments e_j = ff(X, j) / ff(T, j),
f_j = ff(X, j) / ff(T - 1, j) and y = Y / T obey E e_j = E p_x^j and E y f_j = E p_y p_x^j exactly: they
see the fractions p of the cell's molecules and none of the sampling noise. The test asks whether
p_x^2 and p_x^3 explain p_y beyond the line. Its influence function expands into columns of x alone
times y and y^2, so that blocks of genes meet in matrix products, as in the robust test.

Notation, per cell: ``a_j = y F_j - ybar P_j`` is the part of the influence that depends on y, for j = 1
(the line), 2 and 3 (the bends). With ``y = ybar + y~`` it is ``y~ F_j + ybar D_j``, D_j = F_j - P_j; this
keeps float32 products from cancelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from .._arrays import add
from .count_rows import few_rows, join_rows
from .design import Level

MIN_TOTAL = 20
"""Cells with fewer counts in all are left out."""
MIN_HIGH = 10
"""Cells with at least 3 counts of x that a test needs."""
MIN_SEEN = 50
"""Cells with at least 1 count of y that a test needs."""
MIN_TOGETHER = 20
"""Cells with both, as many as chance would give, that a test of the pair needs. The bend is seen in them
alone: with 1 to 10 of them pairs of shuffled genes have p below 1e-4 in .5 to 4 % of cases, from 20 on in
.013 % (20,729 cells of Papalexi et al. 2021; tests/statistical/test_count_calibration.py)."""

MAX_LEVERAGE = 0.9
"""Largest share of V1 that one cell is taken to carry."""

BENDS = (2, 3)
_ORDERS = (1, 2, 3)
_PAIRS = ((0, 0), (1, 1), (1, 2), (2, 2), (0, 1), (0, 2))
"""Of a_1 .. a_3; both tests need the first `N_TEST` of them, the bound of the share all."""
OWN = ("R2", "R3", "H11", "N22", "N23", "N33")
"""Influence terms that depend on x alone."""
OWN_PRODUCTS = (
    ((1.0, 0, 2),),
    ((1.0, 1, 0),),
    ((1.0, 1, 1), (1.0, 2, 0)),
    ((1.0, 2, 1),),
    ((1.0, 1, 3),),
    ((2.0, 1, 4), (1.0, 2, 3)),
    ((1.0, 1, 5), (2.0, 2, 4)),
    ((1.0, 2, 5),),
    ((1.0, 0, 0), (0.5, 1, 2)),
    ((1.0, 0, 1), (0.5, 2, 2)),
    ((1.0, 0, 3),),
    ((1.0, 0, 4),),
    ((1.0, 0, 5),),
)
"""Sums of products (factor, place of F, place of the own term) that variances need: what has the same factor
in all of them needs one column. Both tests need the first `N_TEST`; the next four belong to d_2^3,
d_2^2 d_3, d_2 d_3^2 and d_3^3 of the bound, the last five to its covariance."""
N_TEST = 4

_OF_TEST = 3 + 2 * N_TEST
COLUMNS = {"y": 3 + len(_PAIRS) + len(OWN_PRODUCTS), "y^2": len(_PAIRS)}


@dataclass(frozen=True, eq=False)
class CountDepth:
    """How counts of a level's cells become fractions."""

    total: np.ndarray
    """Total count over all genes, or a known size factor, shape ``(n,)``."""
    known: bool
    """True: ``total`` is a size factor known from elsewhere, not a sum of the counts."""
    _found: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def falling(self, order: int, less: int = 0) -> np.ndarray:
        """The denominator of a factorial moment: ff(T - less, order), or s^order; not to be changed."""
        found = self._found.get((order, less))
        if found is None:
            found = self.total**order if self.known else _falling(self.total - less, order)
            self._found[order, less] = found
        return found


def _falling(values: np.ndarray, order: int) -> np.ndarray:
    result = np.ones_like(values)
    for i in range(order):
        result = result * (values - i)
    return result


@dataclass(frozen=True, eq=False)
class CountFeatures:
    """Columns of a block of R regulators in one level."""

    with_y: np.ndarray
    """Columns for products with y~, shape ``(22, R, n)``: F_1 .. F_3, the own products of the tests,
    F_j D_m + D_j F_m of the tests; the latter and the former of the bound."""
    ff: np.ndarray
    """F_j F_m for products with y~^2, shape ``(6, R, n)``."""
    d_sum: np.ndarray
    """Sums over each stratum of D_j, shape ``(3, R, n_strata)``."""
    dd_sum: np.ndarray
    """Sums over each stratum of D_j D_m, shape ``(6, R, n_strata)``."""
    d_own_sum: np.ndarray
    """Sums over each stratum of own products with D_j in place of F_j, shape ``(13, R, n_strata)``."""
    own_mean: np.ndarray
    """Means of the own terms, shape ``(6, R)``."""
    own_cov: np.ndarray
    """Their covariances, shape ``(6, 6, R)``."""
    own_sum: np.ndarray
    """Sums of the own terms over each replicate, shape ``(6, R, n_clusters)``."""
    variance: np.ndarray
    """V1, the variance of p_x in units of its squared mean, shape ``(R,)``."""
    n_high: np.ndarray
    """Cells with at least 3 counts, shape ``(R,)``."""
    testable: np.ndarray
    """Enough counts for the test, shape ``(R,)``."""
    degree: np.ndarray
    """Highest degree along which a bend can be sized: 3 (also enough for a call of ``affine``), 2, or 1
    (none), shape ``(R,)``."""

    @property
    def f(self) -> np.ndarray:
        """F_1, F_2, F_3, shape ``(3, R, n)``."""
        return self.with_y[:3]

    @property
    def fd(self) -> np.ndarray:
        """F_j D_m + D_j F_m, shape ``(6, R, n)``."""
        return self.with_y[_OF_TEST - N_TEST : _OF_TEST - N_TEST + len(_PAIRS)]

    def take(self, regulators: np.ndarray) -> CountFeatures:
        """The same for some regulators of the block."""
        if len(regulators) == len(self.testable) and (np.diff(regulators) == 1).all():
            return self
        parts = {name: np.take(getattr(self, name), regulators, at) for name, at in REGULATOR_AXES.items()}
        return CountFeatures(**parts)

    def astype(self, dtype: type) -> CountFeatures:
        """The same in another floating-point type."""
        arrays = {of.name: getattr(self, of.name) for of in fields(self)}
        return CountFeatures(
            **{name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in arrays.items()}
        )


@dataclass(frozen=True, eq=False)
class CountBlock:
    """Features of a block of regulators in every level."""

    regulators: np.ndarray
    levels: list[CountFeatures]

    def take(self, chosen: np.ndarray) -> CountBlock:
        """The same for some regulators of the block."""
        return CountBlock(self.regulators[chosen], [level.take(chosen) for level in self.levels])

    def astype(self, dtype: type) -> CountBlock:
        """The same in another floating-point type."""
        return CountBlock(self.regulators, [level.astype(dtype) for level in self.levels])


@dataclass(frozen=True, eq=False)
class CountTargets:
    """A block of m targets in one level."""

    centred: np.ndarray
    """y less its stratum's mean, in units of ``unit``, shape ``(m, n)``."""
    mean: np.ndarray
    """Mean of each stratum in the same unit, shape ``(n_strata, m)``."""
    variance: np.ndarray
    """Variance of p_y in that unit squared, floored at twice its standard error, shape ``(m,)``."""
    error: np.ndarray
    """That standard error, shape ``(m,)``."""
    n_seen: np.ndarray
    """Cells with at least 1 count, shape ``(m,)``."""
    testable: np.ndarray
    """Seen in enough cells, shape ``(m,)``."""
    kept_squares: np.ndarray | None = None
    """Squares of ``centred``, where they are kept."""

    @property
    def squares(self) -> np.ndarray:
        """Squares of ``centred``, shape ``(m, n)``."""
        return self.centred * self.centred if self.kept_squares is None else self.kept_squares

    def take(self, genes: np.ndarray | slice) -> CountTargets:
        """The same for some targets of the block."""
        kept = self.kept_squares if isinstance(genes, slice) else None  # else made faster than gathered
        return CountTargets(
            centred=self.centred[genes],
            mean=self.mean[:, genes],
            variance=self.variance[genes],
            error=self.error[genes],
            n_seen=self.n_seen[genes],
            testable=self.testable[genes],
            kept_squares=None if kept is None else kept[genes],
        )

    def with_squares(self) -> CountTargets:
        """The same, which keeps the squares."""
        return replace(self, kept_squares=self.squares)

    @staticmethod
    def join(parts: list[CountTargets]) -> CountTargets:
        """Blocks of targets as one."""
        joined = {}
        for name in ("centred", "mean", "variance", "error", "n_seen", "testable"):
            arrays = [getattr(part, name) for part in parts]
            joined[name] = np.concatenate(arrays, axis=1 if name == "mean" else 0)
        return CountTargets(**joined)


def enough_together(features: CountFeatures, targets: CountTargets) -> np.ndarray:
    """Whether pairs have counts enough in one level, shape ``(R, m)``: both genes, and both together."""
    return seen_together(features, targets, targets.centred.shape[1])


def seen_together(features: CountFeatures, targets: CountTargets, n_cells: int) -> np.ndarray:
    """The same, of so many cells."""
    by_chance = features.n_high[:, None] * targets.n_seen[None] / n_cells
    return features.testable[:, None] & targets.testable[None] & (by_chance >= MIN_TOGETHER)


def factorial_moment(counts: np.ndarray, order: int) -> np.ndarray:
    """ff(X, order), elementwise.

    Examples
    --------
    >>> factorial_moment(np.array([0.0, 1.0, 2.0, 5.0]), 2)
    array([ 0.,  0.,  2., 20.])
    """
    result = counts.astype(np.float64, copy=True)
    for i in range(1, order):
        result *= np.maximum(counts - i, 0)
    return result


@dataclass(frozen=True, eq=False)
class CountTerms:
    """What every cell says of a block of R regulators; arrays end with ``(R, n)``."""

    f: np.ndarray
    """F_1, F_2, F_3, shape ``(3, R, n)``."""
    p: np.ndarray
    """P_1, P_2, P_3, shape ``(3, R, n)``."""
    own: np.ndarray
    """Influence terms that depend on x alone, in the order of ``OWN``, shape ``(6, R, n)``."""
    own_mean: np.ndarray
    """Shape ``(6, R)``."""
    n_high: np.ndarray
    """As in :class:`CountFeatures`, shape ``(R,)``."""
    testable: np.ndarray
    """As in :class:`CountFeatures`, shape ``(R,)``."""
    degree: np.ndarray
    """As in :class:`CountFeatures`, shape ``(R,)``."""


def count_terms(x: np.ndarray, depth: CountDepth, level: Level, *, overdispersion: float = 0.0) -> CountTerms:
    """Terms of a block of regulators from their counts; parameters as in :func:`count_features`."""
    axes = {"f": 1, "p": 1, "own": 1, "own_mean": 1, "n_high": 0, "testable": 0, "degree": 0}
    return join_rows([_terms(x[rows], depth, level, overdispersion) for rows in few_rows(x)], axes)


def _terms(x: np.ndarray, depth: CountDepth, level: Level, overdispersion: float) -> CountTerms:
    n = x.shape[1]
    strata, sizes = level.strata, np.bincount(level.strata)
    unit = (x / depth.falling(1)).mean(axis=1)
    unit = np.where(unit > 0, unit, 1.0)[:, None]
    spread = {j: float(np.prod([1 + i * overdispersion for i in range(j)])) for j in range(1, 7)}
    ff = {j: factorial_moment(x, j) / unit**j / spread[j] for j in range(1, 7)}
    e = {j: ff[j] / depth.falling(j) for j in range(1, 7)}
    f = {j: ff[j] / depth.falling(j, less=1) for j in _ORDERS}
    mean = {j: (by_stratum(e[j], sizes) / sizes)[:, strata] for j in _ORDERS}
    centred = {j: e[j] - mean[j] for j in _ORDERS}
    less_one = np.maximum(sizes - 1.0, 1.0)[strata]
    moment = {
        (j, m): e[j + m]
        - mean[j] * e[m]
        - mean[m] * e[j]
        + mean[j] * mean[m]
        + centred[j] * centred[m] / less_one
        for j in _ORDERS
        for m in range(j, 4)
    }
    h = {key: value.mean(axis=1)[:, None] for key, value in moment.items()}
    variance = np.where(h[1, 1] > 0, h[1, 1], np.inf)
    slope = {1: 0.0, **{j: h[1, j] / variance for j in BENDS}}
    kappa = (sizes / np.maximum(sizes - 1.0, 1.0))[strata]
    own = np.stack(
        [
            moment[1, 2] - slope[2] * moment[1, 1],
            moment[1, 3] - slope[3] * moment[1, 1],
            moment[1, 1],
            *(
                moment[j, m]
                - slope[j] * moment[1, m]
                - slope[m] * moment[1, j]
                + slope[j] * slope[m] * moment[1, 1]
                for j, m in ((2, 2), (2, 3), (3, 3))
            ),
        ]
    )
    own_mean = own.mean(axis=2)
    own_centred = own - own_mean[:, :, None]
    testable, degree = _enough(
        _n_high(x), own_mean, np.einsum("arn,brn->abr", own_centred, own_centred) / n, n
    )
    return CountTerms(
        f=np.stack([kappa * (f[j] - mean[j] - slope[j] * (f[1] - mean[1])) for j in _ORDERS]),
        p=np.stack([kappa * (centred[j] - slope[j] * centred[1]) for j in _ORDERS]),
        own=own,
        own_mean=own_mean,
        n_high=_n_high(x),
        testable=testable,
        degree=degree,
    )


def by_stratum(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sums over strata along the last axis, whose entries are sorted by stratum.

    Examples
    --------
    >>> by_stratum(np.array([1.0, 2.0, 3.0]), np.array([1, 2]))
    array([1., 5.])
    """
    return np.add.reduceat(values, np.concatenate([[0], np.cumsum(sizes)[:-1]]), axis=-1)


def count_features(
    x: np.ndarray, depth: CountDepth, level: Level, *, overdispersion: float = 0.0
) -> CountFeatures:
    """Build the columns of a block of regulators from their counts.

    Parameters
    ----------
    x
        Counts, shape ``(R, n)``.
    depth
        Of the same cells.
    level
        Its strata are centred apart; slopes and moments are pooled over them.
    overdispersion
        Squared coefficient of variation of technical noise beyond multinomial sampling.
    """
    parts = [_features(x[rows], depth, level, overdispersion) for rows in few_rows(x)]
    return join_rows(parts, REGULATOR_AXES)


REGULATOR_AXES = {
    "with_y": 1,
    "ff": 1,
    "d_sum": 1,
    "dd_sum": 1,
    "d_own_sum": 1,
    "own_mean": 1,
    "own_cov": 2,
    "own_sum": 1,
    "variance": 0,
    "n_high": 0,
    "testable": 0,
    "degree": 0,
}
"""Of `CountFeatures`."""


def _features(x: np.ndarray, depth: CountDepth, level: Level, overdispersion: float) -> CountFeatures:
    n = x.shape[1]
    sizes = np.bincount(level.strata)
    terms = count_terms(x, depth, level, overdispersion=overdispersion)
    big_f, own, own_mean = terms.f, terms.own, terms.own_mean
    big_d = big_f - terms.p
    variance = np.where(own_mean[2] > 0, own_mean[2], np.inf)[:, None]
    # a cell that carries much of V1 pulls the line towards itself: the HC3 weight, of x alone
    leverage = np.minimum(1 / n + np.maximum(own[2] / (n * variance), 0), MAX_LEVERAGE)
    weight = 1 / (1 - leverage) ** 2
    own_cov = np.einsum("arn,brn->abr", weight * own, own) / n - own_mean[:, None] * own_mean[None]
    heavy_f, heavy_d = weight * big_f, weight * big_d
    mixed = [heavy_f[j] * big_d[m] + heavy_d[j] * big_f[m] for j, m in _PAIRS]
    of_own = list(own_products(heavy_f, own))
    return CountFeatures(
        with_y=np.stack([*big_f, *of_own[:N_TEST], *mixed, *of_own[N_TEST:]]),
        ff=np.stack([heavy_f[j] * big_f[m] for j, m in _PAIRS]),
        d_sum=by_stratum(big_d, sizes),
        dd_sum=np.stack([by_stratum(heavy_d[j] * big_d[m], sizes) for j, m in _PAIRS]),
        d_own_sum=np.stack([by_stratum(column, sizes) for column in own_products(heavy_d, own)]),
        own_mean=own_mean,
        own_cov=own_cov,
        own_sum=np.stack([own[:, :, rows].sum(axis=2) for rows in level.cluster_slices()], axis=2)
        if level.clusters is not None
        else np.zeros((*own_mean.shape, 0)),
        variance=own_mean[2],
        n_high=terms.n_high,
        testable=terms.testable,
        degree=terms.degree,
    )


def own_products(by_degree: np.ndarray | Sequence[np.ndarray], own: np.ndarray) -> Iterator[np.ndarray]:
    """Products of `OWN_PRODUCTS` of what stands for F_1 .. F_3 and of the own terms."""
    for terms in OWN_PRODUCTS:
        yield add(
            by_degree[j] * own[o] if factor == 1 else factor * by_degree[j] * own[o] for factor, j, o in terms
        )


def _n_high(x: np.ndarray) -> np.ndarray:
    """Cells with at least 3 counts of each gene: without them no third factorial moment is seen."""
    return (x >= 3).sum(axis=1)


def _enough(n_high: np.ndarray, mean: np.ndarray, cov: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether a regulator has counts enough (method 6.5), and up to which degree a bend can be sized."""
    error = np.sqrt(np.einsum("aar->ar", cov) / n)
    v1, n22, n23, n33 = mean[2], mean[3], mean[4], mean[5]
    testable = (n_high >= MIN_HIGH) & (v1 > 2 * error[2]) & (v1 > 0)
    ratio = n23 / np.where(n22 > 0, n22, np.inf)
    rest = n33 - ratio * n23  # what degree 3 adds to degree 2
    weights = np.stack([ratio**2, -2 * ratio, np.ones_like(ratio)])
    rest_error = np.sqrt(np.maximum(np.einsum("ar,abr,br->r", weights, cov[3:, 3:], weights), 0) / n)
    second = testable & (n22 > 2 * error[3])
    third = second & (v1 > 3 * error[2]) & (rest > 2 * rest_error)
    return testable, 1 + second + third


def enough_counts(x: np.ndarray, depth: CountDepth, level: Level) -> np.ndarray:
    """Whether regulators have counts enough for the test, shape ``(R,)``: the rule of :func:`_enough`."""
    many = np.flatnonzero(_n_high(x) >= MIN_HIGH)
    sizes = np.bincount(level.strata)
    share = x[many] / depth.falling(1)
    mean = (by_stratum(share, sizes) / sizes)[:, level.strata]
    term = factorial_moment(x[many], 2) / depth.falling(2) - mean * (2 * share - mean)
    term += (share - mean) ** 2 / np.maximum(sizes - 1.0, 1.0)[level.strata]
    result = np.zeros(len(x), dtype=bool)
    result[many] = term.mean(axis=1) > 2 * term.std(axis=1) / np.sqrt(x.shape[1])
    return result


def count_targets(
    y: np.ndarray,
    depth: CountDepth,
    level: Level,
    unit: np.ndarray,
    dtype: type,
    overdispersion: float = 0.0,
) -> CountTargets:
    """Centre a block of targets in one level.

    Parameters
    ----------
    y
        Counts, shape ``(m, n)``.
    unit
        Unit of each target's fraction, shape ``(m,)``: its standard deviation over all cells used.
    overdispersion
        As in :func:`count_features`.
    """
    sizes = np.bincount(level.strata)
    share = y / depth.falling(1) / unit[:, None]
    pairs = factorial_moment(y, 2) / depth.falling(2) / unit[:, None] ** 2 / (1 + overdispersion)
    mean = by_stratum(share, sizes) / sizes
    by_cell = mean[:, level.strata]
    centred = share - by_cell
    less_one = np.maximum(sizes - 1.0, 1.0)[level.strata]
    terms = pairs - 2 * by_cell * share + by_cell**2 + centred**2 / less_one
    error = terms.std(axis=1) / np.sqrt(y.shape[1])
    n_seen = (y >= 1).sum(axis=1)
    return CountTargets(
        centred=centred.astype(dtype),
        mean=np.ascontiguousarray(mean.T).astype(dtype),
        variance=np.maximum(terms.mean(axis=1), 2 * error).astype(dtype),
        error=error.astype(dtype),
        n_seen=n_seen,
        testable=n_seen >= MIN_SEEN,
    )


def usable_cells(total: np.ndarray, known: bool) -> np.ndarray:
    """Cells with counts enough to be used."""
    return np.isfinite(total) & (total > 0 if known else total >= MIN_TOTAL)
